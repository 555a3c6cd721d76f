//! Clients that connect and mean no good, or do nothing: what they cost is bounded, they are gone in time, and beside them
//! others are answered (W5).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use headless_dns::server::StreamLimits;
use headless_dns::telemetry::metrics::{Exporter, Format};
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::answering::big;
use crate::support::common::{PATIENCE, Server, framed, options, query, read_framed};
use crate::support::large::BARE;
use crate::support::log::Log;
use crate::support::sockets::undelivered;

/// What valid clients ask.
const NAME: &str = "big-0.big.db.svc.cluster.local.";
/// The client that does everything right. Like the others it leaves the ports of 127.0.0.1 to other tests.
pub const VALID: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 1);

/// The client of this number, with an address of its own.
pub fn client(number: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(number + 1).expect("few clients").to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// A connection from an address of choice, whose receive buffer has so many octets if it is said.
pub async fn connect(server: SocketAddr, from: Ipv4Addr, buffer: Option<u32>) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // The port of a connection that has ended can be had again at once.
    socket.set_reuseaddr(true).expect("an option");
    if let Some(octets) = buffer {
        socket.set_recv_buffer_size(octets).expect("a buffer");
    }
    socket.bind((from, 0).into()).expect("an address of loopback");
    timeout(PATIENCE, socket.connect(server)).await.expect("connected in time").expect("a connection")
}

/// Whether a query for this name is answered on this connection.
pub async fn is_answered(stream: &mut TcpStream, name: &str) -> bool {
    let query = framed(&query(name, RecordType::A).to_vec().expect("a query"));
    stream.write_all(&query).await.is_ok() && timeout(PATIENCE, read_framed(stream)).await.expect("in time").is_some()
}

/// Waits for the end of a connection on which nothing more is sent; what still comes is read.
pub async fn until_closed(stream: &mut TcpStream) {
    let end = async { while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {} };
    timeout(PATIENCE, end).await.expect("closed in time");
}

fn server(endpoints: usize, limits: StreamLimits) -> Server {
    let mut server = Server::start(options(), limits);
    server.apply(&big(endpoints));
    server.writer.set_synchronised();
    server
}

/// The value of a series that has no labels, or the sum over those that have.
pub fn metric(page: &str, name: &str) -> u64 {
    let of_series = |line: &str| {
        let (series, value) = line.strip_prefix("headless_dns_")?.rsplit_once(' ')?;
        let is_wanted = series.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        is_wanted.then(|| value.parse::<f64>().expect("a number") as u64)
    };
    page.lines().filter_map(of_series).sum()
}

#[tokio::test]
async fn a_connection_over_a_limit_is_closed_at_once_and_those_within_are_unharmed() {
    let limits = StreamLimits { connections: 8, connections_per_client: 1, idle: PATIENCE };
    let server = server(1, limits);
    let mut within = Vec::new();
    for number in 0..limits.connections {
        within.push(connect(server.address, client(number), None).await);
    }
    for stream in &mut within {
        assert!(is_answered(stream, NAME).await);
    }
    // One too many of a client that has its share, and one of a client that has none while all are taken.
    for from in [client(0), client(1), client(8)] {
        until_closed(&mut connect(server.address, from, None).await).await;
    }
    for stream in &mut within {
        assert!(is_answered(stream, NAME).await);
    }
    until_closed(&mut connect(server.address, client(8), None).await).await;
    let mut last = within.pop().expect("eight");
    last.shutdown().await.expect("sent");
    until_closed(&mut last).await;
    assert!(is_answered(&mut connect_within(server.address, client(8)).await, NAME).await, "there is room again");
}

/// W5, W7.
#[tokio::test]
async fn a_client_that_reads_gets_its_answer_while_200_connections_that_do_not_read_hold_every_place() {
    const CLIENTS: usize = 4;
    let limits = StreamLimits { connections: 200, connections_per_client: 50, idle: PATIENCE };
    let (log, _keeping) = Log::of_this_thread();
    let server = server(4000, limits);
    let query = framed(&query(BARE, RecordType::A).to_vec().expect("a query"));
    let mut unread = Vec::new();
    for number in 0..limits.connections {
        let mut stream = connect(server.address, client(number % CLIENTS), Some(1)).await;
        stream.write_all(&query).await.expect("sent");
        unread.push(stream);
    }
    until(&server, "tcp_connections", limits.connections as u64).await;
    let mut streams = Vec::new();
    for number in 0..limits.connections_per_client / 2 {
        let mut stream = connect(server.address, client(CLIENTS + number), None).await;
        assert!(is_answered(&mut stream, NAME).await, "the client after {number} others");
        streams.push(stream);
    }
    // Nobody who reads had to give way to another of them.
    for stream in &mut streams {
        assert!(is_answered(stream, NAME).await);
    }
    let page = Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text");
    let displaced = format!("tcp_rejected_connections_total{{reason=\"displaced\"}} {}\n", streams.len());
    assert!(page.contains(&displaced), "{page}");
    let said = log.lines().iter().filter(|line| line.contains("all places for connections are taken")).count();
    assert_eq!(said, 1, "once a minute at most: {:#?}", log.lines());
    until(&server, "tcp_connections", limits.connections as u64).await;
}

/// W5. What a client has not read by then is dropped, or it would count against the memory of the container for minutes.
#[tokio::test]
async fn a_client_whose_connections_do_not_read_is_answered_on_a_new_one_in_place_of_the_oldest() {
    // Longer than anything is waited for, so that it is not silence that ends a connection.
    let limits = StreamLimits { connections: 8, connections_per_client: 4, idle: PATIENCE * 10 };
    let server = server(1000, limits);
    let query = framed(&query(BARE, RecordType::A).to_vec().expect("a query"));
    let mut unread = Vec::new();
    for number in 0..limits.connections_per_client {
        let mut stream = connect(server.address, VALID, Some(1)).await;
        stream.write_all(&query).await.expect("sent");
        until(&server, "responses_total", number as u64 + 1).await;
        unread.push(stream);
    }
    let mut stream = connect_within(server.address, VALID).await;
    assert!(is_answered(&mut stream, NAME).await);
    let first = &mut unread[0];
    until_closed(first).await;
    // What the last client has read may not be acknowledged yet.
    let is_dropped = async {
        while undelivered(server.address) >= limits.connections_per_client {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_dropped).await.expect("what the oldest did not read is kept no longer");
}

/// W5. Whatever the order in which they came.
#[tokio::test]
async fn a_connection_that_asks_and_reads_stays_and_a_newer_one_that_does_nothing_gives_way() {
    let limits = StreamLimits { connections: 8, connections_per_client: 2, idle: PATIENCE * 10 };
    let server = server(1, limits);
    let mut busy = connect(server.address, VALID, None).await;
    assert!(is_answered(&mut busy, NAME).await);
    let mut quiet = connect(server.address, VALID, None).await;
    until(&server, "tcp_connections", 2).await;
    let connecting = async {
        while !is_answered(&mut connect(server.address, VALID, None).await, NAME).await {
            assert!(is_answered(&mut busy, NAME).await);
        }
    };
    timeout(PATIENCE, connecting).await.expect("room in time");
    until_closed(&mut quiet).await;
    assert!(is_answered(&mut busy, NAME).await);
}

/// Waits for the value of a metric.
pub async fn until(server: &Server, name: &str, value: u64) {
    let is_so = async {
        while metric(&Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text"), name)
            != value
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_so).await.unwrap_or_else(|_| panic!("{name} is {value} in time"));
}

/// A connection that is answered on, once there is room: the server counts one that has ended a moment after its client
/// knows.
async fn connect_within(server: SocketAddr, from: Ipv4Addr) -> TcpStream {
    timeout(PATIENCE, async {
        loop {
            let mut stream = connect(server, from, None).await;
            if is_answered(&mut stream, NAME).await {
                return stream;
            }
        }
    })
    .await
    .expect("room in time")
}

#[tokio::test]
async fn clients_that_say_nothing_or_dribble_octets_are_cut_and_others_are_answered_meanwhile() {
    /// Of each kind.
    const CLIENTS: usize = 50;
    const IDLE: Duration = Duration::from_secs(1);
    /// Far shorter than the time-out, so that it is not silence that ends a connection. A query takes longer in all.
    const BETWEEN_OCTETS: Duration = Duration::from_millis(50);
    let limits = StreamLimits { connections: 4 * CLIENTS, connections_per_client: 3 * CLIENTS, idle: IDLE };
    let server = server(1, limits);
    let address = server.address;
    let mut bad = JoinSet::new();
    for _ in 0..CLIENTS {
        bad.spawn(async move { until_closed(&mut connect(address, client(0), None).await).await });
        bad.spawn(async move {
            let mut stream = connect(address, client(0), None).await;
            let query = framed(&query(BARE, RecordType::A).to_vec().expect("a query"));
            for octet in query {
                // What it cannot send any more it does not get an answer to either.
                let _ = stream.write_all(&[octet]).await;
                if let Ok(read) = timeout(BETWEEN_OCTETS, stream.read(&mut [0; 1])).await {
                    assert!(matches!(read, Ok(0) | Err(_)), "half a query was answered");
                    return;
                }
            }
            panic!("a whole query was waited for");
        });
    }
    let mut answered = 0;
    // One valid query after the other, each on a connection of its own, for as long as the others are there.
    let valid = async {
        loop {
            assert!(is_answered(&mut connect(address, VALID, None).await, NAME).await, "after {answered} answers");
            answered += 1;
        }
    };
    tokio::select! {
        cut = timeout(PATIENCE, bad.join_all()) => assert_eq!(cut.expect("all cut in time").len(), 2 * CLIENTS),
        () = valid => {}
    }
    assert!(answered >= CLIENTS, "{answered} valid queries were answered");
}

/// W7.
#[tokio::test]
async fn clients_that_do_not_read_their_answers_are_cut_and_few_are_made_for_them() {
    const CLIENTS: usize = 8;
    /// A client's receive buffer, octets.
    const BUFFER: u32 = 64 * 1024;
    /// What may be made for a client that takes nothing: the buffers of the kernel on both sides and our own, octets.
    const MOST: u64 = 1024 * 1024;
    /// One answer with 4,000 addresses.
    const ANSWER: u64 = 4000 * 16;
    let limits =
        StreamLimits { connections: 2 * CLIENTS, connections_per_client: CLIENTS, idle: Duration::from_secs(1) };
    let server = server(4000, limits);
    let address = server.address;
    let mut bad = JoinSet::new();
    for _ in 0..CLIENTS {
        bad.spawn(async move {
            let mut stream = connect(address, client(0), Some(BUFFER)).await;
            let query = framed(&query(BARE, RecordType::A).to_vec().expect("a query"));
            while stream.write_all(&query).await.is_ok() {}
        });
    }
    timeout(PATIENCE, bad.join_all()).await.expect("all cut in time");
    assert!(is_answered(&mut connect(address, VALID, None).await, NAME).await);
    let page = Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text");
    let answers = metric(&page, "responses_total");
    assert!(answers > CLIENTS as u64, "every client was answered at first");
    assert!(answers * ANSWER / CLIENTS as u64 <= MOST, "{answers} answers for {CLIENTS} clients");
}

/// W7. A client that half-closes its connection after a query has its answer made, and need not read it.
#[tokio::test]
async fn what_clients_leave_unread_stays_in_the_kernel_no_longer_than_their_places_are_taken() {
    let limits = StreamLimits { connections: 8, connections_per_client: 8, idle: Duration::from_secs(1) };
    // The kernel takes the whole answer, so that the server has done with the connection.
    let server = server(1000, limits);
    let query = framed(&query(BARE, RecordType::A).to_vec().expect("a query"));
    let mut unread = Vec::new();
    for round in 0..3 {
        for _ in 0..2 * limits.connections {
            let mut stream = connect(server.address, client(round), Some(1)).await;
            // Those over the limit are closed already.
            let _ = stream.write_all(&query).await;
            let _ = stream.shutdown().await;
            unread.push(stream);
            assert!(undelivered(server.address) <= limits.connections, "round {round}");
        }
        let ended = async {
            while open_connections(&server) > 0 {
                assert!(undelivered(server.address) <= limits.connections, "round {round}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let ended = timeout(PATIENCE, ended).await;
        let (open, kept) = (open_connections(&server), undelivered(server.address));
        assert!(ended.is_ok(), "round {round}: {open} places are taken, {kept} connections have octets left");
        assert_eq!(undelivered(server.address), 0, "round {round}: all places are free");
    }
    assert!(is_answered(&mut connect(server.address, VALID, None).await, NAME).await);
}

fn open_connections(server: &Server) -> u64 {
    let page = Exporter::new(Arc::clone(&server.metrics)).encode(Format::Prometheus).expect("text");
    metric(&page, "tcp_connections")
}

/// W7. However long a connection may be idle.
#[tokio::test]
async fn the_place_of_a_client_that_takes_nothing_of_its_last_answer_is_free_long_before_the_idle_time_is_over() {
    let limits = StreamLimits { connections: 2, connections_per_client: 2, idle: Duration::from_secs(86_400) };
    let server = server(1000, limits);
    let query = framed(&query(BARE, RecordType::A).to_vec().expect("a query"));
    let mut stream = connect(server.address, client(0), Some(1)).await;
    stream.write_all(&query).await.expect("sent");
    stream.shutdown().await.expect("sent");
    until(&server, "responses_total", 1).await;
    until(&server, "tcp_connections", 0).await;
    assert_eq!(undelivered(server.address), 0);
}

/// W7, RFC 7766 section 6.2.4.
#[tokio::test]
async fn a_client_that_reads_slowly_after_its_last_query_gets_the_whole_answer() {
    /// In all longer than a client may take nothing.
    const PAUSE: Duration = Duration::from_millis(50);
    let limits = StreamLimits { connections: 2, connections_per_client: 2, idle: PATIENCE };
    let server = server(4000, limits);
    let mut stream = connect(server.address, VALID, Some(1)).await;
    stream.write_all(&framed(&query(BARE, RecordType::A).to_vec().expect("a query"))).await.expect("sent");
    stream.shutdown().await.expect("sent");
    let (mut octets, mut part) = (Vec::new(), [0; 2048]);
    loop {
        let length = timeout(PATIENCE, stream.read(&mut part)).await.expect("in time").expect("not reset");
        if length == 0 {
            break;
        }
        octets.extend_from_slice(&part[..length]);
        tokio::time::sleep(PAUSE).await;
    }
    let (length, message) = octets.split_first_chunk().expect("a length");
    assert_eq!(message.len(), usize::from(u16::from_be_bytes(*length)));
    assert!(message.len() > 4000 * 16, "{} octets", message.len());
}
