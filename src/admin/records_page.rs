//! The page `/records`: Services and their records as JSON, made part by part like a zone file.
//!
//! ```json
//! {"services": [{"namespace": …, "service": …, "kind": …, "names": [{"name": …, "records": […]}]}], "continue": …}
//! ```

use std::fmt::Write;

use super::export::{PART, Records, full_name};
use super::views::{RecordsQuery, quoted};
use super::walk::{Below, Kind, ServiceWalk};
use crate::dns::name::Relative;
use crate::dns::reverse;
use crate::records::{AddressesRef, ServiceKey, ServiceKind, ServiceRecords};
use crate::table::Table;

/// The page in parts, none of them empty.
pub(super) struct RecordsPage {
    records: Records,
    walk: ServiceWalk,
    /// Services that may still be begun.
    left: usize,
    progress: Progress,
    /// The Service that was begun last.
    last: Option<ServiceKey>,
}

/// How far the page is written.
enum Progress {
    Nothing,
    /// Up to the end of a Service, or of the page's beginning.
    BetweenServices,
    /// Within `last`. It may have names already.
    InService {
        has_names: bool,
    },
    Everything,
}

impl RecordsPage {
    /// The first `limit` Services that match `query`, ordered by namespace and name.
    pub fn new(records: Records, query: RecordsQuery, limit: usize) -> Self {
        Self { records, walk: ServiceWalk::new(query), left: limit, progress: Progress::Nothing, last: None }
    }

    /// Writes what comes next.
    fn step(&mut self, records: &Records, table: &Table<'_>, text: &mut String) {
        let next = self.walk.service(table);
        match (&self.progress, next) {
            (Progress::Nothing, _) => {
                *text += "{\"services\":[";
                self.progress = Progress::BetweenServices;
            }
            (Progress::InService { has_names }, Some((key, service))) if self.last.as_ref() == Some(&key) => {
                let has_names = *has_names;
                self.write_names(records, table, (&key, service), has_names, text);
            }
            // The Service is gone.
            (Progress::InService { .. }, _) => self.end_service(text),
            (Progress::BetweenServices, Some((key, service))) if self.left > 0 => {
                self.left -= 1;
                if self.last.is_some() {
                    text.push(',');
                }
                begin_service(&key, service, text);
                self.last = Some(key);
                self.progress = Progress::InService { has_names: false };
            }
            (Progress::BetweenServices, more) => {
                text.push(']');
                if let (Some(_), Some(last)) = (more, &self.last) {
                    // Writing to a string cannot fail.
                    let _ = write!(text, ",\"continue\":{}", quoted(&last.to_string()));
                }
                text.push('}');
                self.progress = Progress::Everything;
            }
            (Progress::Everything, _) => {}
        }
    }

    /// Writes names of a Service until the part is complete or the Service is.
    fn write_names(
        &mut self,
        records: &Records,
        table: &Table<'_>,
        (key, service): (&ServiceKey, &ServiceRecords),
        mut has_names: bool,
        text: &mut String,
    ) {
        let written = self.walk.names(service).find(|below| {
            let forward = records.authority.zones().iter().filter_map(|zone| full_name(*below, key, zone));
            let reverse = reversed(service, *below).iter().map(reverse::name_of);
            for view in forward.chain(reverse).filter_map(|name| records.name_view(table, &name)) {
                if std::mem::replace(&mut has_names, true) {
                    text.push(',');
                }
                // It cannot fail either: a view has nothing that JSON has no form for.
                text.extend(serde_json::to_string(&view));
            }
            text.len() >= PART
        });
        match written {
            Some(below) => {
                self.walk.stop_at(below);
                self.progress = Progress::InService { has_names };
            }
            None => {
                self.walk.pass();
                self.end_service(text);
            }
        }
    }

    fn end_service(&mut self, text: &mut String) {
        *text += "]}";
        self.progress = Progress::BetweenServices;
    }
}

impl Iterator for RecordsPage {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let records = self.records.clone();
        let table = records.table.pin();
        let mut text = String::new();
        while text.len() < PART && !matches!(self.progress, Progress::Everything) {
            self.step(&records, &table, &mut text);
        }
        (!text.is_empty()).then_some(text)
    }
}

fn begin_service(key: &ServiceKey, service: &ServiceRecords, text: &mut String) {
    let kind = service.kind.name();
    let [namespace, name] = [key.namespace(), key.name()].map(|label| quoted(&Relative(label).to_string()));
    // Writing to a string cannot fail.
    let _ = write!(text, "{{\"namespace\":{namespace},\"service\":{name},\"kind\":\"{kind}\",\"names\":[");
}

/// The addresses whose PTR records lead back to a name, as [`ServiceRecords::reverse_names`] has them.
fn reversed<'s>(service: &'s ServiceRecords, (kind, label): Below<'_>) -> AddressesRef<'s> {
    match (kind, &service.kind) {
        (Kind::Bare, ServiceKind::ClusterIp) => service.addresses.borrowed(),
        (Kind::Host, ServiceKind::Headless) => service.hosts.get(label).unwrap_or_default(),
        _ => AddressesRef::default(),
    }
}
