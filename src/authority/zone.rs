//! Configuration of the zones: their names, their apex records, the server's identity.

use std::net::IpAddr;

use super::{Authority, Soa};
use crate::dns::name::{Label, Name, NameError};

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
    pub(super) apex: Name,
    pub(super) name_server: Name,
    hostmaster: Name,
    pub(super) is_reverse: bool,
}

impl Zone {
    pub fn apex(&self) -> &Name {
        &self.apex
    }

    /// Whether its names are those of addresses.
    pub fn is_reverse(&self) -> bool {
        self.is_reverse
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

#[cfg(test)]
impl Options {
    /// What the tests of other rooms serve: `cluster.local` and the reverse zone of IPv4.
    pub(crate) fn of_tests() -> Self {
        let zone = |name| vec![Name::parse(name).expect("a name")];
        Self {
            zones: zone("cluster.local"),
            reverse_zones: zone("in-addr.arpa"),
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
        let Some(primary) = options.zones.first() else { return Err(NameError::Empty) };
        let zone = |apex: &Name, home: &Name, is_reverse: bool| {
            Ok(Zone {
                apex: apex.clone(),
                name_server: home.below("ns.dns")?,
                hostmaster: options.hostmaster.clone().map_or_else(|| home.below("hostmaster"), Ok)?,
                is_reverse,
            })
        };
        Ok(Self {
            zones: options.zones.iter().map(|apex| zone(apex, apex, false)).collect::<Result<_, _>>()?,
            reverse_zones: options
                .reverse_zones
                .iter()
                .map(|apex| zone(apex, primary, true))
                .collect::<Result<_, _>>()?,
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
}
