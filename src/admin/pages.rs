//! The pages about records. They may be long: each is made as its client takes it, and few clients read at a time.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::body::{Readers, of_parts};
use super::connection::Client;
use super::export::Records;
use super::probes::{self, ProbeSources, with_index};
use super::records_page::RecordsPage;
use super::refusal::{Refusal, bad_request};
use super::reload::ReloadHandle;
use super::transfers_page::TransfersPage;
use super::views::{DEFAULT_PAGE, MAX_PAGE, RecordsQuery};
use crate::diagnose::{Explainer, Explanation, Inspection};
use crate::dns::name::Name;
use crate::server::SharedServing;
use crate::transfer::NotifyStatus;

const INDEX: &str = "\
/records   the records as JSON; parameters: namespace=NAME service=NAME limit=NUMBER continue=TOKEN
/zone      a zone as a zone file; parameter: name=ZONE
/explain   why a name is answered as it is; parameter: name=NAME (or its beginning, or an address); 404 if it has no records
/transfers versions of the zones, and the secondaries that follow them, as JSON; 404 if zones are not transferred
/reload    POST from this machine: load the configuration anew; says what has changed and what needs a restart
";

/// Where the pages get their content.
pub struct Sources {
    /// The pages of the probes are here too, so that one address is enough for whoever needs no other.
    pub probes: Arc<ProbeSources>,
    /// What is answered now.
    pub serving: SharedServing,
    /// Describes the objects behind a name.
    pub index: mpsc::Sender<Inspection>,
    /// What secondaries were told, where zones are handed out.
    pub transfers: Option<Arc<NotifyStatus>>,
    /// Where the configuration can be loaded anew.
    pub reload: Option<ReloadHandle>,
}

impl Sources {
    fn records(&self) -> Records {
        Records::new(Arc::clone(&self.serving.pin().authority), self.probes.table.clone())
    }

    fn explainer(&self) -> Explainer {
        let serving = self.serving.now();
        let explainer = Explainer::new(Arc::clone(&serving.authority), self.probes.table.clone(), self.index.clone());
        match &serving.resolver {
            Some(resolver) => explainer.forwarding(resolver.clone()),
            None => explainer,
        }
    }
}

/// What the handlers share.
struct Pages {
    sources: Sources,
    /// The clients that read records, whose pages grow with the cluster.
    readers: Readers,
    /// The clients that read an explanation, which has every endpoint of a Service.
    explained: Readers,
}

type Shared = State<Arc<Pages>>;

/// The media type of zone files, RFC 4027.
const ZONE_FILE: &str = "text/dns; charset=utf-8";
const JSON: &str = "application/json";

/// All pages.
pub(super) fn router(sources: Sources) -> Router {
    let probes = probes::routes(Arc::clone(&sources.probes));
    let pages = Router::new()
        .route("/records", get(show_records))
        .route("/zone", get(zone))
        .route("/explain", get(explain))
        .route("/transfers", get(transfers))
        .route("/reload", post(reload))
        .with_state(Arc::new(Pages { sources, readers: Readers::new(), explained: Readers::new() }));
    with_index(probes.merge(pages), [probes::INDEX, INDEX].concat())
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
    State(pages): Shared,
    parameters: Result<Query<RecordsParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
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
    let place = pages.readers.take().ok_or(Refusal::Busy)?;
    let page = RecordsPage::new(pages.sources.records(), query, limit);
    Ok(([(header::CONTENT_TYPE, JSON)], of_parts(page, place)).into_response())
}

/// The parameter of `/zone` and `/explain`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NameParameter {
    name: String,
}

async fn zone(
    State(pages): Shared,
    parameters: Result<Query<NameParameter>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(NameParameter { name }) = parameters.map_err(bad_parameters)?;
    let pending = pages.sources.probes.readiness.pending();
    if !pending.is_empty() {
        // An incomplete zone file would look like a complete one.
        let text = format!("not synchronised yet; pending: {}\n", pending.join(", "));
        return Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, text));
    }
    let records = pages.sources.records();
    let Some(parts) = Name::parse(&name).ok().and_then(|wanted| records.zone_parts(&wanted)) else {
        let zones: Vec<_> = records.zones().iter().map(ToString::to_string).collect();
        let zones = zones.iter().map(|zone| zone.trim_end_matches('.')).collect::<Vec<_>>().join(", ");
        let text = format!("name: found {name:?}, the served zones are {zones}\n");
        return Err(Refusal::Status(StatusCode::NOT_FOUND, text));
    };
    let place = pages.readers.take().ok_or(Refusal::Busy)?;
    Ok(([(header::CONTENT_TYPE, ZONE_FILE)], of_parts(parts, place)).into_response())
}

async fn explain(
    State(pages): Shared,
    parameters: Result<Query<NameParameter>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(NameParameter { name }) = parameters.map_err(bad_parameters)?;
    let place = pages.explained.take().ok_or(Refusal::Busy)?;
    let Explanation { resolves, text } = pages.sources.explainer().explain(&name).await.map_err(bad_request)?;
    let status = if resolves { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let body = of_parts(std::iter::once(text), place);
    Ok((status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

async fn transfers(State(pages): Shared) -> Result<Response, Refusal> {
    let serving = pages.sources.serving.now();
    let (Some(primary), Some(status)) = (&serving.primary, &pages.sources.transfers) else {
        let text = "zones are not transferred: transfer_clients and public_clients are empty\n".to_owned();
        return Err(Refusal::Status(StatusCode::NOT_FOUND, text));
    };
    Ok(Json(TransfersPage::new(primary, status)).into_response())
}

/// Loads the configuration anew. The address is open to others where it is not on loopback, and a browser on this machine may be
/// sent here by any page.
async fn reload(
    State(pages): Shared,
    Extension(Client(client)): Extension<Client>,
    headers: HeaderMap,
) -> Result<String, Refusal> {
    let forbidden = |why: &str| Refusal::Status(StatusCode::FORBIDDEN, format!("not reloaded: {why}\n"));
    if !client.to_canonical().is_loopback() {
        return Err(forbidden("ask from the machine or the Pod of the server"));
    }
    if headers.contains_key(header::ORIGIN) {
        return Err(forbidden("a browser may not ask for it"));
    }
    let Some(handle) = &pages.sources.reload else { return Err(forbidden("this server cannot do that")) };
    match handle.ask().await {
        Ok(report) => Ok(report + "\n"),
        Err(report) => Err(Refusal::Status(StatusCode::UNPROCESSABLE_ENTITY, report + "\n")),
    }
}

fn bad_parameters(rejection: QueryRejection) -> Refusal {
    bad_request(rejection.body_text())
}
