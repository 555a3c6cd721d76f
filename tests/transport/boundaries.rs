//! Limits hit exactly: what just fits is sent whole, and one octet less of room costs one record and no more.

use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use crate::support::answering::{Answering, big, dual_stack, respond_as, table_of};
use crate::support::common::query;
use crate::support::large::{BARE, PORT, octets_with_payload};

/// Octets of a header, of type and class behind the question's name, and of an OPT record without options.
const HEADER: usize = 12;
const TYPE_AND_CLASS: usize = 4;
const OPT: usize = 11;
/// Octets of an A record below a compressed owner, and of an AAAA record.
const A: usize = 16;
const AAAA: usize = 28;
const SMALLEST: usize = 512;
const OURS: usize = 1232;

/// The response to a query of this EDNS payload size, or without EDNS.
fn respond(
    server: &Answering,
    name: &str,
    record_type: RecordType,
    payload: Option<usize>,
    transport: Transport,
) -> (usize, Message) {
    let payload = payload.map(|payload| u16::try_from(payload).expect("a payload size"));
    let asked = octets_with_payload(query(name, record_type), payload);
    let octets = respond_as(&server.responder, &mut server.responder.worker(transport), &asked).expect("a response");
    (octets.len(), Message::from_vec(&octets).expect("a response that can be read"))
}

/// W2. Names so long that the records end with the last octet that there is: 512 without EDNS, our own payload size, and the
/// longest message of all over a stream.
#[test]
fn an_answer_that_ends_with_the_last_octet_of_its_limit_is_whole_and_one_record_more_is_cut() {
    const BEHIND: &str = ".db.svc.cluster.local.";
    for (limit, payload, transport) in [
        (SMALLEST, None, Transport::Udp),
        (SMALLEST, Some(SMALLEST), Transport::Udp),
        (SMALLEST, Some(SMALLEST - 1), Transport::Udp),
        (OURS, Some(OURS), Transport::Udp),
        (OURS, Some(OURS + 1), Transport::Udp),
        (65_535, None, Transport::Tcp),
        (65_535, Some(SMALLEST), Transport::Tcp),
        (65_535, Some(OURS), Transport::Quic),
    ] {
        let opt = payload.map_or(0, |_| OPT);
        let left = limit - HEADER - TYPE_AND_CLASS - opt - 1 - BEHIND.len();
        // A label that leaves a whole number of records.
        let (label, fitting) = ("exactly".len() + (left - "exactly".len()) % A, (left - "exactly".len()) / A);
        let service = format!("{:x<label$}", "exactly");
        for endpoints in [fitting - 1, fitting, fitting + 1] {
            let server = Answering::new(table_of([&*big(endpoints).replace("big", &service)]));
            let (length, answer) = respond(&server, &(service.clone() + BEHIND), RecordType::A, payload, transport);
            let case = format!("{endpoints} of {fitting}, {limit} octets, payload {payload:?}, {transport:?}");
            assert_eq!(answer.answers.len(), endpoints.min(fitting), "{case}");
            assert_eq!(length, limit - A * fitting.saturating_sub(endpoints), "{case}");
            assert_eq!(answer.metadata.truncation, endpoints > fitting, "{case}");
        }
    }
}

/// W2. Every payload size that a client may give, one octet after the other.
#[test]
fn each_octet_of_room_is_used_and_none_beyond_it() {
    const ENDPOINTS: usize = 40;
    let server = Answering::new(table_of([&*dual_stack(ENDPOINTS)]));
    for (record_type, record) in [(RecordType::A, A), (RecordType::AAAA, AAAA)] {
        let empty = HEADER + BARE.len() + 1 + TYPE_AND_CLASS + OPT;
        for payload in 0..=OURS + 1 {
            let limit = payload.clamp(SMALLEST, OURS);
            let fitting = ((limit - empty) / record).min(ENDPOINTS);
            let (length, answer) = respond(&server, BARE, record_type, Some(payload), Transport::Udp);
            assert_eq!(answer.answers.len(), fitting, "{record_type}, {payload} octets");
            assert_eq!(length, empty + fitting * record, "{record_type}, {payload} octets");
            assert_eq!(answer.metadata.truncation, fitting < ENDPOINTS, "{record_type}, {payload} octets");
        }
    }
}

/// S12.
#[test]
fn the_addresses_of_a_target_with_several_ports_are_there_once_wherever_the_rotation_begins() {
    const ENDPOINTS: usize = 3;
    let ports = "ports: [{name: peer, port: 7000}, {name: client, port: 7001}]";
    let manifests = big(ENDPOINTS).replace("ports: [{name: peer, port: 7000}]", ports);
    let server = Answering::new(table_of([&*manifests]));
    // The worker is kept: each response begins elsewhere, in the middle of a target's records too.
    let mut worker = server.responder.worker(Transport::Udp);
    let asked = octets_with_payload(query(BARE, RecordType::SRV), Some(OURS as u16));
    let mut first_two = std::collections::BTreeSet::new();
    for _ in 0..8 * ENDPOINTS {
        let octets = respond_as(&server.responder, &mut worker, &asked).expect("a response");
        let answer = Message::from_vec(&octets).expect("a response that can be read");
        assert_eq!((answer.answers.len(), answer.additionals.len()), (2 * ENDPOINTS, ENDPOINTS));
        first_two.insert(answer.answers[0].data.to_string());
    }
    assert_eq!(first_two.len(), 2 * ENDPOINTS, "it began at every record");
}

/// W2, S12.
#[test]
fn an_additional_record_that_ends_with_the_last_octet_is_there_and_with_one_octet_less_it_alone_is_missing() {
    const ENDPOINTS: usize = 9;
    let server = Answering::new(table_of([&*big(ENDPOINTS)]));
    let (whole, answer) = respond(&server, PORT, RecordType::SRV, Some(OURS), Transport::Udp);
    assert_eq!((answer.answers.len(), answer.additionals.len()), (ENDPOINTS, ENDPOINTS));
    assert!(whole > SMALLEST, "a client can give this size and one octet less: {whole}");
    for (payload, additionals) in [(whole, ENDPOINTS), (whole - 1, ENDPOINTS - 1)] {
        let (length, answer) = respond(&server, PORT, RecordType::SRV, Some(payload), Transport::Udp);
        assert!(length <= payload);
        assert_eq!((answer.answers.len(), answer.additionals.len()), (ENDPOINTS, additionals), "{payload}");
        assert!(!answer.metadata.truncation, "an additional record is not missed");
    }
}
