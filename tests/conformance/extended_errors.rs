//! Extended DNS Errors: what is told beside an answer to whoever asks with EDNS, by either encoder, and what it gives way
//! to.

use headless_dns::dns::name::Label;
use headless_dns::records::{Silence, Stale};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use jiff::Timestamp;

use crate::support::answering::big;
use crate::support::common::{LIMITS, Server, exchange, exchange_octets, extended_errors, options, query};

const SERVICES: &str = "
kind: Service
metadata: {namespace: db, name: pg}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {namespace: db, name: pg, labels: {kubernetes.io/service-name: pg}}
addressType: IPv4
ports: [{name: sql, port: 5432}]
endpoints:
- {addresses: [10.1.0.10], hostname: pg-0}
---
kind: Service
metadata: {namespace: db, name: idle}
spec: {clusterIP: None}
---
kind: Service
metadata: {namespace: db, name: alias}
spec: {type: ExternalName, externalName: nope.db.svc.cluster.local}
";

/// The same question with an additional record that means nothing: the fast parser leaves it to hickory.
fn odd(query: &Message) -> Vec<u8> {
    const NOTHING: [u8; 15] = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1];
    let octets = query.to_vec().expect("a message");
    let opt = octets.len() - 11;
    let mut octets = [&octets[..opt], &NOTHING, &octets[opt..]].concat();
    octets[11] = 2;
    octets
}

/// The answers of both encoders, over UDP and over TCP, as octets.
async fn octets(server: &Server, query: &Message) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    for octets in [query.to_vec().expect("a message"), odd(query)] {
        for tcp in [false, true] {
            answers.push(exchange_octets(server.address, &octets, tcp).await.expect("an answer"));
        }
    }
    answers
}

fn read(octets: &[u8]) -> Message {
    Message::from_vec(octets).expect("a message that can be read")
}

async fn answers(server: &Server, query: &Message) -> Vec<Message> {
    octets(server, query).await.iter().map(|octets| read(octets)).collect()
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_denied_with_the_reason() {
    let namespaces = ["db", "cache"].map(|name| Label::parse(name).expect("a label")).to_vec();
    let mut server = Server::start(headless_dns::authority::Options { namespaces, ..options() }, LIMITS);
    server.apply(SERVICES);
    server.writer.set_synchronised();
    for (name, reason) in [
        ("nope.db.svc.cluster.local.", "there is no Service nope in namespace db"),
        ("pg-0.Nope.db.svc.cluster.local.", "there is no Service nope in namespace db"),
        ("alias.db.svc.cluster.local.", "there is no Service nope in namespace db"),
        ("cache.svc.cluster.local.", "no Service in namespace cache"),
        ("redis.cache.svc.cluster.local.", "no Service in namespace cache"),
        ("web.svc.cluster.local.", "namespace web is not watched by this server"),
        ("a.b.web.svc.cluster.local.", "namespace web is not watched by this server"),
        ("idle.db.svc.cluster.local.", "Service db/idle has no selector, and no EndpointSlice has an address for it"),
        (
            "idle-0.idle.db.svc.cluster.local.",
            "Service db/idle has no selector, and no EndpointSlice has an address for it",
        ),
        ("pg-7.pg.db.svc.cluster.local.", "Service db/pg has no ready endpoint pg-7"),
        ("_x._tcp.pg.db.svc.cluster.local.", "Service db/pg has no ready endpoint with a port _x._tcp"),
        ("_udp.pg.db.svc.cluster.local.", "Service db/pg has no ready endpoint with a port _udp"),
        ("pg.db.pod.cluster.local.", "no name in this zone has such a form"),
        (
            "9.9.9.10.in-addr.arpa.",
            "no cluster IP and no ready endpoint of a headless Service that is served here has this address",
        ),
    ] {
        for answer in answers(&server, &query(name, RecordType::A)).await {
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
            assert_eq!(extended_errors(&answer), [(0, reason.to_owned())], "{name}");
        }
    }
    for (name, record_type) in [("pg", RecordType::A), ("pg-0.pg", RecordType::AAAA), ("_tcp.pg", RecordType::A)] {
        for answer in answers(&server, &query(&format!("{name}.db.svc.cluster.local."), record_type)).await {
            assert_eq!(extended_errors(&answer), [], "{name} exists");
        }
    }
}

/// T2.
#[tokio::test]
async fn a_stale_answer_says_so_before_it_says_why_it_is_a_denial() {
    let mut server = Server::start(options(), LIMITS);
    server.apply(SERVICES);
    server.writer.set_synchronised();
    let since = Timestamp::from_second(1_795_226_645).expect("a time");
    server.writer.set_stale(Some(Stale { since, silence: Silence::Unreachable }));
    let stale = (3, "no contact with the API server since 2026-11-21T02:04:05Z".to_owned());
    for (name, record_type) in [
        ("pg.db.svc.cluster.local.", RecordType::A),
        ("pg.db.svc.cluster.local.", RecordType::AAAA),
        ("cluster.local.", RecordType::SOA),
        ("10.0.1.10.in-addr.arpa.", RecordType::PTR),
    ] {
        for answer in answers(&server, &query(name, record_type)).await {
            assert_eq!(extended_errors(&answer), std::slice::from_ref(&stale), "{name} {record_type}");
        }
    }
    let reason = (0, "Service db/pg has no ready endpoint pg-7".to_owned());
    for answer in answers(&server, &query("pg-7.pg.db.svc.cluster.local.", RecordType::A)).await {
        assert_eq!(extended_errors(&answer), [stale.clone(), reason.clone()]);
    }
    for answer in answers(&server, &query("example.com.", RecordType::A)).await {
        assert_eq!(
            extended_errors(&answer).iter().map(|(code, _)| *code).collect::<Vec<_>>(),
            [20],
            "not of the zones"
        );
    }
    let mut plain = query("pg.db.svc.cluster.local.", RecordType::A);
    plain.edns = None;
    let answer = exchange(server.address, &plain, false).await.expect("an answer");
    assert!(answer.edns.is_none(), "who does not ask is not told");

    server.writer.set_stale(None);
    for answer in answers(&server, &query("pg.db.svc.cluster.local.", RecordType::A)).await {
        assert_eq!(extended_errors(&answer), []);
    }
}

/// T2, W2.
#[tokio::test]
async fn an_error_pushes_no_record_out() {
    const LIMITS_OF: [usize; 4] = [1232, 65_535, 1232, 65_535];
    /// Octets of an error without its text.
    const BARE: usize = 6;
    let mut server = Server::start(options(), LIMITS);
    server.writer.set_synchronised();
    let asked = query("big.db.svc.cluster.local.", RecordType::A);
    for endpoints in 1..=80 {
        server.apply(&big(endpoints));
        server.writer.set_stale(None);
        let fresh = octets(&server, &asked).await;
        let silence = Silence::Refused(http::StatusCode::FORBIDDEN);
        server.writer.set_stale(Some(Stale { since: Timestamp::now(), silence }));
        let stale = octets(&server, &asked).await;
        for ((fresh, stale), limit) in fresh.iter().zip(&stale).zip(LIMITS_OF) {
            let (message, stale) = (read(fresh), read(stale));
            assert_eq!(message.answers.len(), stale.answers.len(), "{endpoints}");
            assert_eq!(message.metadata.truncation, stale.metadata.truncation, "{endpoints}");
            let has_room = fresh.len() + BARE <= limit;
            assert_eq!(extended_errors(&stale).len(), usize::from(has_room), "{endpoints}: {} octets", fresh.len());
        }
    }
}
