//! A query costs no allocation: the case table, and names of others that the cache holds, asked over UDP in a process that counts
//! every allocation it makes. A binary of its own with one test, so that nothing else in it allocates meanwhile.

#[path = "support/counting.rs"]
#[allow(dead_code, reason = "the number of blocks is all that is asked")]
mod counting;
#[path = "support/fixture.rs"]
mod fixture;
#[path = "support/plain_upstream.rs"]
mod plain_upstream;

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use counting::ALLOCATIONS;
use headless_dns::authority::Authority;
use headless_dns::cluster::{Scope, read_json};
use headless_dns::dns::name::Name;
use headless_dns::dns::wire::WireOptions;
use headless_dns::index::Index;
use headless_dns::records::{Silence, Stale};
use headless_dns::resolver::{self, CacheLimits, ForwardTo, MAX_IN_FLIGHT, Resolver};
use headless_dns::server::{self, Responder, StreamLimits};
use headless_dns::table::table;
use headless_dns::telemetry::Reporting;
use headless_dns::telemetry::metrics::Metrics;
use jiff::Timestamp;
use plain_upstream::{address_record, upstream};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A file of the case table, as far as it is asked here.
#[derive(Deserialize)]
struct Case {
    objects: String,
    #[serde(default)]
    zones: Vec<String>,
    #[serde(default)]
    chaos_id: Option<String>,
    questions: Vec<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    ask: String,
}

/// No answer takes so long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(10);
const WIRE: WireOptions = WireOptions { edns_udp_size: 1232, tcp_keepalive: 50 };
const LIMITS: StreamLimits = StreamLimits { connections: 1, connections_per_client: 1, idle: PATIENCE };

/// The queries of a file as octets, each with and without an OPT record.
fn queries(case: &Case) -> Vec<Vec<u8>> {
    let octets = |asked: &Asked| {
        let with_edns = fixture::asked(&asked.ask);
        let mut plain = with_edns.clone();
        plain.edns = None;
        [with_edns, plain].map(|message| message.to_vec().expect("a message"))
    };
    case.questions.iter().flat_map(octets).collect()
}

/// Asks all queries one after the other; gives the octets of the answers.
fn ask(client: &UdpSocket, queries: &[Vec<u8>]) -> usize {
    let mut answer = [0; 2048];
    let ask = |query: &Vec<u8>| {
        client.send(query).expect("a server");
        client.recv(&mut answer).expect("an answer in time")
    };
    queries.iter().map(ask).sum()
}

/// The allocations while queries of the case table's file are asked.
async fn allocations_of(path: &Path) -> usize {
    let case: Case = serde_yaml_ng::from_str(&fs::read_to_string(path).expect("a file")).expect("a case file");
    let mut options = fixture::options();
    if !case.zones.is_empty() {
        options.zones = case.zones.iter().map(|zone| Name::parse(zone).expect("a zone")).collect();
    }
    options.identity.id.clone_from(&case.chaos_id);
    let (mut writer, reader) = table();
    let mut index = Index::default();
    for (watched, json) in fixture::objects(&case.objects) {
        index.apply(read_json(watched, Scope::All, &json).expect("JSON").0);
    }
    writer.publish(index.take_publications());
    writer.set_synchronised();
    // Every answer to a query with EDNS carries an error, and some carry two.
    let silence = Silence::Refused(http::StatusCode::FORBIDDEN);
    writer.set_stale(Some(Stale { since: Timestamp::now(), silence }));

    let metrics = Arc::new(Metrics::new());
    let authority = Arc::new(Authority::new(options).expect("names that fit"));
    let responder = Responder::new(authority, reader, Arc::clone(&metrics), WIRE);
    allocations_while_asked(responder, metrics, queries(&case)).await
}

/// Those while names of others are asked that the cache holds.
async fn allocations_from_the_cache() -> usize {
    // An answer may be kept for longer than the test takes.
    let (upstream, metrics) = (upstream(|_| address_record(200)), Arc::new(Metrics::new()));
    let forward = resolver::Options {
        forward: vec![ForwardTo::parse(&upstream.to_string()).expect("an upstream")],
        clients: vec!["127.0.0.0/8".parse().expect("a network")],
        cache: CacheLimits { octets: 1 << 20, stale: PATIENCE },
        timeout: PATIENCE,
        in_flight: MAX_IN_FLIGHT,
        trees: Vec::new(),
    };
    let resolver = Resolver::start(forward, &Handle::current(), Arc::clone(&metrics)).expect("an upstream");
    let authority = Arc::new(Authority::new(fixture::options()).expect("names that fit").forwarding());
    let responder = Responder::new(authority, table().1, Arc::clone(&metrics), WIRE).forwarding(resolver);
    let queries = (0..100).flat_map(|i| {
        let mut with_edns = fixture::asked(&format!("host-{i}.example. A"));
        with_edns.metadata.recursion_desired = true;
        let mut plain = with_edns.clone();
        plain.edns = None;
        [with_edns, plain].map(|message| message.to_vec().expect("a message"))
    });
    allocations_while_asked(responder, metrics, queries.collect()).await
}

/// The allocations while all queries are asked for the second time.
async fn allocations_while_asked(responder: Responder, metrics: Arc<Metrics>, queries: Vec<Vec<u8>>) -> usize {
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
    let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.connect(bound.addresses()[0]).expect("a server");
    let stop = CancellationToken::new();
    let reporting = Reporting { metrics, ..Reporting::default() };
    let server = tokio::spawn(bound.run(Arc::new(responder), LIMITS, reporting, stop.clone()));

    let allocations = tokio::task::spawn_blocking(move || {
        // What is made once is made now.
        let first = ask(&client, &queries);
        let before = ALLOCATIONS.load(Ordering::SeqCst);
        let again = ask(&client, &queries);
        let allocations = ALLOCATIONS.load(Ordering::SeqCst) - before;
        assert_eq!(first, again, "the same questions have answers of the same length");
        allocations
    });
    let allocations = allocations.await.expect("answers");
    stop.cancel();
    server.await.expect("a server that ends").expect("threads");
    allocations
}

#[tokio::test]
async fn no_query_costs_an_allocation_over_udp() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    for file in fs::read_dir(folder).expect("the cases") {
        let path = file.expect("a file").path();
        assert_eq!(allocations_of(&path).await, 0, "allocations while the questions of {} were asked", path.display());
    }
    assert_eq!(allocations_from_the_cache().await, 0, "allocations while answers came from the cache");
}
