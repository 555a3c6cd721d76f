//! The Metrics API as far as `kubectl top` asks for it before it asks for figures, of which there are none.

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::status::ApiError;

use super::state::Api;

pub const GROUP: &str = "metrics.k8s.io";
const VERSION: &str = "v1beta1";

pub fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/apis/metrics.k8s.io", get(async || Json(group())))
        .route("/apis/metrics.k8s.io/v1beta1", get(async || Json(resources())))
        .route("/apis/metrics.k8s.io/v1beta1/{*path}", get(async || ApiError::no_metrics()))
}

/// The group as discovery lists it.
pub fn group() -> Value {
    let version = json!({ "groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION });
    json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": [version],
        "preferredVersion": version,
    })
}

fn resources() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({ "name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"] });
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)],
    })
}
