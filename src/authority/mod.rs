//! Decides what a question is answered with: response code, sections, and the reason.
//!
//! ```text
//! Question ─▶ the zone it is in ─▶ its form (owner.rs) ─▶ what the table holds there ─▶ Answer (answer.rs)
//!                                                      for clients with EDNS: explain.rs ─▶ extended errors (ede_text.rs)
//! ```
//!
//! Answering is synchronous, total (any name, type and class has an answer) and allocates nothing: an [`Answer`] borrows
//! from the pinned [`Table`]. The rules are those of the *Kubernetes DNS-Based Service Discovery* specification, schema
//! version 1.1.0, and of the RFCs quoted where they are obeyed.

mod answer;
mod contents;
mod ede_text;
mod elsewhere;
mod explain;
mod owner;
mod presentation;
mod zone;

pub use answer::{
    ALIAS_LIMIT, Additional, Aliases, Answer, Data, PtrSet, Rrset, SRV_PRIORITY, SRV_WEIGHT, Soa, SrvSet, Suffix,
};
pub use contents::Place;
pub use ede_text::{Ede, EdeText, Errors};
pub use elsewhere::Elsewhere;
pub use explain::About;
pub use presentation::{AbsoluteName, RecordText};
pub use zone::{Identity, Options, PublicView, Zone, ZoneKind};

use crate::dns::name::{self, Label, Name, NameParts};
use crate::dns::reverse::ReverseName;
use crate::dns::wire::{Class, EdeCode, Owner, Question, Rcode, RrType};
use crate::records::{Addresses, AddressesRef, ServiceKind, ServiceRecords};
use crate::table::Table;
use owner::OwnerName;

/// Version of the schema that is served (specification section 2.2), as `dns-version.ZONE` gives it.
const SCHEMA_VERSION: &[u8] = b"1.1.0";
/// Why a name is not answered here.
const OUT_OF_ZONE: &str = "the name is in no zone of this server";
const NOT_MIRRORED: &str = "this server does not mirror this part of the zone";
/// What stands for all records of a name (RFC 8482 section 4.2).
const ANY_CPU: &[u8] = b"RFC8482";

/// The zones of one server and their apex records.
#[derive(Debug)]
pub struct Authority {
    /// Zones of Services, at least one; the first is the one that reverse look-ups lead to.
    zones: Vec<Zone>,
    reverse_zones: Vec<Zone>,
    public: Option<Zone>,
    name_server: Addresses,
    identity: Identity,
    /// The watched namespaces; all of them if empty.
    namespaces: Vec<Label>,
    /// Only headless Services are watched.
    headless_only: bool,
    ttl: u32,
    negative_ttl: u32,
    /// Whether others are asked for what is not mirrored.
    is_forwarding: bool,
}

/// What stands at a name.
#[derive(Clone, Copy)]
enum Node<'t> {
    /// Neither the name nor one below it exists (RFC 8020).
    Absent,
    /// Not mirrored here, whatever the table holds: others know.
    Foreign,
    /// Not in the table, so that others may know.
    NotHeld,
    /// The name exists and owns no record: an empty non-terminal (RFC 4592 section 2.2.2).
    Empty,
    Apex,
    Addresses(AddressesRef<'t>),
    /// The bare name of a Service: addresses, and SRV records for every port.
    Service {
        addresses: AddressesRef<'t>,
        srv: SrvSet<'t>,
    },
    Srv(SrvSet<'t>),
    Alias(&'t Name),
    Text(&'static [u8]),
    Ptr(PtrSet<'t>),
}

impl Node<'_> {
    /// Whether it has no record of any type.
    fn owns_nothing(self) -> bool {
        match self {
            Node::Absent | Node::Foreign | Node::NotHeld | Node::Empty => true,
            Node::Addresses(addresses) => addresses.is_empty(),
            // Its endpoints may have names below it before they are ready.
            Node::Service { addresses, srv } => addresses.is_empty() && srv.records.is_empty(),
            Node::Apex | Node::Srv(_) | Node::Alias(_) | Node::Text(_) | Node::Ptr(_) => false,
        }
    }
}

impl Authority {
    /// The answer to one question.
    pub fn answer<'t>(&'t self, table: &'t Table<'_>, question: &Question<'t>) -> Answer<'t> {
        match question.class {
            Class::IN => {}
            Class::CH => return self.identify(question),
            _ => return Answer::bare(Rcode::Refused, None),
        }
        let Some((zone, node)) = self.find(table, question.name) else {
            return Answer::elsewhere(question.qtype, OUT_OF_ZONE);
        };
        let mut answer = self.answer_in(table, zone, node, question);
        answer.zone = Some(zone);
        answer
    }

    /// The answer to a question whose name is in a zone.
    fn answer_in<'t>(
        &'t self,
        table: &'t Table<'_>,
        zone: &'t Zone,
        node: Node<'t>,
        question: &Question<'_>,
    ) -> Answer<'t> {
        if matches!(node, Node::Foreign) {
            return Answer::elsewhere(question.qtype, NOT_MIRRORED);
        }
        if matches!(question.qtype, RrType::AXFR | RrType::IXFR) {
            let ede = Ede { code: EdeCode::NotSupported, text: EdeText::Text("zones are not transferred") };
            return Answer::bare(Rcode::Refused, Some(ede));
        }
        if !table.is_synchronised() {
            let text = EdeText::Text("the first synchronisation with the cluster is not complete");
            return Answer::bare(Rcode::ServFail, Some(Ede { code: EdeCode::NotReady, text }));
        }
        if matches!(node, Node::NotHeld) {
            return Answer { is_of_table: true, ..Answer::elsewhere(question.qtype, NOT_MIRRORED) };
        }
        self.answer_from(table, zone, node, question)
    }

    /// Follows aliases as far as our zones go (RFC 1034 section 4.3.2 step 3a) and answers with what the last leads to.
    fn answer_from<'t>(
        &'t self,
        table: &'t Table<'_>,
        zone: &'t Zone,
        node: Node<'t>,
        question: &Question<'_>,
    ) -> Answer<'t> {
        let qtype = question.qtype;
        let mut answer = Answer { authoritative: true, is_of_table: true, ..Answer::bare(Rcode::NoError, None) };
        answer.aliases.ttl = self.ttl;
        let (mut zone, mut node, mut owner) = (zone, node, Owner::Question);
        while let Node::Alias(target) = node {
            // A target that has been an owner closes a loop.
            let is_loop = target.as_wire() == question.name || answer.aliases.targets.contains(&target);
            answer.aliases.targets.push(target);
            // An alias is the whole answer to a question for it, and to ANY (RFC 8482 section 4.2).
            let is_whole = matches!(qtype, RrType::CNAME | RrType::ANY) || answer.aliases.targets.is_full();
            if is_whole || is_loop {
                return answer;
            }
            match self.find(table, target.as_wire()) {
                Some((_, Node::Foreign | Node::NotHeld)) | None => {
                    answer.elsewhere = Self::if_askable(qtype, Elsewhere::Target(target));
                    return answer;
                }
                Some(found) => (zone, node) = found,
            }
            owner = Owner::Name(NameParts::whole(target));
        }
        match self.records(table, zone, node, qtype) {
            Some(data) => {
                answer.records = Some(self.rrset(owner, data));
                answer.additional = self.additional(zone, data);
            }
            None => {
                if matches!(node, Node::Absent) {
                    answer.rcode = Rcode::NxDomain;
                }
                // RFC 2308 section 3: the SOA of a negative answer has the TTL for which the denial may be kept.
                let denied = answer.aliases.targets.last().map_or(question.name, |target| target.as_wire());
                let ttl = if self.is_awaited(table, node, denied) { 0 } else { self.negative_ttl };
                let soa = Data::Soa(zone.soa(table.serial(), ttl));
                let apex = Owner::Name(NameParts::whole(&zone.apex));
                answer.authority = Some(Rrset { ttl, ..self.rrset(apex, soa) });
            }
        }
        answer
    }

    /// Whether records of a name are known to be on their way. No cache may hold its denial, or it would hold up the client that
    /// asks again until the peer is there.
    fn is_awaited(&self, table: &Table<'_>, node: Node<'_>, name: &[u8]) -> bool {
        let is_awaited = |About { service, host }| table.reasons(service).is_some_and(|known| known.is_awaited(host));
        // Of the public view, whoever asks is not told whether the Service exists.
        node.owns_nothing() && self.zone_of(name).is_some() && self.service_of(name).is_some_and(is_awaited)
    }

    fn rrset<'t>(&self, owner: Owner<'t>, data: Data<'t>) -> Rrset<'t> {
        Rrset { owner, class: Class::IN, ttl: self.ttl, data }
    }

    /// The zone that a name is in, and what stands at the name.
    fn find<'t>(&'t self, table: &'t Table<'_>, name: &'t [u8]) -> Option<(&'t Zone, Node<'t>)> {
        if let Some((zone, relative)) = self.zone_of(name).or_else(|| self.public_zone_of(name)) {
            return Some((zone, self.forward(table, zone, relative)));
        }
        let zone = self.reverse_zones.iter().find(|zone| name::strip_suffix(name, zone.apex.as_wire()).is_some())?;
        let node = if name == zone.apex.as_wire() { Node::Apex } else { self.reverse(table, name) };
        Some((zone, node))
    }

    /// The zone of Services that a name is in, and what stands in front of it there.
    fn zone_of<'n>(&self, name: &'n [u8]) -> Option<(&Zone, &'n [u8])> {
        self.zones.iter().find_map(|zone| Some((zone, name::strip_suffix(name, zone.apex.as_wire())?)))
    }

    /// The public view, if a name is in it, and what stands in front of its origin there.
    fn public_zone_of<'n>(&self, name: &'n [u8]) -> Option<(&Zone, &'n [u8])> {
        let zone = self.public.as_ref()?;
        Some((zone, name::strip_suffix(name, zone.apex.as_wire())?))
    }

    /// Whether an alias of a Service is one in a zone too. The public view has none that leads to a name of the cluster: outside,
    /// nobody can resolve it, and nobody has to know it.
    fn has_alias(&self, zone: &Zone, target: &Name) -> bool {
        zone.kind != ZoneKind::Public || self.zone_of(target.as_wire()).is_none()
    }

    fn forward<'t>(&'t self, table: &'t Table<'_>, zone: &'t Zone, relative: &'t [u8]) -> Node<'t> {
        let exists = |exists: bool| if exists { Node::Empty } else { Node::Absent };
        let owner = zone.parse(relative);
        let is_public = zone.kind == ZoneKind::Public;
        if !is_public && let Some(foreign) = self.foreign_node(table, relative, owner) {
            return foreign;
        }
        let service = |key: &[u8]| table.service(key).filter(|service| zone.has(service));
        match owner {
            OwnerName::Apex => Node::Apex,
            OwnerName::DnsVersion => Node::Text(SCHEMA_VERSION),
            OwnerName::Dns | OwnerName::Svc => Node::Empty,
            OwnerName::NameServer => Node::Addresses(self.name_server.borrowed()),
            OwnerName::Namespace(namespace) if is_public => exists(table.has_public_namespace(namespace)),
            OwnerName::Namespace(namespace) => exists(table.has_namespace(namespace)),
            OwnerName::Service(key) => match service(key) {
                Some(service) => self.bare_name(zone, key, service),
                None => Node::Absent,
            },
            OwnerName::Host { service: key, host } => match service(key).and_then(|service| service.hosts.get(host)) {
                Some(addresses) => Node::Addresses(addresses),
                None => Node::Absent,
            },
            OwnerName::Protocol { service: key, protocol } => {
                exists(service(key).is_some_and(|service| service.has_protocol(protocol)))
            }
            OwnerName::Port { service: key, port } => {
                let found = service(key).and_then(|service| Some((service, service.srv.get(port)?)));
                match found {
                    Some((service, records)) => Node::Srv(self.srv_set(zone, key, service, records)),
                    None => Node::Absent,
                }
            }
            OwnerName::Other => Node::Absent,
        }
    }

    fn bare_name<'t>(&self, zone: &'t Zone, key: &'t [u8], service: &'t ServiceRecords) -> Node<'t> {
        match &service.kind {
            ServiceKind::ExternalName(target) if self.has_alias(zone, target) => Node::Alias(target),
            ServiceKind::ExternalName(_) => Node::Absent,
            _ if !service.exists() => Node::Absent,
            _ => Node::Service {
                addresses: service.addresses.borrowed(),
                srv: self.srv_set(zone, key, service, &service.all_srv),
            },
        }
    }

    fn srv_set<'t>(
        &self,
        zone: &'t Zone,
        key: &'t [u8],
        service: &'t ServiceRecords,
        records: &'t [crate::records::Srv],
    ) -> SrvSet<'t> {
        SrvSet { records, service, key, suffix: zone.suffix(), ttl: self.ttl }
    }

    fn reverse<'t>(&'t self, table: &'t Table<'_>, name: &[u8]) -> Node<'t> {
        match ReverseName::parse(name) {
            Some(ReverseName::Address(address)) => match (table.reverse(address), self.zones.first()) {
                (Some(owners), Some(zone)) => Node::Ptr(PtrSet { owners, suffix: zone.suffix() }),
                _ => self.absent_reverse(),
            },
            Some(ReverseName::Prefix(prefix)) if table.has_reverse_below(prefix) => Node::Empty,
            _ => self.absent_reverse(),
        }
    }

    /// The records of the wanted type at a node, if there are any.
    fn records<'t>(&'t self, table: &'t Table<'_>, zone: &'t Zone, node: Node<'t>, qtype: RrType) -> Option<Data<'t>> {
        let found = match (node, qtype) {
            (Node::Absent | Node::Foreign | Node::NotHeld | Node::Empty, _) => return None,
            (node, RrType::ANY) => {
                // RFC 8482: one small record instead of all. A name that owns nothing of its own stays empty.
                return (!node.owns_nothing()).then_some(Data::Hinfo(ANY_CPU, b""));
            }
            (Node::Apex, RrType::SOA) => Data::Soa(zone.soa(table.serial(), self.negative_ttl)),
            (Node::Apex, RrType::NS) => Data::Ns(&zone.name_servers),
            (Node::Addresses(addresses) | Node::Service { addresses, .. }, RrType::A) => Data::A(addresses.v4),
            (Node::Addresses(addresses) | Node::Service { addresses, .. }, RrType::AAAA) => Data::Aaaa(addresses.v6),
            (Node::Srv(srv) | Node::Service { srv, .. }, RrType::SRV) => Data::Srv(srv),
            (Node::Text(text), RrType::TXT) => Data::Txt(text),
            (Node::Ptr(set), RrType::PTR) => Data::Ptr(set),
            _ => return None,
        };
        (!found.is_empty()).then_some(found)
    }

    fn additional<'t>(&'t self, zone: &'t Zone, data: Data<'t>) -> Additional<'t> {
        match data {
            Data::Srv(srv) => Additional::Targets(srv),
            Data::Ns(_) if !self.name_server.is_empty() && zone.kind == ZoneKind::Forward => {
                let (owner, addresses) = (&zone.name_server, &self.name_server);
                Additional::NameServer { owner, ttl: self.ttl, addresses }
            }
            _ => Additional::None,
        }
    }

    /// What tells this server from its replicas: `id.server` in class CHAOS, and NSID (RFC 5001). None if it is not configured.
    pub fn server_id(&self) -> Option<&[u8]> {
        self.identity.id()
    }

    /// Answers the CHAOS names by which servers are told apart (RFC 4892), as far as they are configured.
    fn identify<'t>(&'t self, question: &Question<'_>) -> Answer<'t> {
        match self.identity.text(question.name) {
            Some(text) if matches!(question.qtype, RrType::TXT | RrType::ANY) => {
                let mut answer = Answer { authoritative: true, ..Answer::bare(Rcode::NoError, None) };
                answer.records =
                    Some(Rrset { owner: Owner::Question, class: Class::CH, ttl: 0, data: Data::Txt(text) });
                answer
            }
            _ => Answer::bare(Rcode::Refused, None),
        }
    }
}
