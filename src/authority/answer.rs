//! Answers as data: the encoder turns them into octets and decides nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;

use super::Authority;
use super::ede_text::{Ede, EdeText, Errors};
use super::elsewhere::Elsewhere;
use super::zone::Zone;
use crate::dns::name::{Name, NameParts};
use crate::dns::wire::{Class, EdeCode, Owner, Rcode, RrType};
use crate::records::{Addresses, AddressesRef, ServiceRecords, Srv};
use crate::table::PtrTargets;

/// Aliases followed inside our own zones before giving up (each is an ExternalName Service).
pub const ALIAS_LIMIT: usize = 8;

/// The answer to one question. Borrows from the pinned table and from the authority; nothing in it is allocated.
#[derive(Clone, Debug)]
pub struct Answer<'t> {
    pub rcode: Rcode,
    /// The AA bit: the answer comes from a zone of ours.
    pub authoritative: bool,
    pub aliases: Aliases<'t>,
    /// What the question's name owns of the wanted type, or the name that the last alias leads to.
    pub records: Option<Rrset<'t>>,
    /// The SOA record of a negative answer (RFC 2308 section 3).
    pub authority: Option<Rrset<'t>>,
    pub additional: Additional<'t>,
    /// What others have to be asked for, if the client may have that done; otherwise this is the answer.
    pub elsewhere: Option<Elsewhere<'t>>,
    /// It follows from the table, be it that others are asked because the table does not hold the name.
    pub is_of_table: bool,
    /// The zone that the question's name is in.
    pub zone: Option<&'t Zone>,
    /// Sent to clients that sent an OPT record (RFC 8914).
    pub errors: Errors<'t>,
}

impl<'t> Answer<'t> {
    /// An answer without records and without authority.
    pub fn bare(rcode: Rcode, error: Option<Ede<'t>>) -> Self {
        Self {
            rcode,
            authoritative: false,
            aliases: Aliases::default(),
            records: None,
            authority: None,
            additional: Additional::None,
            elsewhere: None,
            is_of_table: false,
            zone: None,
            errors: error.into_iter().collect(),
        }
    }

    /// The answer to a question that others have to be asked.
    pub(super) fn elsewhere(qtype: RrType, why: &'static str) -> Self {
        let refused =
            Self::bare(Rcode::Refused, Some(Ede { code: EdeCode::NotAuthoritative, text: EdeText::Text(why) }));
        Self { elsewhere: Authority::if_askable(qtype, Elsewhere::Question), ..refused }
    }

    /// The RRsets of the answer section: aliases, then what the last of them leads to.
    pub fn answer(&self) -> impl Iterator<Item = Rrset<'t>> {
        self.aliases.rrsets().chain(self.records)
    }
}

/// A chain of aliases that begins at the question's name: the target of each owns the next. Kept as names, because an
/// [`Answer`] is moved about for every query and most have none.
#[derive(Clone, Debug, Default)]
pub struct Aliases<'t> {
    pub targets: ArrayVec<&'t Name, ALIAS_LIMIT>,
    /// Seconds.
    pub ttl: u32,
}

impl<'t> Aliases<'t> {
    fn rrsets(&self) -> impl Iterator<Item = Rrset<'t>> {
        let next = self.targets.iter().map(|target| Owner::Name(NameParts::whole(target)));
        let alias = |(owner, target): (Owner<'t>, &&'t Name)| Rrset {
            owner,
            class: Class::IN,
            ttl: self.ttl,
            data: Data::Cname(target),
        };
        std::iter::once(Owner::Question).chain(next).zip(&self.targets).map(alias)
    }
}

/// One RRset of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Rrset<'t> {
    pub owner: Owner<'t>,
    pub class: Class,
    /// Seconds.
    pub ttl: u32,
    pub data: Data<'t>,
}

/// The record data of an RRset.
#[derive(Clone, Copy, Debug)]
pub enum Data<'t> {
    A(&'t [Ipv4Addr]),
    Aaaa(&'t [Ipv6Addr]),
    Srv(SrvSet<'t>),
    Ptr(PtrSet<'t>),
    /// One record of such a set.
    OnePtr(NameParts<'t>),
    Cname(&'t Name),
    Ns(&'t [Name]),
    Soa(Soa<'t>),
    /// One character-string, without its length octet.
    Txt(&'t [u8]),
    /// CPU and OS (RFC 1035 section 3.3.2).
    Hinfo(&'static [u8], &'static [u8]),
}

impl Data<'_> {
    pub fn is_empty(&self) -> bool {
        match self {
            Data::A(addresses) => addresses.is_empty(),
            Data::Aaaa(addresses) => addresses.is_empty(),
            Data::Srv(set) => set.records.is_empty(),
            Data::Ns(names) => names.is_empty(),
            Data::Ptr(_) | Data::OnePtr(_) | Data::Cname(_) | Data::Soa(_) | Data::Txt(_) | Data::Hinfo(..) => false,
        }
    }

    pub fn rr_type(&self) -> RrType {
        match self {
            Data::A(_) => RrType::A,
            Data::Aaaa(_) => RrType::AAAA,
            Data::Srv(_) => RrType::SRV,
            Data::Ptr(_) | Data::OnePtr(_) => RrType::PTR,
            Data::Cname(_) => RrType::CNAME,
            Data::Ns(_) => RrType::NS,
            Data::Soa(_) => RrType::SOA,
            Data::Txt(_) => RrType::TXT,
            Data::Hinfo(..) => RrType::HINFO,
        }
    }
}

/// What follows `service.namespace` in a name: the label `svc`, which the public view does not have, then the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suffix<'t>(pub [&'t [u8]; 2]);

/// Names that an address leads back to.
#[derive(Clone, Copy, Debug)]
pub struct PtrSet<'t> {
    pub owners: PtrTargets<'t>,
    pub suffix: Suffix<'t>,
}

impl<'t> PtrSet<'t> {
    /// The names, but for those that can have no name in this zone.
    pub fn targets(&self) -> impl Iterator<Item = NameParts<'t>> + use<'t> {
        let [svc, zone] = self.suffix.0;
        self.owners.names().filter_map(move |[host, service]| NameParts([host, service, svc, zone]).checked())
    }
}

/// SRV records with the Service that their targets belong to.
#[derive(Clone, Copy, Debug)]
pub struct SrvSet<'t> {
    pub records: &'t [Srv],
    pub service: &'t ServiceRecords,
    /// `service.namespace` as labels in wire form.
    pub key: &'t [u8],
    pub suffix: Suffix<'t>,
    /// Of the targets' address records, seconds.
    pub ttl: u32,
}

/// Priority of every SRV record: there is one rank of endpoints.
pub const SRV_PRIORITY: u16 = 0;
/// Weight of every SRV record. Equal weights mean an even choice (RFC 2782); the number does not depend on how many
/// endpoints there are, so that a change of one endpoint changes no other record.
pub const SRV_WEIGHT: u16 = 100;

impl<'t> SrvSet<'t> {
    /// The target's name and its addresses; none, and so no record, if it can have no name in this zone.
    pub fn target(&self, srv: &Srv) -> Option<(NameParts<'t>, AddressesRef<'t>)> {
        let (label, addresses) = self.service.target(srv.target)?;
        Some((NameParts([label, self.key, self.suffix.0[0], self.suffix.0[1]]).checked()?, addresses))
    }
}

/// Records of the additional section. Left out, without setting TC, where they do not fit (RFC 2181 section 9).
#[derive(Clone, Copy, Debug)]
pub enum Additional<'t> {
    None,
    /// The addresses of the SRV records' targets, each target once.
    Targets(SrvSet<'t>),
    /// The addresses of the zone's name server.
    NameServer {
        owner: &'t Name,
        ttl: u32,
        addresses: &'t Addresses,
    },
}

/// SOA record data (RFC 1035 section 3.3.13). Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Soa<'t> {
    pub mname: &'t Name,
    pub rname: &'t Name,
    pub serial: u32,
    pub refresh: u32,
    pub retry: u32,
    pub expire: u32,
    pub minimum: u32,
}
