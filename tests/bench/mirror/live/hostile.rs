//! What clients that may transfer zones and mean no good do to everybody else: to queries over UDP, and to changes.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, park_timeout};
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;

use crate::lower_priority;
use crate::objects::{NAMESPACE, Workload};
use crate::server::{Build, Server};
use crate::support::dns;
use crate::support::figures::{Sorted, median};

/// Services, and the Pods of each: the zone is larger than what the kernel keeps for a connection.
const SERVICES: usize = 1_000;
const REPLICAS: usize = 15;
/// Addresses of the clients, so that together they may have every transfer there is, and the connections of each.
const CLIENTS: u8 = 8;
const EACH: usize = 8;
const THOUSAND: usize = 1_000;
/// Queries a second, for so long, in so many rounds of each row.
const RATE: u32 = 10_000;
const TIME: Duration = Duration::from_secs(2);
const ROUNDS: usize = 5;
/// How long to wait for answers after the last query, and between two looks of a client that waits.
const LATE: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(5);
/// Between two changes while queries are asked.
const BETWEEN: Duration = Duration::from_millis(50);
/// The first new address, 11.0.0.0.
const FIRST_ADDRESS: u32 = 0x0b00_0000;
/// The TYPE value of a request for all of a zone (RFC 5936).
const AXFR: u16 = 252;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hostile {
    Nobody,
    /// Asks for the zone on as many connections as it may, and reads nothing.
    StopsReading,
    /// The same on a thousand.
    Connects,
    /// Asks for the zone again and again, and reads all of it.
    Repeats,
}

const ROWS: [(Hostile, &str); 4] = [
    (Hostile::Nobody, "nobody"),
    (Hostile::StopsReading, "64 transfers that nobody reads"),
    (Hostile::Connects, "1,000 connections that ask for one"),
    (Hostile::Repeats, "AXFR in a loop, 8 at a time"),
];

pub fn run(cluster: &Runtime, builds: &[Build]) {
    println!(
        "hostile: {SERVICES} Services of {REPLICAS} Pods; {RATE} queries/s for one Pod's name over UDP, and changes of another Pod,"
    );
    println!(
        "beside clients that transfer the zone. Medians of {ROUNDS} rounds of {TIME:?}; each row has a round in turn."
    );
    println!(
        "build      beside                              CPU µs/query   p50 µs   p99 µs   lost    change p50 ms   p99 ms   memory MiB"
    );
    let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
    let sandbox = sandbox.expect("a free port");
    (0..SERVICES).for_each(|service| workload(service).create(&sandbox, true));
    let mut changes = 0;
    for build in builds {
        let server = Server::start(&sandbox, build, &["--transfer-clients", "127.0.0.0/8"]);
        server.until_answered(&workload(SERVICES - 1).host(REPLICAS - 1));
        let mut rounds = ROWS.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for ((hostile, _), rounds) in ROWS.iter().zip(&mut rounds) {
                rounds.push(round(&sandbox, &server, *hostile, &mut changes));
            }
        }
        for ((_, name), rounds) in ROWS.iter().zip(&rounds) {
            let figure = |number: usize| median(rounds.iter().map(|round| round[number]).collect());
            println!(
                "{:<10} {name:<35} {:>12.2} {:>8.0} {:>8.0} {:>6.0} {:>16.2} {:>8.2} {:>12.1}",
                build.name,
                figure(0),
                figure(1),
                figure(2),
                figure(3),
                figure(4),
                figure(5),
                figure(6),
            );
        }
    }
    cluster.block_on(sandbox.shutdown());
}

fn workload(service: usize) -> Workload {
    Workload { name: format!("db{service:05}"), replicas: REPLICAS, first: service * REPLICAS }
}

/// One round: CPU time of a query, its latency at 50 % and 99 %, queries without an answer, the latency of changes, and memory.
fn round(sandbox: &Sandbox, server: &Server, hostile: Hostile, changes: &mut u32) -> [f64; 7] {
    let (stop, held) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..if hostile == Hostile::Nobody { 0 } else { CLIENTS } {
            let (stop, held, dns) = (&stop, &held, server.dns);
            scope.spawn(move || {
                lower_priority();
                harass(dns, Ipv4Addr::new(127, 0, 2, 1 + client), hostile, held, stop);
            });
        }
        while hostile != Hostile::Nobody && held.load(Relaxed) == 0 {
            park_timeout(PAUSE);
        }
        let changing = scope.spawn(|| {
            let mut times = Vec::new();
            while !stop.load(Relaxed) {
                *changes += 1;
                times.push(change(sandbox, server.dns, *changes).expect("no error of the socket"));
                park_timeout(BETWEEN);
            }
            Sorted::new(times)
        });
        let before = server.process.cpu_of("udp");
        let (latencies, sent) = ask(server.dns).expect("no error of the socket");
        let cpu = server.process.cpu_of("udp") - before;
        let memory = server.process.resident();
        stop.store(true, Relaxed);
        let changing = changing.join().expect("no panic");
        let answered = latencies.len();
        let latencies = Sorted::new(latencies);
        [
            cpu.as_secs_f64() * 1e6 / f64::from(sent),
            latencies.millis(0.5) * 1e3,
            latencies.millis(0.99) * 1e3,
            f64::from(sent) - answered as f64,
            changing.millis(0.5),
            changing.millis(0.99),
            memory,
        ]
    })
}

/// Does what this client does, until it is told to stop.
fn harass(server: SocketAddr, from: Ipv4Addr, hostile: Hostile, held: &AtomicUsize, stop: &AtomicBool) {
    let query = dns::query("cluster.local", AXFR);
    let request = [&(query.len() as u16).to_be_bytes(), &query[..]].concat();
    let connect = || -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((from, 0)).into())?;
        socket.connect(&server.into())?;
        let mut stream = TcpStream::from(socket);
        stream.write_all(&request)?;
        held.fetch_add(1, Relaxed);
        Ok(stream)
    };
    if hostile == Hostile::Repeats {
        let mut response = vec![0; 1 << 16];
        let Ok(mut stream) = connect() else { return };
        let _ = stream.set_read_timeout(Some(PAUSE));
        while !stop.load(Relaxed) {
            // As many requests as there is room for are on their way all the time; whatever comes is thrown away.
            match stream.read(&mut response) {
                Ok(0) => return,
                Ok(_) => {}
                Err(_) => drop(stream.write(&request)),
            }
        }
        return;
    }
    let count = if hostile == Hostile::Connects { THOUSAND / usize::from(CLIENTS) } else { EACH };
    let mut open: Vec<Option<TcpStream>> = (0..count).map(|_| None).collect();
    while !stop.load(Relaxed) {
        for place in &mut open {
            let is_closed = place.as_ref().is_none_or(|stream| {
                let error = stream.take_error();
                !matches!(error, Ok(None)) || stream.peer_addr().is_err()
            });
            if is_closed {
                *place = connect().ok();
            }
        }
        park_timeout(PAUSE);
    }
}

/// Asks at the rate; how long each answer took, and how many queries were sent.
fn ask(server: SocketAddr) -> io::Result<(Vec<Duration>, u32)> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    let mut query = dns::query(&workload(SERVICES / 2).host(0), dns::A);
    let count = RATE * TIME.as_secs() as u32;
    let (mut sent, mut latencies) = (Vec::new(), Vec::new());
    let mut answer = [0; 512];
    let began = Instant::now();
    while latencies.len() < count as usize && began.elapsed() < TIME + LATE {
        let number = sent.len() as u32;
        if number < count && began.elapsed() >= number * Duration::from_secs(1) / RATE {
            // Queries in flight are few, so that 16 bits tell them apart.
            dns::set_id(&mut query, number as u16);
            sent.push(Instant::now());
            socket.send(&query)?;
        }
        match socket.recv(&mut answer) {
            Ok(_) => {
                let behind = ((sent.len() - 1) as u16).wrapping_sub(dns::id(&answer));
                latencies.push(sent[sent.len() - 1 - usize::from(behind)].elapsed());
            }
            // Others need the core too.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => park_timeout(Duration::from_micros(20)),
            Err(error) => return Err(error),
        }
    }
    Ok((latencies, sent.len() as u32))
}

/// Gives a Pod a new address; how long until it is answered.
fn change(sandbox: &Sandbox, server: SocketAddr, number: u32) -> io::Result<Duration> {
    let (workload, ordinal) = (workload(number as usize % SERVICES), number as usize % REPLICAS);
    let address = Ipv4Addr::from(FIRST_ADDRESS + number);
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(LATE))?;
    let query = dns::query(&workload.host(ordinal), dns::A);
    let began = Instant::now();
    let change = |pod: &mut Value| {
        pod["status"]["podIP"] = json!(address);
        pod["status"]["podIPs"] = json!([{ "ip": address }]);
    };
    sandbox.store().modify(Kind::Pod, NAMESPACE, &workload.pod_name(ordinal), change).expect("the Pod");
    let mut response = [0; 512];
    loop {
        socket.send(&query)?;
        match socket.recv(&mut response) {
            Ok(length) if dns::last_address(&response[..length]) == Some(address) => return Ok(began.elapsed()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
