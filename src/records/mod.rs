//! The records of a Service: every RRset of its names, immutable and ready to be encoded.
//!
//! Names are relative to the zone, because each Service is served under every configured zone; `crate::authority` completes
//! them. Addresses are stored one after the other in network order, which is their wire form.

mod each;
mod hosts;
mod key;
pub mod reasons;
mod stale;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

pub use each::{OwnData, OwnRecord};
pub use hosts::{Hosts, LabelHash};
pub use key::ServiceKey;
pub use stale::{Silence, Stale};

use crate::dns::name::{Labels, Name};

/// The A and the AAAA RRset of one name; each may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub v4: Box<[Ipv4Addr]>,
    pub v6: Box<[Ipv6Addr]>,
}

impl Addresses {
    pub fn borrowed(&self) -> AddressesRef<'_> {
        AddressesRef { v4: &self.v4, v6: &self.v6 }
    }

    pub fn is_empty(&self) -> bool {
        self.borrowed().is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.borrowed().iter()
    }

    /// The memory that they take, octets.
    pub(super) fn octets(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6)
    }
}

/// Borrowed [`Addresses`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressesRef<'a> {
    pub v4: &'a [Ipv4Addr],
    pub v6: &'a [Ipv6Addr],
}

impl<'a> AddressesRef<'a> {
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether an address is one of them. They are sorted, as [`Addresses`] are.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.v4.binary_search_by_key(&address.to_bits(), |own| own.to_bits()).is_ok(),
            IpAddr::V6(address) => self.v6.binary_search(&address).is_ok(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + use<'a> {
        self.v4.iter().copied().map(IpAddr::V4).chain(self.v6.iter().copied().map(IpAddr::V6))
    }
}

impl FromIterator<IpAddr> for Addresses {
    /// Sorts and deduplicates, so that equal sets are equal values.
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
        }
        v4.sort_unstable_by_key(|address: &Ipv4Addr| address.to_bits());
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Self { v4: v4.into(), v6: v6.into() }
    }
}

/// The kind of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// `clusterIP: None`: the bare name has the addresses of the endpoints.
    Headless,
    /// The bare name has the virtual addresses of the Service.
    ClusterIp,
    /// The bare name is an alias (CNAME) of this one.
    ExternalName(Name),
}

impl ServiceKind {
    /// As people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Headless => "Headless",
            Self::ClusterIp => "ClusterIP",
            Self::ExternalName(_) => "ExternalName",
        }
    }
}

/// One SRV record. Priority and weight are the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    pub port: u16,
    pub target: SrvTarget,
}

/// The target of an SRV record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SrvTarget {
    /// The bare name of the Service.
    Service,
    /// The host at this position of [`ServiceRecords::hosts`], in the order of labels.
    Host(u32),
}

/// SRV records by owner, the two labels `_port._protocol` in wire form. Few Services have more than one or two owners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SrvByOwner(Box<[OwnedSrv]>);

/// An owner and its records.
type OwnedSrv = (Box<[u8]>, Arc<[Srv]>);

impl SrvByOwner {
    pub fn get(&self, owner: &[u8]) -> Option<&[Srv]> {
        let position = self.0.binary_search_by(|(other, _)| (**other).cmp(owner)).ok()?;
        Some(&self.0.get(position)?.1)
    }

    /// The owners and their records, by owner.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[Srv])> {
        self.0.iter().map(|(owner, records)| (&**owner, &**records))
    }

    /// The owners, in order.
    pub fn owners(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|(owner, _)| &**owner)
    }
}

impl FromIterator<OwnedSrv> for SrvByOwner {
    /// From owners in any order, each once.
    fn from_iter<I: IntoIterator<Item = OwnedSrv>>(sets: I) -> Self {
        let mut sets: Box<[_]> = sets.into_iter().collect();
        sets.sort_unstable();
        Self(sets)
    }
}

/// All RRsets of one Service. They are published together, so that no reader sees old addresses with new SRV records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecords {
    pub kind: ServiceKind,
    /// The bare name's addresses.
    pub addresses: Addresses,
    /// The names of endpoints, by label.
    pub hosts: Hosts,
    /// The SRV records of named ports, each set sorted by target and port.
    pub srv: SrvByOwner,
    /// The SRV records of the bare name: those of every port, named or not, sorted in the same way. Shared with `srv` where there is one port.
    pub all_srv: Arc<[Srv]>,
    /// Whether the public view has them too.
    pub is_public: bool,
}

impl ServiceRecords {
    /// The records of a Service without addresses.
    pub fn empty(kind: ServiceKind) -> Self {
        Self {
            kind,
            addresses: Addresses::default(),
            hosts: Hosts::default(),
            srv: SrvByOwner::default(),
            all_srv: Arc::default(),
            is_public: false,
        }
    }

    /// Whether the bare name or a name below it has a record.
    pub fn exists(&self) -> bool {
        matches!(self.kind, ServiceKind::ExternalName(_)) || !self.addresses.is_empty() || !self.hosts.is_empty()
    }

    /// Whether a name `_port.PROTOCOL.` exists below the Service, `protocol` being one label in wire form.
    pub fn has_protocol(&self, protocol: &[u8]) -> bool {
        self.srv.owners().any(|owner| Labels(owner).nth(1) == Some(protocol))
    }

    /// The label of an SRV target, empty for the bare name, and its addresses.
    pub fn target(&self, target: SrvTarget) -> Option<(&[u8], AddressesRef<'_>)> {
        match target {
            SrvTarget::Service => Some((&[], self.addresses.borrowed())),
            SrvTarget::Host(position) => self.hosts.at(position),
        }
    }

    /// The names that PTR records lead to, sorted, with their addresses: the label in front of the Service's name, empty for
    /// the bare name. A headless Service has reverse names for its endpoints, any other only for its virtual addresses:
    /// several PTR records for one Pod break programs that check reverse look-ups strictly.
    pub fn reverse_names(&self) -> impl Iterator<Item = (&[u8], AddressesRef<'_>)> {
        let hosts = matches!(self.kind, ServiceKind::Headless).then(|| self.hosts.iter());
        let bare = matches!(self.kind, ServiceKind::ClusterIp).then(|| ([].as_slice(), self.addresses.borrowed()));
        bare.into_iter().chain(hosts.into_iter().flatten())
    }

    /// Those of the reverse names of one address whose label has this hash.
    pub fn reverse_names_of(&self, address: IpAddr, hash: LabelHash) -> impl Iterator<Item = &[u8]> {
        let hosts = matches!(self.kind, ServiceKind::Headless).then(|| self.hosts.labels_of(address, hash));
        let bare = matches!(self.kind, ServiceKind::ClusterIp) && self.addresses.iter().any(|other| other == address);
        bare.then_some([].as_slice()).into_iter().chain(hosts.into_iter().flatten())
    }
}
