//! Why a request failed.

use std::time::Duration;

use crate::cluster::decoding::{DecodeError, Status};

/// A list or a watch failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::cluster) enum ApiError {
    #[error("the request could not be sent, or was not answered")]
    Send(#[source] kube::Error),
    #[error("the response broke off")]
    Read(#[source] kube::Error),
    #[error("{status}")]
    Refused {
        status: Status,
        /// The header `Retry-After`.
        retry_after: Option<Duration>,
    },
    #[error("the response is of the media type {0:?}")]
    MediaType(String),
    #[error("the response is longer than any that was asked for")]
    TooLong,
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl ApiError {
    /// The status that the server sent, if it refused.
    pub fn status(&self) -> Option<&Status> {
        if let Self::Refused { status, .. } = self { Some(status) } else { None }
    }
}
