//! The pages about records. They may be long: each is made as its client takes it, and few clients read at a time.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::body::{ReaderPlace, Readers, of_parts};
use super::connection::Client;
use super::export::Records;
use super::foreign::refuse_foreign;
use super::history::History;
use super::page;
use super::probes::{self, ProbeSources, not_found};
use super::records_page::RecordsPage;
use super::refusal::{Refusal, bad_request, internal};
use super::reload::ReloadHandle;
use super::services_page::{self, ServicesPage, ServicesQuery};
use super::status_page::{StatusPage, UpstreamsPage};
use super::transfers_page::TransfersPage;
use super::views::{DEFAULT_PAGE, MAX_PAGE, RecordsQuery};
use crate::diagnose::{Explainer, Inspection, Wanted};
use crate::dns::name::{Label, Name};
use crate::records::ServiceKey;
use crate::server::SharedServing;
use crate::telemetry::metrics::Metrics;
use crate::transfer::NotifyStatus;

const INDEX: &str = "\
/          in a browser: all of this on one page
/records   the records as JSON; parameters: namespace=NAME service=NAME limit=NUMBER continue=TOKEN
/zone      a zone as a zone file; parameter: name=ZONE
/explain   why a name is answered as it is; parameter: name=NAME (or its beginning, or an address); 404 if it has no records;
           as JSON, always with 200, with 'Accept: application/json'
/services  which Services there are, as JSON; parameters: search=WORDS absent=true limit=NUMBER continue=TOKEN
/service   a Service and its endpoints, as JSON; parameters: namespace=NAME service=NAME search=TEXT limit=NUMBER
/status    how the server is, as JSON
/history   the last ten minutes second by second, as JSON; parameter: from=NUMBER
/upstreams who is asked for other names, as JSON; 404 if nobody is
/transfers versions of the zones, and the secondaries that follow them, as JSON; 404 if zones are not transferred
/reload    POST from this machine: load the configuration anew; says what has changed and what needs a restart
";

/// Where the pages get their content.
pub struct Sources {
    /// The pages of the probes are here too, so that one address is enough for whoever needs no other.
    pub probes: Arc<ProbeSources>,
    /// What is answered now.
    pub serving: SharedServing,
    pub metrics: Arc<Metrics>,
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
    history: Arc<History>,
    /// The clients that read records, whose pages grow with the cluster.
    readers: Readers,
    /// The clients that read an explanation, which has every endpoint of a Service.
    explained: Readers,
    /// Those of a name for which others are asked, which may take until they are given up.
    explained_elsewhere: Readers,
    /// The clients that look for Services, each with a pass over all of them.
    listed: Readers,
}

type Shared = State<Arc<Pages>>;

/// The media type of zone files, RFC 4027.
const ZONE_FILE: &str = "text/dns; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// Endpoints of each source on a page of `/service` by default, and the most.
const DEFAULT_ENDPOINTS: usize = 100;
const MOST_ENDPOINTS: usize = 500;

/// All pages. Somebody has to keep the history.
pub(super) fn router(sources: Sources, history: Arc<History>) -> Router {
    let list = [probes::INDEX, INDEX].concat();
    let probes = probes::routes(Arc::clone(&sources.probes));
    let pages = Router::new()
        .route("/records", get(show_records))
        .route("/zone", get(zone))
        .route("/explain", get(explain))
        .route("/services", get(services))
        .route("/service", get(service))
        .route("/status", get(status))
        .route("/history", get(show_history))
        .route("/upstreams", get(upstreams))
        .route("/transfers", get(transfers))
        .route("/reload", post(reload))
        .merge(page::files())
        .with_state(Arc::new(Pages {
            sources,
            history,
            readers: Readers::new(),
            explained: Readers::new(),
            explained_elsewhere: Readers::new(),
            listed: Readers::new(),
        }));
    let missing = not_found(&list);
    let root = get(async move |headers: HeaderMap| page::document_or(list, &headers));
    let all = probes.merge(pages).route("/", root).fallback(missing);
    page::guarded(all.layer(from_fn(refuse_foreign)))
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
    let limit = limited(parameters.limit, DEFAULT_PAGE, MAX_PAGE)?;
    let after = parameters.r#continue.map(continued).transpose()?;
    let query = RecordsQuery { namespace: parameters.namespace, service: parameters.service, after };
    let place = pages.readers.take().ok_or(Refusal::Busy)?;
    let page = RecordsPage::new(pages.sources.records(), query, limit);
    Ok(([(header::CONTENT_TYPE, JSON)], of_parts(page, place)).into_response())
}

/// Namespace and name of the last Service on the page before.
fn continued(token: String) -> Result<(String, String), Refusal> {
    match token.split_once('/') {
        Some((namespace, service)) => Ok((namespace.to_owned(), service.to_owned())),
        None => Err(bad_request(format!(
            "continue: found {token:?}; expected the value of \"continue\" on the previous page"
        ))),
    }
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

/// The limit of a page.
fn limited(limit: Option<usize>, default: usize, most: usize) -> Result<usize, Refusal> {
    let limit = limit.unwrap_or(default);
    if (1..=most).contains(&limit) {
        return Ok(limit);
    }
    Err(bad_request(format!("limit: found {limit}; expected a whole number from 1 to {most}")))
}

async fn explain(
    State(pages): Shared,
    headers: HeaderMap,
    parameters: Result<Query<NameParameter>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(NameParameter { name }) = parameters.map_err(bad_parameters)?;
    let explainer = pages.sources.explainer();
    let readers = if explainer.asks_others(&name) { &pages.explained_elsewhere } else { &pages.explained };
    let place = readers.turn().await.ok_or(Refusal::Busy)?;
    let explanation = explainer.explain(&name).await.map_err(bad_request)?;
    let accepted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let is_json = accepted.split([',', ';']).any(|accepted| accepted.trim() == JSON);
    // The data says itself whether the name resolves.
    let (status, media_type, text) = match explanation.resolves {
        _ if is_json => (StatusCode::OK, JSON, serde_json::to_string(&explanation).map_err(internal)?),
        true => (StatusCode::OK, TEXT, explanation.to_string()),
        false => (StatusCode::NOT_FOUND, TEXT, explanation.to_string()),
    };
    let body = of_parts(std::iter::once(text), place);
    Ok((status, [(header::CONTENT_TYPE, media_type), (header::VARY, "accept")], body).into_response())
}

/// A page that keeps its place until its client has taken it.
fn held(page: &impl Serialize, place: ReaderPlace) -> Result<Response, Refusal> {
    let text = serde_json::to_string(page).map_err(internal)?;
    Ok(([(header::CONTENT_TYPE, JSON)], of_parts(std::iter::once(text), place)).into_response())
}

/// The parameters of `/services`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServicesParameters {
    #[serde(default)]
    search: String,
    #[serde(default)]
    absent: bool,
    limit: Option<usize>,
    r#continue: Option<String>,
}

async fn services(
    State(pages): Shared,
    parameters: Result<Query<ServicesParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(ServicesParameters { search, absent, limit, r#continue }) = parameters.map_err(bad_parameters)?;
    let limit = limited(limit, services_page::DEFAULT, services_page::MOST)?;
    let query = ServicesQuery { search, absent, after: r#continue.map(continued).transpose()?, limit };
    let place = pages.listed.turn().await.ok_or(Refusal::Busy)?;
    let sources = &pages.sources;
    let page = ServicesPage::new(&sources.probes.table.pin(), &sources.serving.pin().authority, &query);
    held(&page, place)
}

/// The parameters of `/service`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceParameters {
    namespace: String,
    service: String,
    #[serde(default)]
    search: String,
    limit: Option<usize>,
}

async fn service(
    State(pages): Shared,
    parameters: Result<Query<ServiceParameters>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(ServiceParameters { namespace, service, search, limit }) = parameters.map_err(bad_parameters)?;
    let label = |of: &str, text: &str| {
        Label::parse(text).map_err(|error| bad_request(format!("{of}: found {text:?}: {error}")))
    };
    let key = ServiceKey::new(&label("namespace", &namespace)?, &label("service", &service)?);
    let most = limited(limit, DEFAULT_ENDPOINTS, MOST_ENDPOINTS)?;
    let place = pages.explained.turn().await.ok_or(Refusal::Busy)?;
    let wanted = Wanted { host: None, containing: search.to_lowercase(), most };
    match pages.sources.explainer().service(key, wanted).await {
        Some(state) => held(&state, place),
        None => Err(Refusal::Status(StatusCode::SERVICE_UNAVAILABLE, "the cluster is not followed\n".to_owned())),
    }
}

async fn status(State(pages): Shared) -> Response {
    let Sources { probes, serving, metrics, .. } = &pages.sources;
    Json(StatusPage::new(probes, metrics, &pages.history, &serving.now())).into_response()
}

/// The parameter of `/history`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryParameter {
    /// The number of the first point.
    #[serde(default)]
    from: u64,
}

async fn show_history(
    State(pages): Shared,
    parameters: Result<Query<HistoryParameter>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(HistoryParameter { from }) = parameters.map_err(bad_parameters)?;
    Ok(Json(pages.history.columns(from)).into_response())
}

async fn upstreams(State(pages): Shared) -> Result<Response, Refusal> {
    if pages.sources.serving.now().resolver.is_none() {
        let text = "nothing is forwarded: forward is empty\n".to_owned();
        return Err(Refusal::Status(StatusCode::NOT_FOUND, text));
    }
    Ok(Json(UpstreamsPage::new(&pages.sources.metrics)).into_response())
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
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Result<String, Refusal> {
    let forbidden = |why: &str| Refusal::Status(StatusCode::FORBIDDEN, format!("not reloaded: {why}\n"));
    if !client.address.to_canonical().is_loopback() {
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
    bad_request(rejection.body_text().trim_start_matches("Failed to deserialize query string: ").to_owned())
}
