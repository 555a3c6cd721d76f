//! The served records as zone files, and as the pages that `records_page.rs` writes.
//!
//! Names are enumerated from the table. The records at each name come from [`Authority::records_at`], so an export cannot
//! differ from the answers. A file is made part by part, as its reader takes it: the memory that it takes is that of one part, or of
//! the records of one name if those are more.

use std::fmt::Write;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;

use super::views::{NameView, RecordView, RecordsQuery};
use super::walk::{Below, ServiceWalk};
use crate::authority::{AbsoluteName, Authority, RecordText, Zone, ZoneKind};
use crate::dns::name::{self, Name, strip_suffix};
use crate::dns::reverse;
use crate::records::ServiceKey;
use crate::table::{Table, TableReader};

/// Octets after which a part of a page is complete.
pub(super) const PART: usize = 64 * 1024;
/// Addresses that are looked for at a time: each time costs a pass over the table.
const ADDRESSES_AHEAD: usize = 4096;

/// The records that a server serves.
#[derive(Clone)]
pub struct Records {
    pub(super) authority: Arc<Authority>,
    pub(super) table: TableReader,
}

impl Records {
    pub fn new(authority: Arc<Authority>, table: TableReader) -> Self {
        Self { authority, table }
    }

    /// The zones that are served, of every kind.
    pub fn zones(&self) -> Vec<Name> {
        self.authority.all_zones().map(|zone| zone.apex().clone()).collect()
    }

    /// The zone as a zone file (RFC 1035 section 5), or None if it is not served.
    pub fn zone_file(&self, zone: &Name) -> Option<String> {
        Some(self.zone_parts(zone)?.collect())
    }

    /// The same in parts.
    pub(super) fn zone_parts(&self, zone: &Name) -> Option<ZoneParts> {
        let rest = match self.authority.zone_at(zone.as_wire())?.kind() {
            ZoneKind::Forward | ZoneKind::Public => Rest::Services(ServiceWalk::new(RecordsQuery::default())),
            ZoneKind::Reverse => Rest::Addresses { after: None },
        };
        Some(ZoneParts { records: self.clone(), apex: zone.clone(), has_begun: false, rest })
    }

    /// The records of a name, or None if it owns none.
    pub(super) fn name_view(&self, table: &Table<'_>, name: &[u8]) -> Option<NameView> {
        let records: Vec<_> = self.authority.records_at(table, name).into_iter().map(RecordView::from).collect();
        (!records.is_empty()).then(|| NameView { name: AbsoluteName(name).to_string(), records })
    }

    fn write_name(&self, table: &Table<'_>, name: &[u8], file: &mut String) {
        for RecordText { rr_type, ttl, data } in self.authority.records_at(table, name) {
            // Writing to a string cannot fail.
            let _ = writeln!(file, "{}\t{ttl}\tIN\t{rr_type}\t{data}", AbsoluteName(name));
        }
    }
}

/// The full name of one below a Service, or None if it is longer than a name may be.
pub(super) fn full_name((_, label): Below<'_>, key: &ServiceKey, zone: &Zone) -> Option<Vec<u8>> {
    let [svc, apex] = zone.suffix().0;
    let name = [label, key.as_wire(), svc, apex].concat();
    (name.len() <= name::MAX_NAME).then_some(name)
}

/// A zone file in parts, none of them empty.
pub(super) struct ZoneParts {
    records: Records,
    apex: Name,
    /// Whether the names that every zone has are written.
    has_begun: bool,
    rest: Rest,
}

/// Where the other names of a zone come from.
enum Rest {
    /// Of a forward zone.
    Services(ServiceWalk),
    /// Of a reverse zone: the addresses behind this one.
    Addresses { after: Option<IpAddr> },
}

impl Iterator for ZoneParts {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let Self { records, apex, has_begun, rest } = self;
        let (table, apex) = (records.table.pin(), apex.as_wire());
        let zone = records.authority.zone_at(apex)?;
        let mut file = String::new();
        if !mem::replace(has_begun, true) {
            records.write_name(&table, apex, &mut file);
            if zone.kind() == ZoneKind::Forward {
                records.write_name(&table, &[b"\x0bdns-version", apex].concat(), &mut file);
                records.write_name(&table, &[b"\x02ns\x03dns", apex].concat(), &mut file);
            }
        }
        match rest {
            Rest::Services(walk) => write_services(records, &table, zone, walk, &mut file),
            Rest::Addresses { after } => write_addresses(records, &table, apex, after, &mut file),
        }
        (!file.is_empty()).then_some(file)
    }
}

/// Writes names of Services until the part is complete.
fn write_services(records: &Records, table: &Table<'_>, zone: &Zone, walk: &mut ServiceWalk, file: &mut String) {
    while file.len() < PART
        && let Some((key, service)) = walk.service(table)
    {
        if !zone.has(service) {
            walk.pass();
            continue;
        }
        let written = walk.names(service).find(|below| {
            if let Some(name) = full_name(*below, &key, zone) {
                records.write_name(table, &name, file);
            }
            file.len() >= PART
        });
        match written {
            Some(below) => walk.stop_at(below),
            None => walk.pass(),
        }
    }
}

/// Writes names of addresses until the part is complete.
fn write_addresses(records: &Records, table: &Table<'_>, apex: &[u8], after: &mut Option<IpAddr>, file: &mut String) {
    while file.len() < PART {
        let addresses = table.first_reverse_addresses(ADDRESSES_AHEAD, *after);
        if addresses.is_empty() {
            return;
        }
        for address in addresses {
            if file.len() >= PART {
                return;
            }
            *after = Some(address);
            let name = reverse::name_of(address);
            if strip_suffix(&name, apex).is_some() {
                records.write_name(table, &name, file);
            }
        }
    }
}
