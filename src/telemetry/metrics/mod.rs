//! The metrics, for Prometheus.
//!
//! ```text
//! query and watch paths ──▶ Metrics: plain atomics in arrays, indexed by the label enums
//!                                │ read at scrape
//!                                ▼
//!                     collect.rs: names, help, labels ──▶ Exporter::encode ──▶ /metrics
//! ```
//!
//! Counting costs one relaxed add: no map, no lock, no allocation. Every label is an enum, but those of zones, upstreams and secondaries,
//! which are configured: the number of series cannot grow with the names in queries.

mod collect;
mod forwarding;
mod labels;
mod output;
mod process;
mod reading;
mod sizes;
mod tally;
mod taps;
mod transfers;
mod zones;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use prometheus_client::registry::Unit;

pub use collect::{Exporter, Format};
pub use forwarding::{CacheMetrics, CacheReading, Forwarding, UpstreamMetrics, UpstreamReading};
pub use labels::{
    CachedKind, DropReason, EndpointSource, FailureReason, Family, Label, NotifyOutcome, QueryType, RejectReason,
    Resource, TapDrop, TransferForm, TransferRejection, Transport, WatchErrorReason, WatchEvent,
};
pub use reading::{Happened, Reading, Spread};
pub use tally::Tally;
pub use taps::TapCounts;
pub use transfers::Transfers;

use crate::dns::wire::Rcode;
use output::Distribution;
use sizes::TransportSizes;
use zones::Responses;

/// All counters. One for the process, shared behind an [`Arc`].
#[derive(Debug)]
pub struct Metrics {
    requests: [[[AtomicU64; QueryType::COUNT]; Family::COUNT]; Transport::COUNT],
    responses: Responses,
    durations: [Histogram<MICROSECOND>; Transport::COUNT],
    sizes: [TransportSizes; Transport::COUNT],
    dropped: [AtomicU64; DropReason::COUNT],
    tcp_open: AtomicU64,
    tcp_limit: AtomicU64,
    tcp_rejected: [AtomicU64; RejectReason::COUNT],
    watch_events: [[AtomicU64; WatchEvent::COUNT]; Resource::COUNT],
    watch_errors: [[AtomicU64; WatchErrorReason::COUNT]; Resource::COUNT],
    /// When something last arrived on each watch of a resource, in nanoseconds since `started`. There is one watch per scope.
    watch_contacts: [Mutex<Vec<Arc<AtomicU64>>>; Resource::COUNT],
    malformed: [AtomicU64; Resource::COUNT],
    reconcile_repairs: [AtomicU64; Resource::COUNT],
    /// Since when answers are stale, in seconds since the Unix epoch; 0 while they are not.
    stale_since: AtomicI64,
    is_synchronised: AtomicBool,
    table: TableSize,
    programming: [Histogram<MILLISECOND>; EndpointSource::COUNT],
    publication: Histogram<MICROSECOND>,
    forwarding: Forwarding,
    transfers: Transfers,
    taps: TapCounts,
    started: Instant,
    start_time: Duration,
}

/// The size of the record table.
#[derive(Debug, Default)]
struct TableSize {
    services: AtomicU64,
    endpoints: AtomicU64,
    namespaces: AtomicU64,
}

impl Metrics {
    /// All zero. The process counts as started now.
    pub fn new() -> Self {
        Self {
            requests: Default::default(),
            responses: Responses::default(),
            durations: Default::default(),
            sizes: Default::default(),
            dropped: Default::default(),
            tcp_open: AtomicU64::default(),
            tcp_limit: AtomicU64::default(),
            tcp_rejected: Default::default(),
            watch_events: Default::default(),
            watch_errors: Default::default(),
            watch_contacts: Default::default(),
            malformed: Default::default(),
            reconcile_repairs: Default::default(),
            stale_since: AtomicI64::default(),
            is_synchronised: AtomicBool::default(),
            table: TableSize::default(),
            programming: Default::default(),
            publication: Histogram::default(),
            forwarding: Forwarding::default(),
            transfers: Transfers::default(),
            taps: TapCounts::default(),
            started: Instant::now(),
            start_time: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// Counts responses by these zones, in the order of their numbers, from now on. Only the first call has an effect.
    pub fn expect_zones(&self, apexes: impl IntoIterator<Item = String>) {
        self.responses.expect_zones(apexes);
    }

    /// Counts a packet without a response.
    pub fn dropped(&self, reason: DropReason) {
        increment(&self.dropped[reason.index()]);
    }

    /// Counts an accepted TCP connection, as open until the returned guard is dropped.
    pub fn tcp_opened(self: &Arc<Self>) -> OpenConnection {
        increment(&self.tcp_open);
        OpenConnection(self.clone())
    }

    /// Sets how many TCP connections may be open.
    pub fn tcp_limit(&self, connections: usize) {
        self.tcp_limit.store(connections as u64, Relaxed);
    }

    /// Counts a TCP connection that was closed because of a limit.
    pub fn tcp_rejected(&self, reason: RejectReason) {
        increment(&self.tcp_rejected[reason.index()]);
    }

    /// Counts an event of a watch of `resource`.
    pub fn watch_event(&self, resource: Resource, event: WatchEvent) {
        increment(&self.watch_events[resource.index()][event.index()]);
    }

    /// Counts a failure of a watch of `resource`.
    pub fn watch_error(&self, resource: Resource, reason: WatchErrorReason) {
        increment(&self.watch_errors[resource.index()][reason.index()]);
    }

    /// Registers another watch of `resource`, in another scope.
    pub fn register_watch(self: &Arc<Self>, resource: Resource) -> WatchAge {
        let last_contact = Arc::new(AtomicU64::default());
        self.watch_contacts(resource).push(Arc::clone(&last_contact));
        WatchAge { metrics: Arc::clone(self), last_contact }
    }

    /// Counts an object of `resource` that was ignored because it could not be used.
    pub fn malformed(&self, resource: Resource) {
        increment(&self.malformed[resource.index()]);
    }

    /// A reconcile repaired `count` objects of `resource` that the watch had missed.
    pub fn reconcile_repairs(&self, resource: Resource, count: usize) {
        self.reconcile_repairs[resource.index()].fetch_add(count as u64, Relaxed);
    }

    /// What was listed first is published.
    pub fn synchronised(&self) {
        self.is_synchronised.store(true, Relaxed);
    }

    /// Sets since when answers are stale; None if they are fresh.
    pub fn stale(&self, since: Option<Timestamp>) {
        self.stale_since.store(since.map_or(0, Timestamp::as_second), Relaxed);
    }

    /// How long answers have been stale.
    fn stale_age(&self) -> Duration {
        match self.stale_since.load(Relaxed) {
            0 => Duration::ZERO,
            since => {
                Duration::from_secs(Timestamp::now().as_second().saturating_sub(since).try_into().unwrap_or_default())
            }
        }
    }

    /// Sets the size of the table: Services, ready endpoints, and namespaces with at least one Service.
    pub fn table(&self, services: usize, endpoints: usize, namespaces: usize) {
        self.table.services.store(services as u64, Relaxed);
        self.table.endpoints.store(endpoints as u64, Relaxed);
        self.table.namespaces.store(namespaces as u64, Relaxed);
    }

    /// A change of a Service's records has been published: its event came off the wire at `received_at`, and the objects say
    /// that they changed at `changed_at`.
    pub fn published(&self, kind: Option<EndpointSource>, received_at: Instant, changed_at: Option<SystemTime>) {
        self.publication.observe(received_at.elapsed(), 1);
        if let (Some(kind), Some(changed_at)) = (kind, changed_at) {
            // Clocks differ: a change in the future counts as one that was made now.
            self.programming[kind.index()].observe(changed_at.elapsed().unwrap_or_default(), 1);
        }
    }

    /// The time since the last word from the API server on the watch of `resource` for which it is longest ago; since the
    /// start of the process if there was none.
    pub fn watch_age(&self, resource: Resource) -> Duration {
        let oldest = self.watch_contacts(resource).iter().map(|contact| contact.load(Relaxed)).min();
        self.started.elapsed().saturating_sub(Duration::from_nanos(oldest.unwrap_or_default()))
    }

    /// [`Metrics::watch_age`] of each resource that is watched.
    pub fn watch_ages(&self) -> Vec<(Resource, Duration)> {
        let watched = Resource::ALL.iter().filter(|resource| self.is_watched(**resource));
        watched.map(|resource| (*resource, self.watch_age(*resource))).collect()
    }

    /// When the process started.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.saturating_add(self.start_time).unwrap_or_default()
    }

    /// Whether there is a watch of `resource`.
    fn is_watched(&self, resource: Resource) -> bool {
        !self.watch_contacts(resource).is_empty()
    }

    fn watch_contacts(&self, resource: Resource) -> MutexGuard<'_, Vec<Arc<AtomicU64>>> {
        self.watch_contacts[resource.index()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The time since the last word from the API server on one watch.
#[derive(Clone, Debug)]
pub struct WatchAge {
    metrics: Arc<Metrics>,
    last_contact: Arc<AtomicU64>,
}

impl WatchAge {
    /// Something arrived from the API server on this watch, if only a bookmark.
    pub fn reset(&self) {
        self.last_contact.store(nanoseconds(self.metrics.started.elapsed()), Relaxed);
    }
}

/// A TCP connection counts as open for as long as this lives.
#[derive(Debug)]
pub struct OpenConnection(Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.tcp_open.fetch_sub(1, Relaxed);
    }
}

/// The upper bounds of the buckets are powers of two of a unit: 1 µs, 2 µs, 4 µs … 1.05 s, and infinity. Finding the bucket
/// takes one count of trailing zeros.
const BOUNDED_BUCKETS: usize = 21;
/// The unit for durations of this program alone, in nanoseconds.
const MICROSECOND: u64 = 1_000;
/// The unit for durations that depend on others, in nanoseconds: up to 17 minutes.
const MILLISECOND: u64 = 1_000_000;

/// The number of observations per bucket, and their sum.
#[derive(Debug, Default)]
struct Histogram<const UNIT: u64> {
    buckets: [AtomicU64; BOUNDED_BUCKETS + 1],
    sum_nanoseconds: AtomicU64,
}

impl<const UNIT: u64> Histogram<UNIT> {
    /// Counts `times` observations of the same duration.
    fn observe(&self, elapsed: Duration, times: u64) {
        if times == 0 {
            return;
        }
        let nanoseconds = nanoseconds(elapsed);
        let units_begun = nanoseconds.div_ceil(UNIT).max(1);
        let bucket = units_begun.next_power_of_two().trailing_zeros() as usize;
        self.buckets[bucket.min(BOUNDED_BUCKETS)].fetch_add(times, Relaxed);
        self.sum_nanoseconds.fetch_add(nanoseconds.saturating_mul(times), Relaxed);
    }
}

impl<const UNIT: u64> Distribution for Histogram<UNIT> {
    fn unit() -> Unit {
        Unit::Seconds
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = (0..BOUNDED_BUCKETS).map(|bucket| (UNIT << bucket) as f64 / 1e9).chain([f64::INFINITY]);
        bounds.zip(&self.buckets).map(|(bound, count)| (bound, count.load(Relaxed))).collect()
    }

    fn sum(&self) -> f64 {
        self.sum_nanoseconds.load(Relaxed) as f64 / 1e9
    }
}

/// Adds `count` to a counter and resets it.
fn take_in<N: Default + Into<u64>>(counter: &AtomicU64, count: &mut N) {
    let count = std::mem::take(count).into();
    if count > 0 {
        counter.fetch_add(count, Relaxed);
    }
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// `duration` in nanoseconds; 584 years at most.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
