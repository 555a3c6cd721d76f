//! The readers of a table.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{fmt, iter};

use papaya::LocalGuard;

use super::reverse_index::Candidate;
use super::shared::{Shared, TableSize};
use super::smallest::smallest;
use crate::dns::name::Relative;
use crate::dns::reverse::Prefix;
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords, Stale};

/// How often an address is looked up that moves from name to name meanwhile. A move takes the writer longer than a look-up takes,
/// so that two in a row are rare.
const REVERSE_TRIES: usize = 8;

/// A handle from which readers pin the table. Cheap to clone, one for each worker.
#[derive(Clone)]
pub struct TableReader {
    pub(super) shared: Arc<Shared>,
}

impl TableReader {
    /// A view for one batch of look-ups. Nothing that the writer replaces meanwhile is freed, so a view must not be held while
    /// waiting (and cannot be sent to another thread).
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

    /// Why names of a Service are absent, if a reason is known, by the same labels.
    pub fn reasons(&self, key: &[u8]) -> Option<&Reasons> {
        self.shared.reasons.get(key, &self.guard).map(|reasons| &**reasons)
    }

    /// Whether a namespace, one label in wire form, has a Service.
    pub fn has_namespace(&self, label: &[u8]) -> bool {
        self.shared.namespaces.contains_key(label, &self.guard)
    }

    /// Whether it has one that is public.
    pub fn has_public_namespace(&self, label: &[u8]) -> bool {
        self.shared.namespaces.get(label, &self.guard) == Some(&true)
    }

    /// The names that an address leads back to; none if there is none.
    pub fn reverse(&self, address: IpAddr) -> Option<PtrTargets<'_>> {
        // A name may lose the address before it is looked up. Another that takes it over is in the index by then, and may lose it
        // as well.
        for _ in 0..REVERSE_TRIES {
            let candidates = self.shared.reverse.candidates(address, &self.guard);
            if candidates.is_empty() {
                return None;
            }
            if let Some(targets) = PtrTargets::find(self, address, candidates) {
                return Some(targets);
            }
        }
        None
    }

    /// The Service of these candidates, as it is now.
    fn owner<'t>(&'t self, candidates: &'t [Candidate]) -> Option<PtrOwner<'t>> {
        let key = self.shared.keys.get(&candidates.first()?.service, &self.guard)?;
        Some(PtrOwner { key, records: self.service(key.as_wire())?, candidates })
    }

    /// Whether an address with this prefix leads back to a name.
    pub fn has_reverse_below(&self, prefix: Prefix) -> bool {
        self.shared.reverse.has_below(prefix, &self.guard)
    }

    /// Changes whenever a record does (RFC 1035 section 3.3.13).
    pub fn serial(&self) -> u32 {
        self.shared.serial.load(Ordering::Acquire)
    }

    /// Whether the first synchronisation with the cluster is complete.
    pub fn is_synchronised(&self) -> bool {
        self.shared.synchronised.load(Ordering::Acquire)
    }

    /// Since when and why the table may be out of date; none if it is up to date.
    pub fn stale(&self) -> Option<Stale> {
        self.shared.stale()
    }

    /// All Services, by namespace and name.
    pub fn services(&self) -> Vec<(&ServiceKey, &ServiceRecords)> {
        let services = self.shared.services.iter(&self.guard);
        let mut services: Vec<_> = services.map(|(key, published)| (key, &published.records)).collect();
        services.sort_unstable_by_key(|(key, _)| key.in_text_order());
        services
    }

    /// Some of the first Services that are wanted, at most `limit`, by namespace and name; none if there are no more. Unlike
    /// [`Table::services`] it takes memory for these only, so that a client can be served part by part.
    pub fn first_services(&self, limit: usize, is_wanted: impl Fn(&ServiceKey) -> bool) -> Vec<ServiceKey> {
        let keys = self.shared.services.iter(&self.guard).map(|(key, _)| key).filter(|key| is_wanted(key));
        let first = smallest(keys.map(|key| (key.in_text_order(), key)), limit);
        first.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// Some of the first of those that are wanted, at most `limit`, by namespace and name: Services that are served, and those of
    /// which only the reason is known for which they are not. Each is asked about once.
    pub fn first_known_services(
        &self,
        limit: usize,
        mut is_wanted: impl FnMut(&KnownService<'_>) -> bool,
    ) -> Vec<KnownService<'_>> {
        let served = self.shared.services.iter(&self.guard).map(|(key, _)| key);
        let others = self.shared.reasons.iter(&self.guard).map(|(key, _)| key);
        let others = others.filter(|key| self.service(key.as_wire()).is_none());
        let wanted = served.chain(others).filter(|key| is_wanted(&self.known_service(key)));
        let first = smallest(wanted.map(|key| (key.in_text_order(), key)), limit);
        first.into_iter().map(|(_, key)| self.known_service(key)).collect()
    }

    fn known_service<'t>(&'t self, key: &'t ServiceKey) -> KnownService<'t> {
        KnownService { key, records: self.service(key.as_wire()), reasons: self.reasons(key.as_wire()) }
    }

    /// The addresses that lead back to names, in order.
    pub fn reverse_addresses(&self) -> Vec<IpAddr> {
        self.shared.reverse.addresses(&self.guard)
    }

    /// Some of the first of these addresses behind `after`, at most `limit`; none if there are no more.
    pub fn first_reverse_addresses(&self, limit: usize, after: Option<IpAddr>) -> Vec<IpAddr> {
        let addresses = self.shared.reverse.candidate_addresses(&self.guard);
        smallest(addresses.filter(|address| after.is_none_or(|after| *address > after)), limit)
    }

    pub fn size(&self) -> TableSize {
        self.shared.size()
    }
}

/// What is known of a Service: its records if it is served, and why names of it are absent.
#[derive(Clone, Copy, Debug)]
pub struct KnownService<'t> {
    pub key: &'t ServiceKey,
    pub records: Option<&'t ServiceRecords>,
    pub reasons: Option<&'t Reasons>,
}

/// The names that an address leads back to, at least one. The first Service that has the address is held, so that the set does
/// not become empty whatever is published meanwhile; the others are looked up when their names are read.
#[derive(Clone, Copy)]
pub struct PtrTargets<'t> {
    table: &'t Table<'t>,
    address: IpAddr,
    first: PtrOwner<'t>,
    others: &'t [Candidate],
}

/// A Service with names that an address may lead back to.
#[derive(Clone, Copy)]
struct PtrOwner<'t> {
    key: &'t ServiceKey,
    records: &'t ServiceRecords,
    /// At least one; all are this Service's.
    candidates: &'t [Candidate],
}

impl<'t> PtrOwner<'t> {
    /// Its names for the address, as [`PtrTargets::names`] has them.
    fn names(self, address: IpAddr) -> impl Iterator<Item = [&'t [u8]; 2]> + use<'t> {
        // All labels with one hash are found together.
        let hashes = self.candidates.chunk_by(PartialEq::eq).filter_map(|equal| Some(equal.first()?.label));
        let labels = hashes.flat_map(move |hash| self.records.reverse_names_of(address, hash));
        labels.map(move |label| [label, self.key.as_wire()])
    }
}

impl<'t> PtrTargets<'t> {
    /// The names, if any of the candidates has one.
    fn find(table: &'t Table<'t>, address: IpAddr, mut candidates: &'t [Candidate]) -> Option<Self> {
        while let Some(of_one_service) = by_service(candidates).next() {
            let (_, others) = candidates.split_at(of_one_service.len());
            if let Some(first) = table.owner(of_one_service)
                && first.names(address).next().is_some()
            {
                return Some(Self { table, address, first, others });
            }
            candidates = others;
        }
        None
    }

    /// The names as labels in wire form: that of the host, or an empty one for the Service's own name, and the two labels of
    /// the Service.
    pub fn names(self) -> impl Iterator<Item = [&'t [u8]; 2]> + use<'t> {
        let others = by_service(self.others).filter_map(move |candidates| self.table.owner(candidates));
        iter::once(self.first).chain(others).flat_map(move |owner| owner.names(self.address))
    }
}

fn by_service(candidates: &[Candidate]) -> impl Iterator<Item = &[Candidate]> {
    candidates.chunk_by(|one, other| one.service == other.service)
}

impl fmt::Debug for PtrTargets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names().map(|name| name.map(Relative))).finish()
    }
}
