//! What the record table takes to hold a large cluster, and to publish one change to a large Service.
//!
//! ```text
//! cargo bench --bench footprint
//! ```

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headless_dns::dns::name::Label;
use headless_dns::records::{ServiceKey, ServiceKind, ServiceRecords, Srv, SrvTarget};
use headless_dns::table::table;

/// The large cluster: Services, each with so many endpoints.
const SERVICES: usize = 10_000;
const ENDPOINTS: usize = 15;
/// Namespaces that they are in.
const NAMESPACES: usize = 100;
/// Endpoints of the Services that one change is published to.
const SIZES: [usize; 4] = [10, 1_000, 5_000, 20_000];
/// Changes that are timed.
const CHANGES: usize = 200;
/// Where addresses begin.
const FIRST_ADDRESS: u32 = 0x0a00_0001;
/// Nodes of that cluster, and the addresses that each has for its Pods.
const NODES: usize = 1_500;
const NODE_ADDRESSES: usize = 256;
/// The number of every port.
const PORT: u16 = 5432;

fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

fn address(at: usize) -> IpAddr {
    Ipv4Addr::from_bits(FIRST_ADDRESS + at as u32).into()
}

/// A headless Service of one port: `host` names its endpoints, at these addresses.
fn headless(host: &str, addresses: impl Iterator<Item = IpAddr> + Clone) -> ServiceRecords {
    let hosts = addresses.clone().enumerate().map(|(i, address)| (label(&format!("{host}-{i:05}")), [address]));
    let srv: Arc<[Srv]> =
        (0..).zip(addresses.clone()).map(|(i, _)| Srv { port: PORT, target: SrvTarget::Host(i) }).collect();
    ServiceRecords {
        addresses: addresses.collect(),
        hosts: hosts.collect(),
        srv: [(b"\x04_sql\x04_tcp".as_slice().into(), srv.clone())].into_iter().collect(),
        all_srv: srv,
        ..ServiceRecords::empty(ServiceKind::Headless)
    }
}

fn key(service: usize) -> ServiceKey {
    ServiceKey::new(&label(&format!("team-{:03}", service % NAMESPACES)), &label(&format!("service-{service:05}")))
}

/// Memory of this process that is resident, octets (`VmRSS` in proc_pid_status(5)).
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("the status of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// Fills a table with the large cluster; gives the octets that it holds and the time that it took.
fn fill() -> (usize, Duration) {
    let (mut writer, _reader) = table();
    let before = resident();
    let began = Instant::now();
    for service in 0..SERVICES {
        // Pods are dealt out to the nodes in turn.
        let pods = (0..ENDPOINTS).map(|endpoint| endpoint * SERVICES + service);
        let records = headless("db", pods.map(|pod| address(pod % NODES * NODE_ADDRESSES + pod / NODES)));
        writer.publish(vec![(key(service), Some(records))]);
    }
    (resident() - before, began.elapsed())
}

/// Publishes one change after the other to a Service of `size` endpoints, an endpoint moving each time; gives the median.
fn change(size: usize) -> Duration {
    let (mut writer, _reader) = table();
    let version = |moved: usize| headless("db", (0..size).map(|i| address(if i == moved { i + size } else { i })));
    writer.publish(vec![(key(0), Some(version(0)))]);
    let mut times: Vec<_> = (1..=CHANGES)
        .map(|moved| {
            let batch = vec![(key(0), Some(version(moved % size)))];
            let began = Instant::now();
            assert_eq!(writer.publish(batch), 1);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[CHANGES / 2]
}

fn main() {
    let (octets, time) = fill();
    println!(
        "{SERVICES} Services of {ENDPOINTS} endpoints: {:.1} MB, {} octets an endpoint, filled in {time:.0?}",
        octets as f64 / 1e6,
        octets / (SERVICES * ENDPOINTS)
    );
    for size in SIZES {
        println!("one change to a Service of {size} endpoints: published in {:.1?}", change(size));
    }
}
