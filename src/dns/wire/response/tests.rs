//! Responses as upstreams send them.

use super::*;
use crate::dns::wire::encode::{CopiedTtl, MessageWriter, Status};
use crate::dns::wire::parse::parse;
use crate::dns::wire::{OptReply, codes};

const QUESTION: &[u8] = b"\x03wWw\x07example\x03org\x00\x00\x01\x00\x01";
const POINTER: &[u8] = &[0xc0, 12];

fn record(owner: &[u8], rr_type: RrType, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    [owner, &rr_type.0.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

fn soa(ttl: u32, minimum: u32) -> Vec<u8> {
    record(POINTER, RrType::SOA, ttl, &[&[0, 0][..], &[0; 16], &minimum.to_be_bytes()].concat())
}

fn opt(high: u8) -> Vec<u8> {
    vec![0, 0, 41, 4, 208, high, 0, 0, 0, 0, 0]
}

/// A response with this code and these records in each section.
fn response(rcode: u8, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let counts = sections.map(|records| records.len() as u8);
    let header = [1, 2, 0x81, 0x80 | rcode, 0, 1, 0, counts[0], 0, counts[1], 0, counts[2]];
    [&header[..], QUESTION, &sections.map(|records| records.concat()).concat()].concat()
}

fn read(rcode: u8, sections: [&[Vec<u8>]; 3]) -> Response {
    Response::read(&response(rcode, sections)).expect("a response")
}

/// F8.
#[test]
fn a_denial_is_kept_for_the_shorter_of_its_two_times_and_not_for_hours() {
    assert_eq!(read(3, [&[], &[soa(60, 5)], &[]]).lifetime(), Some(5));
    assert_eq!(read(3, [&[], &[soa(7, 60)], &[]]).lifetime(), Some(7));
    assert_eq!(read(0, [&[], &[soa(86_400, 86_400)], &[]]).lifetime(), Some(MAX_NEGATIVE_TTL), "NODATA");
    assert_eq!(read(3, [&[], &[soa(0, 60)], &[]]).lifetime(), None, "what is coming is not kept");
    assert_eq!(read(3, [&[], &[], &[]]).lifetime(), None, "no SOA");
    let shown = read(3, [&[], &[soa(60, 5)], &[]]).section(1).next().map(|soa| soa.ttl);
    assert_eq!(shown, Some(5), "caches behind us keep it no longer");
    let alias = record(POINTER, RrType::CNAME, 30, b"\x01a\x00");
    assert_eq!(read(3, [&[alias], &[soa(60, 60)], &[]]).lifetime(), Some(30), "an alias of a name that is not there");
}

/// F1.
#[test]
fn an_answer_is_kept_for_the_shortest_of_its_times() {
    let a = |ttl| record(POINTER, RrType::A, ttl, &[10, 0, 0, 1]);
    assert_eq!(read(0, [&[a(60), a(9)], &[], &[opt(0)]]).lifetime(), Some(9));
    assert_eq!(read(0, [&[a(60), a(0)], &[], &[]]).lifetime(), None);
    assert_eq!(read(0, [&[a(TTL_SIGN)], &[], &[]]).lifetime(), None, "a TTL with its highest bit set");
    assert_eq!(read(0, [&[a(MAX_TTL + 1)], &[], &[]]).lifetime(), Some(MAX_TTL));
    assert_eq!(read(2, [&[], &[], &[]]).lifetime(), None, "a failure");
}

#[test]
fn the_opt_record_goes_and_so_does_what_stands_behind_it() {
    let a = |owner: &[u8]| record(owner, RrType::A, 9, &[10, 0, 0, 1]);
    let kept = read(0, [&[a(POINTER)], &[], &[a(b"\x01a\x00"), opt(0), a(b"\x01b\x00")]]);
    assert_eq!(kept.counts(), [1, 0, 1]);
    assert_eq!(kept.section(2).map(|it| it.rr_type).collect::<Vec<_>>(), [RrType::A]);
    assert_eq!(read(0, [&[], &[], &[opt(1)]]).rcode(), Rcode::ServFail, "BADVERS");
    let told = [&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 9][..], &[0, 15, 0, 5, 0, 7], b"old"].concat();
    let errors: Vec<_> =
        read(2, [&[], &[], &[told]]).errors().iter().map(|it| (it.code, it.text.to_string())).collect();
    assert_eq!(errors, [(7, "old".to_owned())], "its errors stay");
}

/// F6.
#[test]
fn a_server_that_cannot_read_edns_is_told_from_one_that_cannot_answer() {
    for (rcode, high, rejects) in
        [(0, 0, false), (2, 0, false), (3, 0, false), (5, 0, false), (1, 0, true), (4, 0, true), (0, 1, true)]
    {
        assert_eq!(read(rcode, [&[], &[], &[opt(high)]]).rejects_edns(), rejects, "{rcode} {high}");
    }
    assert!(read(1, [&[], &[], &[]]).rejects_edns(), "FORMERR without OPT");
}

#[test]
fn what_is_malformed_is_no_response() {
    let sound = response(0, [&[record(POINTER, RrType::A, 9, &[10, 0, 0, 1])], &[], &[opt(0)]]);
    assert!(Response::read(&sound).is_some());
    for length in 0..sound.len() {
        assert!(Response::read(&sound[..length]).is_none(), "{length} octets");
    }
    assert!(Response::read(&[&sound[..], &[0]].concat()).is_none(), "octets behind it");
    let mut query = sound;
    query[2] &= !QR;
    assert!(Response::read(&query).is_none(), "a query");
}

#[test]
fn a_name_is_read_whole_and_one_that_never_ends_is_none() {
    let alias = record(POINTER, RrType::CNAME, 30, b"\x01A\xc0\x10");
    let response = read(0, [&[alias], &[], &[]]);
    let target = response.section(0).next().expect("a record").data_at;
    let (name, taken) = response.name(target).expect("a name");
    assert_eq!((name.as_wire(), taken), (&b"\x01a\x07example\x03org\x00"[..], 4));
    // A name that points at one that points: what it takes is its own two octets.
    let first = record(POINTER, RrType::CNAME, 30, b"\x01A\xc0\x10");
    let second = record(POINTER, RrType::CNAME, 30, &[0xc0, target as u8]);
    let response = read(0, [&[first, second], &[], &[]]);
    let (name, taken) = response.name(response.section(0).nth(1).expect("a record").data_at).expect("a name");
    assert_eq!((name.as_wire(), taken), (&b"\x01a\x07example\x03org\x00"[..], 2));
    let at = (HEADER + QUESTION.len() + 12) as u8;
    for endless in [&[1, b'a', 0xc0, at][..], &[0xc0, at], &[0xc0, at + 1], &[0x80]] {
        let alias = record(POINTER, RrType::CNAME, 30, endless);
        assert!(read(0, [&[alias], &[], &[]]).name(usize::from(at)).is_none(), "{endless:?}");
    }
}

/// F1, W2.
#[test]
fn a_copy_has_the_clients_question_what_is_left_of_the_times_and_as_many_records_as_fit() {
    let query = [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], b"\x03WWW\x07example\x03org\x00\x00\x01\x00\x01"].concat();
    let query = parse(&query).expect("a query");
    let records: Vec<_> = (0..100).map(|i| record(POINTER, RrType::A, 60, &[10, 0, 0, i])).collect();
    let kept = read(0, [&records, &[], &[]]);
    let opt = OptReply { payload: 1232, nsid: None, keepalive: None, errors: &[], is_padded: false };
    let status = Status { rcode: Rcode::NoError, authoritative: false, recursion_available: true, authentic: false };
    let write = |limit, ttl| {
        let mut out = b"before".to_vec();
        let mut message = MessageWriter::new(&query, limit, &mut out);
        message.copy(&kept, ttl, 0);
        message.finish(status, &opt);
        out.split_off(6)
    };
    let whole = write(u16::MAX, CopiedTtl::Aged(18));
    assert_eq!((&whole[..2], whole[2] & codes::TC, whole[3] & codes::RA), (&[7, 7][..], 0, codes::RA));
    assert_eq!(&whole[12..16], b"\x03WWW");
    let copied = Response::read(&whole).expect("a response");
    assert_eq!(copied.section(0).map(|a| a.ttl).collect::<Vec<_>>(), [42; 100]);
    let cut = write(512, CopiedTtl::Expired(30));
    assert_eq!(cut[2] & codes::TC, codes::TC);
    let copied = Response::read(&cut).expect("a response");
    assert_eq!(copied.counts()[0] as usize, (512 - 12 - QUESTION.len()) / 16);
    assert!(copied.section(0).all(|a| a.ttl == 30));
}
