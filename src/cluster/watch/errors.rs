//! What an error of a watch means.

use kube::core::Status;
use kube::runtime::watcher::{Config, Error, InitialListStrategy};

use super::intercept::EndedAtOnce;
use crate::telemetry::metrics::WatchErrorReason;

/// The class of an error, for metrics and for people.
pub(super) fn reason(error: &Error) -> WatchErrorReason {
    match error {
        _ if causes(error).any(<dyn std::error::Error>::is::<EndedAtOnce>) => WatchErrorReason::Other,
        Error::WatchError(status) => status_reason(status),
        Error::NoResourceVersion => WatchErrorReason::Malformed,
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => status_reason(status),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => WatchErrorReason::Malformed,
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                WatchErrorReason::Unreachable
            }
            _ => WatchErrorReason::Other,
        },
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

/// The status that the API server sent, if the error is one.
pub(super) fn status_of(error: &Error) -> Option<&Status> {
    match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status),
        _ => None,
    }
}

/// Whether the problem is the server's, so that every watch has it.
pub(super) fn is_outage(reason: WatchErrorReason) -> bool {
    matches!(reason, WatchErrorReason::Unreachable | WatchErrorReason::Unauthorized)
}

/// Whether the server may have refused a list for its field selector: before Kubernetes 1.31, Services cannot be selected by
/// `spec.clusterIP`.
pub(super) fn is_field_selector_refused(config: &Config, error: &Error) -> bool {
    config.field_selector.is_some()
        && !matches!(error, Error::WatchError(_))
        && status_of(error).is_some_and(|status| status.code == 400)
}

/// Whether the server refused the streaming list that `config` requests, if `error` precedes the list: before Kubernetes
/// 1.27, and later if the feature is disabled, the parameters of such a request are invalid.
pub(super) fn is_streaming_list_refused(config: &Config, error: &Error) -> bool {
    config.initial_list_strategy == InitialListStrategy::StreamingList
        && matches!(error, Error::WatchStartFailed(kube::Error::Api(status))
            if matches!(status.code, 400 | 404 | 405 | 406 | 415 | 422))
}

/// Whether the server cannot resume from the resourceVersion of the watch: it was compacted (410), or it is rejected in another
/// way (400, 422, 504, and 500 as an event). The watcher would request the same one for ever. A server that has not reached it,
/// after a restore from a backup, does not say so ([`super::doubt`]).
pub(super) fn is_position_lost(error: &Error) -> bool {
    match error {
        Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 400 | 410 | 422 | 504),
        Error::WatchError(status) => matches!(status.code, 410 | 500 | 504),
        Error::NoResourceVersion => true,
        _ => false,
    }
}

/// The root cause, which is the only informative part of the message: `Connection refused (os error 111)`.
pub(super) fn root_cause(error: &Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error, its cause, and so on.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let error: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(error), |error| error.source())
}
