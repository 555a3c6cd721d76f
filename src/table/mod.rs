//! The record table: one writer publishes Services, any number of readers look them up without a lock.
//!
//! The unit of publication is one Service. Its records are replaced as one immutable value, so a reader sees all of the
//! old or all of the new. What spans Services (which namespaces exist, which address may lead back to which Service) is
//! published in the same call, before a Service appears and after it is gone, so that no name is denied while another
//! answer still leads to it.
//!
//! The maps are `papaya` hash maps with one collector between them: a reader pins once for a batch of look-ups, which
//! costs one memory fence, and never waits for the writer, nor the writer for it. `dashmap` was measured to look up a tenth
//! faster, until its writer lost the processor inside a lock: then every query for that shard waited until it ran again.
//! Shards of `arc-swap`ped maps cost half as much again per look-up, and ten times as much per publication.
//!
//! What a look-up costs in a large table is memory that is not in a cache: entry, records, slot and label are all that it
//! touches (see `crate::records::Hosts`). An endpoint of a Service with one port takes about a hundred octets, reverse names
//! and all, and one change to a Service of 5,000 is published in a tenth of a millisecond (`cargo bench --bench live -- derive`).

mod blocks;
mod owners;

use std::cmp::Ordering::{Greater, Less};
use std::collections::HashMap as PrivateMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use foldhash::fast::RandomState;
use jiff::Timestamp;
use papaya::{HashMap, LocalGuard};
use seize::Collector;

use crate::dns::reverse::Prefix;
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceKind, ServiceRecords};
use blocks::{BlockCounts, Blocks, ServiceId};
pub use owners::Owners;

/// The records to put in a Service's place; none for a Service that is gone.
pub type Publication = (ServiceKey, Option<ServiceRecords>);

/// A new, empty table that is not synchronised.
pub fn table() -> (TableWriter, TableReader) {
    let shared = Arc::new(Shared::default());
    (
        TableWriter {
            shared: Arc::clone(&shared),
            namespaces: PrivateMap::default(),
            blocks: BlockCounts::default(),
            last_id: 0,
            replaced: Vec::new(),
            replaced_reasons: Vec::new(),
        },
        TableReader { shared },
    )
}

struct Shared {
    services: HashMap<ServiceKey, Arc<Published>, RandomState>,
    /// The Services that hints name.
    keys: HashMap<ServiceId, ServiceKey, RandomState>,
    namespaces: HashMap<Box<[u8]>, (), RandomState>,
    reverse: Blocks,
    /// Beside the records, because they change more often and nobody's answer waits for them.
    reasons: HashMap<ServiceKey, Arc<Reasons>, RandomState>,
    /// The endpoints' names in all Services.
    endpoints: AtomicUsize,
    serial: AtomicU32,
    synchronised: AtomicBool,
    /// Since when the table may be out of date, in seconds since the Unix epoch; 0 while it is not.
    stale_since: AtomicI64,
}

/// A Service in its place.
struct Published {
    records: ServiceRecords,
    id: ServiceId,
}

/// A map whose entries `collector` frees.
fn map<K: Send + 'static, V: Send + 'static>(collector: &Arc<Collector>) -> HashMap<K, V, RandomState> {
    HashMap::builder().hasher(RandomState::default()).shared_collector(Arc::clone(collector)).build()
}

impl Default for Shared {
    fn default() -> Self {
        let collector = Arc::new(Collector::new());
        // Serials begin at the clock, so that a restart does not go back, unless records changed more than once a second all
        // the time before (RFC 1982 arithmetic makes the truncation sound).
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            services: map(&collector),
            keys: map(&collector),
            namespaces: map(&collector),
            reverse: Blocks::new(&collector),
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
    blocks: BlockCounts,
    /// What the newest Service is named by.
    last_id: ServiceId,
    /// Records that no longer stand in the table, until the last reader has let go of them. The map leaves it to that
    /// reader to free what was replaced, while queries wait: of a large Service that is more than the allocator keeps, and
    /// goes back to the system. With another owner here the reader only counts down, and the writer frees.
    replaced: Vec<Arc<Published>>,
    /// Reasons that no longer stand there, for the same reason.
    replaced_reasons: Vec<Arc<Reasons>>,
}

impl TableWriter {
    /// Puts a batch in place, each Service at once, and gives the number of Services that changed. Records equal to those
    /// that stand there are not published; a batch that changes nothing leaves the serial as it is.
    pub fn publish(&mut self, batch: impl IntoIterator<Item = Publication>) -> usize {
        let mut changed = 0;
        self.publish_each(batch, |_| changed += 1);
        changed
    }

    /// The same, and tells `published` of each Service that changed as soon as readers see it.
    pub fn publish_each(
        &mut self,
        batch: impl IntoIterator<Item = Publication>,
        mut published: impl FnMut(&ServiceKey),
    ) {
        let shared = Arc::clone(&self.shared);
        self.replaced.retain(|records| Arc::strong_count(records) > 1);
        let mut is_changed = false;
        for (key, new) in batch {
            // One for each Service: what is replaced while a guard is held is kept for as long, and a whole cluster replaces
            // each block of reverse names many times.
            let guard = shared.services.guard();
            let standing = shared.services.get(&key, &guard);
            let old = standing.map(|published| &published.records);
            if old == new.as_ref() {
                continue;
            }
            is_changed = true;
            self.replaced.extend(standing.cloned());
            let endpoints = |records: Option<&ServiceRecords>| records.map_or(0, |records| records.hosts.len());
            let (more, fewer) = (endpoints(new.as_ref()), endpoints(old));
            shared.endpoints.fetch_add(more.wrapping_sub(fewer), Ordering::Relaxed);

            let Moved { gone, come } = Moved::between(old, new.as_ref());
            let id = match standing {
                Some(published) => published.id,
                None => self.enter(&key, &guard),
            };
            for address in come {
                self.blocks.add(&shared.reverse, address, id, &guard);
            }
            match new {
                Some(records) => {
                    shared.services.insert(key.clone(), Arc::new(Published { records, id }), &guard);
                }
                None => {
                    shared.services.remove(&key, &guard);
                    self.leave(&key, id, &guard);
                }
            }
            for address in gone {
                self.blocks.remove(&shared.reverse, address, id, &guard);
            }
            published(&key);
        }
        if is_changed {
            shared.serial.fetch_add(1, Ordering::Release);
        }
    }

    /// Puts in place why names of Services are absent; none where nothing is to be told. They are no records: no serial moves.
    pub fn explain(&mut self, batch: impl IntoIterator<Item = (ServiceKey, Option<Reasons>)>) {
        self.replaced_reasons.retain(|reasons| Arc::strong_count(reasons) > 1);
        for (key, new) in batch {
            let guard = self.shared.reasons.guard();
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

    /// Makes a new Service known by an identity, and its namespace.
    fn enter(&mut self, key: &ServiceKey, guard: &LocalGuard<'_>) -> ServiceId {
        let services = self.namespaces.entry(key.namespace().into()).or_default();
        *services += 1;
        if *services == 1 {
            self.shared.namespaces.insert(key.namespace().into(), (), guard);
        }
        self.last_id = self.last_id.wrapping_add(1);
        while self.shared.keys.contains_key(&self.last_id, guard) {
            self.last_id = self.last_id.wrapping_add(1);
        }
        self.shared.keys.insert(self.last_id, key.clone(), guard);
        self.last_id
    }

    /// Forgets a Service that is gone, and its namespace with the last.
    fn leave(&mut self, key: &ServiceKey, id: ServiceId, guard: &LocalGuard<'_>) {
        self.shared.keys.remove(&id, guard);
        if let Some(services) = self.namespaces.get_mut(key.namespace()) {
            *services -= 1;
            if *services == 0 {
                self.namespaces.remove(key.namespace());
                self.shared.namespaces.remove(key.namespace(), guard);
            }
        }
    }
}

/// What a change of records does to the addresses that lead back to a Service: as often as it has names there, an address
/// is listed, and one that a name loses to another is both gone and come.
#[derive(Default)]
struct Moved {
    gone: Vec<IpAddr>,
    come: Vec<IpAddr>,
}

impl Moved {
    fn between(old: Option<&ServiceRecords>, new: Option<&ServiceRecords>) -> Self {
        if let (Some(old), Some(new)) = (old, new)
            && (&old.kind, &new.kind) == (&ServiceKind::Headless, &ServiceKind::Headless)
            && let Some(moved) = old.hosts.moved(&new.hosts)
        {
            let mut all = Self::default();
            for (before, after) in moved {
                all.gone.extend(before.iter());
                all.come.extend(after.iter());
            }
            return all;
        }
        Self::by_names(old, new)
    }

    /// Goes through the names of both side by side, which are in one order.
    fn by_names(old: Option<&ServiceRecords>, new: Option<&ServiceRecords>) -> Self {
        let mut old = old.into_iter().flat_map(ServiceRecords::reverse).peekable();
        let mut new = new.into_iter().flat_map(ServiceRecords::reverse).peekable();
        let mut moved = Self::default();
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return moved,
                (Some(_), None) => Less,
                (None, Some(_)) => Greater,
                (Some((old, _)), Some((new, _))) => old.cmp(new),
            };
            let before = old.next_if(|_| order.is_le()).map(|(_, addresses)| addresses);
            let after = new.next_if(|_| order.is_ge()).map(|(_, addresses)| addresses);
            if before != after {
                moved.gone.extend(before.into_iter().flat_map(|addresses| addresses.iter()));
                moved.come.extend(after.into_iter().flat_map(|addresses| addresses.iter()));
            }
        }
    }
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
        self.shared.services.get(key, &self.guard).map(|published| &published.records)
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
    pub fn reverse(&self, address: IpAddr) -> Option<Owners<'_>> {
        Owners::find(self, address, self.shared.reverse.hints(address, &self.guard))
    }

    /// The Service that a hint names, as it is now.
    fn service_of(&self, id: ServiceId) -> Option<(&ServiceKey, &ServiceRecords)> {
        let key = self.shared.keys.get(&id, &self.guard)?;
        Some((key, self.service(key.as_wire())?))
    }

    /// Whether an address with these leading bits leads back to a name.
    pub fn has_reverse_below(&self, prefix: Prefix) -> bool {
        self.shared.reverse.has_below(prefix, &self.guard)
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
        let mut services: Vec<_> = services.map(|(key, published)| (key, &published.records)).collect();
        services.sort_unstable_by_key(|(key, _)| (key.namespace().get(1..), key.name().get(1..)));
        services
    }

    /// The addresses that lead back to names, in order.
    pub fn reverse_addresses(&self) -> Vec<IpAddr> {
        self.shared.reverse.addresses(&self.guard)
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
mod tests;
