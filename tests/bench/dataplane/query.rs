//! What a query costs inside the process, step by step: parsing it, looking up the answer, encoding that; and all of it, as a
//! worker does.
//!
//! ```text
//! cargo bench --bench query
//! ```

#[path = "../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use headless_dns::authority::Authority;
use headless_dns::dns::wire::{DEFAULT_EDNS_UDP, parse};
use headless_dns::server::{self, Encoding, Responder};
use headless_dns::table::TableReader;
use headless_dns::telemetry::metrics::{Metrics, Transport};
use support::served::{self, WIRE};
use support::workload::Asked;

/// Queries that are timed together: a worker's batch.
const BATCH: usize = 64;
/// Different queries: more than the nearest caches hold, records included.
const QUERIES: usize = 512 * BATCH;
/// Octets of an answer over UDP.
const ANSWER: usize = DEFAULT_EDNS_UDP as usize;
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 53_000);

/// As `served::workload` names them.
const WORKLOADS: [&str; 10] = [
    "mix",
    "ordinal",
    "endpoints-10",
    "endpoints-1000",
    "endpoints-5000",
    "reverse-10",
    "reverse-1000",
    "reverse-5000",
    "services-100",
    "services-10000",
];

/// What answers, and the packets.
struct Fixture {
    authority: Arc<Authority>,
    table: TableReader,
    responder: Responder,
    queries: Vec<Vec<u8>>,
}

impl Fixture {
    fn of(workload: &str) -> Self {
        let (cluster, questions) = served::workload(workload, QUERIES);
        let (_, _, table) = served::mirrored(cluster.objects());
        let authority = served::authority();
        let responder = Responder::new(Arc::clone(&authority), table.clone(), Arc::new(Metrics::new()), WIRE);
        Self { authority, table, responder, queries: questions.iter().map(Asked::packet).collect() }
    }

    /// Times `step` over one batch of queries after the other.
    fn bench(&self, bencher: Bencher<'_, '_>, mut step: impl FnMut(&[Vec<u8>])) {
        let mut batches = self.queries.chunks(BATCH).cycle();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(move || step(batches.next().unwrap_or_default()));
    }
}

/// Packet to query.
#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    Fixture::of("mix").bench(bencher, |batch| {
        for packet in batch {
            black_box(parse::parse(black_box(packet)));
        }
    });
}

/// Query to answer, as data.
#[divan::bench(args = WORKLOADS)]
fn look_up(bencher: Bencher<'_, '_>, workload: &str) {
    let fixture = Fixture::of(workload);
    let parsed: Vec<_> = fixture.queries.iter().filter_map(|packet| parse::parse(packet)).collect();
    let mut batches = parsed.chunks(BATCH).cycle();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let table = fixture.table.pin();
        for query in batches.next().unwrap_or_default() {
            black_box(fixture.authority.answer(&table, &query.question()));
        }
    });
}

/// Answer to packet.
#[divan::bench(args = WORKLOADS)]
fn encode(bencher: Bencher<'_, '_>, workload: &str) {
    let fixture = Fixture::of(workload);
    let parsed: Vec<_> = fixture.queries.iter().filter_map(|packet| parse::parse(packet)).collect();
    let table = fixture.table.pin();
    let answered: Vec<_> =
        parsed.iter().map(|query| (query, fixture.authority.answer(&table, &query.question()))).collect();
    let transport = Transport::Udp;
    let encoding =
        Encoding { options: &WIRE, server_id: None, transport, recursion_available: false, rotation: 1, reserved: 0 };
    let mut batches = answered.chunks(BATCH).cycle();
    let mut out = Vec::with_capacity(ANSWER);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for (query, answer) in batches.next().unwrap_or_default() {
            out.clear();
            server::encode(query, answer, &encoding, &mut out);
            black_box(&out);
        }
    });
}

/// Packet to packet, with everything else that a worker does.
#[divan::bench(args = WORKLOADS)]
fn respond(bencher: Bencher<'_, '_>, workload: &str) {
    let fixture = Fixture::of(workload);
    let mut worker = fixture.responder.worker(Transport::Udp);
    let mut out = Vec::with_capacity(ANSWER);
    fixture.bench(bencher, |batch| {
        let mut answering = fixture.responder.batch(&mut worker);
        for packet in batch {
            out.clear();
            answering.respond(packet, CLIENT, &mut out);
            black_box(&out);
        }
    });
}

fn main() {
    divan::main();
}
