//! How late a secondary is: from a Pod's change to the answer of Knot, which follows as `config/knot.conf` has it.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread::{park_timeout, scope};
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::objects::{NAMESPACE, Workload};
use crate::peers::secondary::{KEY, Secondary};
use crate::peers::{free_address, missing, secondary};
use crate::server::{Build, Server};
use crate::support::dns;
use crate::support::figures::Sorted;
use crate::{PATIENCE, lower_priority};

/// Pods of the Service whose changes are timed, and of the one that changes meanwhile.
const REPLICAS: usize = 10;
/// Changes a second of another Service: none, and so many that a version is cut at every tick.
const OTHERS: [u32; 2] = [0, 100];
/// Between the end of a trial and the next change: longer than a tick, and another part of a tick each time.
const PAUSE: Duration = Duration::from_millis(260);
const STEP: Duration = Duration::from_millis(37);
/// Between two questions, and the longest wait for an answer.
const EVERY: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_millis(20);
/// New addresses, of the Pods that are timed and of the others.
const FIRST_ADDRESS: u32 = 0x0b00_0000;
const FIRST_OF_OTHERS: u32 = 0x0c00_0000;

pub fn run(cluster: &Runtime, builds: &[Build], rounds: usize) {
    if missing(&["knotd", "dig"]) {
        return;
    }
    println!("lag: from the write of a Pod's new address to the first answer with it, asked for every {EVERY:?}.");
    println!("build      other changes/s  asked     p50 ms   p99 ms   max ms");
    for build in builds {
        for others in OTHERS {
            let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
            let sandbox = sandbox.expect("a free port");
            let [timed, other] = ["db", "other"].map(|name| {
                let first = if name == "db" { 0 } else { REPLICAS };
                let workload = Workload { name: name.to_owned(), replicas: REPLICAS, first };
                workload.create(&sandbox, true);
                workload
            });
            let times = measure(&sandbox, build, [&timed, &other], others, rounds);
            for (who, times) in ["directly", "Knot"].into_iter().zip(times) {
                let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| times.millis(share));
                println!("{:<10} {others:>15}  {who:<8} {p50:>7.1} {p99:>8.1} {max:>8.1}", build.name);
            }
            cluster.block_on(sandbox.shutdown());
        }
    }
}

/// How long changes took until the server answered them, and until Knot did.
fn measure(
    sandbox: &Sandbox,
    build: &Build,
    [timed, other]: [&Workload; 2],
    others: u32,
    rounds: usize,
) -> [Sorted; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    fs::write(&keys, KEY).expect("written");
    // The second replica of the example is not there.
    let replicas = [free_address(), free_address()];
    let mut knot = Secondary::new(secondary::Kind::Knot, replicas);
    let notify = knot.notify();
    let keys = keys.to_str().expect("UTF-8");
    let options = ["--transfer-clients", "127.0.0.0/8", "--transfer-keys", keys, "--notify", &notify];
    let zones = ["--nameserver", "127.0.0.1", "--reverse-zone", "10.0.0.0/8"];
    let server = Server::start_on(replicas[0], sandbox, build, &[&options[..], &zones].concat());
    server.until_answered(&timed.host(0));
    knot.start();
    let began = Instant::now();
    while knot.serial("cluster.local").is_none() {
        assert!(began.elapsed() < PATIENCE, "Knot has no zone:\n{}", knot.said());
    }
    let stop = CancellationToken::new();
    let mut times = [Vec::new(), Vec::new()];
    scope(|scope| {
        let _stop = stop.clone().drop_guard();
        scope.spawn(|| {
            lower_priority();
            let began = Instant::now();
            for number in (0..).take_while(|_| others > 0 && !stop.is_cancelled()) {
                change(sandbox, other, number, FIRST_OF_OTHERS);
                let next = began + Duration::from_secs(1) * (number + 1) / others;
                park_timeout(next.saturating_duration_since(Instant::now()));
            }
        });
        for round in 0..rounds as u32 {
            // What is over within one tick could be in the version of the next.
            park_timeout(PAUSE + STEP * (round % 7));
            let (name, address) = (timed.host(round as usize % REPLICAS), Ipv4Addr::from(FIRST_ADDRESS + round));
            let began = Instant::now();
            change(sandbox, timed, round, FIRST_ADDRESS);
            for (times, server) in times.iter_mut().zip([server.dns, knot.address]) {
                until_answered(server, &name, address).expect("no error of the socket");
                times.push(began.elapsed());
            }
        }
    });
    times.map(Sorted::new)
}

/// Gives a Pod a new address.
fn change(sandbox: &Sandbox, workload: &Workload, number: u32, first: u32) {
    let address = Ipv4Addr::from(first + number);
    let pod = workload.pod_name(number as usize % REPLICAS);
    let change = |pod: &mut Value| {
        pod["status"]["podIP"] = json!(address);
        pod["status"]["podIPs"] = json!([{ "ip": address }]);
    };
    sandbox.store().modify(Kind::Pod, NAMESPACE, &pod, change).expect("the Pod");
}

/// Asks for the address of a name until it is this one.
fn until_answered(server: SocketAddr, name: &str, address: Ipv4Addr) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let (query, began) = (dns::query(name, dns::A), Instant::now());
    let mut response = [0; 512];
    loop {
        assert!(began.elapsed() < PATIENCE, "{name} has not become {address} at {server}");
        socket.send(&query)?;
        match socket.recv(&mut response) {
            Ok(length) if dns::last_address(&response[..length]) == Some(address) => return Ok(()),
            Ok(_) => park_timeout(EVERY),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
