//! The record table: one writer publishes Services, any number of readers look them up without a lock.
//!
//! The unit of publication is one Service. Its records are replaced as one immutable value, so a reader sees all of the
//! old or all of the new. What spans Services (which namespaces exist, which address leads back to which names) is
//! published in the same call, before a Service appears and after it is gone, so that no name is denied while another
//! answer still leads to it.
//!
//! The maps are `papaya` hash maps with one collector between them: a reader pins once for a batch of look-ups, which
//! costs one memory fence, and never waits for the writer, nor the writer for it. The candidates under a writer that
//! publishes without a pause, relative to this one (`cargo bench --bench table`, two cores shared with others):
//!
//! | map                | batch of look-ups, median | publications | what puts a reader to sleep               |
//! |--------------------|---------------------------|--------------|-------------------------------------------|
//! | `papaya`           | 1                         | 1            | the allocator, when it frees a map's node |
//! | `arc-swap`, shards | 1.4–1.5                   | 0.1          | the allocator, when it frees a shard      |
//! | `dashmap`          | 0.8–0.9                   | 9–11         | the writer, by a shard's lock             |
//!
//! `dashmap` is the fastest until its writer is taken off its core inside a lock: then every query for that shard waits as
//! long as the scheduler likes. A fifth of a look-up is no price for a tail that the writer has no part in.

use std::collections::HashMap as PrivateMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use papaya::{HashMap, LocalGuard};
use seize::Collector;

use crate::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords};
use crate::reverse::Prefix;

/// The records to put in a Service's place; none for a Service that is gone.
pub type Batch = Vec<(ServiceKey, Option<ServiceRecords>)>;

/// Why names of a Service are absent; none where nothing is to be told.
pub type ReasonsBatch = Vec<(ServiceKey, Option<Reasons>)>;

/// A name that an address leads back to: `host.service.namespace` or `service.namespace` as labels in wire form.
pub type ReverseOwner = Box<[u8]>;

/// A new, empty table that is not synchronised.
pub fn table() -> (TableWriter, TableReader) {
    let shared = Arc::new(Shared::default());
    (
        TableWriter {
            shared: Arc::clone(&shared),
            namespaces: PrivateMap::default(),
            prefixes: PrivateMap::default(),
            replaced: Vec::new(),
            replaced_reasons: Vec::new(),
        },
        TableReader { shared },
    )
}

struct Shared {
    services: HashMap<ServiceKey, Arc<ServiceRecords>, RandomState>,
    namespaces: HashMap<Box<[u8]>, (), RandomState>,
    reverse: HashMap<IpAddr, Box<[ReverseOwner]>, RandomState>,
    /// The names above the reverse names that exist.
    prefixes: HashMap<Prefix, (), RandomState>,
    /// Beside the records, because they change more often and nobody's answer waits for them.
    reasons: HashMap<ServiceKey, Arc<Reasons>, RandomState>,
    /// The endpoints' names in all Services.
    endpoints: AtomicUsize,
    serial: AtomicU32,
    synchronised: AtomicBool,
    /// Since when the table may be out of date, in seconds since the Unix epoch; 0 while it is not.
    stale_since: AtomicI64,
}

impl Default for Shared {
    fn default() -> Self {
        fn map<K: Send + 'static, V: Send + 'static>(collector: &Arc<Collector>) -> HashMap<K, V, RandomState> {
            HashMap::builder().hasher(RandomState::default()).shared_collector(Arc::clone(collector)).build()
        }
        let collector = Arc::new(Collector::new());
        // Serials begin at the clock, so that a restart does not go back, unless records changed more than once a second all
        // the time before (RFC 1982 arithmetic makes the truncation sound).
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            services: map(&collector),
            namespaces: map(&collector),
            reverse: map(&collector),
            prefixes: map(&collector),
            reasons: map(&collector),
            endpoints: AtomicUsize::new(0),
            serial: AtomicU32::new(since_epoch.as_secs() as u32),
            synchronised: AtomicBool::new(false),
            stale_since: AtomicI64::new(0),
        }
    }
}

impl Shared {
    fn size(&self) -> TableSize {
        TableSize {
            services: self.services.len(),
            endpoints: self.endpoints.load(Ordering::Relaxed),
            namespaces: self.namespaces.len(),
        }
    }
}

/// The table's one writer. It cannot be cloned.
pub struct TableWriter {
    shared: Arc<Shared>,
    /// Services in each namespace.
    namespaces: PrivateMap<Box<[u8]>, usize, RandomState>,
    /// Addresses below each name of the reverse trees.
    prefixes: PrivateMap<Prefix, usize, RandomState>,
    /// Records that no longer stand in the table, until the last reader has let go of them. The map leaves it to that
    /// reader to free what was replaced: a thousand boxes for a Service of as many endpoints, while queries wait. With
    /// another owner here the reader only counts down, and the writer frees.
    replaced: Vec<Arc<ServiceRecords>>,
    /// Reasons that no longer stand there, for the same reason.
    replaced_reasons: Vec<Arc<Reasons>>,
}

impl TableWriter {
    /// Puts a batch in place, each Service at once, and gives the number of Services that changed. Records equal to those
    /// that stand there are not published; a batch that changes nothing leaves the serial as it is.
    pub fn publish(&mut self, batch: Batch) -> usize {
        let shared = Arc::clone(&self.shared);
        let guard = shared.services.guard();
        self.replaced.retain(|records| Arc::strong_count(records) > 1);
        let mut changed = 0;
        for (key, new) in batch {
            let standing = shared.services.get(&key, &guard);
            let old = standing.map(|records| &**records);
            if old == new.as_ref() {
                continue;
            }
            changed += 1;
            self.replaced.extend(standing.cloned());
            let fresh = new.as_ref().map(reverse_of(&key)).unwrap_or_default();
            let stale = old.map(reverse_of(&key)).unwrap_or_default();
            let endpoints = |records: Option<&ServiceRecords>| records.map_or(0, |records| records.hosts.len());
            let (more, fewer) = (endpoints(new.as_ref()), endpoints(old));
            shared.endpoints.fetch_add(more.wrapping_sub(fewer), Ordering::Relaxed);

            if old.is_none() {
                self.enter_namespace(&key, &guard);
            }
            for (address, owner) in difference(&fresh, &stale) {
                self.add_reverse(*address, owner, &guard);
            }
            match new {
                Some(records) => {
                    shared.services.insert(key.clone(), Arc::new(records), &guard);
                }
                None => {
                    shared.services.remove(&key, &guard);
                    self.leave_namespace(&key, &guard);
                }
            }
            for (address, owner) in difference(&stale, &fresh) {
                self.remove_reverse(*address, owner, &guard);
            }
        }
        if changed > 0 {
            shared.serial.fetch_add(1, Ordering::Release);
        }
        changed
    }

    /// Puts reasons in place. They are no records: no serial moves.
    pub fn explain(&mut self, batch: ReasonsBatch) {
        let guard = self.shared.reasons.guard();
        self.replaced_reasons.retain(|reasons| Arc::strong_count(reasons) > 1);
        for (key, new) in batch {
            self.replaced_reasons.extend(self.shared.reasons.get(&key, &guard).cloned());
            match new {
                Some(reasons) => self.shared.reasons.insert(key, Arc::new(reasons), &guard),
                None => self.shared.reasons.remove(&key, &guard),
            };
        }
    }

    /// Says that every source of objects has been heard in full once: from now on an absent name does not exist.
    pub fn set_synchronised(&mut self) {
        self.shared.synchronised.store(true, Ordering::Release);
    }

    /// Says that nothing has been heard of the cluster since then, or that it is heard.
    pub fn set_stale(&mut self, since: Option<Timestamp>) {
        self.shared.stale_since.store(since.map_or(0, Timestamp::as_second), Ordering::Relaxed);
    }

    pub fn size(&self) -> TableSize {
        self.shared.size()
    }

    fn enter_namespace(&mut self, key: &ServiceKey, guard: &LocalGuard<'_>) {
        let services = self.namespaces.entry(key.namespace().into()).or_default();
        *services += 1;
        if *services == 1 {
            self.shared.namespaces.insert(key.namespace().into(), (), guard);
        }
    }

    fn leave_namespace(&mut self, key: &ServiceKey, guard: &LocalGuard<'_>) {
        if let Some(services) = self.namespaces.get_mut(key.namespace()) {
            *services -= 1;
            if *services == 0 {
                self.namespaces.remove(key.namespace());
                self.shared.namespaces.remove(key.namespace(), guard);
            }
        }
    }

    fn add_reverse(&mut self, address: IpAddr, owner: &ReverseOwner, guard: &LocalGuard<'_>) {
        let owners = self.shared.reverse.get(&address, guard);
        if owners.is_none() {
            for prefix in Prefix::above(address) {
                let addresses = self.prefixes.entry(prefix).or_default();
                *addresses += 1;
                if *addresses == 1 {
                    self.shared.prefixes.insert(prefix, (), guard);
                }
            }
        }
        let mut owners = owners.map(|owners| owners.to_vec()).unwrap_or_default();
        if let Err(place) = owners.binary_search(owner) {
            owners.insert(place, owner.clone());
            self.shared.reverse.insert(address, owners.into(), guard);
        }
    }

    fn remove_reverse(&mut self, address: IpAddr, owner: &ReverseOwner, guard: &LocalGuard<'_>) {
        let Some(owners) = self.shared.reverse.get(&address, guard) else { return };
        let left: Vec<_> = owners.iter().filter(|other| *other != owner).cloned().collect();
        if !left.is_empty() {
            self.shared.reverse.insert(address, left.into(), guard);
            return;
        }
        self.shared.reverse.remove(&address, guard);
        for prefix in Prefix::above(address) {
            if let Some(addresses) = self.prefixes.get_mut(&prefix) {
                *addresses -= 1;
                if *addresses == 0 {
                    self.prefixes.remove(&prefix);
                    self.shared.prefixes.remove(&prefix, guard);
                }
            }
        }
    }
}

/// The reverse mappings of a Service, sorted, with the owner's name complete up to the namespace.
fn reverse_of(key: &ServiceKey) -> impl Fn(&ServiceRecords) -> Vec<(IpAddr, ReverseOwner)> + '_ {
    |records| {
        let mut reverse: Vec<_> =
            records.reverse().map(|(address, label)| (address, [label, key.as_wire()].concat().into())).collect();
        reverse.sort_unstable();
        reverse
    }
}

/// What is in sorted `these` and not in sorted `those`.
fn difference<'a, T: Ord>(these: &'a [T], those: &'a [T]) -> impl Iterator<Item = &'a T> {
    these.iter().filter(|item| those.binary_search(item).is_err())
}

/// A handle from which readers pin the table. Cheap to clone, one for each worker.
#[derive(Clone)]
pub struct TableReader {
    shared: Arc<Shared>,
}

impl TableReader {
    /// A view for one batch of look-ups. What it hands out lives as long as it does; while it lives, what the writer
    /// replaces is not freed, so it is not kept across a wait (and cannot be sent to another thread).
    pub fn pin(&self) -> Table<'_> {
        Table { guard: self.shared.services.guard(), shared: &self.shared }
    }
}

/// A pinned view of the table.
pub struct Table<'t> {
    shared: &'t Shared,
    guard: LocalGuard<'t>,
}

impl Table<'_> {
    /// The records of a Service, by the two labels `name.namespace` in wire form.
    pub fn service(&self, key: &[u8]) -> Option<&ServiceRecords> {
        self.shared.services.get(key, &self.guard).map(|records| &**records)
    }

    /// Why names of a Service are absent, as far as that is known, by the same labels.
    pub fn reasons(&self, key: &[u8]) -> Option<&Reasons> {
        self.shared.reasons.get(key, &self.guard).map(|reasons| &**reasons)
    }

    /// Whether the namespace, one label in wire form, holds a Service.
    pub fn has_namespace(&self, label: &[u8]) -> bool {
        self.shared.namespaces.contains_key(label, &self.guard)
    }

    /// The names that an address leads back to.
    pub fn reverse(&self, address: IpAddr) -> Option<&[ReverseOwner]> {
        self.shared.reverse.get(&address, &self.guard).map(|owners| &**owners)
    }

    /// Whether an address with these leading bits leads back to a name.
    pub fn has_reverse_below(&self, prefix: Prefix) -> bool {
        self.shared.prefixes.contains_key(&prefix, &self.guard)
    }

    /// Changes whenever a record does (RFC 1035 section 3.3.13).
    pub fn serial(&self) -> u32 {
        self.shared.serial.load(Ordering::Acquire)
    }

    /// False until every source of objects has been heard in full once.
    pub fn is_synchronised(&self) -> bool {
        self.shared.synchronised.load(Ordering::Acquire)
    }

    /// Since when nothing has been heard of the cluster, so that the table may be out of date; none while it is heard.
    pub fn stale_since(&self) -> Option<Timestamp> {
        match self.shared.stale_since.load(Ordering::Relaxed) {
            0 => None,
            seconds => Timestamp::from_second(seconds).ok(),
        }
    }

    /// All Services, by namespace and name.
    pub fn services(&self) -> Vec<(&ServiceKey, &ServiceRecords)> {
        let services = self.shared.services.iter(&self.guard);
        let mut services: Vec<_> = services.map(|(key, records)| (key, &**records)).collect();
        services.sort_unstable_by_key(|(key, _)| (key.namespace().get(1..), key.name().get(1..)));
        services
    }

    /// All reverse mappings, by address.
    pub fn reverses(&self) -> Vec<(IpAddr, &[ReverseOwner])> {
        let mut reverses: Vec<_> =
            self.shared.reverse.iter(&self.guard).map(|(address, owners)| (*address, &**owners)).collect();
        reverses.sort_unstable();
        reverses
    }

    pub fn size(&self) -> TableSize {
        self.shared.size()
    }
}

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub services: usize,
    /// Names of endpoints, in all Services together.
    pub endpoints: usize,
    pub namespaces: usize,
}

#[cfg(test)]
#[path = "table/tests.rs"]
mod tests;
