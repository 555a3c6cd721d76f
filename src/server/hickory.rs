//! Reads with hickory-proto what the fast parser declines: records where a query has none, odd options. It knows the whole
//! protocol and judges what is malformed; what is not becomes the same [`Query`].

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::opt::EdnsCode;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::dns::wire::parse::split_question;
use crate::dns::wire::{Edns, Query};

/// Reads a message that has passed the screen: it has one question. None if it is malformed.
pub(super) fn parse(message: &[u8]) -> Option<Query<'_>> {
    let mut decoder = BinDecoder::new(message);
    let read = Message::read(&mut decoder).ok()?;
    if !decoder.is_empty() {
        return None;
    }
    let (question, _) = split_question(message)?;
    Query::new(message, question, read.edns.as_ref().map(edns))
}

/// The serial of the SOA record in the authority section, with which a secondary says what it has (RFC 1995 section 3).
pub(super) fn serial(message: &[u8]) -> Option<u32> {
    let read = Message::read(&mut BinDecoder::new(message)).ok()?;
    read.authorities.iter().find_map(|record| match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    })
}

fn edns(edns: &hickory_proto::op::Edns) -> Edns {
    let wants = |code| edns.option(code).is_some();
    Edns {
        payload: edns.max_payload(),
        version: edns.version(),
        dnssec_ok: edns.flags().dnssec_ok,
        wants_keepalive: wants(EdnsCode::Keepalive),
        wants_nsid: wants(EdnsCode::NSID),
        wants_padding: wants(EdnsCode::Padding),
    }
}
