//! The pages `/status` and `/upstreams`: how the server is now, as data.

use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::history::{Health, History};
use super::probes::ProbeSources;
use crate::authority::Zone;
use crate::server::Serving;
use crate::table::TableSize;
use crate::telemetry::heartbeat::Stalled;
use crate::telemetry::metrics::{CacheReading, Label, Metrics, UpstreamReading};

/// The page `/status`. It does not grow with the cluster.
#[derive(Debug, Serialize)]
pub(super) struct StatusPage {
    version: &'static str,
    now: Timestamp,
    /// When the process started.
    started: Timestamp,
    health: Health,
    /// Since when it is so.
    since: Timestamp,
    /// What does not come round, for how many seconds.
    stalled: Vec<StalledLoop>,
    /// What readiness waits for.
    pending: Vec<String>,
    stale: Option<StaleAnswers>,
    /// Changes whenever a record does.
    serial: u32,
    services: usize,
    endpoints: usize,
    namespaces: usize,
    watches: Vec<Watch>,
    zones: Vec<String>,
    /// Whether there are the pages `/upstreams` and `/transfers`.
    forwards: bool,
    transfers: bool,
    /// The number of the next point of `/history`.
    history: u64,
}

#[derive(Debug, Serialize)]
struct StalledLoop {
    what: String,
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct StaleAnswers {
    since: Timestamp,
    /// A sentence with the cause and the time.
    why: String,
}

/// The watches of a resource.
#[derive(Debug, Serialize)]
struct Watch {
    resource: &'static str,
    /// Since the last word from the API server, on the one that has been quiet the longest.
    seconds: f64,
}

impl StatusPage {
    pub fn new(probes: &ProbeSources, metrics: &Metrics, history: &History, serving: &Serving) -> Self {
        let (health, since) = history.health_since();
        let table = probes.table.pin();
        let TableSize { services, endpoints, namespaces } = table.size();
        let stalled = probes.heartbeats.stalled(Instant::now()).into_iter();
        let watches = metrics.watch_ages().into_iter();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: Timestamp::now(),
            started: metrics.started_at(),
            health,
            since,
            stalled: stalled
                .map(|Stalled { what, silence }| StalledLoop { what, seconds: silence.as_secs() })
                .collect(),
            pending: probes.readiness.pending(),
            stale: table.stale().map(|stale| StaleAnswers { since: stale.since, why: stale.to_string() }),
            serial: table.serial(),
            services,
            endpoints,
            namespaces,
            watches: watches.map(|(of, age)| Watch { resource: of.as_str(), seconds: age.as_secs_f64() }).collect(),
            zones: serving.authority.all_zones().map(Zone::apex).map(ToString::to_string).collect(),
            forwards: serving.resolver.is_some(),
            transfers: serving.primary.is_some(),
            history: history.next(),
        }
    }
}

/// The page `/upstreams`. Counts are those since the start of the process.
#[derive(Debug, Serialize)]
pub(super) struct UpstreamsPage {
    upstreams: Vec<Upstream>,
    cache: Cache,
}

#[derive(Debug, Serialize)]
struct Upstream {
    to: String,
    /// Whether it is asked first; others only if no working one answers.
    working: bool,
    /// Parts of the name space in which it sends queries back.
    loops: u64,
    responses: u64,
    /// Queries without a response.
    failures: u64,
}

#[derive(Debug, Serialize)]
struct Cache {
    entries: u64,
    octets: u64,
    hits: u64,
    /// Hits whose TTL was over.
    stale: u64,
    misses: u64,
}

impl UpstreamsPage {
    pub fn new(metrics: &Metrics) -> Self {
        let forwarding = metrics.forwarding();
        let upstreams = forwarding.upstreams_now().into_iter();
        let upstreams = upstreams.map(|UpstreamReading { to, is_working: working, loops, responses, failures }| {
            Upstream { to, working, loops, responses, failures }
        });
        let CacheReading { entries, octets, hits, stale, misses } = forwarding.cache_now();
        Self { upstreams: upstreams.collect(), cache: Cache { entries, octets, hits, stale, misses } }
    }
}
