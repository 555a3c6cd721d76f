//! Writes responses, without allocating: header, question, compressed names, record heads, and the limit that all of it keeps.
//!
//! Names are compressed against the question alone: nearly all of them end like it, and it keeps the letter case that the
//! client used.
//!
//! A record that does not fit is left out whole. TC says so, unless it was an additional record (RFC 2181 section 9).

use super::codes::{AA, AD, CD, Class, HEADER, MIN_UDP, OPT_FIXED, QR, RA, RD, Rcode, RrType, TC};
use super::edns::{OptReply, find_opt};
use super::parse::Query;
use super::response::Response;
use super::screen::error_header;
use crate::dns::name::{Labels, NameParts};

/// Where the question's name stands in a message.
const QUESTION_OFFSET: usize = HEADER;
/// The two high bits of a compression pointer (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;
/// Octets of the length of a record's data.
const RDLENGTH: usize = 2;
/// Octets of a record between its owner and its data (RFC 1035 section 4.1.3).
const RECORD_FIXED: usize = 8 + RDLENGTH;

/// A section of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Answer,
    Authority,
    Additional,
}

/// The owner of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'t> {
    /// The question's name, in the letter case of the query.
    Question,
    Name(NameParts<'t>),
}

/// What a record has in front of its data.
#[derive(Clone, Copy, Debug)]
pub struct RecordHead<'t> {
    pub owner: Owner<'t>,
    pub rr_type: RrType,
    pub class: Class,
    /// Seconds.
    pub ttl: u32,
}

/// What the header of a response says that its query does not.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub rcode: Rcode,
    /// The AA bit.
    pub authoritative: bool,
    /// The RA bit: the client may ask for what is in no zone of ours.
    pub recursion_available: bool,
    /// The AD bit, which goes to a client that asks for it (RFC 6840 section 5.8).
    pub authentic: bool,
}

/// What becomes of the TTLs of a copied response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopiedTtl {
    /// So many seconds have passed since it came.
    Aged(u32),
    /// They are over, and all are this one.
    Expired(u32),
}

impl CopiedTtl {
    /// What is left of a TTL.
    pub fn left(self, ttl: u32) -> u32 {
        match self {
            Self::Aged(age) => ttl.saturating_sub(age),
            Self::Expired(ttl) => ttl,
        }
    }
}

/// A response while it is written, at the end of a buffer. Sections are written in their order.
pub struct MessageWriter<'m> {
    out: &'m mut Vec<u8>,
    query: &'m Query<'m>,
    /// Where in `out` the message starts.
    start: usize,
    /// Where it must end at the latest.
    limit: usize,
    /// Where its records must end at the latest.
    records_limit: usize,
    section: Section,
    counts: [u16; 3],
    is_truncated: bool,
}

impl<'m> MessageWriter<'m> {
    /// Writes the question of a response of at most `limit` octets, at least [`MIN_UDP`]. Room for an OPT record without
    /// options is kept if there is one in the query.
    pub fn new(query: &'m Query<'m>, limit: u16, out: &'m mut Vec<u8>) -> Self {
        let start = out.len();
        let limit = start + usize::from(limit);
        let records_limit = limit - if query.edns.is_some() { OPT_FIXED } else { 0 };
        out.extend_from_slice(&[0; HEADER]);
        out.extend_from_slice(query.question);
        Self { out, query, start, limit, records_limit, section: Section::Answer, counts: [0; 3], is_truncated: false }
    }

    /// Begins a section.
    pub fn begin(&mut self, section: Section) {
        self.section = section;
    }

    /// Whether a record that is missed has been left out.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// What has been left out is in another message that follows, and is not missed.
    pub fn is_continued(&mut self) {
        self.is_truncated = false;
    }

    /// Leaves so many octets to what comes after the records.
    pub fn reserve(&mut self, octets: usize) {
        self.records_limit = self.records_limit.saturating_sub(octets);
    }

    /// Writes one record. False if it does not fit: then nothing has been written.
    pub fn record(&mut self, head: &RecordHead<'_>, data: impl FnOnce(&mut Self)) -> bool {
        let before = self.out.len();
        match &head.owner {
            Owner::Question => self.put(&(POINTER | QUESTION_OFFSET as u16).to_be_bytes()),
            Owner::Name(name) => self.name(name),
        }
        self.put(&head.fixed());
        let start = self.out.len();
        data(self);
        if self.out.len() > self.records_limit {
            self.out.truncate(before);
            self.is_truncated |= self.section != Section::Additional;
            return false;
        }
        // What fits into a message is no longer than one.
        let length = (self.out.len() - start) as u16;
        self.out[start - RDLENGTH..start].copy_from_slice(&length.to_be_bytes());
        self.counts[self.section as usize] += 1;
        true
    }

    /// Writes the records of another server's response to the same question, as far as they fit. `reserved` octets are left by
    /// additional records to what comes after them.
    pub fn copy(&mut self, response: &Response, ttl: CopiedTtl, reserved: usize) {
        // Names in it point to places that are the same here: the question is as long.
        debug_assert_eq!(self.query.question.len(), response.question_len(), "a response to another question");
        let start = self.out.len();
        self.out.extend_from_slice(response.records());
        let additional = self.records_limit.saturating_sub(reserved);
        let counts = response.counts();
        let mut end = start;
        let mut places = response.places();
        'sections: for (section, count) in counts.into_iter().enumerate() {
            let is_additional = section == Section::Additional as usize;
            let limit = if is_additional { additional } else { self.records_limit };
            for _ in 0..count {
                let Some((ttl_at, record_end)) = places.next() else { break 'sections };
                if self.start + record_end > limit {
                    self.is_truncated |= !is_additional;
                    break 'sections;
                }
                end = self.start + record_end;
                let place = self.start + ttl_at;
                if let Some(octets) = self.out.get_mut(place..place + 4).and_then(|octets| octets.first_chunk_mut()) {
                    *octets = ttl.left(u32::from_be_bytes(*octets)).to_be_bytes();
                }
                self.counts[section] += 1;
            }
        }
        self.out.truncate(end);
    }

    /// Writes the OPT record, if the query had one, and the header.
    pub fn finish(mut self, status: Status, opt: &OptReply<'_>) {
        if let Some(edns) = &self.query.edns {
            opt.write(edns, status.rcode, self.out, self.start, self.limit);
            self.counts[Section::Additional as usize] += 1;
        }
        let header = self.header(status);
        self.out[self.start..self.start + HEADER].copy_from_slice(&header);
    }

    fn header(&self, status: Status) -> [u8; HEADER] {
        let [id_high, id_low, flags, more_flags] = self.query.header;
        let aa = if status.authoritative { AA } else { 0 };
        let tc = if self.is_truncated { TC } else { 0 };
        // ID and RD are the query's (RFC 1035 section 4.1.1), CD too (RFC 4035 section 3.2.2).
        let ra = if status.recursion_available { RA } else { 0 };
        let wants_ad = more_flags & AD != 0 || self.query.edns.is_some_and(|edns| edns.dnssec_ok);
        let ad = if status.authentic && wants_ad { AD } else { 0 };
        let flags = [QR | aa | tc | flags & RD, ra | ad | more_flags & CD | (status.rcode as u16 & 0x0f) as u8];
        let [[an0, an1], [ns0, ns1], [ar0, ar1]] = self.counts.map(u16::to_be_bytes);
        [id_high, id_low, flags[0], flags[1], 0, 1, an0, an1, ns0, ns1, ar0, ar1]
    }

    /// Writes octets of a record's data.
    pub fn put(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    /// Writes a name, as a pointer into the question from the label on from which the two agree.
    pub fn name(&mut self, name: &NameParts<'_>) {
        let mut left = name.wire_len();
        for (i, part) in name.0.iter().enumerate() {
            let mut labels = Labels(part);
            loop {
                let tail = labels.0;
                if let Some(offset) = self.agreement(tail, &name.0[i + 1..], left) {
                    self.put(&(POINTER | (QUESTION_OFFSET + offset) as u16).to_be_bytes());
                    return;
                }
                let Some(label) = labels.next() else {
                    // The root label, if this is the part that ends the name.
                    self.put(tail);
                    break;
                };
                self.put(label);
                left -= label.len();
            }
        }
    }

    /// Writes a name without compression, as the targets of SRV records want it (RFC 2782).
    pub fn whole_name(&mut self, name: &NameParts<'_>) {
        name.0.iter().for_each(|part| self.put(part));
    }

    /// Where the question's name goes on as `tail` and then `rest`, which are `length` octets together. The root label
    /// alone is not worth a pointer.
    fn agreement(&self, tail: &[u8], rest: &[&[u8]], length: usize) -> Option<usize> {
        let name = self.query.name.as_wire();
        let offset = name.len().checked_sub(length).filter(|_| length > 1 && !tail.is_empty())?;
        let mut question = &name[offset..];
        for part in std::iter::once(&tail).chain(rest) {
            question = question.strip_prefix(*part)?;
        }
        let mut labels = Labels(name);
        while labels.0.len() > length {
            labels.next()?;
        }
        (labels.0.len() == length).then_some(offset)
    }

    /// Writes one character-string. It has at most 255 octets (RFC 1035 section 3.3).
    pub fn character_string(&mut self, text: &[u8]) {
        self.put(&[text.len() as u8]);
        self.put(text);
    }
}

impl RecordHead<'_> {
    /// Type, class, TTL, and a length of zero: at once, because a record is written for each endpoint of a Service.
    fn fixed(&self) -> [u8; RECORD_FIXED] {
        let ([t0, t1], [c0, c1]) = (self.rr_type.0.to_be_bytes(), self.class.0.to_be_bytes());
        let [s0, s1, s2, s3] = self.ttl.to_be_bytes();
        [t0, t1, c0, c1, s0, s1, s2, s3, 0, 0]
    }
}

/// Appends the response to a message that cannot be answered: a header, and an OPT record if the message has a sound one.
///
/// `message` is at least a header; a shorter one is dropped by [`super::screen::screen`].
pub fn write_error(message: &[u8], rcode: Rcode, opt: &OptReply<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&error_header(message, rcode));
    if let Some(edns) = find_opt(message) {
        opt.write(&edns, rcode, out, start, start + usize::from(MIN_UDP));
        // ARCOUNT.
        out[start + HEADER - 1] = 1;
    }
}
