//! Discovery: the API's groups, versions and resources.

use std::sync::Arc;

use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::kind::Kind;
use crate::status::ApiError;

use super::request::Subresource;
use super::state::Api;
use super::{metrics, reviews};

/// Minor version of the Kubernetes API that is served.
const MINOR: &str = "33";

pub fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/version", get(version))
        .route("/api", get(core_versions))
        .route("/api/v1", get(async || resources("", "v1").map(Json)))
        .route("/apis", get(groups))
        .route("/apis/{group}", get(async |Path(name): Path<String>| group(&name).map(Json)))
        .route(
            "/apis/{group}/{version}",
            get(async |Path((group, version)): Path<(String, String)>| resources(&group, &version).map(Json)),
        )
}

/// The version of Kubernetes, and of this program.
pub fn git_version() -> String {
    format!("v1.{MINOR}.0+headless-dns.{}", env!("CARGO_PKG_VERSION"))
}

async fn version() -> Json<Value> {
    Json(json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": git_version(),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    }))
}

async fn core_versions() -> Json<Value> {
    Json(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }))
}

/// The names of all groups but the core one, in the order of the kinds.
fn group_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for kind in Kind::ALL {
        if !kind.group().is_empty() && !names.contains(&kind.group()) {
            names.push(kind.group());
        }
    }
    names
}

async fn groups() -> Json<Value> {
    let own = group_names().into_iter().filter_map(|name| group(name).ok());
    let groups: Vec<Value> = own.chain([metrics::group()]).chain(reviews::groups()).collect();
    Json(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
}

fn group(name: &str) -> Result<Value, ApiError> {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.group() == name && !name.is_empty())
        .ok_or_else(ApiError::no_such_path)?;
    let version = json!({ "groupVersion": kind.api_version(), "version": kind.version() });
    Ok(json!({
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": [version],
        "preferredVersion": version,
    }))
}

fn resources(group: &str, version: &str) -> Result<Value, ApiError> {
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| kind.group() == group && kind.version() == version).collect();
    let first = kinds.first().ok_or_else(ApiError::no_such_path)?;
    let resources: Vec<Value> = kinds.iter().flat_map(|kind| resource(*kind)).collect();
    Ok(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(),
        "resources": resources,
    }))
}

/// A kind and its subresources.
fn resource(kind: Kind) -> Vec<Value> {
    let mut main = json!({
        "name": kind.plural(),
        "singularName": kind.name().to_ascii_lowercase(),
        "namespaced": kind.is_namespaced(),
        "kind": kind.name(),
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
    if !kind.short_names().is_empty() {
        main["shortNames"] = json!(kind.short_names());
    }
    // The kinds of `kubectl get all`.
    if matches!(
        kind,
        Kind::Pod
            | Kind::Service
            | Kind::StatefulSet
            | Kind::DaemonSet
            | Kind::Deployment
            | Kind::ReplicaSet
            | Kind::Job
            | Kind::CronJob
            | Kind::HorizontalPodAutoscaler
    ) {
        main["categories"] = json!(["all"]);
    }
    let parts = Subresource::ALL.into_iter().filter(|part| part.is_of(kind)).map(|part| {
        let mut resource = json!({
            "name": format!("{}/{}", kind.plural(), part.name()),
            "singularName": "",
            "namespaced": kind.is_namespaced(),
            "kind": kind.name(),
            "verbs": ["get", "patch", "update"],
        });
        let own_kind = match part {
            Subresource::Scale => Some(("autoscaling", "Scale")),
            Subresource::Eviction => Some(("policy", "Eviction")),
            Subresource::Token => Some(("authentication.k8s.io", "TokenRequest")),
            _ => None,
        };
        if let Some((group, kind)) = own_kind {
            resource["group"] = json!(group);
            resource["version"] = json!("v1");
            resource["kind"] = json!(kind);
        }
        match part {
            Subresource::Eviction | Subresource::Token => resource["verbs"] = json!(["create"]),
            Subresource::Log => resource["verbs"] = json!(["get"]),
            Subresource::Exec | Subresource::Attach | Subresource::PortForward => {
                resource["verbs"] = json!(["create", "get"]);
            }
            Subresource::Status | Subresource::Scale | Subresource::EphemeralContainers => {}
        }
        resource
    });
    std::iter::once(main).chain(parts).collect()
}
