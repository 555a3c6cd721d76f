//! What an error of a watch means.

use std::time::Duration;

use http::StatusCode;

use crate::cluster::api::ApiError;
use crate::cluster::decoding::Status;
use crate::records::Silence;
use crate::telemetry::metrics::WatchErrorReason;

/// A list or a watch has failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot list")]
    ListFailed(#[source] ApiError),
    /// Of a streaming list too, which is a watch.
    #[error("cannot watch")]
    StartFailed(#[source] ApiError),
    #[error("the watch has failed")]
    Failed(#[source] ApiError),
    /// Instead of an event.
    #[error("{0}")]
    Event(Status),
    #[error("the API server sends no resourceVersion")]
    NoResourceVersion,
    #[error("the list ended before it was complete")]
    ListEnded,
    /// It was accepted.
    #[error("the watch ended at once, without an event")]
    EndedAtOnce,
}

impl Error {
    /// The status that the API server sent, if the error is one.
    fn status(&self) -> Option<&Status> {
        match self {
            Self::ListFailed(error) | Self::StartFailed(error) | Self::Failed(error) => error.status(),
            Self::Event(status) => Some(status),
            Self::NoResourceVersion | Self::ListEnded | Self::EndedAtOnce => None,
        }
    }

    /// How long the server asks to wait before the next request. A status has that in its body, the response that it came in
    /// in a header too.
    pub fn retry_after(&self) -> Option<Duration> {
        let in_body = self.status().map(|status| Duration::from_secs(status.retry_after_seconds.into()));
        let in_header = match self {
            Self::ListFailed(ApiError::Refused { retry_after, .. })
            | Self::StartFailed(ApiError::Refused { retry_after, .. }) => *retry_after,
            _ => None,
        };
        in_body.max(in_header)
    }

    /// Its class, for metrics and for people.
    pub fn reason(&self) -> WatchErrorReason {
        match self {
            Self::ListFailed(error) | Self::StartFailed(error) | Self::Failed(error) => match error {
                ApiError::Send(kube::Error::HyperError(_) | kube::Error::Service(_)) | ApiError::Read(_) => {
                    WatchErrorReason::Unreachable
                }
                ApiError::Refused { status, .. } => status_reason(status),
                ApiError::MediaType(_) | ApiError::TooLong | ApiError::Decode(_) => WatchErrorReason::Malformed,
                ApiError::Send(_) => WatchErrorReason::Other,
            },
            Self::Event(status) => status_reason(status),
            Self::NoResourceVersion => WatchErrorReason::Malformed,
            Self::ListEnded | Self::EndedAtOnce => WatchErrorReason::Other,
        }
    }

    /// Why there is no word from the cluster while a watch has it.
    pub fn silence(&self) -> Silence {
        match self.status() {
            Some(status) => StatusCode::from_u16(status.code).map_or(Silence::Unexplained, Silence::Refused),
            None if self.reason() == WatchErrorReason::Unreachable => Silence::Unreachable,
            None => Silence::Unexplained,
        }
    }

    /// Whether the server may have refused a list for its field selector, if it has one: before Kubernetes 1.31, Services cannot be
    /// selected by `spec.clusterIP`.
    pub fn may_refuse_field_selector(&self) -> bool {
        !matches!(self, Self::Event(_)) && self.status().is_some_and(|status| status.code == 400)
    }

    /// Whether the server refused a streaming list, if that was requested and the error precedes it: before Kubernetes 1.27, and later
    /// if the feature is disabled, the parameters of such a request are invalid.
    pub fn may_refuse_streaming_list(&self) -> bool {
        matches!(self, Self::StartFailed(ApiError::Refused { status, .. })
            if matches!(status.code, 400 | 404 | 405 | 406 | 415 | 422))
    }

    /// Whether the server cannot resume from the resourceVersion of the watch: it was compacted (410), or it is rejected in another
    /// way (400, 422, 504, and 500 as an event). A server that has not reached it, after a restore from a backup, does not say so
    /// ([`super::doubt`]).
    pub fn is_position_lost(&self) -> bool {
        match self {
            Self::StartFailed(ApiError::Refused { status, .. }) => matches!(status.code, 400 | 410 | 422 | 504),
            Self::Event(status) => matches!(status.code, 410 | 500 | 504),
            Self::NoResourceVersion => true,
            _ => false,
        }
    }

    /// The root cause, which is the only informative part of the message: `Connection refused (os error 111)`.
    pub fn root_cause(&self) -> String {
        let error: &(dyn std::error::Error + 'static) = self;
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.last().map(ToString::to_string).unwrap_or_default()
    }
}

fn status_reason(status: &Status) -> WatchErrorReason {
    match status.code {
        401 => WatchErrorReason::Unauthorized,
        403 => WatchErrorReason::Forbidden,
        410 => WatchErrorReason::Gone,
        429 => WatchErrorReason::Throttled,
        // The response of Kubernetes to a resourceVersion that it has not reached.
        504 if status.message.contains("Too large resource version") => WatchErrorReason::Gone,
        500..=599 => WatchErrorReason::Server,
        _ => WatchErrorReason::Other,
    }
}

/// Whether the problem is the server's, so that every watch has it.
pub(super) fn is_outage(reason: WatchErrorReason) -> bool {
    matches!(reason, WatchErrorReason::Unreachable | WatchErrorReason::Unauthorized)
}
