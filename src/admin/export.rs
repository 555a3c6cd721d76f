//! The served records as zone files and as the views of the admin pages.
//!
//! Names are enumerated from the table. The records at each name come from [`Authority::records_at`], so an export cannot
//! differ from the answers.

use std::fmt::Write;
use std::sync::Arc;

use jiff::Timestamp;

use super::views::{NameView, RecordView, RecordsQuery, ServiceView};
use crate::authority::{AbsoluteName, Authority, RecordText};
use crate::dns::name::{self, Name, Relative, strip_suffix};
use crate::dns::reverse;
use crate::records::{ServiceKey, ServiceKind, ServiceRecords};
use crate::table::{Table, TableReader};

/// The records that a server serves.
pub struct Records {
    authority: Arc<Authority>,
    table: TableReader,
}

impl Records {
    pub fn new(authority: Arc<Authority>, table: TableReader) -> Self {
        Self { authority, table }
    }

    /// The zones that are served, forward and reverse.
    pub fn zones(&self) -> Vec<Name> {
        let zones = self.authority.zones().iter().chain(self.authority.reverse_zones());
        zones.map(|zone| zone.apex().clone()).collect()
    }

    /// Since when answers are stale, if they are. Returns at once; the other methods may take seconds in a large cluster.
    pub fn stale_since(&self) -> Option<Timestamp> {
        self.table.pin().stale_since()
    }

    /// The first `limit` Services that match `query`, ordered by namespace and name.
    pub fn services(&self, query: &RecordsQuery, limit: usize) -> Vec<ServiceView> {
        let table = self.table.pin();
        let matches =
            |key: &ServiceKey| query.matches(&Relative(key.namespace()).to_string(), &Relative(key.name()).to_string());
        let services = table.services().into_iter().filter(|(key, _)| matches(key)).take(limit);
        services.map(|(key, service)| self.service_view(&table, key, service)).collect()
    }

    /// The zone as a zone file (RFC 1035 section 5), or None if it is not served.
    pub fn zone_file(&self, zone: &Name) -> Option<String> {
        let mut zones = self.authority.zones().iter().chain(self.authority.reverse_zones());
        let apex = zones.find(|served| served.apex() == zone)?.apex().as_wire();
        let table = self.table.pin();
        let mut file = String::new();
        for name in self.names_in(&table, apex) {
            for RecordText { rr_type, ttl, data } in self.authority.records_at(&table, &name) {
                // Writing to a string cannot fail.
                let _ = writeln!(file, "{}\t{ttl}\tIN\t{rr_type}\t{data}", AbsoluteName(&name));
            }
        }
        Some(file)
    }

    fn service_view(&self, table: &Table<'_>, key: &ServiceKey, service: &ServiceRecords) -> ServiceView {
        let mut names = Vec::new();
        for zone in self.authority.zones() {
            for name in names_of(key, service, zone.apex().as_wire()) {
                names.extend(self.name_view(table, &name));
            }
        }
        let addresses = service.reverse_names().flat_map(|(_, addresses)| addresses.iter());
        names.extend(addresses.filter_map(|address| self.name_view(table, &reverse::name_of(address))));
        let kind = match service.kind {
            ServiceKind::Headless => "Headless",
            ServiceKind::ClusterIp => "ClusterIP",
            ServiceKind::ExternalName(_) => "ExternalName",
        };
        ServiceView {
            namespace: Relative(key.namespace()).to_string(),
            service: Relative(key.name()).to_string(),
            kind,
            names,
        }
    }

    /// The records of a name, or None if it owns none.
    fn name_view(&self, table: &Table<'_>, name: &[u8]) -> Option<NameView> {
        let records: Vec<_> = self.authority.records_at(table, name).into_iter().map(RecordView::from).collect();
        (!records.is_empty()).then(|| NameView { name: AbsoluteName(name).to_string(), records })
    }

    /// Every name in a zone that may own records, its apex first.
    fn names_in(&self, table: &Table<'_>, apex: &[u8]) -> Vec<Vec<u8>> {
        let mut names = vec![apex.to_vec()];
        if self.authority.zones().iter().any(|zone| zone.apex().as_wire() == apex) {
            names.push([b"\x0bdns-version", apex].concat());
            names.push([b"\x02ns\x03dns", apex].concat());
            names.extend(table.services().into_iter().flat_map(|(key, service)| names_of(key, service, apex)));
        } else {
            let owners = table.reverse_addresses().into_iter().map(reverse::name_of);
            names.extend(owners.filter(|name| strip_suffix(name, apex).is_some()));
        }
        names
    }
}

/// The names of a Service below a zone: the bare name, its hosts, its ports.
fn names_of(key: &ServiceKey, service: &ServiceRecords, apex: &[u8]) -> Vec<Vec<u8>> {
    let below = |label: &[u8]| [label, key.as_wire(), b"\x03svc", apex].concat();
    let labels = service.hosts.labels().chain(service.srv.owners());
    std::iter::once(below(b"")).chain(labels.map(below)).filter(|name| name.len() <= name::MAX_NAME).collect()
}
