//! Walks over an [`Answer`] and hands its records to the writer of messages: the one way in which responses are made.

use arrayvec::ArrayVec;

use crate::authority::{Additional, Answer, Data, Ede, Rrset, SRV_PRIORITY, SRV_WEIGHT, Soa, SrvSet};
use crate::dns::name::NameParts;
use crate::dns::wire::encode::{RecordHead, Status};
use crate::dns::wire::extended_error::{ExtendedError, MAX_ERRORS};
use crate::dns::wire::{Class, MessageWriter, OptReply, Owner, Query, Rcode, Section, WireOptions};
use crate::records::{AddressesRef, SrvTarget};
use crate::telemetry::metrics::Transport;

/// How a response is to be written.
#[derive(Clone, Copy, Debug)]
pub struct Encoding<'a> {
    pub options: &'a WireOptions,
    /// Sent to clients that ask for it (NSID, RFC 5001).
    pub server_id: Option<&'a [u8]>,
    pub transport: Transport,
    /// The RA bit: this client may ask for what is not ours.
    pub recursion_available: bool,
    /// Where on its circle each RRset begins, a fraction of 2^64.
    pub rotation: u64,
    /// Octets that are left to a signature.
    pub reserved: u16,
}

impl Encoding<'_> {
    /// What the OPT record of a response may hold.
    pub(super) fn opt<'e>(&'e self, errors: &'e [ExtendedError]) -> OptReply<'e> {
        OptReply {
            payload: self.options.edns_udp_size,
            nsid: self.server_id,
            keepalive: self.transport.has_keepalive().then_some(self.options.tcp_keepalive),
            errors,
            is_padded: self.transport.is_encrypted(),
        }
    }
}

/// Appends the response to `query` to `out`, within the limit of its transport.
pub fn encode(query: &Query<'_>, answer: &Answer<'_>, encoding: &Encoding<'_>, out: &mut Vec<u8>) {
    let errors: ArrayVec<_, MAX_ERRORS> = answer.errors.iter().map(Ede::written).collect();
    let opt = encoding.opt(&errors);
    let mut records = Records::new(query, encoding, out);
    answer.answer().for_each(|rrset| {
        records.rrset(&rrset);
    });
    records.message.begin(Section::Authority);
    answer.authority.iter().for_each(|rrset| {
        records.rrset(rrset);
    });
    if !records.message.is_truncated() {
        records.message.begin(Section::Additional);
        if query.edns.is_some() {
            records.message.reserve(opt.reserved());
        }
        records.additional(&answer.additional);
    }
    let Answer { rcode, authoritative, .. } = *answer;
    let status = Status { rcode, authoritative, recursion_available: encoding.recursion_available, authentic: false };
    records.finish(status, &opt);
}

/// A message while its records are written.
pub(super) struct Records<'m> {
    pub message: MessageWriter<'m>,
    rotation: u64,
}

impl<'m> Records<'m> {
    /// Begins the response to `query`.
    pub fn new(query: &'m Query<'m>, encoding: &Encoding<'_>, out: &'m mut Vec<u8>) -> Self {
        let limit = encoding.options.limit(query.edns.as_ref(), encoding.transport.is_datagram());
        // The least that a client takes has room for a signature and a question.
        let limit = limit.saturating_sub(encoding.reserved);
        Self { message: MessageWriter::new(query, limit, out), rotation: encoding.rotation }
    }

    /// Ends it, and returns its code.
    pub fn finish(self, status: Status, opt: &OptReply<'_>) -> Rcode {
        self.message.finish(status, opt);
        status.rcode
    }
}

impl Records<'_> {
    /// Writes the records of an RRset up to the first that does not fit. Returns whether all did.
    pub fn rrset(&mut self, rrset: &Rrset<'_>) -> bool {
        let head = RecordHead { owner: rrset.owner, rr_type: rrset.data.rr_type(), class: rrset.class, ttl: rrset.ttl };
        let (message, rotation) = (&mut self.message, self.rotation);
        match rrset.data {
            Data::A(addresses) => {
                rotated(addresses, rotation).all(|a| message.record(&head, |message| message.put(&a.octets())))
            }
            Data::Aaaa(addresses) => {
                rotated(addresses, rotation).all(|a| message.record(&head, |message| message.put(&a.octets())))
            }
            Data::Srv(set) => rotated(set.records, rotation)
                .filter_map(|srv| Some((srv.port, set.target(srv)?.0)))
                .all(|(port, target)| message.record(&head, |message| srv(message, port, &target))),
            Data::Ptr(set) => set.targets().all(|target| message.record(&head, |message| message.name(&target))),
            Data::OnePtr(target) => message.record(&head, |message| message.name(&target)),
            Data::Cname(name) => message.record(&head, |message| message.name(&NameParts::whole(name))),
            Data::Ns(names) => {
                names.iter().all(|name| message.record(&head, |message| message.name(&NameParts::whole(name))))
            }
            Data::Soa(data) => message.record(&head, |message| soa(message, &data)),
            Data::Txt(text) => message.record(&head, |message| message.character_string(text)),
            Data::Hinfo(cpu, os) => message.record(&head, |message| {
                message.character_string(cpu);
                message.character_string(os);
            }),
        }
    }

    /// Writes additional records as far as they fit.
    fn additional(&mut self, additional: &Additional<'_>) {
        match additional {
            Additional::None => {}
            Additional::NameServer { owner, ttl, addresses } => {
                self.addresses(&NameParts::whole(owner), *ttl, addresses.borrowed());
            }
            Additional::Targets(set) => self.targets(set),
        }
    }

    /// Writes the addresses of SRV targets, in the order of the records, each target once: records of one target follow one
    /// another in the set (it is sorted by target), but a rotation may begin between two of them.
    fn targets(&mut self, set: &SrvSet<'_>) {
        let (mut first, mut last): (Option<SrvTarget>, Option<SrvTarget>) = (None, None);
        for srv in rotated(set.records, self.rotation) {
            let is_repeated = last == Some(srv.target) || first == Some(srv.target);
            if is_repeated {
                continue;
            }
            (first, last) = (first.or(Some(srv.target)), Some(srv.target));
            let Some((owner, addresses)) = set.target(srv) else { continue };
            if !self.addresses(&owner, set.ttl, addresses) {
                break;
            }
        }
    }

    /// Writes the addresses of one name as far as they fit. Returns whether all did.
    fn addresses(&mut self, owner: &NameParts<'_>, ttl: u32, addresses: AddressesRef<'_>) -> bool {
        let rrset = |data| Rrset { owner: Owner::Name(*owner), class: Class::IN, ttl, data };
        self.rrset(&rrset(Data::A(addresses.v4))) && self.rrset(&rrset(Data::Aaaa(addresses.v6)))
    }
}

fn srv(message: &mut MessageWriter<'_>, port: u16, target: &NameParts<'_>) {
    for field in [SRV_PRIORITY, SRV_WEIGHT, port] {
        message.put(&field.to_be_bytes());
    }
    message.whole_name(target);
}

fn soa(message: &mut MessageWriter<'_>, soa: &Soa<'_>) {
    message.name(&NameParts::whole(soa.mname));
    message.name(&NameParts::whole(soa.rname));
    for field in [soa.serial, soa.refresh, soa.retry, soa.expire, soa.minimum] {
        message.put(&field.to_be_bytes());
    }
}

/// All items, beginning with the one at `rotation`, a fraction of 2^64, on their circle.
fn rotated<T>(items: &[T], rotation: u64) -> impl Iterator<Item = &T> {
    // The product has the place in its high half, always below the number of items.
    let first = (u128::from(rotation) * items.len() as u128) >> u64::BITS;
    let (before, from) = items.split_at(first as usize);
    from.iter().chain(before)
}
