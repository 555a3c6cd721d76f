//! Errors of the API: each is a `metav1.Status` with the reason, details and wording of a real API server.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::kind::Kind;

/// An error response. Boxed because it is large and rare.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
    retry_after: Option<u32>,
}

/// `retryAfterSeconds` of a timeout, as in the API server.
const TIMEOUT_RETRY_AFTER: u32 = 1;

impl ApiError {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>, details: Value) -> Self {
        Self(Box::new(Inner { code, reason, message: message.into(), details, retry_after: None }))
    }

    /// An error with this HTTP status, for injected faults.
    pub(crate) fn of_code(code: StatusCode, retry_after: Option<u32>) -> Self {
        let (reason, message) = match code {
            StatusCode::FORBIDDEN => ("Forbidden", "forbidden by an injected fault"),
            StatusCode::UNAUTHORIZED => ("Unauthorized", "Unauthorized"),
            StatusCode::GONE => return Self::expired("too old resource version (injected fault)"),
            StatusCode::TOO_MANY_REQUESTS => ("TooManyRequests", "Too many requests, please try again later."),
            StatusCode::SERVICE_UNAVAILABLE => {
                ("ServiceUnavailable", "the server is currently unable to handle the request")
            }
            _ => ("InternalError", "Internal error occurred: injected fault"),
        };
        let mut error = Self::new(code, reason, message, json!({}));
        error.0.retry_after = retry_after;
        if let Some(seconds) = retry_after {
            error.0.details = json!({ "retryAfterSeconds": seconds });
        }
        error
    }

    /// 404: there is no object with this name.
    pub(crate) fn not_found(kind: Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", resource(kind));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message, details(kind.plural(), kind, name))
    }

    /// 404: the path is not part of this API.
    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message, json!({}))
    }

    /// 409: there is already an object with this name.
    pub(crate) fn already_exists(kind: Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", resource(kind));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message, details(kind.plural(), kind, name))
    }

    /// 409: the object is not, or no longer, the one that the request refers to.
    pub(crate) fn conflict(kind: Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource(kind));
        Self::new(StatusCode::CONFLICT, "Conflict", message, details(kind.plural(), kind, name))
    }

    /// 422: the object is well formed but fails validation. `errors` is not empty.
    pub(crate) fn invalid(kind: Kind, name: &str, errors: &[FieldError]) -> Self {
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        let what = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let of =
            if kind.group().is_empty() { kind.name().to_owned() } else { format!("{}.{}", kind.name(), kind.group()) };
        let mut details = details(kind.name(), kind, name);
        details["causes"] = errors.iter().map(FieldError::cause).collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", format!("{of} {name:?} is invalid: {what}"), details)
    }

    /// 422: invalid request options.
    pub(crate) fn invalid_list_options(error: &FieldError) -> Self {
        let message = format!("ListOptions.meta.k8s.io \"\" is invalid: {error}");
        let details = json!({ "group": "meta.k8s.io", "kind": "ListOptions", "causes": [error.cause()] });
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message, details)
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message, json!({}))
    }

    /// 403: the operation is not allowed in the current state.
    pub(crate) fn forbidden(kind: Kind, name: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", resource(kind));
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message, details(kind.plural(), kind, name))
    }

    /// 410: the requested resourceVersion is compacted.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message, json!({}))
    }

    /// 504: the requested resourceVersion has not been reached yet.
    pub(crate) fn too_large_resource_version(wanted: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {wanted}, current: {current}");
        let cause = json!({ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" });
        let details = json!({ "causes": [cause], "retryAfterSeconds": TIMEOUT_RETRY_AFTER });
        let mut error = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message, details);
        error.0.retry_after = Some(TIMEOUT_RETRY_AFTER);
        error
    }

    /// 400: what is asked for needs containers.
    pub(crate) fn no_containers(wish: &str) -> Self {
        Self::bad_request(format!("the sandbox runs no containers, so there is none {wish}"))
    }

    /// 400: a token would be of no use.
    pub(crate) fn no_tokens() -> Self {
        Self::bad_request("the sandbox has no authentication, so it gives no tokens")
    }

    /// 503: there are no figures of containers.
    pub(crate) fn no_metrics() -> Self {
        let message = "the sandbox runs no containers, so there is none that takes CPU time or memory";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message, json!({}))
    }

    /// 405.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message, json!({}))
    }

    /// 406: no media type in `Accept` can be served.
    pub(crate) fn not_acceptable() -> Self {
        let message = "only the following media types are accepted: application/json";
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message, json!({}))
    }

    /// 415: the media type of the body is not supported.
    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {}",
            accepted.join(", ")
        );
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message, json!({}))
    }

    /// 413.
    pub(crate) fn too_large_body(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message, json!({}))
    }

    /// The HTTP status.
    pub fn code(&self) -> StatusCode {
        self.0.code
    }

    /// The message of the Status.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The `metav1.Status`, as a body or inside a watch's `ERROR` event.
    pub(crate) fn to_status(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.0.message,
            "reason": self.0.reason,
            "details": self.0.details,
            "code": self.0.code.as_u16(),
        })
    }
}

impl ApiError {
    /// The error, with the body of this response.
    pub(crate) fn response_with(&self, mut response: Response) -> Response {
        *response.status_mut() = self.0.code;
        if let Some(seconds) = self.0.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.response_with(Json(self.to_status()).into_response())
    }
}

/// The response to a completed deletion.
pub fn deleted(kind: Kind, object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut details = details(kind.plural(), kind, metadata["name"].as_str().unwrap_or_default());
    details["uid"] = metadata["uid"].clone();
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

/// The resource as error messages name it: `pods`, `statefulsets.apps`.
fn resource(kind: Kind) -> String {
    if kind.group().is_empty() { kind.plural().to_owned() } else { format!("{}.{}", kind.plural(), kind.group()) }
}

/// `details` of a Status. Its `kind` holds the resource, except in `Invalid` errors, where it holds the kind.
fn details(called: &str, kind: Kind, name: &str) -> Value {
    let mut details = json!({ "name": name, "kind": called });
    if !kind.group().is_empty() {
        details["group"] = json!(kind.group());
    }
    details
}

/// A validation error of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// `spec.ports[0].port`.
    path: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq)]
enum Problem {
    Required(&'static str),
    Invalid { value: Value, detail: String },
    NotSupported { value: Value, supported: &'static [&'static str] },
    Duplicate(Value),
    Forbidden(String),
}

impl FieldError {
    /// A required field is missing.
    pub fn required(path: impl Into<String>, detail: &'static str) -> Self {
        Self { path: path.into(), problem: Problem::Required(detail) }
    }

    /// A field has an invalid value.
    pub fn invalid(path: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), problem: Problem::Invalid { value: value.into(), detail: detail.into() } }
    }

    /// A field must not be set or changed.
    pub fn forbidden(path: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { path: path.into(), problem: Problem::Forbidden(detail.into()) }
    }

    /// A value is not one of an enumeration.
    pub fn not_supported(path: impl Into<String>, value: &Value, supported: &'static [&'static str]) -> Self {
        Self { path: path.into(), problem: Problem::NotSupported { value: value.clone(), supported } }
    }

    /// A value must be unique but is repeated.
    pub fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { path: path.into(), problem: Problem::Duplicate(value.into()) }
    }

    /// The error as an entry of `details.causes`.
    fn cause(&self) -> Value {
        let reason = match self.problem {
            Problem::Required(_) => "FieldValueRequired",
            Problem::Invalid { .. } => "FieldValueInvalid",
            Problem::NotSupported { .. } => "FieldValueNotSupported",
            Problem::Duplicate(_) => "FieldValueDuplicate",
            Problem::Forbidden(_) => "FieldValueForbidden",
        };
        json!({ "reason": reason, "message": self.problem.to_string(), "field": self.path })
    }
}

impl std::fmt::Display for FieldError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Required("") => f.write_str("Required value"),
            Self::Required(detail) => write!(f, "Required value: {detail}"),
            Self::Invalid { value, detail } => write!(f, "Invalid value: {value}: {detail}"),
            Self::NotSupported { value, supported } => {
                let supported: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
                write!(f, "Unsupported value: {value}: supported values: {}", supported.join(", "))
            }
            Self::Duplicate(value) => write!(f, "Duplicate value: {value}"),
            Self::Forbidden(detail) => write!(f, "Forbidden: {detail}"),
        }
    }
}
