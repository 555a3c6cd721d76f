//! One HTTP connection, which ends when its client is too slow, too quiet, or when another takes its place.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::places::Place;
use crate::server;

/// How long a client may take to send a request's head, and how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take none of the octets that are sent to it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection takes no further requests after this, so that no client can hold its place for ever.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);
/// How long the current response may take when its connection is being closed.
const GRACE: Duration = Duration::from_secs(5);
/// Maximum size of a request's head in octets, and of the part of a response that waits to be written. hyper requires at least
/// 8 KiB.
pub(super) const MAX_HEAD: usize = 16 * 1024;
/// Maximum number of header fields of a request.
const MAX_HEADERS: usize = 64;

/// Who sent a request: an extension of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub address: IpAddr,
    /// To which of our addresses.
    pub server: IpAddr,
}

impl Client {
    /// Whether it runs on this machine, as far as addresses tell: whoever asks a machine for itself comes from the address that it asks.
    pub fn is_this_machine(&self) -> bool {
        self.address.to_canonical().is_loopback() || self.address == self.server
    }
}

/// Serves a connection until the client closes it, its lifetime is over, its place is taken, or `shutdown`.
pub(super) async fn serve(stream: TcpStream, place: &Place, router: axum::Router, shutdown: CancellationToken) {
    // A handle that is left when hyper has done with the stream.
    let Ok(socket) = SockRef::from(&stream).try_clone() else { return };
    let (Ok(client), Ok(server)) = (stream.peer_addr(), stream.local_addr()) else { return };
    let router = Extension(Client { address: client.ip(), server: server.ip() }).layer(router);
    let stream = Watched { stream, place, stalled: None };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        result = &mut connection => result,
        () = place.evicted() => return server::reset(&socket),
        () = shutdown.cancelled() => finish(connection).await,
        () = sleep(CONNECTION_LIFETIME) => finish(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
    tokio::select! {
        () = server::deliver(&socket, GRACE) => {}
        () = place.evicted() => server::reset(&socket),
    }
}

/// Lets a connection finish its current request.
async fn finish<S>(
    mut connection: Pin<&mut hyper::server::conn::http1::Connection<TokioIo<Watched<'_>>, S>>,
) -> hyper::Result<()>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = axum::body::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.unwrap_or(Ok(()))
}

/// A stream that tells its place of whatever comes and goes, and fails once its client has taken nothing for [`WRITE_TIMEOUT`].
struct Watched<'p> {
    stream: TcpStream,
    place: &'p Place,
    /// Runs while the client takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Watched<'_> {
    /// The outcome of a write, which is late if it has waited for too long.
    fn written<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            self.place.is_active();
            return outcome;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(WRITE_TIMEOUT)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if outcome.is_ready() {
            self.place.is_active();
        }
        outcome
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, octets);
        self.written(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, octets);
        self.written(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_from_loopback_or_from_the_address_that_it_asks_is_on_this_machine() {
        for (client, server, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.9", "127.0.0.1", true),
            ("::1", "::1", true),
            ("::ffff:127.0.0.1", "::ffff:127.0.0.1", true),
            ("192.0.2.2", "192.0.2.2", true),
            ("192.0.2.3", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::2", false),
        ] {
            let [address, server] = [client, server].map(|text| text.parse().expect("an address"));
            assert_eq!(Client { address, server }.is_this_machine(), expected, "{client} asks {server}");
        }
    }
}
