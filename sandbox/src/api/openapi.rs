//! Just enough OpenAPI for kubectl. Version 3 states for each kind that the server supports the `fieldValidation` parameter,
//! which kubectl checks before it sends a manifest, and has the schemas that `kubectl explain` shows. Version 2 is an empty
//! document, which makes older kubectl skip client-side validation.

use std::sync::Arc;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header;
use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::status::ApiError;

use super::schema;
use super::state::Api;

/// An empty body is a valid protobuf message.
const EMPTY_V2: &[u8] = b"";
const V2_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

pub fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/openapi/v2", get(async || ([(header::CONTENT_TYPE, V2_MEDIA_TYPE)], EMPTY_V2)))
        .route("/openapi/v3", get(async || Json(index())))
        .route("/openapi/v3/{*path}", get(async |Path(path): Path<String>| document(&path)))
}

fn index() -> Value {
    let paths: Map<String, Value> = Kind::ALL
        .into_iter()
        .map(|kind| (root(kind), json!({ "serverRelativeURL": format!("/openapi/v3/{}", root(kind)) })))
        .collect();
    json!({ "paths": paths })
}

/// `api/v1`, `apis/apps/v1`.
fn root(kind: Kind) -> String {
    if kind.group().is_empty() { format!("api/{}", kind.version()) } else { format!("apis/{}", kind.api_version()) }
}

fn document(path: &str) -> Response {
    let kinds = || Kind::ALL.into_iter().filter(|kind| root(*kind) == path);
    let paths: Map<String, Value> = kinds().map(item).collect();
    if paths.is_empty() {
        return ApiError::no_such_path().into_response();
    }
    let info = json!({ "title": "kube-sandbox", "version": env!("CARGO_PKG_VERSION") });
    let components = json!({ "schemas": schema::of(kinds()) });
    Json(json!({ "openapi": "3.0.0", "info": info, "paths": paths, "components": components })).into_response()
}

/// The path of one object with its `PATCH` operation, which supports field validation.
fn item(kind: Kind) -> (String, Value) {
    let namespaced = if kind.is_namespaced() { "namespaces/{namespace}/" } else { "" };
    let parameter = |name: &str| json!({ "name": name, "in": "query", "schema": { "type": "string" } });
    let patch = json!({
        "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
        "responses": { "200": { "description": "OK" } },
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": { "group": kind.group(), "version": kind.version(), "kind": kind.name() },
    });
    (format!("/{}/{namespaced}{}/{{name}}", root(kind), kind.plural()), json!({ "patch": patch }))
}
