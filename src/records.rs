//! What the table holds: for one Service, every RRset that its names answer with, immutable and ready to be written.
//!
//! Names are kept relative to the zone, because the same Service is served under each configured zone; the authority
//! completes them (see `crate::authority`). Addresses are kept in network order, one after the other, which is their
//! wire form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::name::{self, Label, Labels, Name, NameError};

/// Namespace and name of a Service, kept as the two labels `name.namespace` in wire form: a slice of the question.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceKey(Box<[u8]>);

impl ServiceKey {
    pub fn new(namespace: &Label, name: &Label) -> Self {
        Self([name.as_wire(), namespace.as_wire()].concat().into())
    }

    /// The key of two labels in lower-case wire form, as a question has them.
    pub fn of_wire(name: &[u8], namespace: &[u8]) -> Self {
        Self([name, namespace].concat().into())
    }

    /// The two labels, `\x02pg\x02db`.
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The Service's own label, with its length octet.
    pub fn name(&self) -> &[u8] {
        Labels(&self.0).next().unwrap_or_default()
    }

    /// The Service's own name, as a person reads it.
    pub fn name_shown(&self) -> impl fmt::Display + '_ {
        name::Shown(self.name())
    }

    /// The namespace, as a person reads it.
    pub fn namespace_shown(&self) -> impl fmt::Display + '_ {
        name::Shown(self.namespace())
    }

    /// The namespace's label, with its length octet.
    pub fn namespace(&self) -> &[u8] {
        Labels(&self.0).nth(1).unwrap_or_default()
    }
}

impl TryFrom<String> for ServiceKey {
    type Error = NameError;

    /// Reads what [`ServiceKey`] is displayed as.
    fn try_from(text: String) -> Result<Self, NameError> {
        let (namespace, name) = text.split_once('/').ok_or(NameError::EmptyLabel)?;
        Ok(Self::new(&Label::parse(namespace)?, &Label::parse(name)?))
    }
}

impl From<ServiceKey> for String {
    fn from(key: ServiceKey) -> Self {
        key.to_string()
    }
}

impl std::borrow::Borrow<[u8]> for ServiceKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ServiceKey {
    /// As `kubectl` writes it, `db/pg`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name::write_relative(f, self.namespace())?;
        f.write_str("/")?;
        name::write_relative(f, self.name())
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceKey({self})")
    }
}

/// The A and the AAAA RRset of one name; each may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub v4: Box<[Ipv4Addr]>,
    pub v6: Box<[Ipv6Addr]>,
}

impl Addresses {
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.v4.iter().copied().map(IpAddr::V4).chain(self.v6.iter().copied().map(IpAddr::V6))
    }
}

impl FromIterator<IpAddr> for Addresses {
    /// Each address once, sorted, so that equal sets are equal values.
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(address),
                IpAddr::V6(address) => v6.push(address),
            }
        }
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Self { v4: v4.into(), v6: v6.into() }
    }
}

/// What kind of Service the names belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// `clusterIP: None`: the bare name has the addresses of the endpoints.
    Headless,
    /// The bare name has the virtual addresses.
    ClusterIp,
    /// The bare name is an alias (CNAME) of this one.
    ExternalName(Name),
}

/// One SRV record: its port, and the name it points at. Priority and weight are the same for all.
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
    /// The host at this place of [`ServiceRecords::hosts`].
    Host(u32),
}

/// Names keyed by their wire form relative to the Service, in a fixed order.
pub type ByLabel<K, V> = IndexMap<K, V, foldhash::fast::RandomState>;

/// SRV records by the two labels `_port._protocol` in wire form.
pub type SrvByOwner = ByLabel<Box<[u8]>, Box<[Srv]>>;

/// All RRsets of one Service. Published whole, so that no reader sees the addresses of one moment with the SRV records of
/// another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecords {
    pub kind: ServiceKind,
    /// The bare name's addresses.
    pub addresses: Addresses,
    /// The endpoints' own names, by label.
    pub hosts: ByLabel<Label, Addresses>,
    /// The SRV records of named ports.
    pub srv: SrvByOwner,
    /// The SRV records of the bare name: every port, those without a name too.
    pub all_srv: Box<[Srv]>,
}

impl ServiceRecords {
    /// A Service that exists and has no address to answer with.
    pub fn empty(kind: ServiceKind) -> Self {
        Self {
            kind,
            addresses: Addresses::default(),
            hosts: ByLabel::default(),
            srv: ByLabel::default(),
            all_srv: Box::default(),
        }
    }

    /// Whether the bare name owns a record, or a name below it does.
    pub fn exists(&self) -> bool {
        matches!(self.kind, ServiceKind::ExternalName(_)) || !self.addresses.is_empty() || !self.hosts.is_empty()
    }

    /// Whether a name `_port.PROTOCOL.` exists below the Service, `protocol` being one label in wire form.
    pub fn has_protocol(&self, protocol: &[u8]) -> bool {
        self.srv.keys().any(|owner| Labels(owner).nth(1) == Some(protocol))
    }

    /// The address records that an SRV target leads to, and the target's label; none for the bare name.
    pub fn target(&self, target: SrvTarget) -> Option<(&[u8], &Addresses)> {
        match target {
            SrvTarget::Service => Some((&[], &self.addresses)),
            SrvTarget::Host(at) => {
                let (label, addresses) = self.hosts.get_index(usize::try_from(at).ok()?)?;
                Some((label.as_wire(), addresses))
            }
        }
    }

    /// The reverse mappings: each address with the label in front of the Service's name that it leads back to, empty
    /// for the bare name. Headless Services map their endpoints, others their virtual addresses alone: several PTR
    /// records for one Pod break programs that check a reverse look-up strictly.
    pub fn reverse(&self) -> impl Iterator<Item = (IpAddr, &[u8])> + '_ {
        let hosts = matches!(self.kind, ServiceKind::Headless).then_some(&self.hosts);
        let bare = matches!(self.kind, ServiceKind::ClusterIp).then_some(&self.addresses);
        let hosts = hosts.into_iter().flatten();
        hosts
            .flat_map(|(label, addresses)| addresses.iter().map(|address| (address, label.as_wire())))
            .chain(bare.into_iter().flat_map(|addresses| addresses.iter().map(|address| (address, [].as_slice()))))
    }
}
