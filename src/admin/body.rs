//! Responses that are made part by part as their client takes them, and the places of the clients that read them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Clients that may read a long page at the same time. There are as many threads to make the pages.
const READERS: usize = 2;
/// How long a client may wait for its turn.
const TURN: Duration = Duration::from_secs(2);

/// The places of those who read long pages.
#[derive(Clone)]
pub(super) struct Readers(Arc<Semaphore>);

/// One of them, free again when this is dropped.
pub(super) struct ReaderPlace {
    _permit: OwnedSemaphorePermit,
}

impl Readers {
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(READERS)))
    }

    /// The next place that is free; none if that takes too long. For pages that are made at once, and taken at once by most.
    pub async fn turn(&self) -> Option<ReaderPlace> {
        let permit = timeout(TURN, Arc::clone(&self.0).acquire_owned()).await.ok()?.ok()?;
        Some(ReaderPlace { _permit: permit })
    }

    /// A place; none if all are taken.
    pub fn take(&self) -> Option<ReaderPlace> {
        Arc::clone(&self.0).try_acquire_owned().ok().map(|permit| ReaderPlace { _permit: permit })
    }
}

/// A body of these parts. hyper asks for the next one when the client has taken what came before. The place is free again when
/// all has been taken or the client has gone.
pub(super) fn of_parts(parts: impl Iterator<Item = String> + Send + Unpin + 'static, place: ReaderPlace) -> Body {
    Body::new(Parts { parts, _place: place })
}

struct Parts<I> {
    parts: I,
    _place: ReaderPlace,
}

impl<I: Iterator<Item = String> + Unpin> hyper::body::Body for Parts<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.parts.next().map(|part| Ok(Frame::data(part.into()))))
    }
}
