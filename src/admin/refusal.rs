//! Responses other than the page.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Seconds after which a client may try again when the places of readers are taken.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a client does not get the page.
pub(super) enum Refusal {
    /// The status, and a text that says what to do.
    Status(StatusCode, String),
    /// Other clients are reading, as many as may.
    Busy,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Status(status, text) => (status, text).into_response(),
            Self::Busy => {
                let text = "busy: two other clients are reading such pages, try again when one has finished\n";
                (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER)], text).into_response()
            }
        }
    }
}

pub(super) fn bad_request(message: String) -> Refusal {
    Refusal::Status(StatusCode::BAD_REQUEST, message + "\n")
}

pub(super) fn internal(error: impl std::error::Error) -> Refusal {
    tracing::error!(%error, "an admin page failed");
    Refusal::Status(StatusCode::INTERNAL_SERVER_ERROR, "internal error; see the log\n".to_owned())
}
