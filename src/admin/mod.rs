//! The admin pages, over plain HTTP: liveness, readiness, metrics, the records, and why a name is answered as it is.
//!
//! ```text
//! accept (at most MAX_CONNECTIONS) ──▶ hyper, with time-outs ──▶ pages.rs ──▶ Readiness, Exporter, Records, Explainer
//! client.rs: what `headless-dns export` and `explain` fetch from here
//! ```
//!
//! A slow or silent client occupies one connection, for `CONNECTION_LIFETIME` at most.

mod client;
mod export;
mod pages;
mod views;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client::{FetchError, fetch_explanation, fetch_zone};
pub use export::Records;
pub use pages::Sources;

pub use crate::diagnose::Explanation;

/// Connections served at once; more wait in the kernel's queue. Probes and scrapers need a handful.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send a request's head, and how long a connection may be idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection takes no further requests after this, so that no client can hold its place for ever.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);
/// How long the current response may take when its connection is being closed.
const GRACE: Duration = Duration::from_secs(5);
/// Maximum size of a request's head in bytes. hyper requires at least 8 KiB.
const MAX_HEAD: usize = 16 * 1024;
/// Maximum number of header fields of a request.
const MAX_HEADERS: usize = 64;
/// How long to wait after a failed accept, for example when the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The admin pages, bound to their address but not serving yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    router: axum::Router,
}

impl Admin {
    /// Binds `address`. Port 0 is any free port; [`Admin::address`] returns it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind(address: SocketAddr, sources: Sources) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, router: pages::router(sources) })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then finishes the current responses within `GRACE`.
    pub async fn run(self, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let connections = TaskTracker::new();
        while let Some((place, stream)) = shutdown.run_until_cancelled(self.accept(&places)).await {
            let (router, shutdown) = (self.router.clone(), shutdown.clone());
            connections.spawn(async move {
                serve(stream, router, shutdown).await;
                drop(place);
            });
        }
        connections.close();
        connections.wait().await;
    }

    async fn accept(&self, places: &Arc<Semaphore>) -> (Option<OwnedSemaphorePermit>, TcpStream) {
        // The semaphore is never closed, so this is never None.
        let place = places.clone().acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return (place, stream),
                Err(error) => {
                    tracing::debug!(%error, "an admin connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }
}

/// Serves one connection until the client closes it, its lifetime is over, or `shutdown`.
async fn serve(stream: TcpStream, router: axum::Router, shutdown: CancellationToken) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        result = &mut connection => result,
        () = shutdown.cancelled() => finish(connection).await,
        () = sleep(CONNECTION_LIFETIME) => finish(connection).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

/// Lets a connection finish its current request.
async fn finish<S>(
    mut connection: std::pin::Pin<&mut hyper::server::conn::http1::Connection<TokioIo<TcpStream>, S>>,
) -> hyper::Result<()>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = axum::body::Body>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    connection.as_mut().graceful_shutdown();
    timeout(GRACE, connection).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
