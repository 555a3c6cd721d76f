//! Real resolvers between a client and the program: unbound and dnsmasq with the examples of `config/`, each on a free port,
//! and `dig` behind them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headless_dns::telemetry::metrics::{Exporter, Format};

use crate::support::answering::big;
use crate::support::common::{LIMITS, Server, options};
use crate::support::peers::{Forwarder, dig, dig_short, dig_status, missing, until};

/// A Service in both families, and an endpoint more to come.
const SERVICE: &str = "
kind: Service
metadata: {namespace: db, name: pg}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
---
kind: EndpointSlice
metadata: {namespace: db, name: pg-4, labels: {kubernetes.io/service-name: pg}}
addressType: IPv4
ports: [{name: sql, port: 5432}]
endpoints:
- {addresses: [10.1.0.10], hostname: pg-0}
- {addresses: [10.1.0.11], hostname: pg-1}
---
kind: EndpointSlice
metadata: {namespace: db, name: pg-6, labels: {kubernetes.io/service-name: pg}}
addressType: IPv6
ports: [{name: sql, port: 5432}]
endpoints:
- {addresses: ['fd00:10:1::10'], hostname: pg-0}
- {addresses: ['fd00:10:1::11'], hostname: pg-1}
";
const LATECOMER: &str = "
kind: EndpointSlice
metadata: {namespace: db, name: pg-late, labels: {kubernetes.io/service-name: pg}}
addressType: IPv4
ports: [{name: sql, port: 5432}]
endpoints: [{addresses: [10.1.0.12], hostname: pg-2}]
";

/// The negative TTL is 1 s; what is left is for a busy machine. A resolver's own idea of it would be minutes.
const SOON: Duration = Duration::from_secs(10);

fn server() -> Server {
    let mut server = Server::start(options(), LIMITS);
    server.apply(SERVICE);
    server.apply(&big(300));
    server.writer.set_synchronised();
    server
}

fn short(resolver: &Forwarder, question: &str) -> Vec<String> {
    dig_short(resolver.address, question).into_iter().collect()
}

/// Whether anybody has asked for an A record over TCP.
fn asked_over_tcp(server: &Server) -> bool {
    let metrics = Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text");
    let labels = "requests_total{transport=\"tcp\",family=\"ipv4\",type=\"A\"} ";
    let (_, count) = metrics.split_once(labels).expect("the counter");
    !count.starts_with("0\n")
}

/// What a client behind a resolver sees, be it unbound or dnsmasq.
fn check(resolver: &Forwarder, server: &mut Server) {
    assert_eq!(short(resolver, "pg-0.pg.db.svc.cluster.local A"), ["10.1.0.10"]);
    assert_eq!(short(resolver, "pg-1.pg.db.svc.cluster.local AAAA"), ["fd00:10:1::11"]);
    assert_eq!(short(resolver, "pg.db.svc.cluster.local A"), ["10.1.0.10", "10.1.0.11"]);
    assert_eq!(short(resolver, "pg.db.svc.cluster.local AAAA"), ["fd00:10:1::10", "fd00:10:1::11"]);
    let srv = short(resolver, "_sql._tcp.pg.db.svc.cluster.local SRV");
    let targets: Vec<_> = srv.iter().filter_map(|srv| srv.split_once(" 5432 ")).map(|(_, target)| target).collect();
    assert_eq!(targets, ["pg-0.pg.db.svc.cluster.local.", "pg-1.pg.db.svc.cluster.local."], "{srv:?}");
    assert_eq!(short(resolver, "-x 10.1.0.10"), ["pg-0.pg.db.svc.cluster.local."]);
    assert_eq!(short(resolver, "-x fd00:10:1::11"), ["pg-1.pg.db.svc.cluster.local."]);
    assert_eq!(dig_status(resolver.address, "-x 10.1.0.99"), "NXDOMAIN");
    assert_eq!(dig_status(resolver.address, "svc.cluster.local A"), "NOERROR", "an empty non-terminal");

    // Too much for UDP on both legs.
    let answer = dig(resolver.address, "big.db.svc.cluster.local A");
    assert!(answer.contains("Truncated, retrying in TCP mode") && answer.contains(" ANSWER: 300,"), "{answer}");
    assert_eq!(short(resolver, "big.db.svc.cluster.local A").len(), 300);
    assert!(asked_over_tcp(server), "the resolver came back over TCP");

    // A peer that was not there is there as soon as the denial has had its second.
    assert_eq!(dig_status(resolver.address, "pg-2.pg.db.svc.cluster.local A"), "NXDOMAIN");
    server.apply(LATECOMER);
    let since = Instant::now();
    let is_there = || short(resolver, "pg-2.pg.db.svc.cluster.local A") == ["10.1.0.12"];
    until("the latecomer", || is_there().then_some(()));
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_unbound_every_name_resolves() {
    if missing(&["unbound", "dig"]) {
        return;
    }
    let mut server = server();
    check(&Forwarder::unbound(server.address), &mut server);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_dnsmasq_every_name_resolves() {
    if missing(&["dnsmasq", "dig"]) {
        return;
    }
    let mut server = server();
    check(&Forwarder::dnsmasq(server.address), &mut server);
}

/// R6.
#[tokio::test(flavor = "multi_thread")]
async fn a_forwarders_health_check_is_answered() {
    if missing(&["dig"]) {
        return;
    }
    let server = server();
    // What CoreDNS asks: any answer will do, silence will not. `dig` fails if there is none.
    for transport in ["+notcp +noedns", "+notcp", "+tcp"] {
        let probe = format!(". NS +norecurse +tries=1 {transport}");
        assert_eq!(dig_status(server.address, &probe), "REFUSED", "{transport}");
    }
}
