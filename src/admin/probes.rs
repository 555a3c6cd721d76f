//! The pages that probes and monitoring ask for. None of them grows with the cluster, and none waits for anything.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::refusal::internal;
use crate::table::TableReader;
use crate::telemetry::heartbeat::{Heartbeats, Stalled};
use crate::telemetry::metrics::{Exporter, Format};
use crate::telemetry::readiness::Readiness;

/// What these pages are, for the page that lists them.
pub(super) const INDEX: &str = "\
headless-dns

/livez     200 while the UDP workers and the index are at work; 503 with what is stalled otherwise
/readyz    200 once all required watches have synchronised, and also while answers are stale;
           503 with what is pending otherwise
/metrics   metrics for Prometheus
";

/// Where these pages get their content.
pub struct ProbeSources {
    pub heartbeats: Heartbeats,
    pub readiness: Readiness,
    pub exporter: Exporter,
    pub table: TableReader,
}

type Shared = State<Arc<ProbeSources>>;

/// These pages, for any listener.
pub(super) fn routes(sources: Arc<ProbeSources>) -> Router {
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(sources)
}

/// These pages and no others.
pub(super) fn router(sources: Arc<ProbeSources>) -> Router {
    routes(sources).route("/", get(INDEX)).fallback(not_found(INDEX))
}

/// The answer to whoever asks for something else.
pub(super) fn not_found(index: &str) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("Page not found. The pages are:\n\n{index}"))
}

async fn live(State(sources): Shared) -> (StatusCode, String) {
    let stalled = sources.heartbeats.stalled(Instant::now());
    if stalled.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let line = |Stalled { what, silence }: &Stalled| format!("stalled: {what} for {} s\n", silence.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, stalled.iter().map(line).collect())
}

async fn ready(State(sources): Shared) -> (StatusCode, String) {
    let pending = sources.readiness.pending();
    if pending.is_empty() {
        // Stale answers are better than none, so the server stays ready.
        let stale = sources.table.pin().stale().map(|stale| format!("stale: {stale}\n")).unwrap_or_default();
        return (StatusCode::OK, format!("ok\n{stale}"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, pending.iter().map(|what| format!("pending: {what}\n")).collect())
}

async fn metrics(State(sources): Shared, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted_by(accept);
    match sources.exporter.encode(format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => internal(error).into_response(),
    }
}
