//! The API without sockets, for tests on paused time: tokio moves a paused clock on while it waits for a socket.

use std::convert::Infallible;
use std::io;

use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use futures::StreamExt;
use futures::stream;
use http::{Request, Response};
use tokio::sync::watch::Receiver;
use tower::{BoxError, ServiceExt};

use crate::api::DropConnection;
use crate::faults::Faults;

/// A client's way to the API of a sandbox. Clones share nothing that can break.
#[derive(Clone)]
pub struct InProcess {
    pub(crate) router: Router,
    pub(crate) faults: Faults,
}

impl InProcess {
    /// Sends a request, and gives the response with a body that breaks when the API goes down.
    ///
    /// # Errors
    /// The API is down, or a fault closes the connection without a response.
    pub async fn send<B>(&self, request: Request<B>) -> io::Result<Response<Body>>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let changes = self.faults.subscribe();
        if self.faults.down().is_some() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let Ok(response) = self.router.clone().oneshot(request.map(Body::new)).await.map_err(|never: Infallible| never);
        if response.extensions().get::<DropConnection>().is_some() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let open = |body: Body| Open { body: body.into_data_stream(), faults: self.faults.clone(), changes };
        Ok(response.map(|body| Body::from_stream(stream::unfold(open(body), Open::next))))
    }
}

/// What a client makes of a chunked body whose connection breaks.
fn broken() -> BoxError {
    io::Error::from(io::ErrorKind::UnexpectedEof).into()
}

/// A body on its way to the client.
struct Open {
    body: BodyDataStream,
    faults: Faults,
    changes: Receiver<u64>,
}

impl Open {
    async fn next(mut self) -> Option<(Result<Bytes, BoxError>, Self)> {
        loop {
            if self.faults.down().is_some() {
                return Some((Err(broken()), self));
            }
            tokio::select! {
                biased;
                // An error is impossible: the sender belongs to `faults`.
                _ = self.changes.changed() => {}
                chunk = self.body.next() => return Some((chunk?.map_err(|_| broken()), self)),
            }
        }
    }
}
