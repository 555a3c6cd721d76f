//! What a query costs, step by step: reading it, deciding on its answer, writing that down; and all of it, as a worker does.
//!
//! ```text
//! cargo bench --bench query
//! ```

mod served;
mod workload;

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
use served::{WIRE, packet};

/// Queries that are timed together: as many as a worker takes at once.
const BATCH: usize = 64;
/// Different queries, so that they do not all lie in the nearest cache, nor what they ask for.
const QUERIES: usize = 512 * BATCH;
/// Octets of an answer over UDP.
const ANSWER: usize = DEFAULT_EDNS_UDP as usize;
const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 53_000);

/// What is asked.
const WORKLOADS: [&str; 7] =
    ["mix", "ordinal", "endpoints-10", "endpoints-1000", "endpoints-5000", "services-100", "services-10000"];

/// Everything that answers, and the queries as they come off the wire.
struct Fixture {
    authority: Arc<Authority>,
    table: TableReader,
    responder: Responder,
    queries: Vec<Vec<u8>>,
}

impl Fixture {
    fn of(workload: &str) -> Self {
        let (cluster, questions) = served::workload(workload, QUERIES);
        let (_, _, table) = served::mirrored(&cluster);
        let authority = served::authority();
        let responder = Responder::new(Arc::clone(&authority), table.clone(), Arc::new(Metrics::new()), WIRE);
        Self { authority, table, responder, queries: questions.iter().map(packet).collect() }
    }

    /// Times `step` over batches of queries, as they follow one another.
    fn bench(&self, bencher: Bencher<'_, '_>, mut step: impl FnMut(&[Vec<u8>])) {
        let mut batches = self.queries.chunks(BATCH).cycle();
        bencher.counter(ItemsCount::new(BATCH)).bench_local(move || step(batches.next().unwrap_or_default()));
    }
}

/// Octets into a query.
#[divan::bench]
fn parse(bencher: Bencher<'_, '_>) {
    Fixture::of("mix").bench(bencher, |batch| {
        for packet in batch {
            black_box(parse::parse(black_box(packet)));
        }
    });
}

/// A query into an answer, as data.
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

/// An answer into octets.
#[divan::bench(args = WORKLOADS)]
fn encode(bencher: Bencher<'_, '_>, workload: &str) {
    let fixture = Fixture::of(workload);
    let parsed: Vec<_> = fixture.queries.iter().filter_map(|packet| parse::parse(packet)).collect();
    let table = fixture.table.pin();
    let answered: Vec<_> =
        parsed.iter().map(|query| (query, fixture.authority.answer(&table, &query.question()))).collect();
    let encoding = Encoding { options: &WIRE, server_id: None, transport: Transport::Udp, rotation: 1 };
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

/// Octets into octets, with everything that a worker does besides.
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
