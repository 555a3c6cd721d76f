//! The cache: responses of upstreams, bounded in octets, shared by all workers.
//!
//! ```text
//! worker ──get──▶ map: no lock, no allocation ──▶ Arc<Entry>          mark: the entry was used
//! upstream ──insert──▶ lock ──▶ queue: what is over the limit goes, in SIEVE's order ──▶ map
//! ```
//!
//! Readers take no lock. Only who has a new response does, and there is one for each question that an upstream answered. Which
//! entry has to go is decided by SIEVE (Zhang et al., NSDI 2024): a queue in the order of arrival, and a hand that goes from
//! the oldest to the newest, passes by what was used since it was last there, and takes the first that was not.

mod queue;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use papaya::HashMap;

use self::queue::Queue;
use super::question::AskedElsewhere;
use crate::dns::wire::Response;
use crate::telemetry::metrics::CacheMetrics;

/// Octets that an entry takes besides its question and its response: its places in the map and the queue, which have room to grow, its
/// times, and what the allocator adds (`tests/cache.rs` counts).
const ENTRY_OVERHEAD: usize = 448;
/// A failure is kept for so long: RFC 9520 section 3.2 asks for a second at least, so that one that lasts costs no storm.
pub(super) const FAILURE_TTL: Duration = Duration::from_secs(1);
/// An entry is asked for anew in the last part of its time: a tenth.
const PREFETCH_PART: u32 = 10;
/// But only one that was used so often since it came: what nobody asks for need not be kept fresh.
const PREFETCH_USES: u32 = 2;

/// Responses by question.
pub(super) struct Cache {
    map: HashMap<Arc<[u8]>, Arc<Entry>, RandomState>,
    queue: Mutex<Queue>,
    limits: CacheLimits,
    metrics: Arc<CacheMetrics>,
}

/// What the cache may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Octets of memory; none keeps nothing.
    pub octets: usize,
    /// How long a response whose time is over is kept for when no upstream answers.
    pub stale: Duration,
}

/// A response that is kept.
#[derive(Debug)]
pub struct Entry {
    pub response: Response,
    /// Who gave it, and how long that took.
    pub source: Source,
    stored: Instant,
    lifetime: Duration,
    /// Where it is in the queue.
    place: u32,
    was_used: AtomicBool,
    uses: AtomicU32,
    is_refreshing: AtomicBool,
}

/// Where a response came from.
#[derive(Clone, Debug)]
pub struct Source {
    pub upstream: Arc<str>,
    pub took: Duration,
}

/// What the cache holds for a question.
pub(super) enum Found {
    Fresh(Arc<Entry>),
    /// To be used, and asked for anew: its time is nearly over, and it is in use.
    Expiring(Arc<Entry>),
    /// Its time is over: only where no upstream answers.
    Stale(Arc<Entry>),
    Nothing,
}

impl Cache {
    pub fn new(limits: CacheLimits, metrics: Arc<CacheMetrics>) -> Self {
        let map = HashMap::builder().hasher(RandomState::default()).build();
        Self { map, queue: Mutex::default(), limits, metrics }
    }

    /// What is there for a question. Takes no lock and allocates nothing.
    pub fn get(&self, question: &AskedElsewhere, now: Instant) -> Found {
        let map = self.map.pin();
        let Some(entry) = map.get(question.as_key()) else { return Found::Nothing };
        let age = now.saturating_duration_since(entry.stored);
        // A failure whose time is over is no answer that may go on.
        let stale = if entry.response.is_failure() { Duration::ZERO } else { self.limits.stale };
        if age >= entry.lifetime + stale {
            return Found::Nothing;
        }
        // Read before it is written: what is used all the time stays in every core's cache.
        if !entry.was_used.load(Ordering::Relaxed) {
            entry.was_used.store(true, Ordering::Relaxed);
        }
        if age >= entry.lifetime {
            return Found::Stale(Arc::clone(entry));
        }
        let uses = entry.uses.load(Ordering::Relaxed);
        if uses < PREFETCH_USES {
            entry.uses.store(uses + 1, Ordering::Relaxed);
        } else if entry.lifetime - age < entry.lifetime / PREFETCH_PART
            && entry.response.lifetime().is_some()
            && !entry.is_refreshing.swap(true, Ordering::Relaxed)
        {
            return Found::Expiring(Arc::clone(entry));
        }
        Found::Fresh(Arc::clone(entry))
    }

    /// Keeps a response, if it may be kept. A failure takes no answer's place.
    pub fn insert(&self, question: &AskedElsewhere, response: Response, source: Source, now: Instant) -> Arc<Entry> {
        let is_failure = response.is_failure();
        let lifetime = match response.lifetime() {
            Some(seconds) => Duration::from_secs(u64::from(seconds)),
            None if is_failure => FAILURE_TTL,
            None => Duration::ZERO,
        };
        let mut entry = Entry {
            response,
            source,
            stored: now,
            lifetime,
            place: 0,
            was_used: AtomicBool::new(false),
            uses: AtomicU32::new(0),
            is_refreshing: AtomicBool::new(false),
        };
        let size = ENTRY_OVERHEAD + question.as_key().len() + entry.response.size();
        let map = self.map.pin();
        let mut queue = self.lock();
        let old = map.get_key_value(question.as_key());
        let is_kept = is_failure && old.is_some_and(|(_, old)| !old.response.is_failure());
        if lifetime.is_zero() || size > self.limits.octets || is_kept {
            return Arc::new(entry);
        }
        let (key, entry) = if let Some((key, old)) = old {
            entry.place = old.place;
            // What replaces something that is used is used too.
            entry.was_used = AtomicBool::new(old.was_used.load(Ordering::Relaxed));
            let entry = Arc::new(entry);
            queue.replace(&entry, size);
            (Arc::clone(key), entry)
        } else {
            let key: Arc<[u8]> = question.as_key().into();
            let entry = queue.push(size, Arc::clone(&key), |place| Arc::new(Entry { place, ..entry }));
            (key, entry)
        };
        map.insert(key, Arc::clone(&entry));
        while queue.octets() > self.limits.octets {
            let Some(key) = queue.evict(&entry) else { break };
            map.remove(&*key);
            self.metrics.evicted();
        }
        self.metrics.size(queue.len(), queue.octets());
        entry
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// For how many seconds it has been kept.
    pub fn age(&self, now: Instant) -> u32 {
        let age = now.saturating_duration_since(self.stored).as_secs();
        u32::try_from(age).unwrap_or(u32::MAX)
    }

    /// For how many seconds it is fresh.
    pub fn lifetime(&self) -> u32 {
        u32::try_from(self.lifetime.as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests;
