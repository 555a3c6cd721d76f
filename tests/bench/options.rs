//! What the options of a query cost (rule W9), and what the dearest questions cost the watch.
//!
//! ```text
//! cargo bench --bench options -- queries changes
//! ```
//!
//! | | prints |
//! |---|---|
//! | `queries` | time of a query with each option, in this process, and how many times that of one without |
//! | `changes` | time from the write of a new address to its answer over UDP, alone and beside connections that ask without a pause |

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use headless_dns::authority::{Authority, Identity, Options};
use headless_dns::cluster::{Resource, Scope, read_json};
use headless_dns::dns::name::Name;
use headless_dns::dns::wire::{DEFAULT_EDNS_UDP, WireOptions};
use headless_dns::index::Index;
use headless_dns::server::Responder;
use headless_dns::table::table;
use headless_dns::telemetry::metrics::{Metrics, Transport};
use kube_sandbox::Sandbox;
use kube_sandbox::kind::Kind;
use serde_json::{Value, json};

const NAMESPACE: &str = "default";
/// Endpoints of the Service that is asked for, each with an address of either family.
const SIZES: [usize; 2] = [10, 5_000];
/// Endpoints in a slice, as the EndpointSlice controller cuts them.
const SLICE: usize = 100;
/// The options of each query: their code, length and data.
const QUERIES: [(&str, Option<&[u8]>); 6] = [
    ("no EDNS", None),
    ("plain", Some(&[])),
    ("NSID", Some(&[0, 3, 0, 0])),
    ("client subnet", Some(&[0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 0])),
    ("padding", Some(&[0, 12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0])),
    ("cookie", Some(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8])),
];
const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// How long each row is timed, in rounds that take turns, so that what else the machine does falls on all rows alike.
const ROUND: Duration = Duration::from_millis(40);
const ROUNDS: usize = 15;

/// Connections that ask without a pause, changes that are timed, and the pause between those.
const CONNECTIONS: usize = 16;
const CHANGES: usize = 200;
const PAUSE: Duration = Duration::from_millis(10);
/// Between two questions for the new address.
const ASK: Duration = Duration::from_micros(50);
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of a core clients and cluster leave to the server (`nice`): they are other machines.
const GIVES_WAY: i32 = 10;

fn main() {
    // Cargo adds a flag of its own.
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    if is_asked("queries") {
        queries();
    }
    if is_asked("changes") {
        changes();
    }
}

/// Octets of a query for the Service `name`, with these options.
fn query(name: &str, qtype: u16, options: Option<&[u8]>) -> Vec<u8> {
    let mut message = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(options.is_some())];
    let name = Name::parse(&format!("{name}.{NAMESPACE}.svc.cluster.local")).expect("a name");
    message.extend_from_slice(name.as_wire());
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    if let Some(options) = options {
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
        message.extend(options);
    }
    message
}

/// A headless Service and its slices.
fn service(name: &str, endpoints: usize) -> Vec<(Kind, Value)> {
    let mut objects = vec![(
        Kind::Service,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": NAMESPACE, "name": name },
            "spec": { "clusterIP": "None", "ports": [{ "name": "sql", "port": 5432 }] },
        }),
    )];
    for (family, prefix) in [("IPv4", 0x0a00_0001), ("IPv6", 1)] {
        for first in (0..endpoints).step_by(SLICE) {
            let address = |i: usize| match family {
                "IPv4" => IpAddr::from(Ipv4Addr::from(prefix + i as u32)),
                _ => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, prefix as u16 + i as u16]),
            };
            let endpoint = |i: usize| json!({ "addresses": [address(i)], "hostname": format!("{name}-{i}") });
            let endpoints: Vec<_> = (first..endpoints.min(first + SLICE)).map(endpoint).collect();
            let slice = format!("{name}-{}-{first}", family.to_lowercase());
            objects.push((
                Kind::EndpointSlice,
                json!({
                    "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                    "metadata": {
                        "namespace": NAMESPACE, "name": slice, "labels": { "kubernetes.io/service-name": name },
                    },
                    "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }], "endpoints": endpoints,
                }),
            ));
        }
    }
    objects
}

fn queries() {
    println!("queries: time of one in this process, and how many times that of the plain one (EDNS without options)");
    println!("endpoints  transport  query            µs        ×  octets");
    for size in SIZES {
        let responder = responder(size);
        for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
            let times = QUERIES.map(|_| Vec::new());
            let mut rows: Vec<_> = QUERIES.iter().zip(times).collect();
            for _ in 0..ROUNDS {
                for ((_, options), times) in &mut rows {
                    times.push(time_of(&responder, &query("db", A, *options), transport));
                }
            }
            let median = |times: &mut Vec<Duration>| {
                times.sort_unstable();
                times[times.len() / 2].as_secs_f64() * 1e6
            };
            let plain = median(&mut rows[1].1);
            for ((what, options), times) in &mut rows {
                let time = median(times);
                let octets = length_of(&responder, &query("db", A, *options), transport);
                let transport = format!("{transport:?}");
                println!("{size:>9}  {transport:<9}  {what:<13} {time:>8.3} {:>7.2}  {octets:>6}", time / plain);
            }
        }
    }
}

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53_000);

/// What a query takes on average, in one round.
fn time_of(responder: &Responder, query: &[u8], transport: Transport) -> Duration {
    let (mut worker, mut out) = (responder.worker(transport), Vec::with_capacity(usize::from(u16::MAX)));
    let (began, mut asked) = (Instant::now(), 0);
    while began.elapsed() < ROUND {
        let mut batch = responder.batch(&mut worker);
        for _ in 0..16 {
            out.clear();
            batch.respond(black_box(query), CLIENT, &mut out);
            black_box(&out);
            asked += 1;
        }
    }
    began.elapsed() / asked
}

fn length_of(responder: &Responder, query: &[u8], transport: Transport) -> usize {
    let mut out = Vec::new();
    responder.respond(query, CLIENT, transport, &mut out);
    out.len()
}

fn responder(endpoints: usize) -> Responder {
    let (mut writer, reader) = table();
    let mut index = Index::default();
    for (kind, object) in service("db", endpoints) {
        let watched = if kind == Kind::Service { Resource::Services } else { Resource::EndpointSlices };
        index.apply(read_json(watched, Scope::All, object.to_string().as_bytes()).expect("an object").0);
    }
    writer.publish(index.take_publications());
    writer.set_synchronised();
    let options = Options {
        zones: vec![Name::parse("cluster.local").expect("a name")],
        reverse_zones: Vec::new(),
        name_server: Vec::new(),
        hostmaster: None,
        identity: Identity { id: Some("replica-1".to_owned()), ..Identity::default() },
        namespaces: Vec::new(),
        ttl: 5,
        negative_ttl: 1,
    };
    let wire = WireOptions { edns_udp_size: DEFAULT_EDNS_UDP, tcp_keepalive: 50 };
    let authority = Arc::new(Authority::new(options).expect("names that fit"));
    Responder::new(authority, reader, Arc::new(Metrics::new()), wire)
}

fn changes() {
    let give_way = || _ = rustix::process::nice(GIVES_WAY);
    let cluster = tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(give_way).build();
    let cluster = cluster.expect("a runtime");
    let options = kube_sandbox::Options { controllers: None, ..kube_sandbox::Options::default() };
    let sandbox = cluster.block_on(Sandbox::start(options)).expect("a free port");
    for (kind, object) in service("big", SIZES[1]).into_iter().chain(service("small", 1)) {
        sandbox.store().create(kind, object).expect("a new object");
    }
    let server = Server::start(&sandbox);
    println!("changes: from the write of a new address to its answer over UDP");
    println!("connections  asked     p50 ms   p99 ms   max ms   answers a second");
    for (connections, options) in
        [(0, QUERIES[1]), (CONNECTIONS, QUERIES[1]), (CONNECTIONS, QUERIES[2]), (CONNECTIONS, QUERIES[3])]
    {
        let (is_over, answers, began) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
        let mut times = std::thread::scope(|scope| {
            for number in 0..connections {
                let qtype = [A, AAAA, SRV][number % 3];
                let (is_over, answers, dns) = (&is_over, &answers, server.dns);
                scope.spawn(move || {
                    give_way();
                    ask_back_to_back(dns, &query("big", qtype, options.1), is_over, answers);
                });
            }
            park_timeout(PAUSE * 10);
            let times = (0..CHANGES).map(|round| change(&sandbox, &server, round)).collect::<Vec<_>>();
            is_over.store(true, Ordering::Relaxed);
            times
        });
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = answers.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
        let what = if connections == 0 { "nothing" } else { options.0 };
        println!("{connections:>11}  {what:<13} {:>7.2} {:>8.2} {:>8.2} {rate:>18.0}", at(0.5), at(0.99), at(1.0));
    }
    drop(server);
    cluster.block_on(sandbox.shutdown());
}

/// Asks one question after the other on one connection until it is over.
fn ask_back_to_back(dns: SocketAddr, query: &[u8], is_over: &AtomicBool, answers: &AtomicUsize) {
    let mut stream = TcpStream::connect(dns).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    let framed = [&(query.len() as u16).to_be_bytes(), query].concat();
    let (mut length, mut answer) = ([0; 2], vec![0; usize::from(u16::MAX)]);
    while !is_over.load(Ordering::Relaxed) {
        stream.write_all(&framed).expect("sent");
        stream.read_exact(&mut length).expect("a length");
        stream.read_exact(&mut answer[..usize::from(u16::from_be_bytes(length))]).expect("an answer");
        answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes a new address, and waits until it is answered.
fn change(sandbox: &Sandbox, server: &Server, round: usize) -> Duration {
    static CHANGED: AtomicUsize = AtomicUsize::new(0);
    let new = Ipv4Addr::from(0x0b00_0000 + CHANGED.fetch_add(1, Ordering::Relaxed) as u32);
    park_timeout(PAUSE + Duration::from_micros(round as u64 * 37 % 1000));
    let written = Instant::now();
    let change = |slice: &mut Value| slice["endpoints"][0]["addresses"] = json!([new]);
    sandbox.store().modify(Kind::EndpointSlice, NAMESPACE, "small-ipv4-0", change).expect("the slice");
    while server.ask("small") != Some(new) {
        assert!(written.elapsed() < PATIENCE, "never answered");
        park_timeout(ASK);
    }
    written.elapsed()
}

/// `headless-dns serve` beside a sandbox, killed at the end.
struct Server {
    child: Child,
    dns: SocketAddr,
    socket: UdpSocket,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start(sandbox: &Sandbox) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        sandbox.write_kubeconfig(&kubeconfig).expect("a file");
        let program = std::env::var_os("HEADLESS_DNS").unwrap_or_else(|| env!("CARGO_BIN_EXE_headless-dns").into());
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off", "--log-format", "json"]);
        command.arg("--kubeconfig").arg(&kubeconfig).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let mut log = BufReader::new(child.stderr.take().expect("its log")).lines();
        let dns = log.by_ref().map_while(Result::ok).find_map(|line| {
            let entry: Value = serde_json::from_str(&line).ok()?;
            entry["listen"].as_str()?.parse().ok()
        });
        std::thread::spawn(move || log.for_each(drop));
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time limit");
        let server = Self { child, dns: dns.expect("an address"), socket, _folder: folder };
        let began = Instant::now();
        while server.ask("small").is_none() {
            assert!(began.elapsed() < PATIENCE, "never synchronised");
            park_timeout(PAUSE);
        }
        server
    }

    /// The address of a Service that has one.
    fn ask(&self, name: &str) -> Option<Ipv4Addr> {
        self.socket.send_to(&query(name, A, None), self.dns).expect("sent");
        let mut answer = [0; 512];
        let length = self.socket.recv(&mut answer).ok()?;
        let octets = answer[..length].last_chunk::<4>().filter(|_| answer[7] == 1)?;
        Some(Ipv4Addr::from(*octets))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
