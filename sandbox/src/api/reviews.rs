//! Questions that are answered and not stored: who somebody is, and what they may do. There is no authentication and everything is
//! allowed, which is what `kubectl auth` is told.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::status::ApiError;

use super::parse_body;
use super::state::Api;

const AUTHORIZATION: &str = "authorization.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const VERSION: &str = "v1";

/// Who sends requests, as an API server calls those who do not say.
const ANONYMOUS: &str = "system:anonymous";
const UNAUTHENTICATED: &str = "system:unauthenticated";

struct Review {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
}

const REVIEWS: [Review; 5] = [
    review(AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews"),
    Review { namespaced: true, ..review(AUTHORIZATION, "LocalSubjectAccessReview", "localsubjectaccessreviews") },
    review(AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    review(AUTHORIZATION, "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    review(AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews"),
];

const fn review(group: &'static str, kind: &'static str, plural: &'static str) -> Review {
    Review { group, kind, plural, namespaced: false }
}

pub fn router() -> Router<Arc<Api>> {
    let mut router = Router::new();
    for group in [AUTHENTICATION, AUTHORIZATION] {
        let root = format!("/apis/{group}");
        let in_cluster = async move |Path(plural): Path<String>, headers: HeaderMap, body: Bytes| {
            answer(group, &plural, false, &headers, &body)
        };
        let in_namespace = async move |Path((_, plural)): Path<(String, String)>, headers: HeaderMap, body: Bytes| {
            answer(group, &plural, true, &headers, &body)
        };
        router = router
            .route(&root, get(async move || Json(self::group(group))))
            .route(&format!("{root}/{VERSION}"), get(async move || Json(resources(group))))
            .route(&format!("{root}/{VERSION}/{{plural}}"), post(in_cluster))
            .route(&format!("{root}/{VERSION}/namespaces/{{namespace}}/{{plural}}"), post(in_namespace));
    }
    router
}

/// The groups as discovery lists them.
pub fn groups() -> [Value; 2] {
    [AUTHENTICATION, AUTHORIZATION].map(group)
}

fn group(name: &str) -> Value {
    let version = json!({ "groupVersion": format!("{name}/{VERSION}"), "version": VERSION });
    json!({ "kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": [version], "preferredVersion": version })
}

fn resources(group: &str) -> Value {
    let resources = REVIEWS.iter().filter(|review| review.group == group).map(|review| {
        let singular = review.kind.to_ascii_lowercase();
        let (name, kind, namespaced) = (review.plural, review.kind, review.namespaced);
        json!({ "name": name, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": ["create"] })
    });
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": format!("{group}/{VERSION}"),
        "resources": resources.collect::<Vec<_>>(),
    })
}

/// The review with its answer.
fn answer(group: &str, plural: &str, namespaced: bool, headers: &HeaderMap, body: &[u8]) -> Result<Response, ApiError> {
    let is_asked =
        |review: &&Review| review.group == group && review.plural == plural && review.namespaced == namespaced;
    let Review { kind, .. } = REVIEWS.iter().find(is_asked).ok_or_else(ApiError::no_such_path)?;
    let mut review = parse_body(headers, body)?;
    if review["kind"] != *kind {
        return Err(ApiError::bad_request(format!(
            "expected a {kind} of {group}/{VERSION}, found kind {}",
            review["kind"]
        )));
    }
    review["status"] = match *kind {
        "SelfSubjectReview" => json!({ "userInfo": user(headers) }),
        "SelfSubjectRulesReview" => json!({
            "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
            "incomplete": false,
        }),
        _ => json!({ "allowed": true, "reason": "the sandbox allows everything" }),
    };
    Ok((StatusCode::CREATED, Json(review)).into_response())
}

/// Whoever `--as` and `--as-group` name, or nobody in particular.
fn user(headers: &HeaderMap) -> Value {
    let texts = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    match texts("impersonate-user").first() {
        Some(name) => json!({ "username": name, "groups": texts("impersonate-group") }),
        None => json!({ "username": ANONYMOUS, "groups": [UNAUTHENTICATED] }),
    }
}
