//! Configuration of the zones: their names, their apex records, the server's identity.

use std::net::IpAddr;

use super::owner::{OwnerName, SVC};
use super::{Authority, Soa, Suffix};
use crate::dns::name::{Label, Name, NameError};
use crate::records::ServiceRecords;

/// Times of the SOA record that only secondary servers use (RFC 1035 section 3.3.13), seconds. One that was told of no version asks
/// for the serial each minute, which is one datagram.
const REFRESH: u32 = 60;
const RETRY: u32 = 10;
const EXPIRE: u32 = 86_400;

/// The most octets in one character-string (RFC 1035 section 3.3).
const MAX_CHARACTER_STRING: usize = 255;

/// A zone of ours.
#[derive(Debug)]
pub struct Zone {
    /// Its place in [`Authority::all_zones`].
    number: usize,
    pub(super) apex: Name,
    pub(super) kind: ZoneKind,
    /// The name server of the SOA record.
    pub(super) name_server: Name,
    /// All of them.
    pub(super) name_servers: Box<[Name]>,
    hostmaster: Name,
}

/// What the names of a zone are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZoneKind {
    /// Those of all Services.
    Forward,
    /// Those of addresses.
    Reverse,
    /// Those of the Services that are public.
    Public,
}

impl Zone {
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Its place in [`Authority::all_zones`].
    pub fn number(&self) -> usize {
        self.number
    }

    pub fn kind(&self) -> ZoneKind {
        self.kind
    }

    /// Whether a Service has names there.
    pub fn has(&self, service: &ServiceRecords) -> bool {
        self.kind != ZoneKind::Public || service.is_public
    }

    /// What follows `service.namespace` in its names.
    pub fn suffix(&self) -> Suffix<'_> {
        let svc = if self.kind == ZoneKind::Public { &[] } else { SVC };
        Suffix([svc, self.apex.as_wire()])
    }

    /// What the part of a name in front of the apex means.
    pub(super) fn parse<'q>(&self, relative: &'q [u8]) -> OwnerName<'q> {
        match self.kind {
            ZoneKind::Public => OwnerName::parse_public(relative),
            ZoneKind::Forward | ZoneKind::Reverse => OwnerName::parse(relative),
        }
    }

    pub(super) fn soa(&self, serial: u32, minimum: u32) -> Soa<'_> {
        Soa {
            mname: &self.name_server,
            rname: &self.hostmaster,
            serial,
            refresh: REFRESH,
            retry: RETRY,
            expire: EXPIRE,
            minimum,
        }
    }
}

/// What the server says about itself in class CHAOS; queries for a text that is not set are refused.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// `version.bind`, `version.server`.
    pub version: Option<String>,
    /// `id.server`, `hostname.bind`, and NSID.
    pub id: Option<String>,
}

impl Identity {
    /// The text of a CHAOS name (RFC 4892), in wire form.
    pub(super) fn text(&self, name: &[u8]) -> Option<&[u8]> {
        match name {
            b"\x07version\x04bind\x00" | b"\x07version\x06server\x00" => self.version.as_deref().map(character_string),
            b"\x02id\x06server\x00" | b"\x08hostname\x04bind\x00" => self.id(),
            _ => None,
        }
    }

    pub(super) fn id(&self) -> Option<&[u8]> {
        self.id.as_deref().map(character_string)
    }
}

/// As much of a text as fits into one character-string.
fn character_string(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(MAX_CHARACTER_STRING)]
}

/// Configuration of an [`Authority`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Zones of Services, at least one.
    pub zones: Vec<Name>,
    pub reverse_zones: Vec<Name>,
    pub public: Option<PublicView>,
    /// Addresses of `ns.dns.ZONE`.
    pub name_server: Vec<IpAddr>,
    /// Mailbox in the SOA records, as a name; `hostmaster.ZONE` by default.
    pub hostmaster: Option<Name>,
    pub identity: Identity,
    /// The watched namespaces; all of them if empty.
    pub namespaces: Vec<Label>,
    /// Only headless Services are watched.
    pub headless_only: bool,
    /// Of records, seconds.
    pub ttl: u32,
    /// Of denials, seconds.
    pub negative_ttl: u32,
}

/// A zone with the names of public Services alone, as those outside the cluster see them.
#[derive(Clone, Debug)]
pub struct PublicView {
    pub origin: Name,
    /// Whom the outside asks, at least one.
    pub name_servers: Vec<Name>,
}

#[cfg(test)]
impl Options {
    /// What the tests of other rooms serve: `cluster.local` and the reverse zone of IPv4.
    pub(crate) fn of_tests() -> Self {
        let zone = |name| vec![Name::parse(name).expect("a name")];
        Self {
            zones: zone("cluster.local"),
            reverse_zones: zone("in-addr.arpa"),
            public: None,
            name_server: Vec::new(),
            hostmaster: None,
            identity: Identity::default(),
            namespaces: Vec::new(),
            headless_only: false,
            ttl: 5,
            negative_ttl: 1,
        }
    }
}

impl Authority {
    /// # Errors
    /// A zone's name leaves no room for the names of its name server and its hostmaster.
    pub fn new(options: Options) -> Result<Self, NameError> {
        let hostmaster = |home: &Name| options.hostmaster.clone().map_or_else(|| home.below("hostmaster"), Ok);
        let zone = |number, apex: &Name, home: &Name, kind| {
            let name_server = home.below("ns.dns")?;
            let name_servers = [name_server.clone()].into();
            Ok(Zone { number, apex: apex.clone(), kind, name_server, name_servers, hostmaster: hostmaster(home)? })
        };
        let public = |PublicView { origin, name_servers }: &PublicView| {
            let name_server = name_servers.first().cloned().ok_or(NameError::Empty)?;
            let (hostmaster, name_servers) = (hostmaster(origin)?, name_servers.clone().into());
            let number = options.zones.len() + options.reverse_zones.len();
            Ok(Zone { number, apex: origin.clone(), kind: ZoneKind::Public, name_server, name_servers, hostmaster })
        };
        let Some(primary) = options.zones.first() else { return Err(NameError::Empty) };
        let forward = (0..).zip(&options.zones).map(|(number, apex)| zone(number, apex, apex, ZoneKind::Forward));
        let reverse = (options.zones.len()..).zip(&options.reverse_zones);
        let reverse = reverse.map(|(number, apex)| zone(number, apex, primary, ZoneKind::Reverse));
        Ok(Self {
            zones: forward.collect::<Result<_, _>>()?,
            reverse_zones: reverse.collect::<Result<_, _>>()?,
            public: options.public.as_ref().map(public).transpose()?,
            name_server: options.name_server.into_iter().collect(),
            identity: options.identity,
            namespaces: options.namespaces,
            headless_only: options.headless_only,
            ttl: options.ttl,
            negative_ttl: options.negative_ttl,
            is_forwarding: false,
        })
    }

    /// The zones of Services.
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    pub fn reverse_zones(&self) -> &[Zone] {
        &self.reverse_zones
    }

    /// All zones: those of Services, the reverse ones, the public view.
    pub fn all_zones(&self) -> impl Iterator<Item = &Zone> {
        self.zones.iter().chain(&self.reverse_zones).chain(&self.public)
    }
}
