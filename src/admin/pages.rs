//! The pages themselves.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;

use super::explain::{Explains, Explanation};
use super::records::{DEFAULT_PAGE, MAX_PAGE, RecordsPage, RecordsQuery, RecordsSource};
use crate::telemetry::metrics::{Exporter, Format};
use crate::telemetry::readiness::Readiness;

const INDEX: &str = "\
headless-dns

/livez     200 while the process works
/readyz    200 when every watch has synchronised, and since when none is heard; else 503 and what is pending
/metrics   what is counted, for Prometheus
/records   the records as JSON: ?namespace=NAME &service=NAME &limit=NUMBER &continue=TOKEN
/zone      a zone as a zone file: ?name=ZONE
/explain   why a name is answered as it is: ?name=NAME; 404 where it does not resolve
";

/// Why there is no page.
type Refusal = (StatusCode, String);

/// The media type of zone files, RFC 4027.
const ZONE_FILE: &str = "text/dns; charset=utf-8";

#[derive(Clone)]
struct Sources {
    readiness: Readiness,
    exporter: Arc<Exporter>,
    records: Arc<dyn RecordsSource>,
    explainer: Arc<dyn Explains>,
}

/// All pages.
pub fn router(
    readiness: Readiness,
    exporter: Exporter,
    records: Arc<dyn RecordsSource>,
    explainer: Arc<dyn Explains>,
) -> Router {
    Router::new()
        .route("/", get(INDEX))
        .route("/livez", get("ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/records", get(show_records))
        .route("/zone", get(zone))
        .route("/explain", get(explain))
        .fallback(async || (StatusCode::NOT_FOUND, format!("There is no such page. There are:\n\n{INDEX}")))
        .with_state(Sources { readiness, exporter: Arc::new(exporter), records, explainer })
}

async fn ready(State(sources): State<Sources>) -> (StatusCode, String) {
    let pending = sources.readiness.pending();
    if pending.is_empty() {
        // The last known answers are better than none.
        let stale = sources.records.stale_since();
        let stale =
            stale.map(|since| format!("stale: no word from the API server since {since}\n")).unwrap_or_default();
        return (StatusCode::OK, format!("ok\n{stale}"));
    }
    (StatusCode::SERVICE_UNAVAILABLE, pending.iter().map(|what| format!("pending: {what}\n")).collect())
}

async fn metrics(State(sources): State<Sources>, headers: HeaderMap) -> Response {
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
    State(sources): State<Sources>,
    parameters: Result<Query<RecordsParameters>, QueryRejection>,
) -> Result<Json<RecordsPage>, Refusal> {
    let Query(parameters) = parameters.map_err(bad_parameters)?;
    let limit = parameters.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad_request(format!("limit: found {limit}, allowed is a whole number from 1 to {MAX_PAGE}")));
    }
    let after = parameters.r#continue.map(|token| {
        let parts = token.split_once('/').map(|(namespace, service)| (namespace.to_owned(), service.to_owned()));
        parts.ok_or_else(|| bad_request(format!("continue: found {token:?}, allowed is what the page before gave")))
    });
    let query =
        RecordsQuery { namespace: parameters.namespace, service: parameters.service, after: after.transpose()? };
    // One more than the page holds tells whether there is another page.
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
    State(sources): State<Sources>,
    parameters: Result<Query<NameParameter>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(NameParameter { name }) = parameters.map_err(bad_parameters)?;
    let pending = sources.readiness.pending();
    if !pending.is_empty() {
        // Half a zone would pass for a whole one.
        return Err((
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not all records are known yet: {}\n", pending.join(", ")),
        ));
    }
    let wanted = name.strip_suffix('.').unwrap_or(&name).to_ascii_lowercase();
    let records = sources.records.clone();
    let file = tokio::task::spawn_blocking(move || records.zone_file(&wanted)).await.map_err(internal)?;
    match file {
        Some(file) => Ok(([(header::CONTENT_TYPE, ZONE_FILE)], file).into_response()),
        None => {
            let served = sources.records.zones().join(", ");
            Err((StatusCode::NOT_FOUND, format!("name: found {name:?}, served are {served}\n")))
        }
    }
}

async fn explain(
    State(sources): State<Sources>,
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
    tracing::error!(%error, "an admin page could not be made");
    (StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made; the log says why\n".to_owned())
}
