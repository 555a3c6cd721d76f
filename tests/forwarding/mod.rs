//! What is asked elsewhere: which names, for whom, from which upstream, and what becomes of the answers.

mod aliases;
mod bits;
mod cache;
mod clients;
mod explained;
mod forged;
mod loops;
mod names;
#[cfg(feature = "sandbox")]
mod program;
mod streams;
mod upstreams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use headless_dns::authority::Options;
use headless_dns::resolver::{self, CacheLimits, ForwardTo, MAX_IN_FLIGHT};
use headless_dns::server;
use headless_dns::telemetry::metrics::{Exporter, Format};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};

use crate::support::common::{PATIENCE, Server, exchange, options, query};
use crate::support::upstream::{FakeUpstream, answer};

/// A headless Service, one with a cluster IP, and an alias of a name outside.
const OBJECTS: &str = "
kind: Service
metadata: {namespace: db, name: pg}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
---
kind: EndpointSlice
metadata: {namespace: db, name: pg-a, labels: {kubernetes.io/service-name: pg}}
addressType: IPv4
ports: [{name: sql, port: 5432}]
endpoints:
- {addresses: [10.1.0.10], hostname: pg-0}
- {addresses: [10.1.0.12], hostname: pg-2, conditions: {ready: false}}
---
kind: Service
metadata: {namespace: db, name: ext}
spec: {type: ExternalName, externalName: www.example}
---
kind: Service
metadata: {namespace: db, name: chain}
spec: {type: ExternalName, externalName: alias.example}
---
kind: Service
metadata: {namespace: db, name: gone}
spec: {type: ExternalName, externalName: absent.example}
";

/// A name that is answered here.
const OURS: &str = "pg-0.pg.db.svc.cluster.local.";
/// What one question may take: short where upstreams hang.
const TIMEOUT: Duration = Duration::from_millis(900);

fn forward_to(upstreams: &[SocketAddr]) -> resolver::Options {
    forwarding_to(&upstreams.iter().map(ToString::to_string).collect::<Vec<_>>())
}

/// The same with upstreams as they are configured.
fn forwarding_to(upstreams: &[String]) -> resolver::Options {
    resolver::Options {
        forward: upstreams.iter().map(|upstream| ForwardTo::parse(upstream).expect("an upstream")).collect(),
        clients: vec!["127.0.0.0/8".parse().expect("a network")],
        cache: CacheLimits { octets: 1 << 20, stale: Duration::from_secs(60) },
        timeout: TIMEOUT,
        in_flight: MAX_IN_FLIGHT,
        trees: Vec::new(),
    }
}

/// A server with the objects, and these upstreams.
fn serving(options: Options, forward: resolver::Options) -> Server {
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
    let mut server = Server::forwarding(bound, options, forward);
    server.apply(OBJECTS);
    server.writer.set_synchronised();
    server
}

/// The same with everything mirrored.
fn server(upstreams: &[SocketAddr]) -> Server {
    serving(options(), forward_to(upstreams))
}

/// The answer to a query as stub resolvers send it.
async fn ask(server: &Server, name: &str) -> Message {
    ask_over(server, name, RecordType::A, false).await
}

async fn ask_over(server: &Server, name: &str, record_type: RecordType, tcp: bool) -> Message {
    let mut query = query(name, record_type);
    query.metadata.recursion_desired = true;
    exchange(server.address, &query, tcp).await.expect("an answer")
}

/// Code and addresses of an answer, and the names that aliases lead to.
fn shown(answer: &Message) -> (ResponseCode, Vec<String>) {
    let data = answer.answers.iter().filter_map(|record| match &record.data {
        RData::A(address) => Some(address.to_string()),
        RData::CNAME(name) => Some(name.to_ascii().to_lowercase()),
        _ => None,
    });
    (answer.metadata.response_code, data.collect())
}

fn found(data: &[&str]) -> (ResponseCode, Vec<String>) {
    (ResponseCode::NoError, data.iter().map(ToString::to_string).collect())
}

const DENIED: (ResponseCode, Vec<String>) = (ResponseCode::NXDomain, Vec::new());

/// An upstream that answers for as long as the flag is not set.
async fn mortal() -> (FakeUpstream, Arc<AtomicBool>) {
    let is_dead = Arc::new(AtomicBool::new(false));
    let dead = Arc::clone(&is_dead);
    let behaviour = move |query: &[u8]| if dead.load(Ordering::SeqCst) { Vec::new() } else { vec![answer(query)] };
    (FakeUpstream::start(behaviour).await, is_dead)
}

/// The value of a metric's line; none if there is no such line.
fn series(server: &Server, series: &str) -> Option<f64> {
    let text = Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("headless_dns_{series}"))?.strip_prefix(' '));
    value.map(|value| value.parse().expect("a number"))
}

fn metric(server: &Server, name: &str) -> f64 {
    series(server, name).unwrap_or_else(|| panic!("no {name}"))
}

fn is_healthy(server: &Server, upstream: SocketAddr) -> bool {
    metric(server, &format!("forward_healthy{{to=\"{upstream}\"}}")) == 1.0
}

/// Asks until the answer is as it should become.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what} does not come about"));
}
