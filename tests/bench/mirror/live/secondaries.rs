//! What secondaries cost the server that they follow, beside a server that hands out no zones and one that nobody follows.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use headless_dns::dns::name::Name;
use headless_dns::transfer::TICK;
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::follower::{Counts, Follower, ZoneCopy};
use crate::objects::{NAMESPACE, Workload};
use crate::server::{Build, Server};
use crate::{PATIENCE, lower_priority};

/// Services, and the Pods of each.
const SERVICES: usize = 10_000;
const REPLICAS: usize = 15;
/// Changes a second: a Pod of another Service each time gets a new address.
const RATE: u32 = 100;
/// Secondaries of each row; none at the first means that no zone is handed out at all.
const ROWS: [Option<u8>; 4] = [None, Some(0), Some(10), Some(50)];
/// The zones that each secondary follows.
const ZONES: [&str; 2] = ["cluster.local", "10.in-addr.arpa"];
/// What makes a server hand out its zones.
const TRANSFER: [&str; 6] =
    ["--transfer-clients", "127.0.0.0/8", "--nameserver", "127.0.0.1", "--reverse-zone", "10.0.0.0/8"];
/// New addresses lie in 10.128.0.0/9, which no Pod has before.
const FIRST_ADDRESS: u32 = 0x0a80_0000;
const ADDRESSES: u32 = 0x0080_0000;

pub fn run(cluster: &Runtime, builds: &[Build], time: Duration) {
    println!(
        "secondaries: of {SERVICES} Services with {REPLICAS} Pods each, of which {RATE} a second get a new address for {time:?};"
    );
    println!(
        "per second and secondary: differences that were applied, and octets. What each has is compared in the end."
    );
    println!(
        "build      secondaries  changes/s  CPU ms/s   of it streams   memory MiB     peak   IXFR/s   octets/s   refused   requests to the API"
    );
    let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
    let sandbox = sandbox.expect("a free port");
    (0..SERVICES).for_each(|service| workload(service).create(&sandbox, true));
    let mut cluster = Cluster { sandbox, runtime: cluster, changes: 0 };
    for build in builds {
        for secondaries in ROWS {
            cluster.row(build, secondaries, time);
        }
    }
    cluster.runtime.block_on(cluster.sandbox.shutdown());
}

fn workload(service: usize) -> Workload {
    Workload { name: format!("db{service:05}"), replicas: REPLICAS, first: service * REPLICAS }
}

struct Cluster<'c> {
    sandbox: Sandbox,
    runtime: &'c Runtime,
    changes: u32,
}

impl Cluster<'_> {
    fn row(&mut self, build: &Build, secondaries: Option<u8>, time: Duration) {
        let server = crate::peers::free_address();
        let zones = ZONES.map(|zone| Name::parse(zone).expect("a name"));
        let new = |number| self.runtime.block_on(Follower::new(number, server, &zones)).expect("a free port");
        let mut followers: Vec<_> = (1..=secondaries.unwrap_or_default()).map(new).collect();
        let notify: Vec<_> = followers.iter().map(|follower| follower.address().to_string()).collect();
        let mut options: Vec<&str> = if secondaries.is_some() { TRANSFER.to_vec() } else { Vec::new() };
        notify.iter().for_each(|address| options.extend(["--notify", address]));
        let server = Server::start_on(server, &self.sandbox, build, &options);
        for resource in ["services", "endpointslices", "pods"] {
            server.until_metric(&format!("watch_events_total{{resource=\"{resource}\",event=\"relist\"}}"), 1.0);
        }
        let counts = Arc::new(Counts::default());
        if let Some((first, others)) = followers.split_first_mut() {
            server.until_metric("zone_versions_total", 1.0);
            let (began, before) = (Instant::now(), server.process.cpu());
            let copies = self.runtime.block_on(first.transfer(&counts)).expect("a transfer");
            let records: u64 = copies.iter().map(|copy| copy.records).sum();
            let (took, cpu) = (began.elapsed().as_secs_f64(), (server.process.cpu() - before).as_secs_f64());
            let octets = counts.octets.swap(0, Relaxed) as f64 / 1e6;
            println!(
                "           AXFR: {records} records, {octets:.1} MB, {cpu:.2} s of CPU, {took:.2} s with a client that reads them"
            );
            // The others begin with what the first has.
            others.iter_mut().for_each(|other| other.copy(&copies));
            counts.transfers.store(0, Relaxed);
        }
        let known: Vec<_> = followers.iter().map(Follower::has).collect();
        let tasks = followers.into_iter().map(|follower| {
            let counts = Arc::clone(&counts);
            self.runtime.spawn(async move { follower.follow(&counts).await })
        });
        let tasks: Vec<_> = tasks.collect();
        self.sandbox.faults().forget_requests();
        let (before, streams) = (server.process.cpu(), server.process.cpu_of("streams"));
        let changes = self.change(time);
        let (cpu, streams) = (server.process.cpu() - before, server.process.cpu_of("streams") - streams);
        let [transfers, refused, octets] =
            [&counts.transfers, &counts.refused, &counts.octets].map(|count| count.load(Relaxed) as f64);
        let requests: u64 = self.sandbox.faults().requests().values().sum();
        let seconds = time.as_secs_f64();
        let each = |count: f64| count / seconds / f64::from(secondaries.unwrap_or_default().max(1));
        println!(
            "{:<10} {:>11} {:>10.1} {:>9.1} {:>15.1} {:>12.1} {:>8.1} {:>8.1} {:>10.0} {refused:>9} {requests:>21}",
            build.name,
            secondaries.map_or("off".to_owned(), |number| number.to_string()),
            f64::from(changes) / seconds,
            cpu.as_secs_f64() * 1e3 / seconds,
            streams.as_secs_f64() * 1e3 / seconds,
            server.process.resident(),
            server.process.peak(),
            each(transfers),
            each(octets),
        );
        self.runtime.block_on(agree(&server, &zones, &known)).expect("what each has is what the server has");
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }

    /// Gives Pods new addresses at the rate, and returns how many.
    fn change(&mut self, time: Duration) -> u32 {
        let began = Instant::now();
        let mut changes = 0;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                lower_priority();
                while began.elapsed() < time {
                    self.changes += 1;
                    let address = Ipv4Addr::from(FIRST_ADDRESS + self.changes % ADDRESSES);
                    // A prime, so that Services far from each other change.
                    let (service, ordinal) =
                        (self.changes as usize * 7919 % SERVICES, self.changes as usize % REPLICAS);
                    let change = |pod: &mut Value| {
                        pod["status"]["podIP"] = json!(address);
                        pod["status"]["podIPs"] = json!([{ "ip": address }]);
                    };
                    let pod = workload(service).pod_name(ordinal);
                    self.sandbox.store().modify(Kind::Pod, NAMESPACE, &pod, change).expect("the Pod");
                    changes += 1;
                    let next = began + Duration::from_secs(1) * changes / RATE;
                    park_timeout(next.saturating_duration_since(Instant::now()));
                }
            });
        });
        changes
    }
}

/// Waits until all secondaries have the newest version, and compares what they have with the zones.
async fn agree(server: &Server, zones: &[Name], known: &[watch::Receiver<Vec<ZoneCopy>>]) -> io::Result<()> {
    if known.is_empty() {
        return Ok(());
    }
    // The version of the last change has been cut by then.
    tokio::time::sleep(4 * TICK).await;
    let fresh = Follower::new(u8::MAX, server.dns, zones)
        .await?
        .transfer(&Counts { octets: AtomicU64::new(0), ..Counts::default() })
        .await?;
    for known in known {
        let mut known = known.clone();
        let has_all = known.wait_for(|copies| *copies == fresh);
        let is_same = tokio::time::timeout(PATIENCE, has_all).await.is_ok();
        assert!(is_same, "{:?}, where the server has {fresh:?}", known.borrow());
    }
    Ok(())
}
