//! The writer of a table.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::RandomState;
use papaya::LocalGuard;

use super::address_diff::AddressDiff;
use super::changes::{Change, Changes};
use super::reverse_index::{ReverseIndexWriter, ServiceId};
use super::shared::{Published, Shared, TableSize};
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords, Stale};

/// The new records of a Service; none to remove the Service.
pub type Publication = (ServiceKey, Option<ServiceRecords>);

/// The only writer of a table.
pub struct TableWriter {
    shared: Arc<Shared>,
    namespaces: HashMap<Box<[u8]>, NamespaceSize, RandomState>,
    reverse: ReverseIndexWriter,
    /// The id of the newest Service.
    last_id: ServiceId,
    /// Records that have been replaced, until no reader holds them. Otherwise the map would leave it to the last reader to free
    /// them, while queries wait: a large Service is more than the allocator caches, and its memory goes back to the system. With
    /// this owner a reader only decrements a count, and the writer frees.
    replaced: Vec<Arc<Published>>,
    /// The same for reasons.
    replaced_reasons: Vec<Arc<Reasons>>,
    /// What has changed, where somebody keeps versions: then that one owns what is replaced, and gives the serial.
    changes: Option<Changes>,
}

/// How many Services a namespace has, and how many of them are public.
#[derive(Clone, Copy, Debug, Default)]
struct NamespaceSize {
    services: usize,
    public: usize,
}

impl TableWriter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            namespaces: HashMap::default(),
            reverse: ReverseIndexWriter::default(),
            last_id: 0,
            replaced: Vec::new(),
            replaced_reasons: Vec::new(),
            changes: None,
        }
    }

    /// From now on changes are kept until they are taken, and the serial is that of the newest version
    /// ([`TableWriter::set_serial`]), not the number of the publication.
    pub fn keep_changes(&mut self) {
        self.changes = Some(Changes::default());
    }

    /// Whether changes are kept and there are any.
    pub fn has_changes(&self) -> bool {
        self.changes.as_ref().is_some_and(|changes| !changes.is_empty())
    }

    /// The changes since the last call, one for each Service, in no order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.changes.as_mut().map(|changes| changes.take(&self.shared)).unwrap_or_default()
    }

    /// Sets the serial in SOA records.
    pub fn set_serial(&mut self, serial: u32) {
        self.shared.serial.store(serial, Ordering::Release);
    }

    /// Publishes records, each Service atomically, and returns the number of Services that changed. Records equal to those in
    /// the table are not published again; if nothing changes, neither does the serial.
    pub fn publish(&mut self, publications: impl IntoIterator<Item = Publication>) -> usize {
        let mut changed = 0;
        self.publish_each(publications, |_| changed += 1);
        changed
    }

    /// The same, and calls `on_published` for each Service that changed as soon as readers see it.
    pub fn publish_each(
        &mut self,
        publications: impl IntoIterator<Item = Publication>,
        mut on_published: impl FnMut(&ServiceKey),
    ) {
        self.replaced.retain(|records| Arc::strong_count(records) > 1);
        let mut has_changed = false;
        for (key, new) in publications {
            if self.replace(&key, new) {
                has_changed = true;
                on_published(&key);
            }
        }
        if has_changed && self.changes.is_none() {
            self.shared.serial.fetch_add(1, Ordering::Release);
        }
    }

    /// Replaces the records of one Service. Returns whether they differ from those in the table.
    fn replace(&mut self, key: &ServiceKey, new: Option<ServiceRecords>) -> bool {
        let shared = Arc::clone(&self.shared);
        // A guard for each Service: what is replaced under a guard is not freed before it is dropped, and a synchronisation
        // replaces each block of reverse names many times.
        let guard = shared.services.guard();
        let current = shared.services.get(key, &guard);
        let old = current.map(|published| &published.records);
        if old == new.as_ref() {
            return false;
        }
        match &mut self.changes {
            Some(changes) => changes.record(key, current),
            None => self.replaced.extend(current.cloned()),
        }
        let endpoints = |records: Option<&ServiceRecords>| records.map_or(0, |records| records.hosts.len());
        let difference = endpoints(new.as_ref()).wrapping_sub(endpoints(old));
        shared.endpoints.fetch_add(difference, Ordering::Relaxed);

        let AddressDiff { removed, added } = AddressDiff::between(old, new.as_ref());
        let id = match current {
            Some(published) => published.id,
            None => self.register(key, &guard),
        };
        let is_public = |records: Option<&ServiceRecords>| records.is_some_and(|records| records.is_public);
        self.note_public(key, is_public(old), is_public(new.as_ref()), &guard);
        self.reverse.add(&shared.reverse, &added, id, &guard);
        match new {
            Some(records) => {
                shared.services.insert(key.clone(), Arc::new(Published { records, id }), &guard);
            }
            None => {
                shared.services.remove(key, &guard);
                self.unregister(key, id, &guard);
            }
        }
        self.reverse.remove(&shared.reverse, &removed, id, &guard);
        true
    }

    /// Publishes why names of Services are absent, or that no reason is known. The serial stays: reasons are not records.
    pub fn publish_reasons(&mut self, reasons: impl IntoIterator<Item = (ServiceKey, Option<Reasons>)>) {
        self.replaced_reasons.retain(|reasons| Arc::strong_count(reasons) > 1);
        for (key, new) in reasons {
            let guard = self.shared.reasons.guard();
            self.replaced_reasons.extend(self.shared.reasons.get(&key, &guard).cloned());
            match new {
                Some(reasons) => self.shared.reasons.insert(key, Arc::new(reasons), &guard),
                None => self.shared.reasons.remove(&key, &guard),
            };
        }
    }

    /// Declares the first synchronisation complete: from now on a name that is not in the table does not exist.
    pub fn set_synchronised(&mut self) {
        self.shared.synchronised.store(true, Ordering::Release);
    }

    /// Sets since when and why the table may be out of date; none if it is up to date.
    pub fn set_stale(&mut self, stale: Option<Stale>) {
        self.shared.set_stale(stale);
    }

    pub fn size(&self) -> TableSize {
        self.shared.size()
    }

    /// Gives a new Service an id, and adds its namespace.
    fn register(&mut self, key: &ServiceKey, guard: &LocalGuard<'_>) -> ServiceId {
        let size = self.namespaces.entry(key.namespace().into()).or_default();
        size.services += 1;
        if size.services == 1 {
            self.shared.namespaces.insert(key.namespace().into(), false, guard);
        }
        self.last_id = self.last_id.wrapping_add(1);
        while self.shared.keys.contains_key(&self.last_id, guard) {
            self.last_id = self.last_id.wrapping_add(1);
        }
        self.shared.keys.insert(self.last_id, key.clone(), guard);
        self.last_id
    }

    /// Notes whether a Service is public that may not have been before, in its namespace.
    fn note_public(&mut self, key: &ServiceKey, was: bool, is: bool, guard: &LocalGuard<'_>) {
        let Some(size) = self.namespaces.get_mut(key.namespace()).filter(|_| was != is) else { return };
        size.public = if is { size.public + 1 } else { size.public - 1 };
        // The first one, or the last.
        if size.public == usize::from(is) {
            self.shared.namespaces.insert(key.namespace().into(), is, guard);
        }
    }

    /// Removes the id of a Service that is gone, and its namespace if it was the last one there.
    fn unregister(&mut self, key: &ServiceKey, id: ServiceId, guard: &LocalGuard<'_>) {
        self.shared.keys.remove(&id, guard);
        if let Some(size) = self.namespaces.get_mut(key.namespace()) {
            size.services -= 1;
            if size.services == 0 {
                self.namespaces.remove(key.namespace());
                self.shared.namespaces.remove(key.namespace(), guard);
            }
        }
    }
}
