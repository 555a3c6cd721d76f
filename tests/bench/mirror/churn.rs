//! The latency of queries while the cluster changes: of a UDP worker at a moderate rate, with the writer idle, and while it
//! publishes 2,000 Services a second with one endpoint changed in each.
//!
//! ```text
//! client, spinning on the last core ──10,000 queries/s──▶ worker on the first core
//! writer, on any core               ── 2,000 changes/s ──▶ index ─▶ table ◀─┘
//! ```
//!
//! The rate is kept whatever comes back, so that one slow response does not delay the queries behind it and hide their
//! latency. Rounds with and without changes alternate; medians are shown.
//!
//! ```text
//! cargo bench --bench churn [-- WORKLOAD]
//! ```

#[path = "../support/mod.rs"]
mod support;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use headless_dns::cluster::ClusterEvent;
use headless_dns::index::Index;
use headless_dns::server::{self, Responder, StreamLimits};
use headless_dns::table::TableWriter;
use headless_dns::telemetry::Reporting;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use support::dns;
use support::figures::{Sorted, median};
use support::served::{self, WIRE};
use support::workload::{Asked, Cluster};
use tokio_util::sync::CancellationToken;

/// Queries per second, a small part of what a worker can answer.
const RATE: u32 = 10_000;
/// Service changes per second.
const CHANGES: u32 = 2_000;
/// How long one measurement runs.
const TIME: Duration = Duration::from_secs(2);
/// Measurements of each kind.
const ROUNDS: usize = 5;
/// Different queries.
const QUERIES: usize = 4096;
/// How long to wait for responses after the last query.
const PATIENCE: Duration = Duration::from_millis(200);
const LIMITS: StreamLimits = StreamLimits { connections: 1, connections_per_client: 1, idle: PATIENCE };

/// Microseconds at 50 %, 99 % and 99.9 % of the answers, and the share of queries without one.
type Figures = [f64; 4];
/// The figure that has a bound.
const P99: usize = 1;
/// Its bound with changes, relative to without (medians).
const BOUND: f64 = 1.2;

fn main() -> io::Result<()> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    // `cargo bench` adds flags of its own.
    let workload = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let (cluster, questions) = served::workload(workload.as_deref().unwrap_or("mix"), QUERIES);
    let (mut index, mut writer, table) = served::mirrored(cluster.objects());
    let responder = Responder::new(served::authority(), table, Arc::default(), WIRE);
    let server = start_on(first, responder)?;
    let queries: Vec<_> = questions.iter().map(Asked::packet).collect();
    let changes = changes(&cluster);

    let mut measure = |with_changes: bool| -> io::Result<(Figures, usize)> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let publishing = with_changes.then(|| scope.spawn(|| publish(&mut index, &mut writer, &changes, &stop)));
            let asking = scope.spawn(|| {
                pin(last)?;
                ask(server, &queries)
            });
            let figures = asking.join().expect("a client");
            stop.store(true, Ordering::Relaxed);
            Ok((figures?, publishing.map_or(0, |publishing| publishing.join().expect("a writer"))))
        })
    };
    println!("{} cores, {RATE} queries/s, rounds of {TIME:?}", cores.len());
    println!("changes/s   p50 µs   p99 µs   p99.9 µs   unanswered");
    let (mut idle, mut churning) = (Vec::new(), Vec::new());
    measure(false)?;
    for _ in 0..ROUNDS {
        for (with_changes, rounds) in [(false, &mut idle), (true, &mut churning)] {
            let (figures, published) = measure(with_changes)?;
            println!("{:>9.0} {}", published as f64 / TIME.as_secs_f64(), shown(&figures));
            rounds.push(figures);
        }
    }
    let (idle, churning) = (medians(&idle), medians(&churning));
    println!("medians:\n     idle {}\n churning {}", shown(&idle), shown(&churning));
    println!("p99 with changes is {:.2} of p99 without (bound: {BOUND})", churning[P99] / idle[P99]);
    Ok(())
}

/// Keeps this thread, and those it starts, on a core.
fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// A server whose threads are on `core`, for as long as the process lives.
fn start_on(core: usize, responder: Responder) -> io::Result<SocketAddr> {
    let (done, started) = std::sync::mpsc::channel();
    thread::spawn(move || -> io::Result<()> {
        pin(core)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).map_err(io::Error::other)?;
            done.send(bound.addresses()[0]).map_err(io::Error::other)?;
            bound.run(Arc::new(responder), LIMITS, Reporting::default(), CancellationToken::new()).await
        })
    });
    started.recv().map_err(io::Error::other)
}

/// The watch's updates when in each Service an endpoint gets another address, and when each gets its own again.
fn changes(cluster: &Cluster) -> Vec<ClusterEvent> {
    let slices: Vec<_> = cluster.objects().filter(|object| object["kind"] == "EndpointSlice").collect();
    let mut changed = slices.clone();
    for (i, slice) in changed.iter_mut().enumerate() {
        slice["endpoints"][0]["addresses"][0] = format!("172.16.{}.{}", i / 256, i % 256).into();
    }
    changed.iter().chain(&slices).map(served::update).collect()
}

/// Publishes changes, each by itself and at its time, until it is told to stop; returns their number.
fn publish(index: &mut Index, writer: &mut TableWriter, changes: &[ClusterEvent], stop: &AtomicBool) -> usize {
    let (began, mut published) = (Instant::now(), 0);
    for (number, change) in changes.iter().cycle().enumerate() {
        wait_until(began + number as u32 * Duration::from_secs(1) / CHANGES);
        if stop.load(Ordering::Relaxed) {
            break;
        }
        index.apply(change.clone());
        published += writer.publish(index.take_publications());
    }
    published
}

fn wait_until(moment: Instant) {
    while let Some(left) = moment.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

/// Sends queries at their times for [`TIME`], and receives responses as they come.
fn ask(server: SocketAddr, queries: &[Vec<u8>]) -> io::Result<Figures> {
    // A socket of its own: late responses of an earlier measurement do not come here.
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server)?;
    client.set_nonblocking(true)?;
    let mut queries: Vec<_> = queries.to_vec();
    let count = RATE as usize * TIME.as_secs() as usize;
    let (mut sent, mut latencies) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut answer = [0; 512];
    let began = Instant::now();
    while latencies.len() < count && began.elapsed() < TIME + PATIENCE {
        if sent.len() < count && began.elapsed() >= sent.len() as u32 * Duration::from_secs(1) / RATE {
            let number = sent.len();
            let place = number % queries.len();
            // Queries in flight are few, so that 16 bits tell them apart.
            dns::set_id(&mut queries[place], number as u16);
            sent.push(Instant::now());
            client.send(&queries[place])?;
        }
        match client.recv(&mut answer) {
            Ok(_) => {
                let behind = ((sent.len() - 1) as u16).wrapping_sub(dns::id(&answer));
                latencies.push(sent[sent.len() - 1 - usize::from(behind)].elapsed());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let unanswered = 1.0 - latencies.len() as f64 / count as f64;
    let latencies = Sorted::new(latencies);
    Ok([latencies.millis(0.5) * 1e3, latencies.millis(0.99) * 1e3, latencies.millis(0.999) * 1e3, unanswered])
}

fn shown([p50, p99, p999, unanswered]: &Figures) -> String {
    format!("{p50:>8.1} {p99:>8.1} {p999:>10.1} {:>11.2}%", unanswered * 100.0)
}

fn medians(rounds: &[Figures]) -> Figures {
    std::array::from_fn(|figure| median(rounds.iter().map(|round| round[figure]).collect()))
}
