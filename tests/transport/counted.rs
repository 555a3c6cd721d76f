//! Counters, read by their labels: each message is counted once, under what it was and what it got.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use headless_dns::authority::{Authority, Options, PublicView};
use headless_dns::dns::name::Name;
use headless_dns::server::{Responder, StreamLimits};
use headless_dns::table::table;
use headless_dns::telemetry::metrics::{Exporter, Format, Metrics, Transport};
use hickory_proto::op::{Message, OpCode};
use hickory_proto::rr::{DNSClass, RecordType};

use crate::support::answering::{big, table_of};
use crate::support::common::{LIMITS, PATIENCE, Server, WIRE, options, query};
use crate::support::forged::{self, packet};
use crate::support::large::{BARE, PORT};
use crate::support::network::Network;
use crate::transport::connections::{client, connect, until_closed};
use crate::transport::neighbours::serve;

/// The series of these families that are not zero.
fn counted(metrics: &Arc<Metrics>, families: &[&str]) -> BTreeMap<String, u64> {
    let page = Exporter::new(Arc::clone(metrics)).encode(Format::Prometheus).expect("text");
    let series = page.lines().filter_map(|line| line.strip_prefix("headless_dns_")?.rsplit_once(' '));
    series
        .filter(|(series, _)| families.iter().any(|family| series.starts_with(family)))
        .map(|(series, value)| (series.to_owned(), value.parse::<f64>().expect("a number") as u64))
        .filter(|(_, value)| *value > 0)
        .collect()
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn octets(message: &Message) -> Vec<u8> {
    message.to_vec().expect("a message")
}

fn with(change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = query(BARE, RecordType::A);
    change(&mut message);
    octets(&message)
}

fn series(zone: &str, rcode: &str) -> String {
    format!("responses_total{{zone=\"{zone}\",rcode=\"{rcode}\"}}")
}

/// W1, W3: a response is counted under the code that its client reads, the extended one too, and under the zone that it asked about.
#[test]
fn each_response_is_counted_under_the_zone_that_was_asked_and_the_code_that_the_client_reads() {
    let metrics = Arc::new(Metrics::new());
    let view = PublicView { origin: name("db.example"), name_servers: vec![name("ns.example")] };
    let options = Options { public: Some(view), ..options() };
    let authority = || Arc::new(Authority::new(options.clone()).expect("names that fit"));
    metrics.expect_zones(authority().all_zones().map(|zone| zone.apex().to_string()));
    let synchronised = Responder::new(authority(), table_of([&*big(3)]), Arc::clone(&metrics), WIRE);
    // The writer is gone and never said that it is synchronised.
    let unsynchronised = Responder::new(authority(), table().1, Arc::clone(&metrics), WIRE);
    let newer = with(|query| {
        query.edns.as_mut().expect("EDNS").set_version(1);
    });
    let messages = [
        ("cluster.local.", "NOERROR", &synchronised, octets(&query(BARE, RecordType::A))),
        ("cluster.local.", "NXDOMAIN", &synchronised, octets(&query("nope.db.svc.cluster.local.", RecordType::A))),
        ("cluster.local.", "REFUSED", &synchronised, octets(&query("cluster.local.", RecordType::AXFR))),
        ("cluster.local.", "SERVFAIL", &unsynchronised, octets(&query(BARE, RecordType::A))),
        ("in-addr.arpa.", "NOERROR", &synchronised, octets(&query("in-addr.arpa.", RecordType::SOA))),
        ("in-addr.arpa.", "NXDOMAIN", &synchronised, octets(&query("9.9.9.9.in-addr.arpa.", RecordType::PTR))),
        ("ip6.arpa.", "NXDOMAIN", &synchronised, octets(&query("1.ip6.arpa.", RecordType::PTR))),
        ("db.example.", "NXDOMAIN", &synchronised, octets(&query("nope.db.db.example.", RecordType::A))),
        (".", "FORMERR", &synchronised, octets(&query(BARE, RecordType::A))[..20].to_vec()),
        (".", "NOTIMP", &synchronised, with(|query| query.metadata.op_code = OpCode::Notify)),
        (".", "REFUSED", &synchronised, octets(&query("example.com.", RecordType::A))),
        (".", "BADVERS", &synchronised, newer),
    ];
    // As many of each as no other has.
    let mut expected = BTreeMap::<_, u64>::new();
    for (times, (zone, rcode, responder, message)) in (1..).zip(&messages) {
        for _ in 0..times {
            let mut response = Vec::new();
            assert!(responder.respond(message, (Ipv4Addr::LOCALHOST, 1).into(), Transport::Udp, &mut response));
        }
        *expected.entry(series(zone, rcode)).or_default() += times;
    }
    assert_eq!(counted(&metrics, &["responses_total"]), expected);
    let all: u64 = expected.values().sum();
    let durations = counted(&metrics, &["request_duration_seconds_count"]);
    assert_eq!(durations, BTreeMap::from([("request_duration_seconds_count{transport=\"udp\"}".to_owned(), all)]));
}

/// W3.
#[test]
fn a_packet_without_a_response_is_counted_under_its_reason_and_nowhere_else() {
    let metrics = Arc::new(Metrics::new());
    let authority = Arc::new(Authority::new(options()).expect("names that fit"));
    let responder = Responder::new(authority, table_of([&*big(1)]), Arc::clone(&metrics), WIRE);
    let whole = octets(&query(BARE, RecordType::A));
    let response = [&whole[..2], &[0x80], &whole[3..]].concat();
    for (times, message) in [(1, &whole[..0]), (2, &whole[..11]), (4, &response[..12]), (8, &response)] {
        for _ in 0..times {
            assert!(!responder.respond(message, (Ipv4Addr::LOCALHOST, 1).into(), Transport::Udp, &mut Vec::new()));
        }
    }
    let expected =
        [("dropped_packets_total{reason=\"response\"}", 12), ("dropped_packets_total{reason=\"too_short\"}", 3)];
    assert_eq!(
        counted(&metrics, &["dropped_packets_total", "responses_total", "requests_total"]),
        expected.map(|(series, times)| (series.to_owned(), times)).into()
    );
}

#[test]
fn each_query_is_counted_under_its_transport_family_and_type() {
    let metrics = Arc::new(Metrics::new());
    let authority = Arc::new(Authority::new(options()).expect("names that fit"));
    let responder = Responder::new(authority, table_of([&*big(1)]), Arc::clone(&metrics), WIRE);
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 1));
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), 1));
    let (mut expected, mut times) = (BTreeMap::<String, u64>::new(), 0);
    for (transport, transport_label) in [
        (Transport::Udp, "udp"),
        (Transport::Tcp, "tcp"),
        (Transport::Tls, "tls"),
        (Transport::Https, "https"),
        (Transport::Quic, "quic"),
    ] {
        for (client, family) in [(v4, "ipv4"), (v6, "ipv6"), (mapped, "ipv4")] {
            for (record_type, label) in [
                (RecordType::A, "A"),
                (RecordType::AAAA, "AAAA"),
                (RecordType::SRV, "SRV"),
                (RecordType::PTR, "PTR"),
                (RecordType::CNAME, "CNAME"),
                (RecordType::SOA, "SOA"),
                (RecordType::NS, "NS"),
                (RecordType::TXT, "TXT"),
                (RecordType::ANY, "ANY"),
                (RecordType::HINFO, "other"),
                (RecordType::AXFR, "other"),
                (RecordType::Unknown(65_280), "other"),
            ] {
                times = times % 7 + 1;
                let asked = octets(&query(PORT, record_type));
                for _ in 0..times {
                    assert!(responder.respond(&asked, client, transport, &mut Vec::new()));
                }
                let series =
                    format!("requests_total{{transport=\"{transport_label}\",family=\"{family}\",type=\"{label}\"}}");
                *expected.entry(series).or_default() += times;
            }
        }
    }
    assert_eq!(counted(&metrics, &["requests_total"]), expected);
}

/// A query of another class is one too, and is counted by its type.
#[test]
fn a_query_that_is_refused_is_counted_as_one() {
    let metrics = Arc::new(Metrics::new());
    let authority = Arc::new(Authority::new(options()).expect("names that fit"));
    let responder = Responder::new(authority, table_of([&*big(1)]), Arc::clone(&metrics), WIRE);
    let asked = with(|query| {
        query.queries[0].set_query_class(DNSClass::HS);
    });
    assert!(responder.respond(&asked, (Ipv4Addr::LOCALHOST, 1).into(), Transport::Tcp, &mut Vec::new()));
    let expected = [("requests_total{transport=\"tcp\",family=\"ipv4\",type=\"A\"}", 1), (&*series(".", "REFUSED"), 1)];
    assert_eq!(
        counted(&metrics, &["requests_total", "responses_total"]),
        expected.map(|(series, times)| (series.to_owned(), times)).into()
    );
}

/// W5.
#[tokio::test]
async fn a_connection_over_a_limit_is_counted_under_that_limit() {
    let server = Server::start(options(), StreamLimits { connections: 3, connections_per_client: 1, ..LIMITS });
    let mut within = Vec::new();
    for (from, over) in [(0, 3), (1, 0), (2, 0), (3, 5)] {
        if from < 3 {
            within.push(connect(server.address, client(from), None).await);
        }
        for _ in 0..over {
            until_closed(&mut connect(server.address, client(from), None).await).await;
        }
    }
    let expected = [
        ("tcp_connections", 3),
        ("tcp_max_connections", 3),
        ("tcp_rejected_connections_total{reason=\"client_limit\"}", 3),
        ("tcp_rejected_connections_total{reason=\"total_limit\"}", 5),
    ];
    assert_eq!(counted(&server.metrics, &["tcp_"]), expected.map(|(series, times)| (series.to_owned(), times)).into(),);
}

/// W7. Answers to a network that no route leads to.
#[test]
fn an_answer_that_the_network_refuses_is_counted_as_one_that_failed_and_those_beside_it_are_sent() {
    const ASKED: u32 = 200;
    let Some(Network { server: namespace, clients }) = Network::new() else { return };
    let address: SocketAddr = "[fd77::1]:53".parse().expect("an address");
    let (metrics, _running) = serve(namespace, address);
    let asked = octets(&query(BARE, RecordType::A));
    // Every second one is from a client that is there.
    let packets = ["2001:db8::1", "fd77::2"].map(|from| packet(from.parse().expect("an address"), address, &asked));
    forged::flood(&clients, address, &packets, ASKED, Duration::from_secs(1));
    let all = BTreeMap::from([(series(".", "NOERROR"), u64::from(ASKED))]);
    let began = Instant::now();
    while counted(&metrics, &["responses_total"]) != all {
        assert!(began.elapsed() < PATIENCE, "the answers to all: {:?}", counted(&metrics, &["responses_total"]));
        thread::park_timeout(Duration::from_millis(5));
    }
    let failed = BTreeMap::from([("dropped_packets_total{reason=\"send_failed\"}".to_owned(), u64::from(ASKED / 2))]);
    assert_eq!(counted(&metrics, &["dropped_packets_total"]), failed);
}
