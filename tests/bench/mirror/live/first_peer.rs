//! How long after a Pod is ready its name resolves, for who has been asking all along: a member of a quorum that waits for its
//! first peer.
//!
//! ```text
//! clients ──every 20 ms──▶ cache ──▶ server ◀── watch ── the Pod becomes ready
//!                            └─────▶ relay ──▶ server      the same with denials that are kept for a second
//! ```
//!
//! All rows ask at the same time for the same Pods.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, park_timeout};
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use tokio::runtime::Runtime;

use crate::objects::Workload;
use crate::peers::{Forwarder, missing};
use crate::server::{Build, Server};
use crate::support::dns;
use crate::support::figures::Sorted;
use crate::{PATIENCE, relay};

/// Pods, each of which is one trial.
const TRIALS: usize = 128;
/// How often each client asks for each name.
const EVERY: Duration = Duration::from_millis(20);
/// Between the beginnings of two trials; no multiple of [`EVERY`], so that Pods become ready at any time between two queries.
const BETWEEN: Duration = Duration::from_millis(251);
/// A client has asked for two seconds when the Pod becomes ready.
const ASKED_BEFORE: usize = 8;
/// Octets of the longest response without EDNS.
const LONGEST: usize = 512;

pub fn run(cluster: &Runtime, builds: &[Build]) {
    println!(
        "first-peer: from the moment in which a Pod is ready to the first answer with its address, asked for every {EVERY:?}"
    );
    println!(
        "from two seconds before. In the rows with a mark, denials are kept for a second, as without rule D7. {TRIALS} Pods."
    );
    println!("build      asked                          p50 ms   p99 ms   max ms");
    for build in builds {
        let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
        let sandbox = sandbox.expect("a free port");
        let workload = Workload { name: "db".to_owned(), replicas: TRIALS, first: 0 };
        workload.create(&sandbox, false);
        let server = Server::start(&sandbox, build, &[]);
        server.until_metric("watch_events_total{resource=\"pods\",event=\"relist\"}", 1.0);
        let rows = rows(&sandbox, build, server.dns);
        let clients: Vec<_> = rows.iter().map(|row| Client::start(row.address)).collect();
        let ready = become_ready(&sandbox, &workload, &clients);
        for (Row { name, .. }, client) in rows.iter().zip(&clients) {
            let answers = (0..TRIALS).map(|_| client.answers.recv_timeout(PATIENCE).expect("an answer in time"));
            let times =
                Sorted::new(answers.map(|(ordinal, at)| at.saturating_duration_since(ready[ordinal])).collect());
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| times.millis(share));
            println!("{:<10} {name:<28} {p50:>8.1} {p99:>8.1} {max:>8.1}", build.name);
        }
        drop((clients, rows));
        cluster.block_on(sandbox.shutdown());
    }
}

/// Makes one Pod after the other ready, each when all clients have asked for it for two seconds. Returns when each was written.
fn become_ready(sandbox: &Sandbox, workload: &Workload, clients: &[Client]) -> Vec<Instant> {
    let began = Instant::now();
    let mut ready = Vec::with_capacity(TRIALS);
    for step in 0..TRIALS + ASKED_BEFORE {
        park_timeout((began + BETWEEN * step as u32).saturating_duration_since(Instant::now()));
        if step < TRIALS {
            let (name, address) = (workload.host(step), workload.address(step));
            clients.iter().for_each(|client| client.expect(step, &name, address));
        }
        if let Some(ordinal) = step.checked_sub(ASKED_BEFORE) {
            let pod = workload.pod(ordinal, true);
            ready.push(Instant::now());
            sandbox.store().update(Kind::Pod, pod).expect("the Pod");
        }
    }
    ready
}

/// Who is asked.
struct Row {
    name: String,
    address: SocketAddr,
    _cache: Option<Cache>,
}

/// A process between client and server, which ends with this.
enum Cache {
    HeadlessDns { _server: Server },
    Peer { _forwarder: Forwarder },
}

/// A server, caches in front of it, and others in front of one that has no rule D7.
fn rows(sandbox: &Sandbox, build: &Build, server: SocketAddr) -> Vec<Row> {
    let mut rows = vec![Row { name: "directly".to_owned(), address: server, _cache: None }];
    for (mark, is_relayed) in [("", false), (" *", true)] {
        for name in ["headless-dns", "unbound", "dnsmasq"] {
            let is_ours = name == "headless-dns";
            if !is_ours && missing(&[name]) {
                continue;
            }
            // A relay for each: it tells by their IDs whose query is answered.
            let server = if is_relayed { relay::start(server).expect("free ports") } else { server };
            let (address, cache) = if is_ours {
                // It mirrors another namespace, so that all names of this one are asked elsewhere.
                let options = ["--namespace", "kube-system", "--forward", &server.to_string()];
                let ours = Server::start(sandbox, build, &options);
                ours.until_metric("watch_events_total{resource=\"services\",event=\"relist\"}", 1.0);
                (ours.dns, Cache::HeadlessDns { _server: ours })
            } else {
                let peer = if name == "unbound" { Forwarder::unbound(server) } else { Forwarder::dnsmasq(server) };
                (peer.address, Cache::Peer { _forwarder: peer })
            };
            rows.push(Row { name: format!("through {name}{mark}"), address, _cache: Some(cache) });
        }
    }
    rows
}

/// Asks for names on a thread of its own until they have their addresses.
struct Client {
    targets: Sender<Target>,
    /// The ordinals of Pods, and when the first answer with their address came.
    answers: Receiver<(usize, Instant)>,
}

struct Target {
    ordinal: usize,
    query: Vec<u8>,
    address: Ipv4Addr,
}

impl Client {
    fn start(server: SocketAddr) -> Self {
        let (targets, asked) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        thread::spawn(move || ask(server, &asked, &answered).expect("no error of the socket"));
        Self { targets, answers }
    }

    fn expect(&self, ordinal: usize, name: &str, address: Ipv4Addr) {
        let target = Target { ordinal, query: dns::query(name, dns::A), address };
        self.targets.send(target).expect("the client's thread");
    }
}

fn ask(server: SocketAddr, asked: &Receiver<Target>, answered: &Sender<(usize, Instant)>) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    let mut pending = Vec::<Target>::new();
    for round in 0.. {
        let next_round = Instant::now() + EVERY;
        loop {
            match asked.try_recv() {
                Ok(target) => pending.push(target),
                Err(TryRecvError::Disconnected) if pending.is_empty() => return Ok(()),
                Err(_) => break,
            }
        }
        for target in &mut pending {
            // Another ID each time, which tells the Pod.
            dns::set_id(&mut target.query, (round * TRIALS + target.ordinal) as u16);
            socket.send(&target.query)?;
        }
        let mut response = [0; LONGEST];
        while let Some(left) = next_round.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let length = match socket.recv(&mut response) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let received_at = Instant::now();
            let (ordinal, address) = (usize::from(dns::id(&response)) % TRIALS, dns::last_address(&response[..length]));
            if let Some(place) = pending.iter().position(|it| it.ordinal == ordinal && Some(it.address) == address) {
                pending.swap_remove(place);
                let _ = answered.send((ordinal, received_at));
            }
        }
    }
    Ok(())
}
