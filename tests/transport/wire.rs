//! The rules of the wire: EDNS, rotation, streams, and what is no query at all. `large.rs` has those about sizes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::answering::big;
use crate::support::common::{
    LIMITS, PATIENCE, Server, exchange, exchange_octets, extended_errors, framed, options, query, read_framed,
};
use crate::support::large::{BARE, PORT, server_with, with_payload};
use headless_dns::server::StreamLimits;
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// W1.
#[tokio::test]
async fn an_opt_record_is_answered_by_one_and_only_then() {
    let server = server_with(1).await;
    let asked = exchange(server.address, &query(BARE, RecordType::A), false).await.unwrap();
    let edns = asked.edns.expect("an OPT record");
    assert_eq!((edns.max_payload(), edns.version(), edns.flags().dnssec_ok), (1232, 0, false));
    let plain = exchange(server.address, &with_payload(query(BARE, RecordType::A), None), false).await.unwrap();
    assert!(plain.edns.is_none());
    let mut dnssec = query(BARE, RecordType::A);
    dnssec.edns.as_mut().unwrap().set_dnssec_ok(true);
    let answer = exchange(server.address, &dnssec, false).await.unwrap();
    assert!(answer.edns.unwrap().flags().dnssec_ok, "DO is copied (RFC 3225)");
}

/// W1.
#[tokio::test]
async fn another_version_of_edns_is_badvers_and_unknown_options_are_ignored() {
    let server = server_with(1).await;
    let mut newer = query(BARE, RecordType::A);
    newer.edns.as_mut().unwrap().set_version(1);
    let answer = exchange(server.address, &newer, false).await.unwrap();
    assert_eq!(u16::from(answer.metadata.response_code), 16, "BADVERS");
    assert_eq!(answer.edns.expect("the code needs an OPT record").version(), 0);
    assert!(answer.answers.is_empty());

    let mut optioned = query(BARE, RecordType::A);
    optioned.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Unknown(65_001, vec![1, 2, 3]));
    let answer = exchange(server.address, &optioned, false).await.unwrap();
    assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
    assert!(answer.edns.unwrap().option(EdnsCode::Unknown(65_001)).is_none());
}

/// W1.
#[tokio::test]
async fn two_opt_records_are_a_format_error() {
    let server = server_with(1).await;
    let mut octets = query(BARE, RecordType::A).to_vec().unwrap();
    let opt = [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    assert!(octets.ends_with(&opt), "the query ends with its OPT record");
    octets.extend_from_slice(&opt);
    octets[11] = 2;
    let answer = exchange_octets(server.address, &octets, false).await.unwrap();
    assert_eq!(answer[3] & 0x0f, 1, "FORMERR");
}

/// W8.
#[tokio::test]
async fn who_asked_with_a_sound_opt_record_gets_one_in_errors_too() {
    const OPT: usize = 11;
    let server = server_with(1).await;
    let good = query(BARE, RecordType::A).to_vec().unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = good.clone();
        change(&mut octets);
        octets
    };
    // A client subnet of which half is missing.
    let subnet = [0, 8, 0, 5, 0, 1, 24, 0, 10];
    let refused = [
        ("octets behind the message", with(&|octets| octets.push(0)), 1, true),
        ("octets behind a message without EDNS", with(&|octets| octets[11] = 0), 1, false),
        (
            "a client subnet that is cut",
            with(&|octets| {
                *octets.last_mut().unwrap() = subnet.len() as u8;
                octets.extend(subnet);
            }),
            1,
            true,
        ),
        ("the opcode NOTIFY", with(&|octets| octets[2] |= 4 << 3), 4, true),
        (
            "the opcode NOTIFY, without EDNS",
            with(&|octets| {
                octets[2] |= 4 << 3;
                octets[11] = 0;
                octets.truncate(octets.len() - OPT);
            }),
            4,
            false,
        ),
        (
            "no question",
            with(&|octets| {
                octets[5] = 0;
                octets.drain(12..octets.len() - OPT);
            }),
            1,
            true,
        ),
        (
            "two questions",
            with(&|octets| {
                octets[5] = 2;
                let question = octets[12..octets.len() - OPT].to_vec();
                octets.splice(12..12, question);
            }),
            1,
            true,
        ),
        ("65,535 questions", with(&|octets| octets[4..6].fill(0xff)), 1, false),
        ("half an OPT record", with(&|octets| octets.truncate(octets.len() - 3)), 1, false),
        (
            "an OPT record below a name",
            with(&|octets| {
                let at = octets.len() - OPT;
                octets.splice(at..=at, [1, b'a', 0]);
            }),
            1,
            false,
        ),
    ];
    for (what, octets, rcode, has_opt) in refused {
        for tcp in [false, true] {
            let answer = exchange_octets(server.address, &octets, tcp).await.unwrap();
            assert_eq!(answer[..2], octets[..2], "{what}: the ID");
            let answer = Message::from_vec(&answer).unwrap();
            assert_eq!(u16::from(answer.metadata.response_code), rcode, "{what}");
            assert_eq!(
                answer.edns.map(|edns| (edns.version(), edns.max_payload())),
                has_opt.then_some((0, 1232)),
                "{what}"
            );
        }
    }
}

/// D6.
#[tokio::test]
async fn sets_rotate_from_answer_to_answer_whatever_is_asked_between() {
    for endpoints in [2, 3] {
        let server = server_with(endpoints).await;
        for (name, record_type) in [(BARE, RecordType::A), (PORT, RecordType::SRV)] {
            let mut firsts = BTreeSet::new();
            let mut sets = BTreeSet::new();
            for _ in 0..8 {
                let answer = server.ask(name, record_type).await;
                let mut records: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
                firsts.insert(records[0].clone());
                records.sort();
                sets.insert(records);
                // As stub resolvers do: the one, then the other.
                server.ask(name, RecordType::AAAA).await;
            }
            assert_eq!((firsts.len(), sets.len()), (endpoints, 1), "{endpoints} starts of one set");
        }
    }
}

/// R8.
#[tokio::test]
async fn rd_and_cd_are_the_clients_and_ra_and_ad_are_not_set() {
    let server = server_with(1).await;
    for (rd, cd) in [(false, false), (true, true)] {
        let mut asked = query(BARE, RecordType::A);
        (asked.metadata.recursion_desired, asked.metadata.checking_disabled) = (rd, cd);
        asked.metadata.authentic_data = true;
        let metadata = exchange(server.address, &asked, false).await.unwrap().metadata;
        assert_eq!((metadata.recursion_desired, metadata.checking_disabled), (rd, cd));
        assert!(metadata.authoritative && !metadata.recursion_available && !metadata.authentic_data);
    }
}

/// W3.
#[tokio::test]
async fn what_is_no_query_is_refused_or_dropped_and_the_next_query_is_answered() {
    let server = server_with(1).await;
    let good = query(BARE, RecordType::A).to_vec().unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut octets = good.clone();
        change(&mut octets);
        octets
    };
    let refused = [
        ("no question", with(&|octets| octets[5] = 0), 1),
        ("65,535 questions", with(&|octets| octets[4..6].fill(0xff)), 1),
        ("cut short", with(&|octets| octets.truncate(20)), 1),
        ("a pointer to itself", with(&|octets| octets[12..14].copy_from_slice(&[0xc0, 12])), 1),
        ("a label of a reserved kind", with(&|octets| octets[12] = 0x80), 1),
        ("the opcode NOTIFY", with(&|octets| octets[2] |= 4 << 3), 4),
        ("the opcode UPDATE", with(&|octets| octets[2] |= 5 << 3), 4),
    ];
    for (what, octets, rcode) in refused {
        for tcp in [false, true] {
            let answer = exchange_octets(server.address, &octets, tcp).await.unwrap();
            assert_eq!(answer[..2], octets[..2], "{what}: the ID");
            assert_eq!((answer[2] & 0x80, answer[3] & 0x0f), (0x80, rcode), "{what}");
        }
    }
    for (what, octets) in
        [("a response", with(&|octets| octets[2] |= 0x80)), ("half a header", good[..6].to_vec()), ("nothing", vec![])]
    {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&octets, server.address).await.unwrap();
        // What is dropped leaves nothing to wait for: the answer to the next query comes first.
        socket.send_to(&good, server.address).await.unwrap();
        let mut answer = [0; 512];
        let (length, _) = timeout(PATIENCE, socket.recv_from(&mut answer)).await.expect("an answer").unwrap();
        let answer = Message::from_vec(&answer[..length]).unwrap();
        assert_eq!(answer.metadata.op_code, OpCode::Query, "{what}");
        assert_eq!(answer.answers.len(), 1, "{what}");
    }
}

/// T1.
#[tokio::test]
async fn before_the_first_synchronisation_the_answer_is_servfail_and_says_why() {
    let mut server = Server::start(options(), LIMITS);
    server.apply(&big(1));
    for name in [BARE, "nope.db.svc.cluster.local.", "cluster.local.", "10.in-addr.arpa."] {
        let answer = server.ask(name, RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "{name}");
        let errors = extended_errors(&answer);
        assert_eq!(errors, [(14, "the first synchronisation with the cluster is not complete".to_owned())], "{name}");
    }
    let outside = server.ask("example.com.", RecordType::A).await;
    assert_eq!(outside.metadata.response_code, ResponseCode::Refused, "what is not ours never will be");
    server.writer.set_synchronised();
    assert_eq!(server.ask(BARE, RecordType::A).await.answers.len(), 1);
}

/// W5.
#[tokio::test]
async fn many_queries_on_one_connection_are_all_answered_in_whatever_pieces_they_come() {
    let server = server_with(300).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut octets = Vec::new();
    for id in 0..500 {
        let mut asked = query(BARE, RecordType::A);
        asked.metadata.id = id;
        octets.extend(framed(&asked.to_vec().unwrap()));
    }
    let (mut read, mut write) = stream.split();
    let send = async {
        for piece in octets.chunks(777) {
            write.write_all(piece).await.unwrap();
        }
        // A client may close its half and still gets what it asked for (RFC 7766 section 6.2.4).
        write.shutdown().await.unwrap();
    };
    let receive = async {
        for id in 0..500 {
            let mut answer = vec![0; usize::from(read.read_u16().await.unwrap())];
            read.read_exact(&mut answer).await.unwrap();
            let answer = Message::from_vec(&answer).unwrap();
            assert_eq!((answer.metadata.id, answer.answers.len()), (id, 300));
        }
        assert_eq!(read.read(&mut [0]).await.unwrap(), 0, "the connection ends after the last answer");
    };
    timeout(PATIENCE, async { tokio::join!(send, receive) }).await.expect("all answers");
}

/// W5.
#[tokio::test]
async fn a_client_that_asks_is_told_how_long_a_connection_may_be_idle() {
    let server = server_with(1).await;
    let mut asked = query(BARE, RecordType::A);
    asked.edns.as_mut().unwrap().options_mut().insert(EdnsOption::Unknown(11, vec![]));
    let answer = exchange(server.address, &asked, true).await.unwrap();
    assert_eq!(
        answer.edns.unwrap().option(EdnsCode::Keepalive),
        Some(&EdnsOption::Unknown(11, 50u16.to_be_bytes().to_vec()))
    );
    let over_udp = exchange(server.address, &asked, false).await.unwrap();
    assert_eq!(over_udp.edns.unwrap().option(EdnsCode::Keepalive), None, "not over UDP (RFC 7828 section 3.2.1)");
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("an end in time"), Ok(0) | Err(_))
}

/// W5.
#[tokio::test]
async fn idle_and_dribbling_connections_are_closed_and_make_room() {
    let limits = StreamLimits { connections: 4, connections_per_client: 2, idle: Duration::from_millis(200) };
    let mut server = Server::start(options(), limits);
    server.writer.set_synchronised();
    server.apply(&big(1));
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut dribbling = TcpStream::connect(server.address).await.unwrap();
    // Both have been accepted when the third is turned away.
    let mut third = TcpStream::connect(server.address).await.unwrap();
    assert!(is_closed(&mut third).await, "a client has two connections");
    let query = framed(&query(BARE, RecordType::A).to_vec().unwrap());
    for octet in &query {
        // An octet now and then does not keep a connection: the whole query has to come in time.
        if dribbling.write_all(&[*octet]).await.is_err() {
            break;
        }
        if timeout(Duration::from_millis(20), dribbling.read(&mut [0; 1])).await.is_ok() {
            break;
        }
    }
    assert!(is_closed(&mut silent).await);
    assert!(is_closed(&mut dribbling).await);
    let mut next = TcpStream::connect(server.address).await.unwrap();
    next.write_all(&query).await.unwrap();
    assert!(timeout(PATIENCE, read_framed(&mut next)).await.expect("an answer").is_some());
}

#[tokio::test]
async fn port_zero_is_one_free_port_for_both_protocols_and_ipv6_is_served() {
    let addresses = ["127.0.0.1:0", "[::1]:0"].map(|text| text.parse::<SocketAddr>().unwrap());
    let bound = headless_dns::server::bind(&addresses, 2).unwrap();
    assert!(bound.addresses().iter().all(|address| address.port() != 0));
    // Held for as long as it takes, so that no test beside this one gets it in between.
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap();
    let error = headless_dns::server::bind(&[taken], 1).unwrap_err().to_string();
    assert!(error.contains(&taken.to_string()) && error.contains("--listen"), "{error}");
    drop(holder);
}

/// W6.
#[tokio::test]
async fn an_answer_leaves_from_the_address_that_the_query_came_to_on_a_wildcard_too() {
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let mut server = Server::listening(wildcard.parse().unwrap(), options(), LIMITS);
        server.apply(&big(1));
        server.writer.set_synchronised();
        let asked = SocketAddr::new(asked.parse().unwrap(), server.address.port());
        let socket =
            tokio::net::UdpSocket::bind(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).await.unwrap();
        // A connected socket takes datagrams from this address alone, as resolvers do.
        socket.connect(asked).await.unwrap();
        socket.send(&query(BARE, RecordType::A).to_vec().unwrap()).await.unwrap();
        let mut answer = [0; 512];
        let length =
            timeout(PATIENCE, socket.recv(&mut answer)).await.expect("an answer from where it was asked").unwrap();
        assert_eq!(Message::from_vec(&answer[..length]).unwrap().answers.len(), 1);
    }
}

/// S10, S13.
#[tokio::test]
async fn a_target_that_can_have_no_name_is_left_out_and_spoils_nothing() {
    let zone = ["z".repeat(63), "z".repeat(60)].join(".");
    let zones = vec![headless_dns::dns::name::Name::parse(&zone).unwrap()];
    let mut server = Server::start(headless_dns::authority::Options { zones, ..options() }, LIMITS);
    let (service, long) = ("s".repeat(63), "h".repeat(63));
    server.apply(&format!(
        "kind: Service\nmetadata: {{namespace: db, name: {service}}}\nspec: {{clusterIP: None}}\n---\nkind: EndpointSlice\n\
         metadata: {{namespace: db, name: a, labels: {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\n\
         ports: [{{name: p, port: 1}}]\nendpoints:\n- {{addresses: [10.2.0.1], hostname: {long}}}\n\
         - {{addresses: [10.2.0.2], hostname: h}}\n"
    ));
    server.writer.set_synchronised();
    let answer = server.ask(&format!("_p._tcp.{service}.db.svc.{zone}."), RecordType::SRV).await;
    assert_eq!((answer.answers.len(), answer.additionals.len()), (1, 1));
    let reverse = server.ask("1.0.2.10.in-addr.arpa.", RecordType::PTR).await;
    assert_eq!((reverse.metadata.response_code, reverse.answers.len()), (ResponseCode::NoError, 0));
    assert_eq!(server.ask(&format!("{service}.db.svc.{zone}."), RecordType::A).await.answers.len(), 2);
}
