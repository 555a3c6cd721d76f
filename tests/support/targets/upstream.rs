//! Any octets as what an upstream sends back: accepted only if it is the response to the query; then kept, and copied to clients so
//! that they read what the upstream said, however much of it they take (F1).
//!
//! An input is one octet of flags and a message. What was asked is what the message answers, unless the flags say otherwise.

use headless_dns::dns::wire::encode::{CopiedTtl, Status};
use headless_dns::dns::wire::parse::parse;
use headless_dns::dns::wire::{MessageWriter, OptReply, Response, RrType};
use headless_dns::resolver::{AskedElsewhere, OutgoingQuery, Verdict};
use hickory_proto::op::Message;
use hickory_proto::rr::Record;

use crate::support::differential::Asked;
use crate::support::targets::question;

const HEADER: usize = 12;
/// Octets of a question behind its name.
const TYPE_AND_CLASS: usize = 4;
/// The query has another ID than the message.
const OTHER_ID: u8 = 1;
/// The query is for another name.
const OTHER_NAME: u8 = 2;
/// The message gives the question back in the letter case of the query.
const SAME_CASE: u8 = 4;
/// The type of OPT records.
const OPT: u16 = 41;
/// The longest that anything is kept, seconds.
const MAX_LIFETIME: u32 = 86_400;
const LIMITS: [u16; 3] = [512, 1232, u16::MAX];

pub fn run(input: &[u8]) {
    let [flags, message @ ..] = input else { return };
    let mut message = message.to_vec();
    let known = [b"\x03www\x07example\x03org\x00".to_vec()];
    let asked = question::read(&message, &known);
    let name = if flags & OTHER_NAME != 0 { known[0].clone() } else { asked.name.to_ascii_lowercase() };
    let elsewhere = AskedElsewhere::plain(&name, RrType(asked.qtype));
    let mut query = OutgoingQuery::new(&elsewhere, true);
    query.set_id(if flags & OTHER_ID != 0 { !asked.id } else { asked.id });
    let question = query.octets[HEADER..HEADER + name.len() + TYPE_AND_CLASS].to_vec();
    if flags & SAME_CASE != 0
        && let Some(given) = message.get_mut(HEADER..HEADER + question.len())
        && given.eq_ignore_ascii_case(&question)
    {
        given.copy_from_slice(&question);
    }
    let verdict = query.judge(&message);
    assert_eq!(verdict, expected_verdict(&query.octets, &question, &message));
    if verdict != Verdict::Mismatch
        && let message = query.whole(&message)
        && let Some(response) = Response::read(&message)
    {
        check_kept(&response);
        let client = Asked { name, qtype: asked.qtype, class: 1, ..asked }.message();
        for limit in LIMITS {
            for ttl in [CopiedTtl::Aged(0), CopiedTtl::Aged(100), CopiedTtl::Expired(30)] {
                check_copy(&client, &response, &message, limit, ttl);
            }
        }
    }
}

/// What a message is to a query, found out from the octets alone.
fn expected_verdict(query: &[u8], question: &[u8], message: &[u8]) -> Verdict {
    if let [id_high, id_low, flags, rcode, 0, 0, 0, 0, 0, 0, 0, 0] = *message
        && [id_high, id_low] == query[..2]
        && flags & 0xf8 == 0x80
        && [1, 4].contains(&(rcode & 0x0f))
    {
        // A header alone, with FORMERR or NOTIMP: from a server that cannot read the query.
        return Verdict::Response;
    }
    let [id_high, id_low, flags, _, 0, 1, ..] = *message else { return Verdict::Mismatch };
    let given = message.get(HEADER..HEADER + question.len());
    let is_response = [id_high, id_low] == query[..2] && flags & 0xf8 == 0x80;
    match given {
        Some(given) if is_response && given == question => Verdict::Response,
        Some(given) if is_response && given.eq_ignore_ascii_case(question) => Verdict::OtherCase,
        _ => Verdict::Mismatch,
    }
}

/// What is kept has an end, and each of its records can be looked at.
fn check_kept(response: &Response) {
    assert!(response.lifetime().is_none_or(|lifetime| (1..=MAX_LIFETIME).contains(&lifetime)));
    assert!(!response.is_failure() || response.lifetime().is_none(), "a failure is kept for a second");
    for section in 0..3 {
        let records: Vec<_> = response.section(section).collect();
        assert_eq!(records.len(), usize::from(response.counts()[section]));
        for record in records {
            assert!(record.ttl <= MAX_LIFETIME);
            let name = response.name(record.owner);
            assert!(name.is_none_or(|(name, _)| name.as_wire().len() <= 255));
            let whole = response.expanded(&record);
            assert!(whole.is_none_or(|data| data.len() <= record.data.len() + 2 * 255));
        }
    }
}

/// A client's copy is no longer than it may be. If the message can be read, so can the copy, and it has the same records as far as
/// it goes.
fn check_copy(client: &[u8], response: &Response, message: &[u8], limit: u16, ttl: CopiedTtl) {
    let Some(query) = parse(client) else { return };
    let opt = OptReply { payload: 1232, nsid: None, keepalive: None, errors: &[], is_padded: false };
    let mut copy = Vec::new();
    let mut writer = MessageWriter::new(&query, limit, &mut copy);
    writer.copy(response, ttl, 0);
    let is_truncated = writer.is_truncated();
    let status = Status { rcode: response.rcode(), authoritative: false, recursion_available: true, authentic: false };
    writer.finish(status, &opt);
    assert!(copy.len() <= usize::from(limit), "{} octets, where {limit} are taken", copy.len());

    let Ok(before) = Message::from_vec(message) else { return };
    let Some(original) = with_head_and_ttls_of(&copy, message).and_then(|it| Message::from_vec(&it).ok()) else {
        return;
    };
    let read =
        Message::from_vec(&copy).unwrap_or_else(|error| panic!("a copy that cannot be read: {error}\n  {copy:02x?}"));
    assert_eq!(read.metadata.truncation, is_truncated);
    for (kept, all) in [
        (&read.answers, &original.answers),
        (&read.authorities, &original.authorities),
        (&read.additionals, &original.additionals),
    ] {
        assert!(kept.len() <= all.len() && *kept == all[..kept.len()], "{kept:?}\n  {all:?}");
    }
    assert!(is_truncated || read.answers.len() == original.answers.len(), "TC says that something is missing");
    let is_time_left = |(kept, record): (&Record, &Record)| match ttl {
        CopiedTtl::Aged(age) => kept.ttl <= record.ttl.saturating_sub(age),
        CopiedTtl::Expired(ttl) => kept.ttl == ttl,
    };
    assert!(read.answers.iter().zip(&before.answers).all(is_time_left), "{:?}\n  {:?}", read.answers, before.answers);
}

/// A message with ID, flags and TTLs of its copy, whose records stand at the same places: a name that is nonsense may lead to
/// these octets. None if it may lead into the counts, which differ.
fn with_head_and_ttls_of(copy: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    if message.windows(2).any(|octets| octets[0] >= 0xc0 && usize::from(octets[1]) < HEADER) {
        return None;
    }
    let mut same = message.to_vec();
    same[..4].copy_from_slice(copy.get(..4)?);
    let mut at = name_end(copy, HEADER)? + TYPE_AND_CLASS;
    let number = |at: usize| Some(u16::from_be_bytes([*copy.get(at)?, *copy.get(at + 1)?]));
    // The last record is the copy's OPT record, if it has one.
    for _ in 0..number(6)? + number(8)? + number(10)? {
        let ttl = name_end(copy, at)? + 4;
        if number(ttl - 4)? == OPT {
            break;
        }
        same.get_mut(ttl..ttl + 4)?.copy_from_slice(copy.get(ttl..ttl + 4)?);
        at = ttl + 6 + usize::from(number(ttl + 4)?);
    }
    Some(same)
}

/// Where a name ends that may be compressed.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return Some(at + 2),
        }
    }
}
