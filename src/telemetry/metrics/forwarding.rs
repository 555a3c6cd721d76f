//! Counts of what is asked elsewhere, by the names that operators know from other resolvers: the cache, and each upstream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::labels::{CachedKind, FailureReason};
use super::{Histogram, MICROSECOND, Metrics, Rcode, increment};

/// Counts of the resolver.
#[derive(Debug, Default)]
pub struct Forwarding {
    pub(super) hits: [AtomicU64; CachedKind::COUNT],
    pub(super) misses: AtomicU64,
    pub(super) stale: AtomicU64,
    pub(super) prefetches: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) cache: Arc<CacheMetrics>,
    upstreams: Mutex<Vec<Arc<UpstreamMetrics>>>,
}

/// Counts of the cache itself.
#[derive(Debug, Default)]
pub struct CacheMetrics {
    pub(super) evictions: AtomicU64,
    pub(super) entries: AtomicU64,
    pub(super) octets: AtomicU64,
}

/// Counts of one upstream.
#[derive(Debug)]
pub struct UpstreamMetrics {
    pub(super) to: String,
    pub(super) responses: [AtomicU64; Rcode::COUNT],
    pub(super) failures: [AtomicU64; FailureReason::COUNT],
    pub(super) durations: Histogram<MICROSECOND>,
    /// Whether it is still one of the upstreams.
    pub(super) is_in_use: AtomicBool,
    pub(super) is_working: AtomicBool,
    /// Parts of the name space in which it sends queries back.
    pub(super) loops: AtomicU64,
}

/// An upstream as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamReading {
    /// Its address as it is configured.
    pub to: String,
    /// Whether it is asked first.
    pub is_working: bool,
    /// Parts of the name space in which it sends queries back.
    pub loops: u64,
    /// How many responses it gave, and how many queries it gave none to.
    pub responses: u64,
    pub failures: u64,
}

/// The cache as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheReading {
    /// Answers in it, and the memory that they take in octets.
    pub entries: u64,
    pub octets: u64,
    /// Answers that were given from it, those among them whose TTL was over, and questions whose answer was not there.
    pub hits: u64,
    pub stale: u64,
    pub misses: u64,
}

impl Forwarding {
    /// The upstreams that are in use.
    pub fn upstreams_now(&self) -> Vec<UpstreamReading> {
        let sum = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Relaxed)).sum();
        let upstreams = self.upstreams();
        let in_use = upstreams.iter().filter(|upstream| upstream.is_in_use.load(Relaxed));
        let reading = in_use.map(|upstream| UpstreamReading {
            to: upstream.to.clone(),
            is_working: upstream.is_working.load(Relaxed),
            loops: upstream.loops.load(Relaxed),
            responses: sum(&upstream.responses),
            failures: sum(&upstream.failures),
        });
        reading.collect()
    }

    pub fn cache_now(&self) -> CacheReading {
        CacheReading {
            entries: self.cache.entries.load(Relaxed),
            octets: self.cache.octets.load(Relaxed),
            hits: self.hits.iter().map(|count| count.load(Relaxed)).sum(),
            stale: self.stale.load(Relaxed),
            misses: self.misses.load(Relaxed),
        }
    }

    /// Counts an answer from the cache.
    pub fn cache_hit(&self, rcode: Rcode) {
        let kind = if rcode == Rcode::NoError { CachedKind::Success } else { CachedKind::Denial };
        increment(&self.hits[kind.index()]);
    }

    /// Counts a question whose answer was not there.
    pub fn cache_missed(&self) {
        increment(&self.misses);
    }

    /// Counts an answer whose time was over.
    pub fn served_stale(&self) {
        increment(&self.stale);
    }

    /// Counts an answer that was asked for anew before its time was over.
    pub fn prefetched(&self) {
        increment(&self.prefetches);
    }

    /// Counts a question that was not asked, because too many were in flight.
    pub fn rejected(&self) {
        increment(&self.rejected);
    }

    pub(super) fn upstreams(&self) -> MutexGuard<'_, Vec<Arc<UpstreamMetrics>>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheMetrics {
    /// Counts an answer that went because there was no room.
    pub fn evicted(&self) {
        increment(&self.evictions);
    }

    /// Sets the size of the cache.
    pub fn size(&self, entries: usize, octets: usize) {
        self.entries.store(entries as u64, Relaxed);
        self.octets.store(octets as u64, Relaxed);
    }
}

impl UpstreamMetrics {
    /// Counts a response, which came after this time.
    pub fn answered(&self, rcode: Rcode, elapsed: Duration) {
        increment(&self.responses[rcode.index()]);
        self.durations.observe(elapsed, 1);
    }

    /// Counts an attempt without a response.
    pub fn failed(&self, reason: FailureReason) {
        increment(&self.failures[reason.index()]);
    }

    /// Sets whether it is still one of the upstreams: one that is not is neither healthy nor ill.
    pub fn set_in_use(&self, is_in_use: bool) {
        self.is_in_use.store(is_in_use, Relaxed);
    }

    /// Sets whether the upstream is asked first.
    pub fn set_working(&self, is_working: bool) {
        self.is_working.store(is_working, Relaxed);
    }

    /// Sets in how many parts of the name space it sends queries back.
    pub fn set_loops(&self, loops: usize) {
        self.loops.store(loops as u64, Relaxed);
    }
}

impl Metrics {
    /// Counts of the resolver.
    pub fn forwarding(&self) -> &Forwarding {
        &self.forwarding
    }

    /// Counts of its cache.
    pub fn cache(&self) -> Arc<CacheMetrics> {
        Arc::clone(&self.forwarding.cache)
    }

    /// The counts of an upstream, by its address as it is configured. They go on where it was in use before.
    pub fn register_upstream(&self, to: &str) -> Arc<UpstreamMetrics> {
        let mut upstreams = self.forwarding.upstreams();
        if let Some(known) = upstreams.iter().find(|upstream| upstream.to == to) {
            return Arc::clone(known);
        }
        let new = Arc::new(UpstreamMetrics {
            to: to.to_owned(),
            responses: Default::default(),
            failures: Default::default(),
            durations: Histogram::default(),
            is_in_use: AtomicBool::new(true),
            is_working: AtomicBool::new(true),
            loops: AtomicU64::new(0),
        });
        upstreams.push(Arc::clone(&new));
        new
    }
}
