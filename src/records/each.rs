//! The records of a Service one by one, and whether another state of the Service has the same ones: what zone transfers are made
//! of.

use std::net::IpAddr;

use super::{AddressesRef, ServiceKind, ServiceRecords, Srv, SrvTarget};
use crate::dns::name::Name;

/// One record of a Service. Its owner is the label or the labels in front of the Service's name in wire form, none for the bare
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnRecord<'s> {
    pub owner: &'s [u8],
    pub data: OwnData<'s>,
}

/// The data of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnData<'s> {
    Address(IpAddr),
    Alias(&'s Name),
    /// With the target's label in wire form, none for the bare name.
    Srv(&'s Srv, &'s [u8]),
    /// The address leads back to the owner: a PTR record of a reverse zone.
    Reverse(IpAddr),
}

impl ServiceRecords {
    /// Every record below a zone of Services, each once, in an order that is always the same.
    pub fn each(&self) -> impl Iterator<Item = OwnRecord<'_>> {
        let alias = match &self.kind {
            ServiceKind::ExternalName(target) => Some(OwnRecord { owner: &[], data: OwnData::Alias(target) }),
            _ => None,
        };
        let bare = of_addresses(&[], self.addresses.borrowed()).chain(self.each_srv(&[], &self.all_srv));
        let hosts = self.hosts.iter().flat_map(|(label, addresses)| of_addresses(label, addresses));
        let ports = self.srv.iter().flat_map(|(owner, records)| self.each_srv(owner, records));
        alias.into_iter().chain(bare).chain(hosts).chain(ports)
    }

    /// Every record of reverse zones, each once, in an order that is always the same.
    pub fn each_reverse(&self) -> impl Iterator<Item = OwnRecord<'_>> {
        self.reverse_names().flat_map(|(owner, addresses)| {
            addresses.iter().map(move |address| OwnRecord { owner, data: OwnData::Reverse(address) })
        })
    }

    fn each_srv<'s>(&'s self, owner: &'s [u8], records: &'s [Srv]) -> impl Iterator<Item = OwnRecord<'s>> {
        let targeted = |srv: &'s Srv| Some(OwnData::Srv(srv, self.target(srv.target)?.0));
        records.iter().filter_map(targeted).map(move |data| OwnRecord { owner, data })
    }

    /// Whether a record that another state of this Service has is one of this state too.
    pub fn has(&self, OwnRecord { owner, data }: &OwnRecord<'_>) -> bool {
        match data {
            OwnData::Alias(target) => matches!(&self.kind, ServiceKind::ExternalName(own) if own == *target),
            OwnData::Address(address) if owner.is_empty() => self.addresses.borrowed().contains(*address),
            OwnData::Address(address) => self.hosts.get(owner).is_some_and(|own| own.contains(*address)),
            OwnData::Srv(srv, label) => {
                let records = if owner.is_empty() { Some(&*self.all_srv) } else { self.srv.get(owner) };
                let target = if label.is_empty() {
                    Some(SrvTarget::Service)
                } else {
                    self.hosts.position(label).map(SrvTarget::Host)
                };
                let (Some(records), Some(target)) = (records, target) else { return false };
                records.binary_search_by_key(&(target, srv.port), |own| (own.target, own.port)).is_ok()
            }
            OwnData::Reverse(address) => match self.kind {
                ServiceKind::Headless => self.hosts.get(owner).is_some_and(|own| own.contains(*address)),
                ServiceKind::ClusterIp => owner.is_empty() && self.addresses.borrowed().contains(*address),
                ServiceKind::ExternalName(_) => false,
            },
        }
    }

    /// How many records [`ServiceRecords::each`] has.
    pub fn count(&self) -> usize {
        let hosts: usize = self.hosts.iter().map(|(_, addresses)| addresses.len()).sum();
        let ports: usize = self.srv.iter().map(|(_, records)| records.len()).sum();
        let alias = usize::from(matches!(self.kind, ServiceKind::ExternalName(_)));
        alias + self.addresses.borrowed().len() + self.all_srv.len() + hosts + ports
    }

    /// How many records [`ServiceRecords::each_reverse`] has, of IPv4 and of IPv6 addresses.
    pub fn count_reverse(&self) -> (usize, usize) {
        let of_each = self.reverse_names().map(|(_, addresses)| (addresses.v4.len(), addresses.v6.len()));
        of_each.fold((0, 0), |(v4, v6), (more_v4, more_v6)| (v4 + more_v4, v6 + more_v6))
    }

    /// The memory that these records take, octets, without what the allocator adds.
    pub fn octets(&self) -> usize {
        let shared = |records: &[Srv]| std::ptr::eq(records.as_ptr(), self.all_srv.as_ptr());
        let ports = self.srv.iter().map(|(owner, records)| {
            owner.len() + size_of_val(owner) + if shared(records) { 0 } else { size_of_val(records) }
        });
        size_of::<Self>()
            + self.addresses.octets()
            + self.hosts.octets()
            + size_of_val(&*self.all_srv)
            + ports.sum::<usize>()
    }
}

fn of_addresses<'s>(owner: &'s [u8], addresses: AddressesRef<'s>) -> impl Iterator<Item = OwnRecord<'s>> + use<'s> {
    addresses.iter().map(move |address| OwnRecord { owner, data: OwnData::Address(address) })
}
