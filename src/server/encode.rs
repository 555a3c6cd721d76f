//! The fast encoder: an [`Answer`] into the octets of a message, without allocating.
//!
//! Names are compressed against the question alone: that is where nearly all of them end, and it keeps the letters that
//! the client used. The targets of SRV records are not compressed (RFC 2782).

use super::errors::{bare_length, told_in};
use crate::authority::{Additional, Answer, Data, NameParts, Owner, Rrset, SRV_PRIORITY, SRV_WEIGHT, Soa, SrvSet};
use crate::dns::name::Labels;
use crate::dns::wire::codes::{AA, CD, DO, OPT_FIXED, OPTION_HEAD, QR, RD, TC};
use crate::dns::wire::{Class, EDNS_VERSION, Edns, HEADER, OptionCode, Query, RrType, WireOptions};
use crate::records::{AddressesRef, SrvTarget};
use crate::telemetry::metrics::Transport;

/// How an answer is to be written.
pub struct Encoding<'a> {
    pub options: &'a WireOptions,
    pub transport: Transport,
    /// Where on its circle each RRset begins, a fraction of 2^64.
    pub rotation: u64,
}

/// Appends the message that answers `query` to `out`, within the limit of its transport. What does not fit is left out:
/// texts of errors and additional records without a word (RFC 2181 section 9), others with TC set.
pub fn encode(query: &Query<'_>, answer: &Answer<'_>, encoding: &Encoding<'_>, out: &mut Vec<u8>) {
    let keepalive = query.edns.is_some_and(|edns| edns.wants_keepalive && encoding.transport.has_keepalive());
    let limit = usize::from(encoding.options.limit(query.edns.as_ref(), encoding.transport.is_datagram()));
    let reserved = query.edns.map_or(0, |_| opt_length(keepalive));
    let start = out.len();
    let end = start + limit - reserved;
    out.extend_from_slice(&[0; HEADER]);
    out.extend_from_slice(query.question);
    let mut message = Message { end, question: query.name.as_wire(), rotation: encoding.rotation, out };
    let answers: Counted = answer.answer().map(|rrset| message.rrset(&rrset)).sum();
    let authorities: Counted = answer.authority.iter().map(|rrset| message.rrset(rrset)).sum();
    let is_truncated = answers.cut || authorities.cut;
    message.end -= bare_length(&answer.errors);
    let additionals = if is_truncated { 0 } else { message.additional(&answer.additional) };
    if let Some(edns) = &query.edns {
        let room = end - out.len();
        write_opt(out, edns, answer, encoding.options, keepalive, room);
    }
    let additionals = additionals + u16::from(query.edns.is_some());
    let header = header(query, answer, is_truncated, [answers.records, authorities.records, additionals]);
    out[start..start + HEADER].copy_from_slice(&header);
}

fn header(query: &Query<'_>, answer: &Answer<'_>, is_truncated: bool, counts: [u16; 3]) -> [u8; HEADER] {
    let [id_high, id_low, flags, more_flags] = query.header;
    let aa = if answer.authoritative { AA } else { 0 };
    let tc = if is_truncated { TC } else { 0 };
    let [answers, authorities, additionals] = counts.map(u16::to_be_bytes);
    [
        id_high,
        id_low,
        QR | aa | tc | flags & RD,
        more_flags & CD | (answer.rcode as u16 & 0x0f) as u8,
        0,
        1,
        answers[0],
        answers[1],
        authorities[0],
        authorities[1],
        additionals[0],
        additionals[1],
    ]
}

/// Octets of an OPT record without errors.
fn opt_length(keepalive: bool) -> usize {
    OPT_FIXED + if keepalive { OPTION_HEAD + 2 } else { 0 }
}

/// Writes an OPT record with so much of the errors as finds `room` besides.
fn write_opt(
    out: &mut Vec<u8>,
    asked: &Edns,
    answer: &Answer<'_>,
    options: &WireOptions,
    keepalive: bool,
    room: usize,
) {
    // RFC 3225 section 3: "The DO bit of the query MUST be copied in the response."
    let flags = if asked.dnssec_ok { DO } else { 0 };
    out.push(0);
    out.extend_from_slice(&RrType::OPT.0.to_be_bytes());
    out.extend_from_slice(&options.edns_udp_size.to_be_bytes());
    out.extend_from_slice(&[(answer.rcode as u16 >> 4) as u8, EDNS_VERSION, flags, 0]);
    out.extend_from_slice(&[0; RDLENGTH]);
    let begin = out.len();
    if keepalive {
        write_option(out, OptionCode::TcpKeepalive, &options.tcp_keepalive.to_be_bytes());
    }
    for data in told_in(room, &answer.errors) {
        write_option(out, OptionCode::ExtendedError, &data);
    }
    let length = (out.len() - begin) as u16;
    out[begin - RDLENGTH..begin].copy_from_slice(&length.to_be_bytes());
}

fn write_option(out: &mut Vec<u8>, code: OptionCode, data: &[u8]) {
    out.extend_from_slice(&(code as u16).to_be_bytes());
    out.extend_from_slice(&(data.len() as u16).to_be_bytes());
    out.extend_from_slice(data);
}

/// The records of a section that were written, and whether some were not.
#[derive(Clone, Copy, Default)]
struct Counted {
    records: u16,
    cut: bool,
}

impl std::iter::Sum for Counted {
    fn sum<I: Iterator<Item = Self>>(sections: I) -> Self {
        sections.fold(Self::default(), |all, one| Self { records: all.records + one.records, cut: all.cut || one.cut })
    }
}

/// A message while its records are written.
struct Message<'m> {
    out: &'m mut Vec<u8>,
    /// Where in `out` the records must end.
    end: usize,
    /// The question's name, lower-cased.
    question: &'m [u8],
    rotation: u64,
}

/// Where the question's name stands in a message.
const QUESTION_OFFSET: usize = HEADER;
/// The two high bits of a compression pointer (RFC 1035 section 4.1.4).
const POINTER: u16 = 0xc000;

impl Message<'_> {
    /// Writes the records of an RRset up to the first that does not fit.
    fn rrset(&mut self, rrset: &Rrset<'_>) -> Counted {
        let mut records = 0;
        let mut write = |message: &mut Self, data: &dyn Fn(&mut Self)| {
            let fits = message.record(&rrset.owner, rrset.data.rr_type(), rrset.class, rrset.ttl, data);
            records += u16::from(fits);
            fits
        };
        let is_whole = match rrset.data {
            Data::A(addresses) => rotated(addresses, self.rotation).all(|a| write(self, &|m| m.put(&a.octets()))),
            Data::Aaaa(addresses) => rotated(addresses, self.rotation).all(|a| write(self, &|m| m.put(&a.octets()))),
            Data::Srv(set) => rotated(set.records, self.rotation)
                .filter_map(|srv| Some((srv.port, set.target(srv)?.0)))
                .all(|(port, target)| write(self, &|m| m.srv(port, &target))),
            Data::Ptr(set) => set.targets().all(|target| write(self, &|m| m.name(&target))),
            Data::Cname(name) | Data::Ns(name) => write(self, &|m| m.name(&NameParts::whole(name))),
            Data::Soa(soa) => write(self, &|m| m.soa(&soa)),
            Data::Txt(text) => write(self, &|m| m.character_string(text)),
            Data::Hinfo(cpu, os) => write(self, &|m| {
                m.character_string(cpu);
                m.character_string(os);
            }),
        };
        Counted { records, cut: !is_whole }
    }

    /// Writes additional records as far as they fit; gives their number.
    fn additional(&mut self, additional: &Additional<'_>) -> u16 {
        match additional {
            Additional::None => 0,
            Additional::NameServer { owner, ttl, addresses } => {
                self.addresses(&NameParts::whole(owner), *ttl, addresses.borrowed()).records
            }
            Additional::Targets(set) => self.targets(set),
        }
    }

    /// The addresses of SRV targets, in the order of the records, each target once: records of one target follow one
    /// another in the set (the set is sorted by target), but a rotation may begin between two of them.
    fn targets(&mut self, set: &SrvSet<'_>) -> u16 {
        let mut records = 0;
        let (mut first, mut last): (Option<SrvTarget>, Option<SrvTarget>) = (None, None);
        for srv in rotated(set.records, self.rotation) {
            let is_repeated = last == Some(srv.target) || first == Some(srv.target);
            if is_repeated {
                continue;
            }
            (first, last) = (first.or(Some(srv.target)), Some(srv.target));
            let Some((owner, addresses)) = set.target(srv) else { continue };
            let written = self.addresses(&owner, set.ttl, addresses);
            records += written.records;
            if written.cut {
                break;
            }
        }
        records
    }

    fn addresses(&mut self, owner: &NameParts<'_>, ttl: u32, addresses: AddressesRef<'_>) -> Counted {
        let rrset = |data| Rrset { owner: Owner::Name(*owner), class: Class::IN, ttl, data };
        let v4 = self.rrset(&rrset(Data::A(addresses.v4)));
        if v4.cut {
            return v4;
        }
        [v4, self.rrset(&rrset(Data::Aaaa(addresses.v6)))].into_iter().sum()
    }

    /// Writes one record; takes it back and says false if it does not fit.
    fn record(&mut self, owner: &Owner<'_>, rr_type: RrType, class: Class, ttl: u32, data: &dyn Fn(&mut Self)) -> bool {
        let before = self.out.len();
        match owner {
            Owner::Question => self.put(&(POINTER | QUESTION_OFFSET as u16).to_be_bytes()),
            Owner::Name(name) => self.name(name),
        }
        self.put(&record_fixed(rr_type, class, ttl));
        let begin = self.out.len();
        data(self);
        if self.out.len() > self.end {
            self.out.truncate(before);
            return false;
        }
        // What fits into a message is no longer than one.
        let length = (self.out.len() - begin) as u16;
        self.out[begin - RDLENGTH..begin].copy_from_slice(&length.to_be_bytes());
        true
    }

    fn put(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    /// Writes a name, as a pointer into the question from the label on from which the two agree.
    fn name(&mut self, name: &NameParts<'_>) {
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

    /// Where the question's name goes on as `tail` and then `rest`, which are `length` octets together. The root label
    /// alone is not worth a pointer.
    fn agreement(&self, tail: &[u8], rest: &[&[u8]], length: usize) -> Option<usize> {
        let offset = self.question.len().checked_sub(length).filter(|_| length > 1 && !tail.is_empty())?;
        let mut question = &self.question[offset..];
        for part in std::iter::once(&tail).chain(rest) {
            question = question.strip_prefix(*part)?;
        }
        let mut labels = Labels(self.question);
        while labels.0.len() > length {
            labels.next()?;
        }
        (labels.0.len() == length).then_some(offset)
    }

    fn srv(&mut self, port: u16, target: &NameParts<'_>) {
        for field in [SRV_PRIORITY, SRV_WEIGHT, port] {
            self.put(&field.to_be_bytes());
        }
        target.0.iter().for_each(|part| self.put(part));
    }

    fn soa(&mut self, soa: &Soa<'_>) {
        self.name(&NameParts::whole(soa.mname));
        self.name(&NameParts::whole(soa.rname));
        for field in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
            self.put(&field.to_be_bytes());
        }
    }

    /// One character-string: at most 255 octets (RFC 1035 section 3.3), which the authority sees to.
    fn character_string(&mut self, text: &[u8]) {
        self.put(&[text.len() as u8]);
        self.put(text);
    }
}

/// Octets of the length of a record's data.
const RDLENGTH: usize = 2;
/// Octets of a record between its owner and its data (RFC 1035 section 4.1.3).
const RECORD_FIXED: usize = 8 + RDLENGTH;

/// Type, class, TTL, and a length of zero: at once, because a record is written for each endpoint of a Service.
fn record_fixed(rr_type: RrType, class: Class, ttl: u32) -> [u8; RECORD_FIXED] {
    let ([t0, t1], [c0, c1], [s0, s1, s2, s3]) = (rr_type.0.to_be_bytes(), class.0.to_be_bytes(), ttl.to_be_bytes());
    [t0, t1, c0, c1, s0, s1, s2, s3, 0, 0]
}

/// All items, beginning with the one that stands at `rotation`, a fraction of 2^64, on their circle.
pub(super) fn rotated<T>(items: &[T], rotation: u64) -> impl Iterator<Item = &T> {
    // The product has the place in its high half, always below the number of items.
    let first = (u128::from(rotation) * items.len() as u128) >> u64::BITS;
    let (before, from) = items.split_at(first as usize);
    from.iter().chain(before)
}
