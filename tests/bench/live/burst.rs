//! A StatefulSet of 5,000 Pods that start in parallel.

use std::thread::park_timeout;
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use tokio::runtime::Runtime;

use crate::give_way;
use crate::objects::{SLICE, Workload};
use crate::server::Server;

const PODS: usize = 5_000;
/// The time in which all of them become ready, one after the other.
const TIME: Duration = Duration::from_secs(2);
/// How far the EndpointSlice controller is behind.
const SLICES_LATE: Duration = Duration::from_secs(1);

pub fn run(runtime: &Runtime) {
    let sandbox = runtime.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
    let sandbox = sandbox.expect("a free port");
    let workload = Workload { name: "db".to_owned(), replicas: PODS, first: 0 };
    workload.create(&sandbox, false);
    let server = Server::start(&sandbox);
    server.until_metric("watch_events_total{resource=\"pods\",event=\"relist\"}", 1.0);
    let before = server.cpu();
    server.forget_waits();

    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            give_way();
            for round in 1..=TIME.as_secs() as u32 + 1 {
                park_timeout((began + SLICES_LATE * round).saturating_duration_since(Instant::now()));
                for number in workload.slices() {
                    sandbox.store().update(Kind::EndpointSlice, workload.slice(&sandbox, number)).expect("the slice");
                }
            }
        });
        for ordinal in 0..PODS {
            park_timeout((began + TIME / PODS as u32 * ordinal as u32).saturating_duration_since(Instant::now()));
            sandbox.store().update(Kind::Pod, workload.pod(ordinal, true)).expect("the Pod");
        }
    });
    server.until_metric("table_endpoints", PODS as f64);
    let took = began.elapsed();
    let events = (PODS + PODS / SLICE) as f64;
    server.until_metric("watch_events_total{resource=\"pods\",event=\"apply\"}", events - (PODS / SLICE) as f64);
    let cpu = server.cpu() - before;

    let mut waits = server.waits();
    waits.sort_unstable();
    let within = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("burst: {PODS} Pods of one Service become ready within {TIME:?} (all done after {took:.1?})");
    println!("CPU of the server: {:.2} s; {} publications", cpu.as_secs_f64(), waits.len());
    let (median, late, latest) = (within(0.5), within(0.99), within(1.0));
    println!("from the first event of each to the answer: p50 {median:.2} ms, p99 {late:.2} ms, max {latest:.2} ms");
    drop(server);
    runtime.block_on(sandbox.shutdown());
}
