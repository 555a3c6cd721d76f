//! One upstream: how it is asked, and whether it answers.
//!
//! ```text
//! ask ─▶ datagram.rs: UDP, a socket for each attempt ─┐ cut (TC), or somebody guesses
//!     └▶ stream.rs: one TCP or TLS connection ◀───────┘
//! ```
//!
//! This is a small client of our own and not hickory-resolver: a forwarder passes messages on, with records that it does not
//! know and flags that it does not own, while a resolver library takes them apart into records and builds others; it has no
//! answers from a cache whose time is over (RFC 8767). Under load it lost no query, but what one costs grew from 25 µs with 32 in
//! flight to 76 µs with 2,000 and 97 µs with 4,000, where this client takes some 45 µs (`docs/performance.md`). What is needed
//! here is little: send, compare, wait.

mod address;
mod datagram;
mod health;
mod loops;
mod query;
mod stream;
mod tls;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

pub use self::address::{ForwardTo, Protocol, UpstreamAddress};
use self::datagram::Datagram;
use self::health::Health;
use self::loops::Loops;
pub use self::query::{OutgoingQuery, Verdict};
use self::stream::Connection;
use self::tls::TlsName;
use super::question::AskedElsewhere;
use crate::dns::name::Name;
use crate::dns::wire::Response;
use crate::dns::wire::codes::TC;
use crate::telemetry::metrics::{FailureReason, UpstreamMetrics};

/// An upstream in use.
pub(super) struct Upstream {
    pub address: UpstreamAddress,
    /// The address as text, for the log, the metrics and clients.
    pub label: Arc<str>,
    pub health: Health,
    pub loops: Loops,
    /// Whether it gives a question back in the letter case in which it was asked. A probe finds out.
    keeps_case: AtomicBool,
    /// Whether it is asked with EDNS first. A probe finds out whether it can read that.
    reads_edns: AtomicBool,
    connection: Connection,
    metrics: Arc<UpstreamMetrics>,
}

impl Upstream {
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(address: UpstreamAddress, trees: &[Name], metrics: Arc<UpstreamMetrics>) -> io::Result<Self> {
        let tls = match &address.protocol {
            Protocol::Tls(name) => Some(TlsName::new(name)?),
            Protocol::Udp | Protocol::Tcp => None,
        };
        let label: Arc<str> = address.to_string().into();
        metrics.set_in_use(true);
        Ok(Self {
            health: Health::new(Arc::clone(&label), Arc::clone(&metrics)),
            loops: Loops::new(Arc::clone(&label), trees, Arc::clone(&metrics)),
            connection: Connection::new(address.socket, tls),
            address,
            label,
            keeps_case: AtomicBool::new(false),
            reads_edns: AtomicBool::new(true),
            metrics,
        })
    }

    /// Whether the name of a query that arrived here is that of a probe of this upstream.
    pub fn is_probe(&self, name: &[u8]) -> bool {
        let was_looping = self.loops.any();
        let is_probe = self.loops.is_probe(name);
        if is_probe && !was_looping {
            self.health.notify();
        }
        is_probe
    }

    /// Asks, and waits for a response for `limit` at most.
    ///
    /// # Errors
    /// There was none, or one that cannot be read.
    pub async fn ask(&self, asked: &AskedElsewhere, limit: Duration) -> io::Result<Response> {
        self.ask_as(asked, limit, Purpose::Query).await
    }

    /// The same for a probe, from which is learnt how the upstream treats letter case and EDNS.
    ///
    /// # Errors
    /// There was no response, or one that cannot be read.
    pub async fn probe(&self, asked: &AskedElsewhere, limit: Duration) -> io::Result<Response> {
        self.ask_as(asked, limit, Purpose::Probe).await
    }

    async fn ask_as(&self, asked: &AskedElsewhere, limit: Duration, purpose: Purpose) -> io::Result<Response> {
        let began = Instant::now();
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", limit.as_millis()));
        let response = timeout(limit, self.ask_in_its_terms(asked, purpose)).await.map_err(late).flatten();
        match &response {
            Ok(response) => {
                self.metrics.answered(response.rcode(), began.elapsed());
                self.health.succeeded();
            }
            Err(error) => {
                self.metrics.failed(reason(error));
                self.health.failed(error);
            }
        }
        response
    }

    /// Asks with EDNS and, if that cannot be read, without (RFC 6891 section 6.2.2).
    async fn ask_in_its_terms(&self, asked: &AskedElsewhere, purpose: Purpose) -> io::Result<Response> {
        let is_probe = purpose == Purpose::Probe;
        if is_probe || self.reads_edns.load(Ordering::Relaxed) {
            let response = self.exchange(asked, purpose, true).await?;
            if !response.rejects_edns() {
                if is_probe {
                    self.reads_edns.store(true, Ordering::Relaxed);
                }
                return Ok(response);
            }
        }
        let response = self.exchange(asked, purpose, false).await?;
        if is_probe {
            self.reads_edns.store(response.rejects_edns(), Ordering::Relaxed);
        }
        Ok(response)
    }

    async fn exchange(&self, asked: &AskedElsewhere, purpose: Purpose, with_edns: bool) -> io::Result<Response> {
        let octets = self.exchange_octets(asked, purpose, with_edns).await?;
        Response::read(&octets).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is malformed"))
    }

    async fn exchange_octets(&self, asked: &AskedElsewhere, purpose: Purpose, with_edns: bool) -> io::Result<Vec<u8>> {
        let query = OutgoingQuery::new(asked, with_edns);
        if self.address.protocol == Protocol::Udp {
            let keeps_case = purpose == Purpose::Query && self.keeps_case.load(Ordering::Relaxed);
            match datagram::exchange(self.address.socket, &query, keeps_case).await? {
                Datagram::Response { octets, is_exact } => {
                    if purpose == Purpose::Probe {
                        self.keeps_case.store(is_exact, Ordering::Relaxed);
                    }
                    // RFC 2181 section 9: what is cut is not used, but asked for again over TCP.
                    if octets[2] & TC == 0 {
                        return Ok(octets);
                    }
                }
                Datagram::Unusable => {}
            }
        }
        self.connection.exchange(&query).await
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.metrics.set_in_use(false);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Query,
    Probe,
}

/// Why there was no response, for the metrics.
fn reason(error: &io::Error) -> FailureReason {
    match error.kind() {
        io::ErrorKind::TimedOut => FailureReason::Timeout,
        io::ErrorKind::InvalidData => FailureReason::Malformed,
        _ => FailureReason::Network,
    }
}
