//! What is asked for, and what came of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant, SystemTime};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::history::{History, Ordinal, SERVICES};
use crate::support::common::extended_errors;
use crate::support::malformed::Random;

/// *Other* and *Cached Error*, *Stale Answer*, *Not Ready*, *No Reachable Authority* and *Network Error*, RFC 8914.
const PASSED_ON: [u16; 3] = [0, STALE, 13];
const STALE: u16 = 3;
const NOT_READY: u16 = 14;
const UNREACHABLE: [u16; 2] = [22, 23];
/// What the time of the last word follows in the text of *Stale Answer*, whatever the reason.
const STALE_SINCE: &str = " since ";
const ZONE: &str = "db.svc.cluster.local.";
/// Different names of the world outside. Half of them are cached for a second, the others for a minute.
const ELSEWHERE: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The address of the Pod with this number.
    pub fn address(self, number: u32) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
            Self::V6 => Ipv6Addr::from_bits((0xfd00 << 112) + u128::from(number)).into(),
        }
    }

    fn number(self, data: &RData) -> Option<u32> {
        match (self, data) {
            (Self::V4, RData::A(address)) => Some(address.0.to_bits() - 0x0a00_0000),
            (Self::V6, RData::AAAA(address)) => Some(address.0.to_bits() as u32),
            _ => None,
        }
    }

    fn record_type(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Ordinal(Ordinal, Family),
    /// The bare name of a Service.
    Service(usize, Family),
    /// SRV of a Service's port, or of its bare name.
    Servers {
        service: usize,
        is_bare: bool,
    },
    /// PTR of the address that a Pod of the ordinal has or had.
    Pointer {
        ordinal: Ordinal,
        number: u32,
        family: Family,
    },
    /// A name that never exists: a host of a Service, or a Service.
    Absent(Option<usize>),
    /// A name that upstreams know.
    Elsewhere(usize),
}

impl Asked {
    /// A question about the cluster.
    pub fn any(random: &mut Random, history: &History) -> Self {
        let service = random.below(SERVICES.len());
        let ordinal = Ordinal { service, ordinal: random.below(SERVICES[service]) };
        let family = Family::ALL[random.below(2)];
        match random.below(10) {
            0 | 1 => Self::Service(service, family),
            2 | 3 => Self::Servers { service, is_bare: random.below(2) == 0 },
            4 => match history.number_of(ordinal, random.below(3)) {
                Some(number) => Self::Pointer { ordinal, number, family },
                None => Self::Ordinal(ordinal, family),
            },
            5 => Self::Absent((random.below(2) == 0).then_some(service)),
            _ => Self::Ordinal(ordinal, family),
        }
    }

    pub fn elsewhere(random: &mut Random) -> Self {
        Self::Elsewhere(random.below(ELSEWHERE))
    }

    pub fn question(self) -> (String, RecordType) {
        match self {
            Self::Ordinal(ordinal, family) => (ordinal.name(), family.record_type()),
            Self::Service(service, family) => (format!("s{service}.{ZONE}"), family.record_type()),
            Self::Servers { service, is_bare: true } => (format!("s{service}.{ZONE}"), RecordType::SRV),
            Self::Servers { service, is_bare: false } => (format!("_sql._tcp.s{service}.{ZONE}"), RecordType::SRV),
            Self::Pointer { number, family, .. } => (Name::from(family.address(number)).to_ascii(), RecordType::PTR),
            Self::Absent(Some(service)) => (format!("ghost.s{service}.{ZONE}"), RecordType::A),
            Self::Absent(None) => (format!("ghost.{ZONE}"), RecordType::A),
            Self::Elsewhere(number) => (elsewhere(number), RecordType::A),
        }
    }
}

impl Ordinal {
    pub fn name(self) -> String {
        format!("{}.s{}.{ZONE}", self.pod(), self.service)
    }
}

/// A name outside the cluster.
fn elsewhere(number: usize) -> String {
    format!("n{number}.example.")
}

/// The number in such a name, and the address that upstreams give it.
pub fn address_elsewhere(name: &Name) -> Option<(usize, Ipv4Addr)> {
    let number = name.to_ascii().to_lowercase().strip_prefix('n')?.split('.').next()?.parse::<usize>().ok()?;
    Some((number, Ipv4Addr::new(198, 18, 0, number as u8)))
}

/// What came of one query.
#[derive(Debug)]
pub struct Outcome {
    pub asked: Asked,
    pub sent_at: Instant,
    pub ended_at: Instant,
    pub answer: Answer,
}

#[derive(Debug)]
pub enum Answer {
    /// None in time.
    None,
    /// The certificate is not one of those that the server may have.
    Untrusted(#[expect(dead_code, reason = "read by Debug")] String),
    /// SERVFAIL, *Not Ready* (T1).
    NotReady,
    /// SERVFAIL, and no upstream was reached (F5).
    NoUpstream,
    Found {
        found: Found,
        /// Of a stale answer, since when it says so.
        stale_since: Option<Instant>,
    },
    /// What no rule gives to these names.
    Other(#[expect(dead_code, reason = "read by Debug")] String),
}

#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The Pods of which the addresses are.
    Numbers(Vec<u32>),
    /// The targets of an SRV answer.
    Servers(Vec<Server>),
    /// The targets of PTR records.
    Names(Vec<String>),
    NoData,
    /// NXDOMAIN, and for how long it may be cached, in seconds.
    Denied {
        ttl: u32,
    },
}

/// A target with the Pods of the addresses that came with it, IPv4 and IPv6.
#[derive(Debug, PartialEq, Eq)]
pub struct Server {
    pub name: String,
    pub port: u16,
    pub numbers: [Vec<u32>; 2],
}

/// Reads the answer to a question.
pub fn read(asked: Asked, message: &Message) -> Answer {
    let errors = extended_errors(message);
    let has = |codes: &[u16]| errors.iter().any(|(code, _)| codes.contains(code));
    let other = || Answer::Other(format!("{} {errors:?} {:?}", message.metadata.response_code, message.answers));
    let found = match message.metadata.response_code {
        _ if message.metadata.truncation => return other(),
        ResponseCode::ServFail if has(&[NOT_READY]) => return Answer::NotReady,
        ResponseCode::ServFail if has(&UNREACHABLE) => return Answer::NoUpstream,
        // What all upstreams refuse.
        ResponseCode::Refused
            if !message.metadata.authoritative && errors.iter().all(|(code, _)| PASSED_ON.contains(code)) =>
        {
            return Answer::NoUpstream;
        }
        ResponseCode::NoError => records(asked, message),
        ResponseCode::NXDomain => message.authorities.first().map(|soa| Found::Denied { ttl: soa.ttl }),
        _ => None,
    };
    let Some(found) = found else { return other() };
    // An answer of upstreams may be stale for other reasons. That it may be ours by now is said of it too.
    let is_ours = |text: &str| message.metadata.authoritative || text.contains(STALE_SINCE);
    let stale = errors.iter().find(|(code, text)| *code == STALE && is_ours(text)).map(|(_, text)| text);
    match stale.map(|text| since(text)) {
        Some(None) => other(),
        stale_since => Answer::Found { found, stale_since: stale_since.flatten() },
    }
}

fn records(asked: Asked, message: &Message) -> Option<Found> {
    let answers = || message.answers.iter().map(|record| &record.data);
    if message.answers.is_empty() {
        return Some(Found::NoData);
    }
    match asked {
        Asked::Ordinal(_, family) | Asked::Service(_, family) => {
            answers().map(|data| family.number(data)).collect::<Option<_>>().map(Found::Numbers)
        }
        Asked::Servers { .. } => answers().map(|data| server(data, message)).collect::<Option<_>>().map(Found::Servers),
        Asked::Pointer { .. } => {
            let name = |data: &RData| if let RData::PTR(name) = data { Some(name.0.to_ascii()) } else { None };
            answers().map(name).collect::<Option<_>>().map(Found::Names)
        }
        Asked::Absent(_) => None,
        Asked::Elsewhere(asked) => {
            let (number, address) = address_elsewhere(message.queries.first()?.name())?;
            let is_it = |data: &RData| matches!(data, RData::A(other) if other.0 == address);
            (number == asked && message.answers.len() == 1 && answers().all(is_it))
                .then(|| Found::Numbers(vec![number as u32]))
        }
    }
}

fn server(data: &RData, message: &Message) -> Option<Server> {
    let RData::SRV(srv) = data else { return None };
    let glue = message.additionals.iter().filter(|record| record.name == srv.target);
    let glue: Vec<_> = glue.map(|record| &record.data).collect();
    let numbers = Family::ALL.map(|family| glue.iter().filter_map(|data| family.number(data)).collect());
    Some(Server { name: srv.target.to_ascii(), port: srv.port, numbers })
}

/// When there was last word from the cluster, as a stale answer says.
fn since(text: &str) -> Option<Instant> {
    let since = text.rsplit_once(STALE_SINCE)?.1.parse::<jiff::Timestamp>().ok()?;
    let age = SystemTime::now().duration_since(SystemTime::from(since)).unwrap_or(Duration::ZERO);
    Instant::now().checked_sub(age)
}
