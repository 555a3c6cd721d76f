//! Paths of the sandbox's own, for fault injection from other processes.
//!
//! | request | does |
//! |---|---|
//! | `GET /sandbox/faults` | returns the active faults by number |
//! | `POST /sandbox/faults` | injects the [`Fault`] in the body, returns `{"number": 3}` |
//! | `DELETE /sandbox/faults/3` | removes one fault |
//! | `DELETE /sandbox/faults` | removes all faults |
//! | `GET /sandbox/requests` | returns verb, group, resource, subresource, namespace and count of the requests received |
//! | `DELETE /sandbox/requests` | resets the counts |
//!
//! ```text
//! curl -d '{"fault": "answer", "resource": "endpointslices", "verb": "watch", "code": 429, "retryAfter": 1, "times": 3}' …
//! curl -d '{"fault": "tooManyRequests", "verb": "list", "times": 3}' …
//! curl -d '{"fault": "cutWatches", "how": "abrupt"}' …
//! curl -d '{"fault": "endWatches", "resource": "services"}' …
//! curl -d '{"fault": "stall", "resource": "services", "missed": "skip"}' …
//! curl -d '{"fault": "down", "milliseconds": 2000}' …
//! ```
//!
//! `down` closes all connections including the one that it was sent on, possibly before the response is written.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::status::ApiError;

use super::state::Api;

pub fn router() -> Router<Arc<Api>> {
    Router::new()
        .route("/sandbox/faults", get(faults).post(inject).delete(clear))
        .route("/sandbox/faults/{number}", delete(remove))
        .route("/sandbox/requests", get(requests).delete(forget))
}

async fn faults(State(api): State<Arc<Api>>) -> Response {
    Json(api.faults.active()).into_response()
}

async fn inject(State(api): State<Arc<Api>>, body: Bytes) -> Result<Response, ApiError> {
    let fault: Fault =
        serde_json::from_slice(&body).map_err(|error| ApiError::bad_request(format!("not a fault: {error}")))?;
    let number = api.faults.inject(fault).map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok((StatusCode::CREATED, Json(json!({ "number": number }))).into_response())
}

async fn remove(State(api): State<Arc<Api>>, Path(number): Path<u64>) -> StatusCode {
    api.faults.remove(number);
    StatusCode::NO_CONTENT
}

async fn clear(State(api): State<Arc<Api>>) -> StatusCode {
    api.faults.clear();
    StatusCode::NO_CONTENT
}

async fn requests(State(api): State<Arc<Api>>) -> Json<Value> {
    let requests = api.faults.requests().into_iter().map(|(request, count)| {
        let mut entry = json!(request);
        entry["count"] = json!(count);
        entry
    });
    Json(requests.collect())
}

async fn forget(State(api): State<Arc<Api>>) -> StatusCode {
    api.faults.forget_requests();
    StatusCode::NO_CONTENT
}
