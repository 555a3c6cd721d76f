//! The HTTP API: the part of the Kubernetes API that clients of Services, endpoints and workloads use.
//!
//! ```text
//! request ──▶ Target, Verb, Params ──▶ faults ──┬─▶ get, list ──▶ object, list or table
//!                                               ├─▶ watch ─────▶ events from the store's log
//!                                               └─▶ write, delete ──▶ admission ──▶ store
//! ```
//!
//! Every error is an [`ApiError`], a `metav1.Status` with the wording of a real API server.

mod apply;
mod bootstrap;
mod control;
mod delete;
mod discovery;
mod list;
mod lists;
mod metrics;
mod object_name;
mod openapi;
mod partial;
mod patch;
mod protobuf;
mod request;
mod reviews;
mod scale;
mod schema;
mod selector;
mod state;
mod strategic;
mod table;
mod watch;
mod write;

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::admit::FieldValidation;
use crate::faults::{RequestRecord, Site, Verdict};
use crate::kind::Kind;
use crate::status::{self, ApiError};
use crate::verb::Verb;

pub use bootstrap::create_initial_objects;
pub use object_name::ObjectName;
use patch::Patch;
use protobuf::Encoding;
pub use protobuf::encode_message;
use request::{Params, Shape, Subresource, Target};
pub use state::Api;
pub use write::Writer;
use write::Written;

/// The largest body of a request in bytes, as in the API server.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Body of kube-apiserver's `tooManyRequests` filter, as Go's `http.Error` writes it.
const TOO_MANY_REQUESTS: &str = "Too many requests, please try again later.\n";

/// What an API server of this version says of Endpoints.
const ENDPOINTS_DEPRECATED: &str = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";

/// What a proxy says in the place of the API server.
const PAGE: &str = "<html>\n<body>Please log in.</body>\n</html>\n";

/// A response extension that makes the server close the connection instead of responding.
#[derive(Clone, Copy, Debug)]
pub struct DropConnection;

/// The router with all paths of the API.
pub fn router(api: Arc<Api>) -> Router {
    let alive = get(async || "ok");
    Router::new()
        .route("/healthz", alive.clone())
        .route("/livez", alive.clone())
        .route("/readyz", alive)
        .merge(discovery::router())
        .merge(openapi::router())
        .merge(control::router())
        .merge(metrics::router())
        .merge(reviews::router())
        .route("/api/v1/{*path}", any(core_resource))
        .route("/apis/{group}/{version}/{*path}", any(group_resource))
        .fallback(async || ApiError::no_such_path())
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(api)
}

async fn core_resource(State(api): State<Arc<Api>>, Path(path): Path<String>, request: Request) -> Response {
    let target = Target::parse("", "v1", &path);
    resource(&api, target, request).await.unwrap_or_else(ApiError::into_response)
}

async fn group_resource(
    State(api): State<Arc<Api>>,
    Path((group, version, path)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let target = Target::parse(&group, &version, &path);
    resource(&api, target, request).await.unwrap_or_else(ApiError::into_response)
}

/// Resolves a request, applies the faults, and serves it.
async fn resource(api: &Arc<Api>, target: Result<Target, ApiError>, request: Request) -> Result<Response, ApiError> {
    let target = target?;
    let params = Params::parse(request.uri())?;
    let verb = target.verb(request.method(), &params)?;
    let site = Site { kind: target.kind, verb, namespace: target.namespace.as_deref() };
    api.faults.record(record_of(&target, verb));
    let delay = api.faults.delay(&site);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let closes_connection = api.faults.closes_connections(&site);
    let reads = matches!(verb, Verb::Get | Verb::List | Verb::Watch);
    let encoding = match Encoding::negotiate(request.headers(), target.kind) {
        encoding if reads && api.protobuf => encoding,
        _ => Encoding::Json,
    };
    let response = match api.faults.judge(&site) {
        Verdict::Serve => serve(api, &target, verb, &params, encoding, request).await,
        Verdict::Refuse { code, retry_after } => Err(ApiError::of_code(code, retry_after)),
        Verdict::TooManyRequests { retry_after } => Ok(too_many_requests(retry_after)),
        Verdict::Drop => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(DropConnection);
            Ok(response)
        }
        Verdict::Page => Ok(Html(PAGE).into_response()),
    };
    let mut response = response.unwrap_or_else(|error| match encoding {
        Encoding::Json => error.into_response(),
        Encoding::Protobuf => error.response_with(protobuf_body(target.kind, &error.to_status())),
    });
    if target.kind == Kind::Endpoints {
        warn(&mut response, ENDPOINTS_DEPRECATED);
    }
    if closes_connection {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A response with this object, list or status.
fn protobuf_body(kind: Kind, object: &Value) -> Response {
    ([(header::CONTENT_TYPE, Encoding::Protobuf.media_type())], protobuf::object(kind, object)).into_response()
}

fn too_many_requests(retry_after: u32) -> Response {
    let mut response = (StatusCode::TOO_MANY_REQUESTS, TOO_MANY_REQUESTS).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn record_of(target: &Target, verb: Verb) -> RequestRecord {
    RequestRecord {
        verb,
        group: target.kind.group().to_owned(),
        resource: target.kind.plural().to_owned(),
        subresource: target.subresource.map(Subresource::name).unwrap_or_default().to_owned(),
        namespace: target.namespace().to_owned(),
    }
}

async fn serve(
    api: &Arc<Api>,
    target: &Target,
    verb: Verb,
    params: &Params,
    encoding: Encoding,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let shape = match encoding {
        Encoding::Json => Shape::negotiate(&parts.headers)?,
        Encoding::Protobuf => Shape::Object,
    };
    let kind = target.kind;
    if let Some(wish) = target.subresource.and_then(Subresource::of_containers) {
        list::get(api, target, Shape::Object, params)?;
        return Err(ApiError::no_containers(wish));
    }
    if target.subresource == Some(Subresource::Token) {
        list::get(api, target, Shape::Object, params)?;
        return Err(ApiError::no_tokens());
    }
    let respond = |object: Value| match encoding {
        Encoding::Json => Json(object).into_response(),
        Encoding::Protobuf => protobuf_body(kind, &object),
    };
    match verb {
        Verb::Watch => return watch::watch(api, target, shape, encoding, params),
        Verb::List => return Ok(respond(list::list(api, target, shape, params)?)),
        Verb::Get if target.subresource == Some(Subresource::Scale) => {
            let object = list::get(api, target, Shape::Object, params)?;
            return Ok(Json(scale::of(&object)).into_response());
        }
        Verb::Get => return Ok(respond(list::get(api, target, shape, params)?)),
        _ => {}
    }
    let body = to_bytes(body, BODY_LIMIT).await.map_err(|_| ApiError::too_large_body(BODY_LIMIT))?;
    if matches!(verb, Verb::Delete | Verb::DeleteCollection) || target.subresource == Some(Subresource::Eviction) {
        return remove(api, target, verb, params, &parts.headers, &body);
    }
    let validation = FieldValidation::parse(&params.field_validation)?;
    let writer = Writer { store: &api.store, validation, dry_run: params.dry_run() };
    let (namespace, subresource) = (target.namespace(), target.subresource);
    let written = match verb {
        Verb::Create => writer.create(kind, namespace, parse_body(&parts.headers, &body)?)?,
        Verb::Patch => {
            let patch = Patch::parse(media_type(&parts.headers), &body, params)?;
            let changed = writer.change(target.object(), subresource, |object| patch.apply(kind, object));
            match (changed, patch.to_create(kind)) {
                (Err(error), Some(object)) if error.code() == StatusCode::NOT_FOUND && subresource.is_none() => {
                    writer.create(kind, namespace, object)?
                }
                (changed, _) => changed?,
            }
        }
        _ => {
            let object = parse_body(&parts.headers, &body)?;
            writer.change(target.object(), subresource, |_| Ok(object.clone()))?
        }
    };
    Ok(written_response(target, shape, params, &written))
}

fn written_response(target: &Target, shape: Shape, params: &Params, written: &Written) -> Response {
    let object = match target.subresource {
        Some(Subresource::Scale) => scale::of(&written.object),
        _ => list::shaped(target.kind, &written.object, shape, params),
    };
    let mut response = (written.code, Json(object)).into_response();
    written.warnings.iter().for_each(|warning| warn(&mut response, warning));
    response
}

/// Adds a warning that clients show to people.
fn warn(response: &mut Response, warning: &str) {
    // RFC 7234 section 5.5.7: 299 is a miscellaneous persistent warning.
    if let Ok(value) = HeaderValue::from_str(&format!("299 - {}", Value::from(warning))) {
        response.headers_mut().append(header::WARNING, value);
    }
}

/// Deletes one object or a collection. An eviction deletes its Pod.
fn remove(
    api: &Api,
    target: &Target,
    verb: Verb,
    params: &Params,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, ApiError> {
    let body = if body.is_empty() { None } else { Some(parse_body(headers, body)?) };
    let body = match target.subresource {
        Some(Subresource::Eviction) => body.and_then(|eviction| eviction.get("deleteOptions").cloned()),
        _ => body,
    };
    let options = delete::Options::parse(body, params)?;
    let kind = target.kind;
    if verb == Verb::DeleteCollection {
        let (revision, objects) = list::matching(api, &selector::Filter::new(target, params)?);
        delete::delete_all(&api.store, kind, &objects, &options)?;
        let metadata = json!({ "resourceVersion": revision.to_string() });
        return Ok(Json(list::envelope(kind, &metadata, &objects)).into_response());
    }
    let object = match delete::delete(&api.store, target.object(), &options)? {
        delete::Outcome::Deleted(object) => status::deleted(kind, &object),
        delete::Outcome::Marked(object) => Value::clone(&object),
    };
    Ok(Json(object).into_response())
}

/// Decodes a body of any supported media type.
fn parse_body(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| {
        ApiError::bad_request(format!("the body of the request cannot be decoded: {error}"))
    };
    match media_type(headers) {
        "" | "application/json" => serde_json::from_slice(body).map_err(|error| invalid(&error)),
        "application/yaml" => serde_yaml_ng::from_slice(body).map_err(|error| invalid(&error)),
        protobuf::MEDIA_TYPE => protobuf::parse(body).map_err(|error| invalid(&error)),
        _ => Err(ApiError::unsupported_media_type(&["application/json", "application/yaml", protobuf::MEDIA_TYPE])),
    }
}

/// `Content-Type` without its parameters.
fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}
