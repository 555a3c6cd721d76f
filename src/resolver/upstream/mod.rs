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
pub(super) use self::health::State;
use self::query::OutgoingQuery;
use self::stream::Connection;
use self::tls::TlsName;
use super::question::AskedElsewhere;
use crate::dns::wire::Response;
use crate::dns::wire::codes::TC;
use crate::telemetry::metrics::{FailureReason, UpstreamMetrics};

/// Octets of the label by which a probe is recognised: 64 random bits as text.
pub(super) const TOKEN: usize = 16;

/// An upstream in use.
pub(super) struct Upstream {
    pub address: UpstreamAddress,
    /// The address as text, for the log, the metrics and clients.
    pub label: Arc<str>,
    pub health: Health,
    /// The label that its probes have and nobody else knows.
    pub token: [u8; TOKEN],
    /// Whether it gives a question back in the letter case in which it was asked. A probe finds out.
    keeps_case: AtomicBool,
    connection: Connection,
    metrics: Arc<UpstreamMetrics>,
}

impl Upstream {
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(address: UpstreamAddress, metrics: Arc<UpstreamMetrics>) -> io::Result<Self> {
        let tls = match &address.protocol {
            Protocol::Tls(name) => Some(TlsName::new(name)?),
            Protocol::Udp | Protocol::Tcp => None,
        };
        let label: Arc<str> = address.to_string().into();
        let mut token = [0; TOKEN];
        let text = format!("{:0TOKEN$x}", rand::random::<u64>());
        token.copy_from_slice(text.as_bytes());
        Ok(Self {
            health: Health::new(Arc::clone(&label), Arc::clone(&metrics)),
            connection: Connection::new(address.socket, tls),
            address,
            label,
            token,
            keeps_case: AtomicBool::new(false),
            metrics,
        })
    }

    /// Asks, and waits for a response for `limit` at most.
    ///
    /// # Errors
    /// There was none, or one that cannot be read.
    pub async fn ask(&self, asked: &AskedElsewhere, limit: Duration) -> io::Result<Response> {
        self.ask_as(asked, limit, Purpose::Query).await
    }

    /// The same for a probe, from which is learnt how the upstream treats letter case.
    ///
    /// # Errors
    /// There was no response, or one that cannot be read.
    pub async fn probe(&self, asked: &AskedElsewhere, limit: Duration) -> io::Result<Response> {
        self.ask_as(asked, limit, Purpose::Probe).await
    }

    async fn ask_as(&self, asked: &AskedElsewhere, limit: Duration, purpose: Purpose) -> io::Result<Response> {
        let began = Instant::now();
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {limit:?}"));
        let octets = timeout(limit, self.exchange(asked, purpose)).await.map_err(late).flatten();
        let response = octets.and_then(|octets| {
            let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the answer is malformed");
            Response::read(&octets).ok_or_else(malformed)
        });
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

    async fn exchange(&self, asked: &AskedElsewhere, purpose: Purpose) -> io::Result<Vec<u8>> {
        if self.address.protocol == Protocol::Udp {
            let keeps_case = purpose == Purpose::Query && self.keeps_case.load(Ordering::Relaxed);
            let query = OutgoingQuery::new(asked);
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
        self.connection.exchange(asked).await
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
