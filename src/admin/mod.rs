//! The admin pages, over plain HTTP: is it alive, is it ready, what does it count, what does it serve.
//!
//! ```text
//! accept (at most MAX_CONNECTIONS) ──▶ hyper, with time-outs ──▶ pages.rs ──▶ Readiness, Exporter, RecordsSource
//! ```
//!
//! The server's own parts are handed in: this module knows neither the record table nor the cluster, only what
//! [`RecordsSource`] shows of them. A client that is slow, silent or one of many costs one connection for
//! `CONNECTION_LIFETIME` at most.

mod client;
mod explain;
pub mod export;
mod pages;
mod records;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use client::{FetchError, fetch_explanation, fetch_zone};
pub use explain::{Explains, Explanation};
pub use records::{
    DEFAULT_PAGE, MAX_PAGE, NameView, NoRecords, RecordView, RecordsPage, RecordsQuery, RecordsSource, ServiceKind,
    ServiceView,
};

use crate::telemetry::metrics::Exporter;
use crate::telemetry::readiness::Readiness;

/// Connections served at once; further ones wait in the kernel's queue. Probes and scrapers need a handful.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take for a request's head, and how long it may keep a connection without a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After this a connection gets no further request, so that no client can keep its place for good.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(60);
/// How long an answer that is under way when its connection ends may take.
const GRACE: Duration = Duration::from_secs(5);
/// Bytes that a request's head may have. hyper wants 8 KiB or more.
const MAX_HEAD: usize = 16 * 1024;
/// Fields that a request's head may have.
const MAX_HEADERS: usize = 64;
/// How long to wait when a connection cannot be accepted, as when the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The admin pages, bound to their address but not serving yet.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    router: axum::Router,
}

impl Admin {
    /// Binds `address`. Port 0 is any free one; [`Admin::address`] tells which.
    pub async fn bind(
        address: SocketAddr,
        readiness: Readiness,
        exporter: Exporter,
        records: impl RecordsSource,
        explainer: impl Explains,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let router = pages::router(readiness, exporter, Arc::new(records), Arc::new(explainer));
        Ok(Self { listener, address, router })
    }

    /// The address that was bound.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, and then until answers under way are out or their grace is over.
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
        // The semaphore is never closed, so there always is a permit.
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

/// Serves one connection until the client leaves, its time is over, or `shutdown`.
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

/// Lets a connection finish the request that it is at.
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
