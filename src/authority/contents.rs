//! What a zone holds, record by record: for zone transfers. A record is here if and only if a query for its owner and type is
//! answered with it.

use std::net::IpAddr;
use std::{iter, slice};

use super::owner;
use super::{Authority, Data, Rrset, SCHEMA_VERSION, SrvSet, Zone, ZoneKind};
use crate::dns::name::{NameParts, strip_suffix};
use crate::dns::reverse;
use crate::dns::wire::Owner;
use crate::records::{OwnData, OwnRecord, ServiceRecords};

/// Where the names of a Service are.
#[derive(Clone, Copy)]
pub struct Place<'t> {
    pub zone: &'t Zone,
    /// `service.namespace` as labels in wire form.
    pub key: &'t [u8],
}

impl Authority {
    /// The zone of this name, of whatever kind.
    pub fn zone_at(&self, apex: &[u8]) -> Option<&Zone> {
        self.all_zones().find(|zone| zone.apex.as_wire() == apex)
    }

    /// The SOA record of a version of a zone.
    pub fn soa<'t>(&'t self, zone: &'t Zone, serial: u32) -> Rrset<'t> {
        let apex = Owner::Name(NameParts::whole(&zone.apex));
        self.rrset(apex, Data::Soa(zone.soa(serial, self.negative_ttl)))
    }

    /// The records of a zone that are no Service's, but for the SOA record.
    pub fn own_records<'t>(&'t self, zone: &'t Zone) -> impl Iterator<Item = Rrset<'t>> {
        let apex = Owner::Name(NameParts::whole(&zone.apex));
        let below = |labels| Owner::Name(NameParts([labels, zone.apex.as_wire(), &[], &[]]));
        let v4 = self.name_server.v4.iter().map(|address| Data::A(slice::from_ref(address)));
        let v6 = self.name_server.v6.iter().map(|address| Data::Aaaa(slice::from_ref(address)));
        let server = v4.chain(v6).map(move |data| (below(owner::NS_DNS), data));
        let version = iter::once((below(owner::DNS_VERSION), Data::Txt(SCHEMA_VERSION)));
        let forward = (zone.kind == ZoneKind::Forward).then(|| version.chain(server)).into_iter().flatten();
        let ns = zone.name_servers.iter().map(move |name| (apex, Data::Ns(slice::from_ref(name))));
        ns.chain(forward).map(|(owner, data)| self.rrset(owner, data))
    }

    /// Every record of a Service that may be in the zone.
    pub fn each_record<'s>(zone: &Zone, service: &'s ServiceRecords) -> impl Iterator<Item = OwnRecord<'s>> + use<'s> {
        let is_reverse = zone.kind == ZoneKind::Reverse;
        let forward = (!is_reverse && zone.has(service)).then(|| service.each());
        let reverse = is_reverse.then(|| service.each_reverse());
        forward.into_iter().flatten().chain(reverse.into_iter().flatten())
    }

    /// Calls `write` with a record of a Service as it is in the zone, and returns what that returns; none if the zone cannot have it.
    pub fn with_record<R>(
        &self,
        Place { zone, key }: Place<'_>,
        service: &ServiceRecords,
        record: &OwnRecord<'_>,
        write: impl FnOnce(&Rrset<'_>) -> R,
    ) -> Option<R> {
        let OwnRecord { owner: labels, data } = *record;
        if let OwnData::Reverse(address) = data {
            let name = reverse::name_of(address);
            strip_suffix(&name, zone.apex.as_wire())?;
            // Reverse names lead to the first zone.
            let [svc, forward] = self.zones.first()?.suffix().0;
            let target = NameParts([labels, key, svc, forward]).checked()?;
            let owner = Owner::Name(NameParts([&name, &[], &[], &[]]));
            return Some(write(&self.rrset(owner, Data::OnePtr(target))));
        }
        if !owner::is_own(labels) {
            return None;
        }
        let suffix = zone.suffix();
        let [svc, apex] = suffix.0;
        let owner = Owner::Name(NameParts([labels, key, svc, apex]).checked()?);
        let data = match &data {
            OwnData::Address(IpAddr::V4(address)) => Data::A(slice::from_ref(address)),
            OwnData::Address(IpAddr::V6(address)) => Data::Aaaa(slice::from_ref(address)),
            OwnData::Alias(target) if self.has_alias(zone, target) => Data::Cname(target),
            OwnData::Alias(_) => return None,
            OwnData::Srv(srv, _) => {
                let set = SrvSet { records: slice::from_ref(srv), service, key, suffix, ttl: self.ttl };
                set.target(srv)?;
                Data::Srv(set)
            }
            // Read above.
            OwnData::Reverse(_) => return None,
        };
        Some(write(&self.rrset(owner, data)))
    }
}
