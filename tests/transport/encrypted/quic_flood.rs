//! First packets of QUIC from addresses that may be forged: what they are sent is bounded, and so is what is kept of them, and they
//! keep no client waiting.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use headless_dns::server::{CertificateFiles, StreamLimits};
use headless_dns::telemetry::metrics::{Exporter, Format, Metrics, Transport};
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use super::clients::{Secret, ask_quic, bound, quic_initials, try_quic};
use super::quic::stalled_handshakes;
use super::{at, question, started};
use crate::support::common::{LIMITS, PATIENCE};
use crate::support::forged::{self, packet, unused};
use crate::support::network::{Namespace, Network};
use crate::transport::connections::metric;
use crate::transport::neighbours::serve_bound;

/// RFC 9000 section 14.1: the least that a client's first datagram has.
const INITIAL: usize = 1200;
/// RFC 9000 section 8.1: a server "MUST limit the amount of data it sends to three times the amount of data received".
const AMPLIFICATION: usize = 3;
/// By so much quinn may exceed it: it looks before it makes a datagram, and at the datagrams before that one alone.
const LAST_DATAGRAM: usize = 1200;

fn open_connections(metrics: &Arc<Metrics>) -> u64 {
    let page = Exporter::new(Arc::clone(metrics)).encode(Format::Prometheus).expect("text");
    metric(&page, "tcp_connections")
}

/// W7.
#[tokio::test]
async fn an_address_that_may_be_forged_is_sent_three_times_what_came_from_it_and_few_are_remembered() {
    const CLIENTS: usize = 64;
    let limits = StreamLimits { connections: 32, connections_per_client: 32, idle: Duration::from_secs(1) };
    let (secret, server) = started(limits);
    let clients = stalled_handshakes(CLIENTS, at(&server, Transport::Quic), &secret).await;
    let given_up = async {
        let mut most = 0;
        // They are there when the first of them has been counted, and have all been given up when none is.
        while most == 0 || open_connections(&server.metrics) > 0 {
            most = most.max(open_connections(&server.metrics));
            sleep(Duration::from_millis(1)).await;
        }
        most
    };
    let most = timeout(PATIENCE, given_up).await.expect("in time");
    assert!(most <= (limits.connections_per_client / 4) as u64, "{most} handshakes at a time");
    for client in clients {
        let client = client.into_std().expect("a socket");
        let mut datagram = [0; 2048];
        let sent: usize = std::iter::from_fn(|| client.recv(&mut datagram).ok()).sum();
        assert!((1..AMPLIFICATION * INITIAL + LAST_DATAGRAM).contains(&sent), "{sent} octets");
    }
}

/// Unused addresses that first packets claim to come from, and their rate.
const FORGED: u8 = 150;
const RATE: u32 = 1_000;
/// How long the flood lasts: longer than the kernel looks for a neighbour.
const FLOOD: Duration = Duration::from_secs(4);
/// How long is asked after it, from a second after its end on.
const AFTER: Duration = Duration::from_secs(1);
const RECOVERY: Duration = Duration::from_secs(1);
/// An answer after so long is none, and neither is a connection.
const IN_TIME: Duration = Duration::from_millis(100);
const CONNECTED_IN_TIME: Duration = Duration::from_secs(1);
/// Pause between two queries; so many are asked for each new connection.
const BETWEEN_QUERIES: Duration = Duration::from_millis(5);
const QUERIES: usize = 20;
/// Floods until one is withstood: other programs on the machine may take the time that clients have.
const TRIES: usize = 3;
/// Lower than what is seen, for a machine that is busy with other things.
const LEAST: f64 = 90.0;

/// Shares in percent: of queries that were answered in time, and of connections that were made in time.
#[derive(Debug)]
struct Served {
    answered: f64,
    connected: f64,
}

/// Asks on a connection, and makes another now and then, from an address that is in use.
fn ask(clients: &Namespace, server: SocketAddr, secret: &Secret, is_over: impl Fn() -> bool) -> Served {
    const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
    clients.enter();
    let question = question().to_vec().expect("a query");
    Runtime::new().expect("a runtime").block_on(async {
        let connect = || timeout(CONNECTED_IN_TIME, try_quic(server, CLIENT, secret));
        let (mut asked, mut answered, mut tried, mut connected) = (0, 0, 0, 0);
        let mut current = None;
        while !is_over() {
            if asked % QUERIES == 0 || current.is_none() {
                tried += 1;
                if let Ok(Ok(new)) = connect().await {
                    connected += 1;
                    current = Some(new);
                }
            }
            let Some((_, connection)) = current.as_ref().filter(|(_, connection)| connection.close_reason().is_none())
            else {
                current = None;
                continue;
            };
            asked += 1;
            answered += usize::from(timeout(IN_TIME, ask_quic(connection, &question)).await.is_ok());
            sleep(BETWEEN_QUERIES).await;
        }
        let percent = |of: usize, all: usize| 100.0 * of as f64 / all.max(1) as f64;
        Served { answered: percent(answered, asked), connected: percent(connected, tried) }
    })
}

/// W7. The kernel looks for such a neighbour for three seconds, and what waits for it takes room in the socket's buffer.
#[test]
fn first_packets_from_neighbours_that_do_not_exist_keep_no_client_waiting() {
    let Some(Network { server: namespace, clients }) = Network::new() else { return };
    let secret = Secret::new();
    let initials = Runtime::new().expect("a runtime").block_on(quic_initials(usize::from(FORGED), &secret));
    let files = CertificateFiles { certificate: secret.certificate(), key: secret.key() };
    let (addresses, address) = mpsc::channel();
    let (metrics, _running) = serve_bound(namespace, move || {
        let bound = bound(files, Ipv4Addr::new(10, 77, 0, 1));
        let quic = bound.encrypted_addresses().iter().find(|(transport, _)| *transport == Transport::Quic);
        addresses.send(quic.expect("one of each").1).expect("it is waited for");
        bound
    });
    let server = address.recv().expect("it has started");
    let packets: Vec<_> = (0..).zip(&initials).map(|(i, initial)| packet(unused(server, i), server, initial)).collect();
    let flooded = || {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&clients, server, &secret, || is_over.load(Ordering::Relaxed)));
            scope.spawn(|| forged::flood(&clients, server, &packets, RATE, FLOOD)).join().expect("a flood");
            is_over.store(true, Ordering::Relaxed);
            let during = asking.join().expect("a client");
            thread::park_timeout(RECOVERY);
            let end = Instant::now() + AFTER;
            let (clients, secret) = (&clients, &secret);
            let after = scope.spawn(move || ask(clients, server, secret, || Instant::now() > end));
            (during, after.join().expect("a client"))
        })
    };
    let is_withstood = || {
        let (during, after) = flooded();
        println!("{RATE} forged first packets a second: during {during:?}, after {after:?}");
        [during, after].iter().all(|served| served.answered >= LEAST && served.connected >= LEAST)
    };
    assert!((0..TRIES).any(|_| is_withstood()), "{RATE} a second are not withstood");
    let most = LIMITS.connections_per_client / 4;
    println!("{} connections at the end, {most} of which may be forged", open_connections(&metrics));
}
