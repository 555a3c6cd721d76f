//! Responses of other servers: checked once, and kept in wire form so that a copy of one needs no parsing.
//!
//! What is kept is header, question and records; an OPT record belongs to one hop (RFC 6891 section 6.1.1) and goes, but for the
//! errors in it. Names may point back into the message, the question included: a copy behind a question of the same length at the
//! same place is sound.

use super::codes::{AD, Class, HEADER, OPCODE, QR, Rcode, RrType, TYPE_AND_CLASS};
use super::edns::{RECORD_FIXED, skip_name};
use super::extended_error::{ExtendedError, read_errors};
use super::parse::split_question;
use crate::dns::name::MAX_NAME;

/// The longest TTL that is kept, seconds: RFC 8767 section 4 asks for a cap in the order of days.
const MAX_TTL: u32 = 86_400;
/// The longest that a denial is kept, seconds. RFC 2308 section 5 suggests one to three hours; in a cluster, what does not
/// exist is often about to.
const MAX_NEGATIVE_TTL: u32 = 300;
/// TTLs with the highest bit set count as zero (RFC 2181 section 8).
const TTL_SIGN: u32 = 1 << 31;
/// Octets from a record's TTL to its data: the TTL and the length.
const TTL_AND_LENGTH: usize = 6;
/// Octets of a record's type and class, before its TTL.
const BEFORE_TTL: usize = 4;

/// A response of another server.
#[derive(Clone, Debug)]
pub struct Response {
    /// Header, question with its name in lower case, and records without OPT.
    octets: Box<[u8]>,
    /// Where the TTL of each record stands, in their order.
    ttls: Box<[u16]>,
    /// How many of the records are in the answer, authority and additional section.
    counts: [u16; 3],
    /// Octets of the question.
    question: u16,
    lifetime: Option<u32>,
    errors: Box<[ExtendedError]>,
    rejects_edns: bool,
}

/// One record of a [`Response`]. Offsets are those in the message.
#[derive(Clone, Copy, Debug)]
pub struct ForeignRecord<'r> {
    pub owner: usize,
    pub rr_type: RrType,
    pub class: Class,
    pub ttl: u32,
    /// Where its data begins.
    pub data_at: usize,
    pub data: &'r [u8],
}

impl Response {
    /// Reads a message that is the response to a query with one question. None if it is malformed.
    pub fn read(message: &[u8]) -> Option<Self> {
        let header = message.first_chunk::<HEADER>()?;
        if header[2] & QR == 0 || header[2] & OPCODE != 0 || header[4..6] != [0, 1] {
            return None;
        }
        let (question, mut rest) = split_question(message)?;
        let mut read = Reading {
            octets: message.to_vec(),
            ttls: Vec::new(),
            question,
            shortest: None,
            soa: None,
            has_type: false,
        };
        read.octets[HEADER..HEADER + question.len() - TYPE_AND_CLASS].make_ascii_lowercase();
        let mut counts = [6, 8, 10].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
        let mut end = message.len() - rest.len();
        let mut is_kept = true;
        let (mut kept, mut rcode_high, mut errors) = ([0; 3], 0, Vec::new());
        for (section, count) in counts.iter_mut().enumerate() {
            for _ in 0..*count {
                let at = message.len() - rest.len();
                let behind = skip_name(rest)?;
                let (fixed, data) = behind.split_first_chunk::<RECORD_FIXED>()?;
                let (data, after) = data.split_at_checked(usize::from(u16::from_be_bytes([fixed[8], fixed[9]])))?;
                let rr_type = RrType(u16::from_be_bytes([fixed[0], fixed[1]]));
                rest = after;
                if rr_type == RrType::OPT {
                    // What stands behind it might point into what moves. It is additional, and goes too.
                    is_kept = false;
                    rcode_high = fixed[4];
                    errors = read_errors(data);
                }
                if is_kept {
                    let ttl_at = message.len() - behind.len() + BEFORE_TTL;
                    read.record(section, rr_type, at, ttl_at, data);
                    kept[section] += 1;
                    end = message.len() - rest.len();
                }
            }
        }
        if !rest.is_empty() {
            return None;
        }
        counts = kept;
        let mut octets = read.octets;
        octets.truncate(end);
        // A code that needs more than the header's four bits says that the upstream cannot use the query as it was sent.
        let rcode = if rcode_high == 0 { rcode(header[3]) } else { Rcode::ServFail };
        octets[3] = octets[3] & 0xf0 | rcode as u8;
        let answers = counts[0] > 0;
        let is_negative = rcode == Rcode::NxDomain || !read.has_type && (read.soa.is_some() || !answers);
        let lifetime = match rcode {
            Rcode::NoError | Rcode::NxDomain if !is_negative => read.shortest,
            // RFC 2308 section 5: a denial without an SOA record is not kept.
            Rcode::NoError | Rcode::NxDomain => read.soa.and(read.shortest).map(|ttl| ttl.min(MAX_NEGATIVE_TTL)),
            _ => None,
        };
        Some(Self {
            octets: octets.into(),
            ttls: read.ttls.into(),
            counts,
            question: question.len() as u16,
            lifetime: lifetime.filter(|ttl| *ttl > 0),
            errors: errors.into(),
            rejects_edns: rcode_high != 0 || matches!(rcode, Rcode::FormErr | Rcode::NotImp),
        })
    }

    pub fn rcode(&self) -> Rcode {
        rcode(self.octets[3])
    }

    /// Whether it says that the server could not answer, or would not.
    pub fn is_failure(&self) -> bool {
        !matches!(self.rcode(), Rcode::NoError | Rcode::NxDomain)
    }

    /// Whether it may mean that the server cannot read EDNS: FORMERR or NOTIMP (RFC 6891 section 7), or BADVERS.
    pub fn rejects_edns(&self) -> bool {
        self.rejects_edns
    }

    /// The Extended DNS Errors in it (RFC 8914).
    pub fn errors(&self) -> &[ExtendedError] {
        &self.errors
    }

    /// The AD bit: the upstream has verified the records (RFC 4035 section 3.2.3).
    pub fn is_authentic(&self) -> bool {
        self.octets[3] & AD != 0
    }

    /// For how many seconds it may be kept; None if not at all.
    pub fn lifetime(&self) -> Option<u32> {
        self.lifetime
    }

    /// Octets in memory.
    pub fn size(&self) -> usize {
        self.octets.len() + size_of_val(&*self.ttls) + size_of_val(&*self.errors)
    }

    /// The numbers of records in the three sections.
    pub fn counts(&self) -> [u16; 3] {
        self.counts
    }

    /// The records of one section, 0 to 2.
    pub fn section(&self, section: usize) -> impl Iterator<Item = ForeignRecord<'_>> {
        let first: u16 = self.counts[..section].iter().sum();
        (first..first + self.counts[section]).filter_map(|record| self.record(usize::from(record)))
    }

    /// The octets behind the question: all records.
    pub(super) fn records(&self) -> &[u8] {
        &self.octets[HEADER + usize::from(self.question)..]
    }

    /// Octets of the question.
    pub(super) fn question_len(&self) -> usize {
        usize::from(self.question)
    }

    /// Where the TTLs of the records stand in the message, and the records end.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.ttls.iter().map(|at| {
            let at = usize::from(*at);
            (at, self.end_of(at))
        })
    }

    fn end_of(&self, ttl_at: usize) -> usize {
        let length = [self.octets[ttl_at + 4], self.octets[ttl_at + 5]];
        ttl_at + TTL_AND_LENGTH + usize::from(u16::from_be_bytes(length))
    }

    fn record(&self, index: usize) -> Option<ForeignRecord<'_>> {
        let ttl_at = usize::from(*self.ttls.get(index)?);
        let owner = match index.checked_sub(1) {
            Some(before) => self.end_of(usize::from(*self.ttls.get(before)?)),
            None => HEADER + usize::from(self.question),
        };
        let fixed = self.octets.get(ttl_at - BEFORE_TTL..)?.first_chunk::<8>()?;
        let data_at = ttl_at + TTL_AND_LENGTH;
        Some(ForeignRecord {
            owner,
            rr_type: RrType(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: Class(u16::from_be_bytes([fixed[2], fixed[3]])),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            data_at,
            data: self.octets.get(data_at..self.end_of(ttl_at))?,
        })
    }

    /// The data of a record with its names whole, to be written into another message. None if it is malformed.
    pub fn expanded(&self, record: &ForeignRecord<'_>) -> Option<Vec<u8>> {
        // RFC 3597 section 4: only the types of RFC 1035 have names that may be compressed, and receivers read those of SRV.
        let (before, names) = match record.rr_type {
            RrType::CNAME | RrType::NS | RrType::PTR => (0, 1),
            RrType::SOA => (0, 2),
            RrType::MX => (2, 1),
            RrType::SRV => (6, 1),
            _ => return Some(record.data.to_vec()),
        };
        let mut data = record.data.get(..before)?.to_vec();
        let mut at = before;
        for _ in 0..names {
            let (name, taken) = self.name(record.data_at + at)?;
            data.extend_from_slice(name.as_wire());
            at += taken;
        }
        data.extend_from_slice(record.data.get(at..)?);
        Some(data)
    }

    /// The name that stands at an offset, whole and in lower case, and how many octets of the message it takes there. None if
    /// it is malformed.
    pub fn name(&self, at: usize) -> Option<(WholeName, usize)> {
        let mut name = WholeName { length: 0, octets: [0; MAX_NAME] };
        let (mut from, mut taken) = (at, None);
        loop {
            let length = usize::from(*self.octets.get(from)?);
            match length {
                0 => {
                    name.push(&[0])?;
                    return Some((name, taken.unwrap_or_else(|| from + 1 - at)));
                }
                1..=63 => {
                    name.push(self.octets.get(from..=from + length)?)?;
                    from += 1 + length;
                }
                0xc0.. => {
                    let low = usize::from(*self.octets.get(from + 1)?);
                    let target = (length & 0x3f) << 8 | low;
                    taken.get_or_insert_with(|| from + 2 - at);
                    // Only backwards, so that there is an end (RFC 1035 section 4.1.4: "a prior occurrence").
                    from = Some(target).filter(|target| *target < from)?;
                }
                _ => return None,
            }
        }
    }
}

/// An absolute name in wire form.
pub struct WholeName {
    length: usize,
    octets: [u8; MAX_NAME],
}

impl WholeName {
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    fn push(&mut self, octets: &[u8]) -> Option<()> {
        let room = self.octets.get_mut(self.length..self.length + octets.len())?;
        room.copy_from_slice(octets);
        room.make_ascii_lowercase();
        self.length += octets.len();
        Some(())
    }
}

/// A message while it is read.
struct Reading<'m> {
    octets: Vec<u8>,
    ttls: Vec<u16>,
    question: &'m [u8],
    /// The shortest TTL, seconds.
    shortest: Option<u32>,
    /// That of the SOA record of a denial.
    soa: Option<u32>,
    /// Whether the answer has a record of the type that was asked for.
    has_type: bool,
}

impl Reading<'_> {
    fn record(&mut self, section: usize, rr_type: RrType, owner: usize, ttl_at: usize, data: &[u8]) {
        let (name, fixed) = self.question.split_at(self.question.len() - TYPE_AND_CLASS);
        let qtype = RrType(u16::from_be_bytes([fixed[0], fixed[1]]));
        // The letter case in which the upstream was asked is nobody's business.
        if let Some(owner) = self.octets.get_mut(owner..owner + name.len()).filter(|it| it.eq_ignore_ascii_case(name)) {
            owner.make_ascii_lowercase();
        }
        let mut ttl = [0; 4];
        ttl.copy_from_slice(&self.octets[ttl_at..ttl_at + 4]);
        let mut ttl = u32::from_be_bytes(ttl);
        ttl = if ttl >= TTL_SIGN { 0 } else { ttl.min(MAX_TTL) };
        if section == 0 {
            self.has_type |= rr_type == qtype || qtype == RrType::ANY;
        } else if section == 1
            && rr_type == RrType::SOA
            && !self.has_type
            && let Some(minimum) = data.last_chunk()
        {
            // RFC 2308 section 5: what is kept is kept for the minimum of the two.
            ttl = ttl.min(u32::from_be_bytes(*minimum)).min(MAX_NEGATIVE_TTL);
            self.soa = Some(ttl);
        }
        self.octets[ttl_at..ttl_at + 4].copy_from_slice(&ttl.to_be_bytes());
        self.shortest = Some(self.shortest.map_or(ttl, |shortest| shortest.min(ttl)));
        // A message has at most 65,535 octets.
        self.ttls.push(ttl_at as u16);
    }
}

/// The response code in a header's fourth octet. What no server answers a query with is a failure.
fn rcode(octet: u8) -> Rcode {
    match octet & 0x0f {
        0 => Rcode::NoError,
        1 => Rcode::FormErr,
        3 => Rcode::NxDomain,
        4 => Rcode::NotImp,
        5 => Rcode::Refused,
        _ => Rcode::ServFail,
    }
}

#[cfg(test)]
mod tests;
