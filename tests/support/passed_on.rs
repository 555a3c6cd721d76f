//! Answers that are passed on, held against those that the upstream gives when it is asked directly.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};

use crate::support::common::{exchange, query};

/// Seconds by which a TTL may have gone down in the cache while a test runs.
const AGE: u32 = 60;

/// What a query says besides its question.
#[derive(Clone, Copy, Debug)]
pub struct Bits {
    pub edns: bool,
    pub dnssec_ok: bool,
    pub authentic_data: bool,
    pub checking_disabled: bool,
}

/// All of them that can be.
pub fn all_bits() -> Vec<Bits> {
    let bits = |number: u8| Bits {
        edns: number & 1 != 0,
        dnssec_ok: number & 2 != 0,
        authentic_data: number & 4 != 0,
        checking_disabled: number & 8 != 0,
    };
    // DO is a bit of the OPT record.
    (0..16).map(bits).filter(|bits| bits.edns || !bits.dnssec_ok).collect()
}

/// A query for recursion with these bits.
pub fn query_with(name: &str, record_type: RecordType, bits: Bits) -> Message {
    let mut query = query(name, record_type);
    query.metadata.recursion_desired = true;
    query.metadata.authentic_data = bits.authentic_data;
    query.metadata.checking_disabled = bits.checking_disabled;
    query.edns = query.edns.filter(|_| bits.edns);
    query.edns.as_mut().map(|edns| edns.set_dnssec_ok(bits.dnssec_ok));
    query
}

/// How the answers of `server` to a query differ from those of `upstream`: the one that was asked for, the one from the cache,
/// and over TCP the whole one. Only RA and AA may differ, and CD, which is the query's (RFC 4035 section 3.2.2).
pub async fn differences(upstream: SocketAddr, server: SocketAddr, query: &Message) -> Vec<String> {
    let mut differences = Vec::new();
    let direct = exchange(upstream, query, false).await.expect("an answer of the upstream");
    for from in ["upstream", "the cache"] {
        let passed = exchange(server, query, false).await.expect("an answer");
        differences.extend(difference(query, &direct, &passed).map(|what| format!("over UDP from {from}, {what}")));
    }
    let direct = exchange(upstream, query, true).await.expect("an answer of the upstream");
    let passed = exchange(server, query, true).await.expect("an answer");
    differences.extend(difference(query, &direct, &passed).map(|what| format!("over TCP, {what}")));
    let question = &query.queries[0];
    differences.into_iter().map(|what| format!("{question} {:?}: {what}", Flags::of(query))).collect()
}

/// The first difference of two answers. Of those that are cut, no records are compared: clients have to ask again over TCP.
fn difference(query: &Message, direct: &Message, passed: &Message) -> Option<String> {
    let checking_disabled = query.metadata.checking_disabled;
    let (expected, given) = (Flags { checking_disabled, ..Flags::of(direct) }, Flags::of(passed));
    if given != expected {
        return Some(format!("{given:?} for {expected:?}"));
    }
    if passed.metadata.authoritative {
        return Some("AA".to_owned());
    }
    if direct.metadata.truncation {
        return None;
    }
    let sections = |message: &Message| {
        let Message { answers, authorities, additionals, .. } = message;
        [answers, authorities, additionals].map(|records| sorted(records))
    };
    for (section, (direct, passed)) in sections(direct).into_iter().zip(sections(passed)).enumerate() {
        let is_same = direct.len() == passed.len()
            && direct
                .iter()
                .zip(&passed)
                .all(|((text, ttl), (passed, left))| text == passed && (ttl.saturating_sub(AGE)..=*ttl).contains(left));
        if !is_same {
            return Some(format!("section {section}: {passed:?} for {direct:?}"));
        }
    }
    None
}

/// Records as text without their TTLs, and these.
fn sorted(records: &[Record]) -> Vec<(String, u32)> {
    let text = |record: &Record| {
        let owner = record.name.to_ascii().to_lowercase();
        (format!("{owner} {} {} {}", record.dns_class, record.record_type(), record.data), record.ttl)
    };
    let mut records: Vec<_> = records.iter().map(text).collect();
    records.sort();
    records
}

/// What a header says, and the OPT record's DO.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    rcode: ResponseCode,
    truncated: bool,
    recursion_desired: bool,
    authentic_data: bool,
    checking_disabled: bool,
    dnssec_ok: Option<bool>,
}

impl Flags {
    fn of(message: &Message) -> Self {
        let metadata = &message.metadata;
        Self {
            rcode: metadata.response_code,
            truncated: metadata.truncation,
            recursion_desired: metadata.recursion_desired,
            authentic_data: metadata.authentic_data,
            checking_disabled: metadata.checking_disabled,
            dnssec_ok: message.edns.as_ref().map(|edns: &Edns| edns.flags().dnssec_ok),
        }
    }
}
