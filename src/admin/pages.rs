//! The handlers of the pages.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;

use super::export::Records;
use super::views::{DEFAULT_PAGE, MAX_PAGE, RecordsPage, RecordsQuery};
use crate::diagnose::{Explainer, Explanation};
use crate::dns::name::Name;
use crate::telemetry::metrics::{Exporter, Format};
use crate::telemetry::readiness::Readiness;

const INDEX: &str = "\
headless-dns

/livez     200 while the process is running
/readyz    200 once all required watches have synchronised, and also while answers are stale;
           503 with what is pending otherwise
/metrics   metrics for Prometheus
/records   the records as JSON; parameters: namespace=NAME service=NAME limit=NUMBER continue=TOKEN
/zone      a zone as a zone file; parameter: name=ZONE
/explain   why a name is answered as it is; parameter: name=NAME; 404 if it has no records
";

/// Where the pages get their content.
pub struct Sources {
    pub readiness: Readiness,
    pub exporter: Exporter,
    pub records: Records,
    pub explainer: Explainer,
}

/// The shared form of [`Sources`].
type Shared = State<Arc<Sources>>;

/// An error response.
type Refusal = (StatusCode, String);

/// The media type of zone files, RFC 4027.
const ZONE_FILE: &str = "text/dns; charset=utf-8";

/// All pages.
pub fn router(sources: Sources) -> Router {
    Router::new()
        .route("/", get(INDEX))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/records", get(show_records))
        .route("/zone", get(zone))
        .route("/explain", get(explain))
        .fallback(async || (StatusCode::NOT_FOUND, format!("Page not found. The pages are:\n\n{INDEX}")))
        .with_state(Arc::new(sources))
}

async fn ready(State(sources): Shared) -> (StatusCode, String) {
    let pending = sources.readiness.pending();
    if pending.is_empty() {
        // Stale answers are better than none, so the server stays ready.
        let stale = sources.records.stale_since();
        let stale =
            stale.map(|since| format!("stale: no contact with the API server since {since}\n")).unwrap_or_default();
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

/// The parameters of `/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsParameters {
    namespace: Option<String>,
    service: Option<String>,
    limit: Option<usize>,
    r#continue: Option<String>,
}

async fn show_records(
    State(sources): Shared,
    parameters: Result<Query<RecordsParameters>, QueryRejection>,
) -> Result<Json<RecordsPage>, Refusal> {
    let Query(parameters) = parameters.map_err(bad_parameters)?;
    let limit = parameters.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad_request(format!("limit: found {limit}; expected a whole number from 1 to {MAX_PAGE}")));
    }
    let after = parameters.r#continue.map(|token| {
        let parts = token.split_once('/').map(|(namespace, service)| (namespace.to_owned(), service.to_owned()));
        parts.ok_or_else(|| {
            bad_request(format!("continue: found {token:?}; expected the value of \"continue\" on the previous page"))
        })
    });
    let query =
        RecordsQuery { namespace: parameters.namespace, service: parameters.service, after: after.transpose()? };
    // One more than fits on the page shows whether there is another page.
    let services = move || sources.records.services(&query, limit + 1);
    let mut services = tokio::task::spawn_blocking(services).await.map_err(internal)?;
    let more = services.len() > limit;
    services.truncate(limit);
    let last = services.last().filter(|_| more);
    let next = last.map(|last| format!("{}/{}", last.namespace, last.service));
    Ok(Json(RecordsPage { services, next }))
}

/// The parameter of `/zone` and `/explain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameParameter {
    name: String,
}

async fn zone(
    State(sources): Shared,
    parameters: Result<Query<NameParameter>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(NameParameter { name }) = parameters.map_err(bad_parameters)?;
    let pending = sources.readiness.pending();
    if !pending.is_empty() {
        // An incomplete zone file would look like a complete one.
        return Err((
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not synchronised yet; pending: {}\n", pending.join(", ")),
        ));
    }
    let wanted = Name::parse(&name).ok();
    let shared = Arc::clone(&sources);
    let file = move || wanted.and_then(|wanted| shared.records.zone_file(&wanted));
    match tokio::task::spawn_blocking(file).await.map_err(internal)? {
        Some(file) => Ok(([(header::CONTENT_TYPE, ZONE_FILE)], file).into_response()),
        None => {
            let zones: Vec<_> = sources.records.zones().iter().map(ToString::to_string).collect();
            let zones = zones.iter().map(|zone| zone.trim_end_matches('.')).collect::<Vec<_>>().join(", ");
            Err((StatusCode::NOT_FOUND, format!("name: found {name:?}, the served zones are {zones}\n")))
        }
    }
}

async fn explain(
    State(sources): Shared,
    parameters: Result<Query<NameParameter>, QueryRejection>,
) -> Result<(StatusCode, String), Refusal> {
    let Query(NameParameter { name }) = parameters.map_err(bad_parameters)?;
    let Explanation { resolves, text } = sources.explainer.explain(&name).await.map_err(bad_request)?;
    Ok((if resolves { StatusCode::OK } else { StatusCode::NOT_FOUND }, text))
}

fn bad_parameters(rejection: QueryRejection) -> Refusal {
    bad_request(rejection.body_text())
}

fn bad_request(message: String) -> Refusal {
    (StatusCode::BAD_REQUEST, message + "\n")
}

fn internal(error: impl std::error::Error) -> Refusal {
    tracing::error!(%error, "an admin page failed");
    (StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the log\n".to_owned())
}
