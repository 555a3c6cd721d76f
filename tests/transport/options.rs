//! W9: options cost nobody anything. With or without them a query gets the same records.

use std::collections::BTreeSet;

use headless_dns::authority::Identity;
use headless_dns::server;
use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};

use crate::support::answering::{Answering, dual_stack, respond_as, table_of};
use crate::support::common::{LIMITS, Server, WIRE, exchange, options, query};
use crate::support::differential::made_odd;
use crate::support::large::{BARE, PORT, with_payload};

const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
/// What clients add to their queries: code and data.
const OPTIONS: [(&str, u16, &[u8]); 5] = [
    ("NSID", 3, &[]),
    ("client subnet", 8, &[0, 1, 24, 0, 10, 1, 0]),
    ("padding", PADDING, &[0; 64]),
    ("cookie", 10, &[1, 2, 3, 4, 5, 6, 7, 8]),
    ("keepalive", KEEPALIVE, &[]),
];
const SIZES: [usize; 2] = [10, 5000];

fn with_option(mut query: Message, code: u16, data: &[u8]) -> Message {
    let edns = query.edns.as_mut().expect("a query with EDNS");
    edns.options_mut().insert(EdnsOption::try_from((EdnsCode::from(code), data)).expect("an option"));
    query
}

/// S19, W9. Octets are compared, not names: those are equal in either case.
#[test]
fn the_question_comes_back_letter_for_letter_whatever_option_stands_behind_it() {
    const HEADER: usize = 12;
    let server = Answering::new(table_of([&*dual_stack(2)]));
    let question = |name: &str| query(name, RecordType::A);
    for name in ["BiG.dB.sVC.cLUSTer.LOcal.", "nOPe.Db.Svc.Cluster.Local.", "eXample.COM."] {
        let plain = [("no EDNS", with_payload(question(name), None)), ("no option", question(name))];
        let optioned = OPTIONS.map(|(what, code, data)| (what, with_option(question(name), code, data)));
        let malformed = with_option(question(name), 65_001, &[0xff; 9]);
        for (what, asked) in plain.into_iter().chain(optioned).chain([("an unknown option", malformed)]) {
            let asked = asked.to_vec().expect("a message");
            // The name as text has one octet less than in wire form.
            let end = HEADER + name.len() + 1 + 4;
            let mut messages = vec![("plain", asked.clone())];
            if what != "no EDNS" {
                messages.push(("odd", made_odd(&asked)));
            }
            for (parser, asked) in messages {
                for transport in [Transport::Udp, Transport::Tcp, Transport::Https] {
                    let mut worker = server.responder.worker(transport);
                    let response = respond_as(&server.responder, &mut worker, &asked).expect("a response");
                    assert_eq!(
                        response[HEADER..end].escape_ascii().to_string(),
                        asked[HEADER..end].escape_ascii().to_string(),
                        "{what}, {parser}, {transport:?}"
                    );
                    // The owner of the first record follows the question's name, or is the zone in its letters: a pointer.
                    let has_record = response[7] + response[9] > 0;
                    assert!(!has_record || response[end] & 0xc0 == 0xc0, "{what}, {parser}, {transport:?}");
                }
            }
        }
    }
}

/// W9, W2.
#[test]
fn an_option_changes_no_record_on_any_transport() {
    for endpoints in SIZES {
        let server = Answering::new(table_of([&*dual_stack(endpoints)]));
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic] {
            let worker = server.responder.worker(transport);
            let respond = |query: &Message| {
                let octets = respond_as(&server.responder, &mut worker.clone(), &query.to_vec().expect("a message"));
                Message::from_vec(&octets.expect("a response")).expect("a response that can be read")
            };
            for (name, record_type) in [(BARE, RecordType::A), (BARE, RecordType::AAAA), (PORT, RecordType::SRV)] {
                let plain = respond(&query(name, record_type));
                for (what, code, data) in OPTIONS {
                    let response = respond(&with_option(query(name, record_type), code, data));
                    let case = format!("{what}, {endpoints} endpoints, {transport:?}, {record_type}");
                    assert_eq!(response.metadata, plain.metadata, "{case}");
                    assert!(response.answers == plain.answers, "{case}");
                    assert!(response.additionals == plain.additionals, "{case}");
                }
            }
        }
    }
}

/// W9.
#[tokio::test]
async fn over_tcp_a_query_with_options_gets_as_many_addresses_as_one_without() {
    // Header, question and OPT record leave so much to records of 16 octets.
    let fitting = |limit: usize| (limit - 12 - (BARE.len() + 1 + 4) - 11) / 16;
    for endpoints in SIZES {
        let mut server = Server::start(options(), LIMITS);
        server.apply(&dual_stack(endpoints));
        server.writer.set_synchronised();
        let plain = query(BARE, RecordType::A);
        for (tcp, limit) in [(false, usize::from(WIRE.edns_udp_size)), (true, 65_535)] {
            let expected = fitting(limit).min(endpoints);
            let mut asked = vec![("plain", plain.clone())];
            asked.extend(OPTIONS.map(|(what, code, data)| (what, with_option(plain.clone(), code, data))));
            for (what, query) in asked {
                let response = exchange(server.address, &query, tcp).await.expect("a response");
                let distinct: BTreeSet<_> = response.answers.iter().map(ToString::to_string).collect();
                assert_eq!((response.answers.len(), distinct.len()), (expected, expected), "{what}, TCP {tcp}");
                assert_eq!(response.metadata.truncation, expected < endpoints, "{what}, TCP {tcp}");
            }
        }
    }
}

/// W9.
#[tokio::test]
async fn nsid_is_answered_with_the_servers_id_where_one_is_configured_and_asked_for() {
    for id in [None, Some("replica-1")] {
        let identity = Identity { id: id.map(str::to_owned), ..Identity::default() };
        let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
        let served = headless_dns::authority::Options { identity, ..options() };
        let mut server = Server::answering(bound, served, LIMITS, WIRE);
        server.apply(&dual_stack(1));
        server.writer.set_synchronised();
        for tcp in [false, true] {
            let response = exchange(server.address, &query(BARE, RecordType::A), tcp).await.expect("a response");
            assert_eq!(response.edns.expect("an OPT record").option(EdnsCode::NSID), None, "not asked for");
            let asked = with_option(query(BARE, RecordType::A), 3, &[]);
            let edns = exchange(server.address, &asked, tcp).await.expect("a response").edns.expect("an OPT record");
            let nsid = edns.option(EdnsCode::NSID).map(|option| Vec::<u8>::try_from(option).expect("octets"));
            assert_eq!(nsid.as_deref(), id.map(str::as_bytes));
        }
    }
}

/// W5, W9. RFC 9250 section 5.5.2 forbids it over QUIC; HTTP and UDP have no use for it.
#[test]
fn only_a_stream_of_messages_tells_how_long_it_may_be_idle() {
    let server = Answering::new(table_of([&*dual_stack(1)]));
    let asked = with_option(query(BARE, RecordType::A), KEEPALIVE, &[]).to_vec().expect("a message");
    for (transport, tells) in [
        (Transport::Udp, false),
        (Transport::Tcp, true),
        (Transport::Tls, true),
        (Transport::Https, false),
        (Transport::Quic, false),
    ] {
        let response = respond_as(&server.responder, &mut server.responder.worker(transport), &asked);
        let message = Message::from_vec(&response.expect("a response")).expect("a response that can be read");
        let option = message.edns.expect("an OPT record").option(EdnsCode::Keepalive).cloned();
        assert_eq!(option.is_some(), tells, "{transport:?}");
    }
}

/// W2, W9.
#[tokio::test]
async fn an_option_that_ends_with_the_last_octet_is_sent_and_one_octet_longer_it_is_not() {
    const LIMIT: usize = 512;
    const OPTION_HEAD: usize = 4;
    let opt = 11;
    let endpoints = 28;
    let without = 12 + BARE.len() + 1 + 4 + endpoints * 16 + opt;
    let room = LIMIT - without - OPTION_HEAD;
    for (length, is_sent) in [(room, true), (room + 1, false)] {
        let identity = Identity { id: Some("n".repeat(length)), ..Identity::default() };
        let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
        let served = headless_dns::authority::Options { identity, ..options() };
        let mut server = Server::answering(bound, served, LIMITS, WIRE);
        server.apply(&dual_stack(endpoints));
        server.writer.set_synchronised();
        let mut asked = with_option(query(BARE, RecordType::A), 3, &[]);
        asked.edns.as_mut().expect("EDNS").set_max_payload(LIMIT as u16);
        let response = exchange(server.address, &asked, false).await.expect("a response");
        assert_eq!(response.answers.len(), endpoints, "an option takes no room from records");
        let nsid = response.edns.expect("an OPT record").option(EdnsCode::NSID).cloned();
        assert_eq!(nsid.is_some(), is_sent, "{length} octets");
    }
}

/// W9, RFC 8467 section 4.1.
#[test]
fn a_padded_query_gets_a_padded_response_where_the_transport_is_encrypted() {
    const BLOCK: usize = 468;
    for endpoints in SIZES {
        let server = Answering::new(table_of([&*dual_stack(endpoints)]));
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls, Transport::Https, Transport::Quic] {
            for (name, record_type) in [(BARE, RecordType::A), (PORT, RecordType::SRV), ("x.y.", RecordType::A)] {
                for is_padded in [false, true] {
                    let mut query = query(name, record_type);
                    if is_padded {
                        query = with_option(query, PADDING, &[0; 5]);
                    }
                    let octets = query.to_vec().expect("a message");
                    let mut worker = server.responder.worker(transport);
                    let response = respond_as(&server.responder, &mut worker, &octets).expect("a response");
                    let message = Message::from_vec(&response).expect("a response that can be read");
                    let padding = message.edns.expect("an OPT record").option(EdnsCode::Padding).cloned();
                    let case = format!("{transport:?} {name} {record_type} {} octets", response.len());
                    if is_padded && !matches!(transport, Transport::Udp | Transport::Tcp) {
                        // Where no room is left for a whole block, and then where there is none for the option itself.
                        let is_full = response.len() > 65_535 - 4;
                        assert!(response.len().is_multiple_of(BLOCK) || is_full, "{case}");
                        assert!(padding.is_some() || is_full, "{case}");
                    } else {
                        assert_eq!(padding, None, "{case}");
                    }
                }
            }
        }
    }
}
