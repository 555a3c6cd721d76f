//! A watch that the server has accepted.

use std::io;

use http_body_util::BodyExt;
use kube::client::Body;

use super::ApiError;
use super::frames::Frames;
use crate::cluster::decoding::{DecodeError, Encoding, Kind, Status, WireEvent};

/// The body of the response, read event by event.
pub(in crate::cluster) struct OpenWatch {
    encoding: Encoding,
    /// The response is the first over its connection.
    pub is_new_connection: bool,
    body: Body,
    frames: Frames,
}

impl OpenWatch {
    pub(super) fn new(encoding: Encoding, is_new_connection: bool, body: Body) -> Self {
        Self { encoding, is_new_connection, body, frames: Frames::new(encoding) }
    }

    /// The next event of what has arrived, if there is a whole one.
    ///
    /// # Errors
    /// What has arrived is no event.
    pub fn arrived<K: Kind>(&mut self) -> Result<Option<WireEvent<K>>, ApiError> {
        let Some(frame) = self.frames.next()? else { return Ok(None) };
        match WireEvent::decode(self.encoding, frame) {
            Ok(event) => Ok(Some(event)),
            // A server that cannot send an event may send the reason by itself.
            Err(error) => match Status::decode(self.encoding, frame) {
                Some(status) => Ok(Some(WireEvent::Error(status))),
                None => Err(DecodeError::into(error)),
            },
        }
    }

    /// Waits until more has arrived. Returns false if the body has ended, or the connection has been closed.
    ///
    /// # Errors
    /// The connection has failed otherwise.
    pub async fn wait(&mut self) -> Result<bool, ApiError> {
        match self.body.frame().await {
            None => Ok(false),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.frames.push(data);
                }
                Ok(true)
            }
            Some(Err(error)) if is_closed(&error) => Ok(false),
            Some(Err(error)) => Err(ApiError::Read(error)),
        }
    }
}

/// Whether the connection was closed in the middle of the body, which is how watches end when an API server or a load balancer is
/// restarted.
fn is_closed(error: &kube::Error) -> bool {
    let error: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message)
    })
}
