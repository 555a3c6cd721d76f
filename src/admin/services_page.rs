//! The page `/services`: which Services there are, a few at a time, found by any word that a person knows of them.
//!
//! ```text
//! redis            whose name or namespace contains it, as do default/redis and redis.default
//! redis-0          that have an endpoint of this name, present or absent
//! 10.1.0.10        to which the address leads back
//! redis-0.redis.default.svc.cluster.local   that the name is about
//! ```
//!
//! Each page costs one pass over the names of all Services. It asks nothing of the index.

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use crate::authority::Authority;
use crate::dns::name::{Label, Name, Relative};
use crate::records::reasons::ServiceReason;
use crate::records::{ServiceKey, ServiceKind};
use crate::table::{KnownService, PtrTargets, Table};

/// Services on a page by default, and the most.
pub(super) const DEFAULT: usize = 50;
pub(super) const MOST: usize = 200;
/// Words that are looked for. Further ones are ignored.
const MOST_WORDS: usize = 8;

/// Which Services to show.
#[derive(Clone, Debug, Default)]
pub(super) struct ServicesQuery {
    /// Words that all have to fit.
    pub search: String,
    /// Only those with absent names.
    pub absent: bool,
    /// Only those that sort after this namespace and name.
    pub after: Option<(String, String)>,
    pub limit: usize,
}

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct ServicesPage {
    /// Services that are known, and those that fit, whatever page they are on.
    known: usize,
    fitting: usize,
    services: Vec<ServiceRow>,
    /// Where the next page begins; none at the end.
    r#continue: Option<String>,
}

/// A Service.
#[derive(Debug, Serialize)]
struct ServiceRow {
    namespace: String,
    service: String,
    /// None if it is not served.
    kind: Option<&'static str>,
    /// The virtual addresses, or the name of which it is an alias.
    target: Option<String>,
    /// Endpoints with a name.
    endpoints: usize,
    /// Endpoints whose name is absent.
    absent: usize,
    /// Whether its own name has records.
    resolves: bool,
    /// Why its names are absent, or the name of its first absent endpoint.
    why: Option<String>,
}

impl ServicesPage {
    pub fn new(table: &Table<'_>, authority: &Authority, query: &ServicesQuery) -> Self {
        let words: Vec<_> =
            query.search.split_whitespace().take(MOST_WORDS).map(|word| Word::new(word, table, authority)).collect();
        let (mut known, mut fitting, mut behind) = (0, 0, 0);
        let after = query.after.as_ref().map(|(namespace, name)| (namespace.as_bytes(), name.as_bytes()));
        let mut text = String::new();
        let services = table.first_known_services(query.limit, |service| {
            known += 1;
            let fits = (!query.absent || service.reasons.is_some()) && {
                write_names(service.key, &mut text);
                words.iter().all(|word| word.fits(service, &text))
            };
            if !fits {
                return false;
            }
            fitting += 1;
            let is_behind = after.is_none_or(|after| service.key.in_text_order() > after);
            behind += usize::from(is_behind);
            is_behind
        });
        let has_more = behind > services.len();
        let last = services.last().filter(|_| has_more).map(|service| service.key.to_string());
        Self { known, fitting, services: services.into_iter().map(ServiceRow::new).collect(), r#continue: last }
    }
}

/// Replaces `text` by the names of a Service by which it is looked for.
fn write_names(key: &ServiceKey, text: &mut String) {
    text.clear();
    // Writing to a string cannot fail.
    let _ = write!(text, "{key} {}", Relative(key.as_wire()));
}

/// A word to look for.
struct Word {
    /// In lower case, as names are.
    text: String,
    /// The same, if it may be the label of an endpoint.
    host: Option<Label>,
    /// The Services that it leads to as an address or as a whole name.
    leads_to: Vec<ServiceKey>,
}

impl Word {
    fn new(word: &str, table: &Table<'_>, authority: &Authority) -> Self {
        let text = word.to_lowercase();
        let leads_to = match text.parse::<IpAddr>() {
            Ok(address) => {
                let targets = table.reverse(address).into_iter().flat_map(PtrTargets::names);
                targets.map(|[_, service]| ServiceKey::of_wire(service)).collect()
            }
            Err(_) => {
                let name = Name::parse(&text).ok();
                let about = name.as_ref().and_then(|name| authority.service_of(name.as_wire()));
                about.map(|about| ServiceKey::of_wire(about.service)).into_iter().collect()
            }
        };
        Self { host: Label::parse(&text).ok(), text, leads_to }
    }

    fn fits(&self, service: &KnownService<'_>, names: &str) -> bool {
        names.contains(&self.text)
            || self.leads_to.contains(service.key)
            || self.host.as_ref().is_some_and(|host| {
                service.records.is_some_and(|records| records.hosts.get(host.as_wire()).is_some())
                    || service.reasons.is_some_and(|reasons| reasons.hosts.contains_key(host.as_wire()))
            })
            || service.reasons.is_some_and(|reasons| match &reasons.service {
                Some(ServiceReason::Missing { wanted_by, .. }) => *wanted_by.pod == *self.text,
                _ => false,
            })
    }
}

impl ServiceRow {
    fn new(service: KnownService<'_>) -> Self {
        let KnownService { key, records, reasons } = service;
        let target = records.and_then(|records| match &records.kind {
            ServiceKind::Headless => None,
            ServiceKind::ClusterIp => {
                let addresses: Vec<_> = records.addresses.iter().map(|address| address.to_string()).collect();
                Some(addresses.join(" "))
            }
            ServiceKind::ExternalName(name) => Some(name.to_string()),
        });
        let why = reasons.and_then(|reasons| {
            let of_first_host = || reasons.of_host(reasons.hosts.first_key_value()?.0.as_wire());
            reasons.of_service().or_else(of_first_host).map(|reason| reason.to_string())
        });
        Self {
            namespace: Relative(key.namespace()).to_string(),
            service: Relative(key.name()).to_string(),
            kind: records.map(|records| records.kind.name()),
            target,
            endpoints: records.map_or(0, |records| records.hosts.len()),
            absent: reasons.map_or(0, |reasons| reasons.hosts.len()),
            resolves: records.is_some_and(|records| {
                !records.addresses.is_empty() || matches!(records.kind, ServiceKind::ExternalName(_))
            }),
            why,
        }
    }
}
