//! Shows queries and their answers to people, as lines of the log, and to collectors, as dnstap. Whoever answers is never held up.
//!
//! ```text
//! worker ──Seen──▶ filter.rs, rate.rs ──▶ lanes.rs ──▶ query_log.rs   lines of the log
//!              └─▶ message.rs: Protobuf ─▶ lanes.rs ──▶ dnstap.rs      frame_streams.rs: to a collector
//! ```
//!
//! Each worker puts what it shows into a lane of its own, which is bounded. What finds it full is counted and left out.

mod dnstap;
mod filter;
mod frame_streams;
mod lanes;
mod message;
mod query_log;
mod rate;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::dnstap::Collector;
use self::dnstap::Dnstap;
pub use self::filter::QueryFilter;
pub use self::lanes::LANE_MEMORY;
use self::query_log::QueryLog;
pub use self::query_log::QueryLogOptions;
use crate::dns::wire::Rcode;
use crate::telemetry::metrics::{Metrics, Transport};

/// How long what was seen may take to be shown at the end.
const END: Duration = Duration::from_secs(2);

/// A query and its answer.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'s> {
    pub transport: Transport,
    pub client: SocketAddr,
    /// As it was received.
    pub query: &'s [u8],
    /// As it is sent.
    pub response: &'s [u8],
    pub rcode: Rcode,
    /// From one to the other.
    pub took: Duration,
}

/// What is shown to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TapOptions {
    /// None if no query is logged.
    pub log: Option<QueryLogOptions>,
    /// None if there is no collector.
    pub collector: Option<Collector>,
    /// What this server calls itself.
    pub identity: String,
}

/// Shows queries until it is dropped.
#[derive(Debug)]
pub struct Taps {
    options: TapOptions,
    log: Option<QueryLog>,
    dnstap: Option<Dnstap>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Taps {
    /// Starts what shows, with so many lanes of each kind, on the threads of `runtime`.
    pub fn start(options: TapOptions, lanes: usize, runtime: &Handle, metrics: &Arc<Metrics>) -> Arc<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let log = options.log.clone().map(|options| {
            let (log, writer) = QueryLog::new(options, lanes, Arc::clone(metrics));
            tasks.spawn_on(writer.run(stop.clone()), runtime);
            log
        });
        let dnstap = options.collector.clone().map(|collector| {
            let (dnstap, sender) = Dnstap::new(collector, options.identity.clone(), lanes, Arc::clone(metrics));
            tasks.spawn_on(sender.run(stop.clone()), runtime);
            dnstap
        });
        tasks.close();
        Arc::new(Self { options, log, dnstap, stop, tasks })
    }

    pub fn options(&self) -> &TapOptions {
        &self.options
    }

    /// Shows a query. `lane` is a number of the worker's own.
    pub fn see(&self, lane: usize, seen: &Seen<'_>) {
        if let Some(log) = &self.log {
            log.see(lane, seen);
        }
        if let Some(dnstap) = &self.dnstap {
            dnstap.see(lane, seen);
        }
    }

    /// Shows what has been seen, and ends.
    pub async fn end(&self) {
        self.stop.cancel();
        // A collector that takes nothing is not waited for.
        let _ = timeout(END, self.tasks.wait()).await;
    }
}

/// After a reload that has put others in its place.
impl Drop for Taps {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Longer than it can take.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_collector_that_stalls_does_not_keep_the_task_that_a_reload_has_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let collector = Some(Collector::Tcp(listener.local_addr().expect("an address")));
        let options = TapOptions { collector, ..TapOptions::default() };
        let metrics = Arc::new(Metrics::new());
        let taps = Taps::start(options, 1, &Handle::current(), &metrics);
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut head = [0; 42];
        stream.read_exact(&mut head).await.expect("READY");
        head[11] = 1; // ACCEPT
        stream.write_all(&head).await.expect("taken");
        stream.read_exact(&mut head).await.expect("START");
        let (client, response) = ((Ipv4Addr::LOCALHOST, 1).into(), vec![0; 60_000]);
        let took = Duration::ZERO;
        let seen =
            Seen { transport: Transport::Udp, client, query: &[], response: &response, rcode: Rcode::NoError, took };
        // More than the connection and the lane hold together.
        for _ in 0..400 {
            taps.see(0, &seen);
            tokio::task::yield_now().await;
        }
        let tasks = taps.tasks.clone();
        drop(taps);
        timeout(PATIENCE, tasks.wait()).await.expect("the task ends");
    }
}
