//! The program under more than it can serve: queries without end, and connections that only stand there. And that nothing
//! of the system's stands in the way of what it can.

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;

use crate::support::common::{PATIENCE, query};
use crate::support::memory::{NOISE, may_open, program, resident};
use crate::support::peers::{self, until};
use crate::support::program::Program;
use crate::transport::connections::{VALID, client, connect, is_answered, metric, until_closed};

const NAME: &str = "pg-0.pg.db.svc.cluster.local.";
/// How long a flood is looked at before the next look.
const SLICE: Duration = Duration::from_millis(200);
const SLICES: usize = 10;
/// What an answer in a flood may cost, as a multiple of what it costs a client that waits: far more than it does, on a machine
/// whose caches are others' too, and far less than where each datagram costs time that the queue before it does. How many
/// answers there are in a time is another matter: while it is flooded, the server shares the machine with those that flood it.
const MOST_COST: f64 = 3.0;
/// Sockets that flood, each with a receive buffer of its own for the answers.
const SOCKETS: usize = 8;
/// Queries in flight of a client that waits.
const WINDOW: usize = 64;

fn socket(server: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.connect(server).expect("a server");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    socket
}

/// Clock ticks that a process has spent on its own account and in the kernel (fields 14 and 15 in proc_pid_stat(5)).
fn spent(process: u32) -> usize {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it lives");
    // The second field, the program's name, may have spaces; the third is the first behind it.
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<usize>().expect("a number")).sum()
}

/// What the program has done so far: its answers, and the clock ticks that they took.
fn so_far(program: &Program) -> (f64, f64) {
    (metric(&program.page("/metrics").1, "responses_total") as f64, spent(program.id()) as f64)
}

fn datagram() -> Vec<u8> {
    query(NAME, RecordType::A).to_vec().expect("a query")
}

/// Answers in `time` to a client that keeps [`WINDOW`] queries in flight.
fn answered_at_ease(server: SocketAddr, time: Duration) -> usize {
    let (socket, query, mut answer) = (socket(server), datagram(), [0; 512]);
    let began = Instant::now();
    let mut answered = 0;
    for _ in 0..WINDOW {
        socket.send(&query).expect("sent");
    }
    while began.elapsed() < time {
        socket.recv(&mut answer).expect("an answer");
        answered += 1;
        socket.send(&query).expect("sent");
    }
    answered
}

/// A column of the kernel's table of sockets (proc_net_udp(5)), of the server's.
fn of_socket<T>(server: SocketAddr, column: usize, read: impl Fn(&str) -> Option<T>) -> T {
    let table = std::fs::read_to_string("/proc/net/udp").expect("the kernel's table");
    let port = format!(":{:04X}", server.port());
    let mut sockets = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let socket = sockets.find(|fields| fields.get(1).is_some_and(|local| local.ends_with(&port)));
    socket.and_then(|fields| read(fields.get(column)?)).expect("the server's socket")
}

/// Datagrams that the kernel dropped because the server's socket was full.
fn dropped(server: SocketAddr) -> usize {
    of_socket(server, 12, |drops| drops.parse().ok())
}

/// Whether datagrams wait for the server.
fn is_behind(server: SocketAddr) -> bool {
    of_socket(server, 4, |queues| usize::from_str_radix(queues.split_once(':')?.1, 16).ok()) > 0
}

/// Floods the server from several sockets; gives the answers in each slice of time and the program's memory after it.
fn flood(program: &Program) -> Vec<(usize, usize)> {
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let sockets: Vec<_> = (0..SOCKETS).map(|_| socket(program.dns)).collect();
    // So that each looks now and then whether it is to stop.
    sockets.iter().for_each(|socket| socket.set_read_timeout(Some(SLICE)).expect("a time-out"));
    let query = datagram();
    thread::scope(|scope| {
        for socket in &sockets {
            scope.spawn(|| {
                let mut answer = [0; 512];
                while !stop.load(Ordering::Relaxed) {
                    answered.fetch_add(usize::from(socket.recv(&mut answer).is_ok()), Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // A full buffer on this side is no matter.
                sockets.iter().for_each(|socket| drop(socket.send(&query)));
            }
        });
        let look = |_| {
            let before = answered.load(Ordering::Relaxed);
            thread::park_timeout(SLICE);
            (answered.load(Ordering::Relaxed) - before, resident(program.id()))
        };
        let slices = (0..SLICES).map(look).collect();
        stop.store(true, Ordering::Relaxed);
        slices
    })
}

#[test]
fn answers_cost_no_more_in_a_flood_nor_memory_and_the_next_query_is_answered_at_once() {
    let program = program(|sandbox| Program::serve(&[sandbox, &["--udp-workers", "1"]].concat()));
    let time = SLICE * SLICES as u32;
    let began = so_far(&program);
    let at_ease = answered_at_ease(program.dns, time);
    let before = so_far(&program);
    let slices = flood(&program);
    until("the answers to what had arrived", || (!is_behind(program.dns)).then_some(()));
    let after = so_far(&program);
    let next = socket(program.dns);
    next.send(&datagram()).expect("sent");
    assert!(next.recv(&mut [0; 512]).is_ok(), "the first query after the flood is answered");

    let flooded: usize = slices.iter().map(|(answers, _)| answers).sum();
    let dropped = dropped(program.dns);
    let cost_between = |from: (f64, f64), to: (f64, f64)| (to.1 - from.1) / (to.0 - from.0);
    let cost = cost_between(before, after) / cost_between(began, before);
    println!(
        "{at_ease} answers at ease, {flooded} in a flood of which {dropped} were dropped, at {cost:.2} of the cost"
    );
    assert!(dropped > flooded, "more was asked than could be answered: {dropped} dropped, {flooded} answered");
    assert!(slices.iter().all(|(answers, _)| *answers > 0), "answers at all times: {slices:?}");
    assert!(cost <= MOST_COST, "an answer costs {cost:.2} of what it does at ease");
    let (first, most) = (slices[0].1, slices.iter().map(|(_, memory)| *memory).max());
    assert!(most <= Some(first + NOISE), "memory, kB: {slices:?}");
    let after = answered_at_ease(program.dns, SLICE);
    assert!(after > 0, "and so are those after it");
}

/// Connections that stand there.
const IDLE: usize = 10_000;
/// Of one client: below what one may have by default.
const PER_CLIENT: usize = 250;
/// Connections that are opened before the server is given a chance to accept them: fewer than may wait for that.
const AT_ONCE: usize = 500;
/// Resident memory that an idle connection may cost, octets.
const MOST_MEMORY: usize = 4352;
fn open_connections(program: &Program) -> u64 {
    metric(&program.page("/metrics").1, "tcp_connections")
}

#[tokio::test]
async fn ten_thousand_idle_connections_cost_little_each_and_are_closed_in_time_and_others_are_answered() {
    if !may_open(IDLE) {
        assert!(
            !peers::are_required(),
            "a process may open fewer than {IDLE} files here; raise the limit (ulimit -Hn)"
        );
        println!("skipped: a process may open fewer than {IDLE} files here; raise the limit (ulimit -Hn)");
        return;
    }
    let program = program(|sandbox| Program::serve(&[sandbox, &["--tcp-max-connections", "15000"]].concat()));
    let before = resident(program.id());
    let mut idle = Vec::with_capacity(IDLE);
    while idle.len() < IDLE {
        for number in idle.len()..idle.len() + AT_ONCE {
            idle.push(connect(program.dns, client(number / PER_CLIENT), None).await);
        }
        // The last in the queue: when it is answered, those before it have been accepted.
        let mut valid = connect(program.dns, VALID, None).await;
        assert!(is_answered(&mut valid, NAME).await, "beside {} idle connections", idle.len());
    }
    let clients: BTreeSet<_> = idle.iter().filter_map(|stream| Some(stream.local_addr().ok()?.ip())).collect();
    assert_eq!(clients.len(), IDLE / PER_CLIENT);
    assert!(open_connections(&program) >= IDLE as u64, "all are open at a time");
    let each = (resident(program.id()) - before) * 1024 / IDLE;
    println!("{each} octets of resident memory for an idle connection");
    assert!(each <= MOST_MEMORY, "{each} octets for an idle connection");

    until("the end of idle connections", || (open_connections(&program) == 0).then_some(()));
    for stream in &mut idle {
        until_closed(stream).await;
    }
    assert!(is_answered(&mut connect(program.dns, client(0), None).await, NAME).await, "there is room again");
}

#[tokio::test]
async fn the_program_asks_for_the_open_files_that_its_connections_need() {
    const FILES: usize = 128;
    let program = program(|sandbox| Program::serve_with_files(FILES, sandbox));
    let mut connections = Vec::new();
    for _ in 0..2 * FILES {
        connections.push(connect(program.dns, client(0), None).await);
    }
    let mut last = connections.pop().expect("a connection");
    assert!(is_answered(&mut last, NAME).await, "after {} connections", connections.len());
}
