//! The worst that clients can do to the program as `deploy/base` configures it, all of it at once. What the program takes then, in
//! itself and in the kernel, stays within the limit of its container.
//!
//! The cluster is small, or as large as one asks for; a limit for the rest of the largest cluster is kept free then:
//!
//! ```text
//! HEADLESS_DNS_WORST_ENDPOINTS=145000 cargo test --release --test suite process::worst -- --nocapture
//! ```

use std::env;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use headless_dns::app::Budget;
use headless_dns::cluster::Resource;
use hickory_proto::rr::RecordType;
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::answering::dual_stack;
use crate::support::common::{framed, objects, query};
use crate::support::forged::{self, packet, unused};
use crate::support::large::BARE;
use crate::support::memory::resident;
use crate::support::network::Network;
use crate::support::peers::{bounded, missing, output_of};
use crate::support::program::Program;

const ENDPOINTS: &str = "HEADLESS_DNS_WORST_ENDPOINTS";
/// Endpoints beside those of the Service that is asked for.
const DEFAULT_ENDPOINTS: usize = 1_500;
/// Endpoints of that Service: its answers are the largest that there are.
const LARGE: usize = 5_000;
/// The largest cluster that `deploy/base` has room for.
const LARGEST_CLUSTER: usize = 150_000;
/// Pods of each other Service.
const REPLICAS: usize = 15;
const PORT: u16 = 5300;
/// How long the clients do what they can: more than twice the time after which a connection without a query is closed.
const TIME: Duration = Duration::from_secs(25);
/// Between two looks at the memory, and between two tries to write.
const LOOK: Duration = Duration::from_millis(100);
const PAUSE: Duration = Duration::from_millis(5);
/// Addresses of clients: as many as to take every connection, none more than its share.
const CLIENTS: u8 = 32;
/// Connections that are tried to keep open at a time over TCP, and on each set of pages.
const CONNECTIONS: usize = 256;
const READERS: usize = 64;
/// Queries of a write.
const PIPELINED: usize = 200;
/// Octets of a client's receive buffer: the kernel makes the least of it.
const SMALLEST: usize = 1;
/// Unused addresses that forged queries claim to come from, and their rate.
const FORGED: u8 = 150;
const RATE: u32 = 1_000;

/// Octets that the program takes.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    resident: usize,
    kernel: usize,
}

impl Taken {
    fn all(self) -> usize {
        self.resident + self.kernel
    }
}

/// What the process takes, and the sockets of these ports in the kernel, those that no process has any more included.
fn taken(program: &Program) -> Taken {
    let ports = [program.dns, program.probes, program.admin].map(|address| format!("sport = :{}", address.port()));
    let sockets = output_of(bounded("ss").args(["-H", "-O", "-tuanm", &ports.join(" or ")]));
    Taken { resident: resident(program.id()) * 1024, kernel: sockets.lines().map(of_socket).sum() }
}

/// Octets of a socket, `skmem:(r0,rb425984,t0,tb425984,f0,w0,o0,bl0,d0)` in ss(8): received, transmitted or queued for it,
/// kept for either, of options, in the backlog.
fn of_socket(line: &str) -> usize {
    // What is left of a connection that has ended has no buffers.
    let Some((_, memory)) = line.split_once("skmem:(") else { return 0 };
    let value = |wanted: &str| {
        let fields = memory.trim_end().trim_end_matches(')').split(',');
        let values = fields.filter_map(|field| field.strip_prefix(wanted)?.parse::<usize>().ok());
        values.sum::<usize>()
    };
    // What is transmitted of a stream is queued too until it is acknowledged.
    value("r") + value("t").max(value("w")) + value("f") + value("o") + value("bl")
}

/// A cluster of `db/big` and so many other endpoints.
fn fill(sandbox: &Sandbox, endpoints: usize) {
    for (resource, json) in objects(&dual_stack(LARGE)) {
        let kind = match resource {
            Resource::Services => Kind::Service,
            Resource::EndpointSlices => Kind::EndpointSlice,
            Resource::Pods => Kind::Pod,
        };
        let mut object: Value = serde_json::from_slice(&json).expect("JSON");
        object["apiVersion"] = json!(if kind == Kind::Service { "v1" } else { "discovery.k8s.io/v1" });
        sandbox.store().create(kind, object).expect("a new object");
    }
    for service in 0..endpoints / REPLICAS {
        create(sandbox, service);
    }
}

/// A headless Service with its Pods and their slice.
fn create(sandbox: &Sandbox, service: usize) {
    let name = format!("db{service:05}");
    let pod = |ordinal: usize| {
        let host = format!("{name}-{ordinal}");
        let address = Ipv4Addr::from_bits(0x0a80_0001 + (service * REPLICAS + ordinal) as u32);
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": "db", "name": host, "labels": { "app": name, "statefulset.kubernetes.io/pod-name": host },
            },
            "spec": { "hostname": host, "subdomain": name, "containers": [{ "name": "db", "image": "db" }] },
            "status": {
                "phase": "Running", "podIPs": [{ "ip": address }], "conditions": [{ "type": "Ready", "status": "True" }],
            },
        })
    };
    let endpoint = |ordinal| {
        let pod = sandbox.store().create(Kind::Pod, pod(ordinal)).expect("a new Pod");
        json!({
            "addresses": [pod["status"]["podIPs"][0]["ip"]], "hostname": pod["metadata"]["name"],
            "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": "db", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"] },
        })
    };
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "db", "name": name },
        "spec": { "clusterIP": "None", "selector": { "app": name }, "ports": [{ "name": "sql", "port": 5432 }] },
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "namespace": "db", "name": name, "labels": {
            "kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        } },
        "ports": [{ "name": "sql", "port": 5432 }],
        "endpoints": (0..REPLICAS).map(endpoint).collect::<Vec<_>>(),
    });
    sandbox.store().create(Kind::Service, service).expect("a new Service");
    sandbox.store().create(Kind::EndpointSlice, slice).expect("a new slice");
}

/// A connection whose client has hardly any room for what it is sent.
fn connect(from: Option<Ipv4Addr>, server: SocketAddr) -> Option<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.set_recv_buffer_size(SMALLEST).ok()?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
    }
    socket.connect_timeout(&server.into(), LOOK).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket.into())
}

/// Connections that write what they can, `first` and then `then` for ever, and read nothing. One that is closed gives way to
/// another, and so does one whose client has just said that it will ask no more.
fn write_only(
    connect: impl Fn(usize) -> Option<TcpStream>,
    first: &[u8],
    then: &[u8],
    count: usize,
    stop: &AtomicBool,
) {
    struct Writer(TcpStream, usize);
    let mut writers: Vec<Option<Writer>> = (0..count).map(|_| None).collect();
    let mut half_closed = Vec::new();
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        for (number, place) in writers.iter_mut().enumerate() {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if place.is_none() {
                *place = connect(number).map(|stream| Writer(stream, 0));
            }
            let Some(Writer(stream, written)) = place else { continue };
            let rest = first.get(*written..).filter(|rest| !rest.is_empty());
            let rest = rest.unwrap_or(&then[written.saturating_sub(first.len()) % then.len()..]);
            match stream.write(rest) {
                Ok(octets) => *written += octets,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    // One after the other is as full as it can be.
                    if round % count == number {
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                        half_closed.push(place.take());
                    }
                }
                Err(_) => *place = None,
            }
        }
        thread::park_timeout(PAUSE);
    }
}

/// Everything at once, from its own threads, until it is to stop.
fn attack<'s>(
    scope: &'s Scope<'s, '_>,
    network: &'s Network,
    addresses: &'s [Ipv4Addr],
    program: &'s Program,
    stop: &'s AtomicBool,
) {
    let question = query(BARE, RecordType::A).to_vec().expect("a query");
    // As long as a message can be, and no query.
    let garbage = framed(&[&question[..], &vec![0; usize::from(u16::MAX) - question.len()]].concat());
    let pipelined = framed(&question).repeat(PIPELINED);
    let dns = program.dns;
    scope.spawn(move || {
        network.clients.enter();
        let connect = |number: usize| connect(Some(addresses[number % addresses.len()]), dns);
        write_only(connect, &garbage, &pipelined, CONNECTIONS, stop);
    });
    for (server, page) in [
        (program.probes, "/metrics"),
        (program.admin, "/records?limit=5000"),
        (program.admin, "/zone?name=cluster.local"),
    ] {
        scope.spawn(move || {
            network.server.enter();
            let request = format!("GET {page} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            write_only(|_| connect(None, server), request.as_bytes(), request.as_bytes(), READERS, stop);
        });
    }
    let datagram = question.clone();
    scope.spawn(move || {
        network.clients.enter();
        let sockets: Vec<_> = (0..8).map(|_| UdpSocket::bind("0.0.0.0:0").expect("a free port")).collect();
        while !stop.load(Ordering::Relaxed) {
            sockets.iter().for_each(|socket| drop(socket.send_to(&datagram, dns)));
        }
    });
    scope.spawn(move || {
        let packets: Vec<_> = (0..FORGED).map(|i| packet(unused(dns, i), dns, &question)).collect();
        forged::flood(&network.clients, dns, &packets, RATE, TIME);
    });
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn base() -> String {
    format!("{}/deploy/base/headless-dns.toml", env!("CARGO_MANIFEST_DIR"))
}

/// The limit of the container, octets. A test holds that it is the one of `deployment.yaml`.
fn limit() -> usize {
    let options: toml::Table = fs::read_to_string(base()).expect("a file").parse().expect("TOML");
    options["memory_limit"].as_integer().expect("a number") as usize * 1024 * 1024
}

/// The program in the namespace of this thread, once it knows the cluster.
fn serve(sandbox: &Sandbox, folder: &Path) -> Program {
    let path = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    sandbox.write_kubeconfig(&folder.join("kubeconfig")).expect("a file");
    let arguments = ["--config", &base(), "--kubeconfig", &path("kubeconfig"), "--state", &path("state")];
    let program = Program::serve_on(&format!("10.77.0.1:{PORT}"), &arguments);
    program.until_synchronised();
    program
}

/// W7.
#[test]
fn the_worst_that_clients_can_do_to_the_shipped_configuration_fits_its_memory_limit() {
    if missing(&["ss"]) {
        return;
    }
    let Some(network) = Network::new() else { return };
    let endpoints = env::var(ENDPOINTS).map_or(DEFAULT_ENDPOINTS, |text| text.parse().expect("a number"));
    let addresses: Vec<_> = (0..CLIENTS).map(|i| network.clients.add_address("v1", i)).collect();
    network.server.enter();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let sandbox = runtime.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
    let sandbox = sandbox.expect("a free port");
    fill(&sandbox, endpoints);
    let folder = tempfile::tempdir().expect("a folder");
    let program = serve(&sandbox, folder.path());
    let before = taken(&program);
    let (stop, mut most) = (AtomicBool::new(false), Taken::default());
    thread::scope(|scope| {
        let _stop = StopOnDrop(&stop);
        attack(scope, &network, &addresses, &program, &stop);
        let began = Instant::now();
        while began.elapsed() < TIME {
            let now = taken(&program);
            if now.all() > most.all() {
                most = now;
            }
            thread::park_timeout(LOOK);
        }
    });
    let mebibytes = |octets: usize| octets as f64 / (1024.0 * 1024.0);
    println!(
        "{} endpoints; before: {:.1} MiB resident, {:.1} MiB in the kernel; at most: {:.1} MiB resident, {:.1} MiB in the kernel",
        endpoints + LARGE,
        mebibytes(before.resident),
        mebibytes(before.kernel),
        mebibytes(most.resident),
        mebibytes(most.kernel),
    );
    let rest = LARGEST_CLUSTER.saturating_sub(endpoints + LARGE) * Budget::ENDPOINT;
    assert!(most.all() + rest <= limit(), "{most:?} and {rest} for the rest of the largest cluster");
}
