//! The pages, over plain HTTP: liveness, readiness and metrics on one listener, the records and why a name is answered as it is
//! on another.
//!
//! ```text
//! probes listener ─▶ probes.rs: Health, Readiness, Exporter             nothing that grows with the cluster
//! admin listener ──▶ pages.rs: Records, Explainer, and those of probes  made part by part (body.rs), two readers at a time
//!                  page.rs: the page for people, page/*, which asks the others; history.rs: the last ten minutes, for its charts
//!                  reload.rs: a request to load the configuration anew, from this machine alone
//!                  foreign.rs: refuses what a page elsewhere has had a browser send
//! client.rs: what `headless-dns export`, `explain` and `reload` ask here
//! ```
//!
//! A client occupies one connection (connection.rs) for `CONNECTION_LIFETIME` at most, and gives way to others before that if
//! there are too many (places.rs).

mod body;
mod client;
mod connection;
mod export;
mod foreign;
mod history;
mod page;
mod pages;
mod places;
mod probes;
mod records_page;
mod refusal;
mod reload;
mod services_page;
mod status_page;
mod transfers_page;
mod views;
mod walk;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use client::{ExplanationText, FetchError, fetch_explanation, fetch_zone, request_reload};
pub use export::Records;
use history::History;
pub use pages::Sources;
use places::{PlaceLimits, Places};
pub use probes::ProbeSources;
pub use reload::{ReloadHandle, ReloadOutcome, ReloadRequest, ReloadRequests, reload_requests};

/// Connections of a listener. Probes and scrapers need a handful, each with one client address.
const PLACES: PlaceLimits = PlaceLimits { all: 64, of_client: 16 };
/// Size of a connection's send and receive buffers in the kernel, in octets, which the kernel doubles.
const BUFFER: u32 = 32 * 1024;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// The most that a listener takes, in octets: on each connection a request's head and a part of a response, the metrics being the
/// largest that is not made in parts, and the kernel's buffers, which are double in both directions.
pub const LISTENER_MEMORY: usize = PLACES.all * (connection::MAX_HEAD + export::PART + 4 * BUFFER as usize);
/// What the long pages take that are made at a time, in octets: four that have the records of one name, some 600 octets for each
/// endpoint of a Service of 5,000, or as many endpoints as are listed; and two lists of Services, some 600 octets for each.
pub const LONG_PAGES_MEMORY: usize = (4 * 6 + 2) * 512 * 1024;
/// How long to wait after a failed accept, for example when the process is out of file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A set of pages, bound to an address but not serving yet.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    router: axum::Router,
    /// Kept while the listener serves, where there is a page that shows it.
    history: Option<Arc<History>>,
}

impl Listener {
    /// Binds an address for liveness, readiness and metrics. Port 0 is any free port; [`Listener::address`] returns it.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn probes(address: SocketAddr, sources: Arc<ProbeSources>) -> io::Result<Self> {
        Self::bind(address, probes::router(sources), None)
    }

    /// The same for all pages.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn admin(address: SocketAddr, sources: Sources) -> io::Result<Self> {
        let history = Arc::new(History::new(Arc::clone(&sources.metrics), Arc::clone(&sources.probes)));
        Self::bind(address, pages::router(sources, Arc::clone(&history)), Some(history))
    }

    fn bind(address: SocketAddr, router: axum::Router, history: Option<Arc<History>>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A restart does not have to wait until the connections of the previous process have left TIME_WAIT.
        socket.set_reuseaddr(true)?;
        // Accepted connections inherit these.
        socket.set_send_buffer_size(BUFFER)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, router, history })
    }

    /// The bound address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`, then finishes the current responses within a few seconds.
    pub async fn run(self, shutdown: CancellationToken) {
        let places = Places::new(PLACES);
        let connections = TaskTracker::new();
        if let Some(history) = self.history {
            let stop = shutdown.clone();
            connections.spawn(async move { stop.run_until_cancelled(history.keep()).await });
        }
        while let Some(accepted) = shutdown.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, client)) => {
                    let place = places.take(client.ip());
                    let (router, shutdown) = (self.router.clone(), shutdown.clone());
                    connections.spawn(async move { connection::serve(stream, &place, router, shutdown).await });
                    // Its request may be there already: it is served before others can take its place.
                    yield_now().await;
                }
                Err(error) => {
                    tracing::debug!(%error, "an admin connection could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

#[cfg(test)]
mod tests;
