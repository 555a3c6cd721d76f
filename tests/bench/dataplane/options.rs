//! What the EDNS options of a query cost inside the process (rule W9), relative to EDNS without options.
//!
//! ```text
//! cargo bench --bench options
//! ```

#[path = "../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use headless_dns::server::Responder;
use headless_dns::telemetry::metrics::Transport;
use support::dns;
use support::figures::Sorted;
use support::served::{self, WIRE};
use support::workload::dual_stack;

/// Endpoints of the Service that is asked for, each with an address of either family.
const SIZES: [usize; 2] = [10, 5_000];
/// The options of each query in wire format; None without EDNS.
const QUERIES: [(&str, Option<&[u8]>); 6] = [
    ("no EDNS", None),
    ("no option", Some(&[])),
    ("NSID", Some(&[0, 3, 0, 0])),
    ("client subnet", Some(&[0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 0])),
    ("padding", Some(&[0, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0])),
    ("cookie", Some(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])),
];
/// The row that the others are compared with.
const PLAIN: usize = 1;
const NAME: &str = "db.default.svc.cluster.local";
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53_000);

/// How long each row is timed: rounds that take turns, so that other load on the machine affects all rows alike.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 15;
/// Queries that are timed together.
const BATCH: u32 = 16;

fn main() {
    println!("endpoints  transport  query                µs        ×  octets");
    for size in SIZES {
        let (_, _, table) = served::mirrored(dual_stack("db", size));
        let responder = Responder::new(served::authority(), table, std::sync::Arc::default(), WIRE);
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let queries = QUERIES.map(|(_, options)| match options {
                Some(options) => dns::query_with_options(NAME, dns::A, options),
                None => dns::query(NAME, dns::A),
            });
            let mut times = QUERIES.map(|_| Vec::new());
            for _ in 0..ROUNDS {
                for (query, times) in queries.iter().zip(&mut times) {
                    times.push(time(&responder, query, transport));
                }
            }
            let medians = times.map(|times| Sorted::new(times).millis(0.5) * 1e3);
            for (((what, _), query), median) in QUERIES.iter().zip(&queries).zip(medians) {
                let mut response = Vec::new();
                responder.respond(query, CLIENT, transport, &mut response);
                let (transport, octets) = (format!("{transport:?}"), response.len());
                let ratio = median / medians[PLAIN];
                println!("{size:>9}  {transport:<9}  {what:<13} {median:>8.3} {ratio:>8.2}  {octets:>6}");
            }
        }
    }
}

/// The mean time of a query in one round.
fn time(responder: &Responder, query: &[u8], transport: Transport) -> Duration {
    let (mut worker, mut out) = (responder.worker(transport), Vec::with_capacity(usize::from(u16::MAX)));
    let (began, mut count) = (Instant::now(), 0);
    while began.elapsed() < ROUND {
        let mut batch = responder.batch(&mut worker);
        for _ in 0..BATCH {
            out.clear();
            batch.respond(black_box(query), CLIENT, &mut out);
            black_box(&out);
        }
        count += BATCH;
    }
    began.elapsed() / count
}
