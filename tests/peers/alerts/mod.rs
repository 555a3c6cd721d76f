//! Every alert of `deploy/monitoring` in a real run: Prometheus reads the metrics of servers on which its cause is played. What
//! `promtool` makes of samples is in `monitoring.rs`.

mod prometheus;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use jiff::{SignedDuration, Timestamp};
use kube_sandbox::faults::{Fault, Missed};
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

use self::prometheus::{ABSENT, Firing, NO_SERVER, Prometheus};
use crate::peers::monitoring::{alerts, text, transfer_zone};
use crate::support::common::query;
use crate::support::forged::packet;
use crate::support::mirrored::on;
use crate::support::peers::{PATIENCE, free_address, missing, until};
use crate::support::program::Program;
use crate::support::services::{put, service, slice};
use crate::support::upstream::{answer, is_of_test};

/// A server, what is played on it, and the alerts that fire for it.
type Play = (&'static str, &'static str, &'static [&'static str]);

/// All that is played while servers run, and all that fires meanwhile. `primary` is known by its secondary alone, and `memory` is
/// but what a kubelet says. [`ABSENT`] is played last.
const PLAYED: [Play; 15] = [
    ("sound", "nothing", &[]),
    (
        "unsynchronised",
        "the API server is down when it starts, and clients ask",
        &["HeadlessDnsNotSynchronised", "HeadlessDnsServfail", "HeadlessDnsWatchSilent"],
    ),
    ("stale", "the API server goes down", &["HeadlessDnsStale", "HeadlessDnsWatchSilent"]),
    ("silent", "the watch of Pods tells nothing more", &["HeadlessDnsWatchSilent"]),
    ("forbidden", "Pods are forbidden", &["HeadlessDnsForbidden", "HeadlessDnsWatchSilent"]),
    ("repairs", "the watch misses each new Service", &["HeadlessDnsRepairs"]),
    ("malformed", "slices with an address that is none", &["HeadlessDnsMalformedObjects"]),
    ("unsent", "questions from a port to which nothing can be sent", &["HeadlessDnsAnswersDropped"]),
    ("slow", "slices that are 20 s late", &["HeadlessDnsProgrammingSlow"]),
    ("no-upstream", "nobody listens where it forwards to", &["HeadlessDnsUpstreamFailing", "HeadlessDnsNoUpstream"]),
    // It answers its own probes.
    ("loop", "it forwards to itself", &["HeadlessDnsForwardingLoop", "HeadlessDnsServfail"]),
    ("full", "more questions than a slow upstream answers", &["HeadlessDnsForwardingFull", "HeadlessDnsServfail"]),
    (
        "connections",
        "a client opens one connection after the other, and closes none",
        &["HeadlessDnsConnectionsNearLimit", "HeadlessDnsConnectionsRejected"],
    ),
    (NO_SERVER, "a secondary asks no more while the zone changes", &["HeadlessDnsSecondaryBehind"]),
    ("memory", "a container has 95 % of its limit", &["HeadlessDnsMemoryNearLimit"]),
];

/// How often what has to go on is gone on with.
const ROUND: Duration = Duration::from_millis(200);
/// How long the slow upstream takes. An attempt may take a third of `forward_timeout`.
const SLOW: Duration = Duration::from_secs(7);
const SLOW_FORWARD_TIMEOUT: &str = "30";
/// Different questions for it in a round: more than 4096 in the time that it takes.
const QUESTIONS: usize = 160;

/// A cluster whose objects are as the test writes them. It has the Service `db/pg`.
struct Cluster {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Cluster {
    async fn start() -> Self {
        // A silence is short here, and a sound watch is never as silent.
        let bookmark_interval = Duration::from_millis(200);
        let options = Options { controllers: None, bookmark_interval, ..Options::default() };
        let sandbox = Sandbox::start(options).await.expect("a free port");
        put(&sandbox, "pg", &[1, 2]);
        let folder = tempfile::tempdir().expect("a folder");
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("written");
        Self { sandbox, folder }
    }

    fn inject(&self, fault: Fault) -> u64 {
        self.sandbox.faults().inject(fault).expect("a fault")
    }

    fn serve(&self, options: &[&str]) -> Program {
        self.serve_on("127.0.0.1:0", options)
    }

    fn serve_on(&self, listen: &str, options: &[&str]) -> Program {
        let kubeconfig = self.folder.path().join("kubeconfig").display().to_string();
        Program::serve_on(listen, &[&["--kubeconfig", &kubeconfig], options].concat())
    }
}

/// The servers, and what is played on them.
struct Plays {
    servers: Vec<(&'static str, Program)>,
    /// Of the servers of the same names.
    repairs: Cluster,
    malformed: Cluster,
    slow: Cluster,
    /// In which the zone changes.
    changing: Cluster,
    /// Others, which stay as they are.
    _others: Vec<Cluster>,
    connections: Vec<TcpStream>,
    rounds: usize,
}

impl Plays {
    /// Starts everything, and what is played once.
    async fn start() -> Self {
        let [sound, down, stale, silent, forbidden] = [(); 5].map(|()| Cluster::start());
        let (sound, down, stale, silent) = (sound.await, down.await, stale.await, silent.await);
        let forbidden = forbidden.await;
        let [repairs, malformed, slow, changing] = [(); 4].map(|()| Cluster::start());
        let (repairs, malformed, slow, changing) = (repairs.await, malformed.await, slow.await, changing.await);
        down.inject(Fault::Down { milliseconds: None });
        forbidden.inject(Fault::Answer { on: on(Kind::Pod), code: 403, retry_after: None, times: None });
        let (nobody, itself, upstream) =
            (free_address().to_string(), free_address().to_string(), slow_upstream().await);

        let forward_slowly = ["--forward", &upstream, "--forward-timeout", SLOW_FORWARD_TIMEOUT];
        let few = ["--tcp-max-connections", "10", "--tcp-max-connections-per-client", "9", "--tcp-idle-timeout", "120"];
        let primary = changing.serve(&["--transfer-clients", "127.0.0.1/32", "--notify", "127.0.0.1:9"]);
        let servers = vec![
            ("sound", sound.serve(&[])),
            ("unsynchronised", down.serve(&[])),
            ("stale", stale.serve(&["--stale-after", "5"])),
            ("silent", silent.serve(&[])),
            ("forbidden", forbidden.serve(&[])),
            // Seldom enough that an event would not be in flight any more.
            ("repairs", repairs.serve(&["--reconcile-every", "3"])),
            ("malformed", malformed.serve(&[])),
            ("unsent", sound.serve(&[])),
            ("slow", slow.serve(&[])),
            ("no-upstream", sound.serve(&["--forward", &nobody])),
            ("loop", sound.serve_on(&itself, &["--forward", &itself])),
            ("full", sound.serve(&forward_slowly)),
            ("connections", sound.serve(&few)),
            ("primary", primary),
        ];
        for (_, server) in servers.iter().filter(|(name, _)| *name != "unsynchronised") {
            server.until_synchronised();
        }
        stale.inject(Fault::Down { milliseconds: None });
        silent.inject(Fault::Stall { on: on(Kind::Pod), missed: Missed::Deliver });
        let others = vec![sound, down, stale, silent, forbidden];
        let connections = Vec::new();
        let plays = Self { servers, repairs, malformed, slow, changing, _others: others, connections, rounds: 0 };
        transfer_zone(plays.server("primary"));
        plays
    }

    fn server(&self, name: &str) -> &Program {
        &self.servers.iter().find(|(server, _)| *server == name).expect("a server").1
    }

    /// One round of what goes on.
    fn go_on(&mut self) {
        self.rounds += 1;
        let new = format!("new-{}", self.rounds);
        let addresses = [1, 2 + (self.rounds % 200) as u8];

        let missed = self.repairs.inject(Fault::Stall { on: on(Kind::Service), missed: Missed::Skip });
        self.repairs.sandbox.store().create(Kind::Service, service(&new)).expect("a new name");
        self.repairs.sandbox.faults().remove(missed);

        let mut object = slice(&new, &addresses);
        object["endpoints"][0]["addresses"] = json!(["nowhere"]);
        self.malformed.inject(Fault::Malformed { object });

        let mut late = slice("pg", &addresses);
        let triggered = Timestamp::now() - SignedDuration::from_secs(20);
        late["metadata"]["annotations"] =
            json!({ "endpoints.kubernetes.io/last-change-trigger-time": triggered.to_string() });
        self.slow.sandbox.store().update(Kind::EndpointSlice, late).expect("a slice");

        put(&self.changing.sandbox, "pg", &addresses);

        ask(self.server("unsynchronised").dns, "pg.db.svc.cluster.local.");
        ask_from_nowhere(self.server("unsent").dns);
        for number in 0..QUESTIONS {
            ask(self.server("full").dns, &format!("{new}-{number}.example."));
        }
        self.connections.push(TcpStream::connect(self.server("connections").dns).expect("a connection"));
    }
}

/// An upstream that answers soundly, but takes its time for names of the test.
async fn slow_upstream() -> String {
    let socket = Arc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("a port"));
    let address = socket.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let mut octets = vec![0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut octets).await {
            let (socket, query) = (Arc::clone(&socket), octets[..length].to_vec());
            tokio::spawn(async move {
                if is_of_test(&query) {
                    tokio::time::sleep(SLOW).await;
                }
                // Who asked may have gone.
                let _ = socket.send_to(&answer(&query), client).await;
            });
        }
    });
    address
}

/// A kubelet that tells of a container with 95 of its 100 octets, until the test ends.
fn kubelet() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let labels = r#"{namespace="dns",pod="memory",container="headless-dns"}"#;
    let page =
        format!("container_memory_working_set_bytes{labels} 95\ncontainer_spec_memory_limit_bytes{labels} 100\n");
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Whatever is asked, and whether or not anybody listens to the answer.
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n{page}");
        }
    });
    address
}

/// Sends a question, and does not wait for its answer.
fn ask(server: SocketAddr, name: &str) {
    thread_local!(static SOCKET: UdpSocket = UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let mut question = query(name, RecordType::A);
    question.metadata.recursion_desired = true;
    SOCKET.with(|socket| socket.send_to(&question.to_vec().expect("a message"), server)).expect("sent");
}

/// Sends questions from port 0, to which no answer can be sent.
fn ask_from_nowhere(server: SocketAddr) {
    const SOURCE_PORT: std::ops::Range<usize> = 20..22;
    const CHECKSUM: std::ops::Range<usize> = 26..28;
    let question = query("pg.db.svc.cluster.local.", RecordType::A).to_vec().expect("a message");
    let mut octets = packet(IpAddr::V4(Ipv4Addr::LOCALHOST), server, &question);
    octets[SOURCE_PORT].fill(0);
    // None at all is allowed over IPv4 (RFC 768).
    octets[CHECKSUM].fill(0);
    let socket = raw_socket().expect("the rights of root");
    for _ in 0..10 {
        socket.send_to(&octets, &SocketAddr::new(server.ip(), 0).into()).expect("sent");
    }
}

/// A socket for packets whose header is written by hand.
fn raw_socket() -> io::Result<Socket> {
    const RAW: i32 = 255;
    Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))
}

fn firing_of((server, _, alerts): &Play) -> Firing {
    alerts.iter().map(|alert| ((*server).to_owned(), (*alert).to_owned())).collect()
}

#[test]
fn there_is_no_alert_whose_cause_is_not_played() {
    let alerts = alerts();
    let all: BTreeSet<_> = alerts.iter().map(|alert| text(&alert["alert"])).collect();
    let played = PLAYED.iter().flat_map(|(_, _, alerts)| *alerts).copied().chain([ABSENT]);
    assert_eq!(played.collect::<BTreeSet<_>>(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_alert_fires_for_the_servers_on_which_its_cause_is_played_and_for_no_other() {
    if missing(&["prometheus"]) {
        return;
    }
    if raw_socket().is_err() {
        let _ = writeln!(io::stderr(), "SKIPPED a test that needs raw sockets, which this user cannot make");
        return;
    }
    let mut plays = Plays::start().await;
    let addresses: Vec<_> = plays.servers.iter().map(|(name, server)| (*name, server.admin)).collect();
    let prometheus = Prometheus::start(&addresses, kubelet());
    let expected: Firing = PLAYED.iter().flat_map(firing_of).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        plays.go_on();
        let firing = prometheus.firing();
        let without_cause: Vec<_> = firing.difference(&expected).collect();
        assert!(without_cause.is_empty(), "these fire without a cause: {without_cause:?}");
        if firing == expected {
            break;
        }
        let in_vain: Vec<_> = PLAYED.iter().filter(|play| !firing_of(play).is_subset(&firing)).collect();
        assert!(Instant::now() < deadline, "these are played in vain: {in_vain:?}; what fires: {firing:?}");
        tokio::time::sleep(ROUND).await;
    }
    drop(plays);
    until("an alert when all servers have ended", || prometheus.is_absent().then_some(()));
}
