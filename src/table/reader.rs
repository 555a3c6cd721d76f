//! The readers of a table.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{fmt, iter};

use jiff::Timestamp;
use papaya::LocalGuard;

use super::reverse_index::{Candidate, ServiceId};
use super::shared::{Shared, TableSize};
use super::smallest::smallest;
use crate::dns::name::Relative;
use crate::dns::reverse::Prefix;
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords};

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

    /// The names that an address leads back to; none if there is none.
    pub fn reverse(&self, address: IpAddr) -> Option<PtrTargets<'_>> {
        PtrTargets::find(self, address, self.shared.reverse.candidates(address, &self.guard))
    }

    /// The Service with this id, as it is now.
    fn service_by_id(&self, id: ServiceId) -> Option<(&ServiceKey, &ServiceRecords)> {
        let key = self.shared.keys.get(&id, &self.guard)?;
        Some((key, self.service(key.as_wire())?))
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

    /// Since when there has been no contact with the cluster, so that the table may be out of date; none if it is up to date.
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

/// The names that an address leads back to, at least one. The first Service that has the address is held, so that the set does
/// not become empty whatever is published meanwhile; the others are looked up when their names are read.
#[derive(Clone, Copy)]
pub struct PtrTargets<'t> {
    table: &'t Table<'t>,
    address: IpAddr,
    first: (&'t ServiceKey, &'t ServiceRecords),
    others: &'t [Candidate],
}

impl<'t> PtrTargets<'t> {
    /// The names, if any of the candidates has one.
    fn find(table: &'t Table<'t>, address: IpAddr, mut candidates: &'t [Candidate]) -> Option<Self> {
        while let Some((candidate, others)) = candidates.split_first() {
            if let Some(first) = table.service_by_id(candidate.service)
                && first.1.reverse_names_of(address).next().is_some()
            {
                // A Service with two names for the address has two candidates, and its records give both names at once.
                let repeated = others.iter().take_while(|other| other.service == candidate.service).count();
                return Some(Self { table, address, first, others: &others[repeated..] });
            }
            candidates = others;
        }
        None
    }

    /// The names as labels in wire form: that of the host, or an empty one for the Service's own name, and the two labels of
    /// the Service.
    pub fn names(self) -> impl Iterator<Item = [&'t [u8]; 2]> + use<'t> {
        let services = self.others.chunk_by(|one, other| one.service == other.service);
        let services = services.filter_map(move |candidates| self.table.service_by_id(candidates.first()?.service));
        let names = move |(key, records): (&'t ServiceKey, &'t ServiceRecords)| {
            records.reverse_names_of(self.address).map(|label| [label, key.as_wire()])
        };
        iter::once(self.first).chain(services).flat_map(names)
    }
}

impl fmt::Debug for PtrTargets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names().map(|name| name.map(Relative))).finish()
    }
}
