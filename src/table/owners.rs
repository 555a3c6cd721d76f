//! The names that an address leads back to, as a reader sees them.

use std::fmt;
use std::net::IpAddr;

use super::Table;
use super::blocks::Hint;
use crate::dns::name::Relative;
use crate::records::{ServiceKey, ServiceRecords};

/// The names of an address, one at least. One Service that has the address is held fast, so that whatever is published
/// meanwhile the set is never empty; others are looked up when their names are asked for.
#[derive(Clone, Copy)]
pub struct Owners<'t> {
    table: &'t Table<'t>,
    address: IpAddr,
    first: (&'t ServiceKey, &'t ServiceRecords),
    others: &'t [Hint],
}

impl<'t> Owners<'t> {
    /// The names, if any of the hints leads to one.
    pub(super) fn find(table: &'t Table<'t>, address: IpAddr, mut hints: &'t [Hint]) -> Option<Self> {
        while let Some((hint, others)) = hints.split_first() {
            if let Some(first) = table.service_of(hint.service)
                && first.1.reverse_of(address).next().is_some()
            {
                // A Service with two names at the address has two hints and gives both names at once.
                let repeated = others.iter().take_while(|other| other.service == hint.service).count();
                return Some(Self { table, address, first, others: &others[repeated..] });
            }
            hints = others;
        }
        None
    }

    /// The names as labels in wire form: the host's, empty where a Service's bare name is meant, and the two of the Service.
    pub fn names(self) -> impl Iterator<Item = [&'t [u8]; 2]> + use<'t> {
        let services = self.others.chunk_by(|one, other| one.service == other.service);
        let services = services.filter_map(move |hints| self.table.service_of(hints.first()?.service));
        let names = move |(key, records): (&'t ServiceKey, &'t ServiceRecords)| {
            records.reverse_of(self.address).map(|label| [label, key.as_wire()])
        };
        std::iter::once(self.first).chain(services).flat_map(names)
    }
}

impl fmt::Debug for Owners<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names().map(|name| name.map(Relative))).finish()
    }
}
