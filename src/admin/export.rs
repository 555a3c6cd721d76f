//! The records as text: zone files (RFC 1035 section 5) and the views of the admin pages.
//!
//! Names are taken from the table, and what stands at each is what the authority answers: the text cannot say anything
//! else than the server does.

use std::fmt::{self, Write};
use std::sync::Arc;

use jiff::Timestamp;

use crate::admin::{NameView, RecordView, RecordsQuery, RecordsSource, ServiceKind as KindView, ServiceView};
use crate::authority::{Authority, Data, NameParts, Owner, SRV_PRIORITY, SRV_WEIGHT};
use crate::dns::name::{self, Relative, strip_suffix};
use crate::dns::reverse;
use crate::dns::wire::{Class, Question, RrType};
use crate::records::{ServiceKey, ServiceKind, ServiceRecords};
use crate::table::{Table, TableReader};

/// The types of which a name can have records, in the order in which they are written.
const TYPES: [RrType; 8] =
    [RrType::SOA, RrType::NS, RrType::CNAME, RrType::A, RrType::AAAA, RrType::SRV, RrType::TXT, RrType::PTR];

/// The records of a server, as far as it serves them.
pub struct Records {
    authority: Arc<Authority>,
    table: TableReader,
}

/// The records that a name owns, an absolute one in wire form, each as `TYPE data`.
pub fn records_at(authority: &Authority, table: &Table<'_>, name: &[u8]) -> Vec<String> {
    let view = view(authority, table, name);
    let records = view.into_iter().flat_map(|view| view.records);
    records.map(|record| format!("{} {}", record.record_type, record.data)).collect()
}

/// What is answered at a name, an absolute one in wire form; none if it owns nothing.
fn view(authority: &Authority, table: &Table<'_>, name: &[u8]) -> Option<NameView> {
    let mut records = Vec::new();
    for qtype in TYPES {
        let question = Question { name, qtype, class: Class::IN };
        let answer = authority.answer(table, &question);
        let own = answer.answer().filter(|rrset| rrset.owner == Owner::Question && rrset.data.rr_type() == qtype);
        for rrset in own {
            let record_type = qtype.to_string();
            let view = |data| RecordView { record_type: record_type.clone(), ttl: rrset.ttl, data };
            records.extend(texts(&rrset.data).into_iter().map(view));
        }
    }
    (!records.is_empty()).then(|| NameView { name: Absolute(name).to_string(), records })
}

impl Records {
    pub fn new(authority: Arc<Authority>, table: TableReader) -> Self {
        Self { authority, table }
    }

    fn service_view(&self, table: &Table<'_>, key: &ServiceKey, service: &ServiceRecords) -> ServiceView {
        let mut names = Vec::new();
        for zone in self.authority.zones() {
            for name in names_of(key, service, zone.apex().as_wire()) {
                names.extend(view(&self.authority, table, &name));
            }
        }
        let addresses = service.reverse().flat_map(|(_, addresses)| addresses.iter());
        names.extend(addresses.filter_map(|address| view(&self.authority, table, &reverse::name_of(address))));
        let kind = match service.kind {
            ServiceKind::Headless => KindView::Headless,
            ServiceKind::ClusterIp => KindView::ClusterIp,
            ServiceKind::ExternalName(_) => KindView::ExternalName,
        };
        ServiceView {
            namespace: Relative(key.namespace()).to_string(),
            service: Relative(key.name()).to_string(),
            kind,
            names,
        }
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

impl RecordsSource for Records {
    fn services(&self, query: &RecordsQuery, limit: usize) -> Vec<ServiceView> {
        let table = self.table.pin();
        let fits =
            |key: &ServiceKey| query.fits(&Relative(key.namespace()).to_string(), &Relative(key.name()).to_string());
        let services = table.services().into_iter().filter(|(key, _)| fits(key)).take(limit);
        services.map(|(key, service)| self.service_view(&table, key, service)).collect()
    }

    fn zones(&self) -> Vec<String> {
        let zones = self.authority.zones().iter().chain(self.authority.reverse_zones());
        zones.map(|zone| zone.apex().to_string().trim_end_matches('.').to_owned()).collect()
    }

    fn stale_since(&self) -> Option<Timestamp> {
        self.table.pin().stale_since()
    }

    fn zone_file(&self, zone: &str) -> Option<String> {
        let mut zones = self.authority.zones().iter().chain(self.authority.reverse_zones());
        let zone = zones.find(|served| served.apex().to_string().trim_end_matches('.') == zone)?;
        let table = self.table.pin();
        let mut file = String::new();
        for name in self.names_in(&table, zone.apex().as_wire()) {
            if let Some(NameView { name, records }) = view(&self.authority, &table, &name) {
                for RecordView { record_type, ttl, data } in records {
                    // Writing to a string cannot fail.
                    let _ = writeln!(file, "{name}\t{ttl}\tIN\t{record_type}\t{data}");
                }
            }
        }
        Some(file)
    }
}

/// The names of a Service below a zone: the bare name, its hosts, its ports.
fn names_of(key: &ServiceKey, service: &ServiceRecords, apex: &[u8]) -> Vec<Vec<u8>> {
    let below = |label: &[u8]| [label, key.as_wire(), b"\x03svc", apex].concat();
    let labels = service.hosts.labels().chain(service.srv.owners());
    std::iter::once(below(b"")).chain(labels.map(below)).filter(|name| name.len() <= name::MAX_NAME).collect()
}

/// The data of each record of an RRset in presentation form.
fn texts(data: &Data<'_>) -> Vec<String> {
    match data {
        Data::A(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Data::Aaaa(addresses) => addresses.iter().map(ToString::to_string).collect(),
        Data::Srv(set) => {
            let text = |(port, target): (u16, NameParts<'_>)| {
                format!("{SRV_PRIORITY} {SRV_WEIGHT} {port} {}", Absolute(&target.0.concat()))
            };
            set.records.iter().filter_map(|srv| Some((srv.port, set.target(srv)?.0))).map(text).collect()
        }
        Data::Ptr(set) => {
            let mut names: Vec<_> = set.targets().map(|target| Absolute(&target.0.concat()).to_string()).collect();
            names.sort_unstable();
            names
        }
        Data::Cname(target) | Data::Ns(target) => vec![target.to_string()],
        Data::Soa(soa) => vec![format!(
            "{} {} {} {} {} {} {}",
            soa.mname, soa.rname, soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum
        )],
        Data::Txt(text) => vec![format!("\"{}\"", String::from_utf8_lossy(text))],
        Data::Hinfo(cpu, os) => {
            vec![format!("\"{}\" \"{}\"", String::from_utf8_lossy(cpu), String::from_utf8_lossy(os))]
        }
    }
}

/// An absolute name in wire form, to be shown with its final dot.
struct Absolute<'a>(&'a [u8]);

impl fmt::Display for Absolute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name::write_relative(f, self.0)?;
        f.write_str(".")
    }
}
