//! Clients over every transport and at every address: an answer that had to wait arrives as others do.

use std::collections::BTreeSet;

use headless_dns::server::{Certificate, CertificateFiles, Encrypted};
use headless_dns::telemetry::metrics::Transport;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;
use crate::support::common::{framed, read_framed};
use crate::transport::encrypted::clients::{Secret, ask_quic, connect, connect_https, connect_quic, get, post, send};

/// A server with all transports.
fn everywhere(upstream: SocketAddr) -> (Secret, Server) {
    let secret = Secret::new();
    let loopback = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let files = CertificateFiles { certificate: secret.certificate(), key: secret.key() };
    let encrypted = Encrypted {
        certificate: Certificate::read(files).expect("a certificate"),
        tls: loopback.clone(),
        https: loopback.clone(),
        https_path: "/dns-query".to_owned(),
        quic: loopback.clone(),
    };
    let mut bound = server::bind(&loopback, 1).expect("a free port");
    bound.bind_encrypted(&encrypted).expect("free ports");
    let mut server = Server::forwarding(bound, options(), forward_to(&[upstream]));
    server.apply(OBJECTS);
    server.writer.set_synchronised();
    (secret, server)
}

fn at(server: &Server, transport: Transport) -> SocketAddr {
    server.encrypted.iter().find(|(of, _)| *of == transport).expect("one of each").1
}

fn question(name: &str, id: u16) -> Vec<u8> {
    let mut query = query(name, RecordType::A);
    query.metadata.recursion_desired = true;
    query.metadata.id = id;
    query.to_vec().expect("octets")
}

fn read(octets: &[u8]) -> Message {
    Message::from_vec(octets).expect("a message")
}

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn over_every_transport_names_of_the_world_are_answered_from_upstream_and_from_the_cache() {
    let upstream = FakeUpstream::sound().await;
    let (secret, server) = everywhere(upstream.address);
    let mut tls = connect(at(&server, Transport::Tls), secret.client(Some(b"dot"))).await.expect("a connection");
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    let (_endpoint, quic) = connect_quic(at(&server, Transport::Quic), &secret).await;
    for _ in 0..2 {
        for (kind, expected) in [("www", 1), ("absent", 0), ("big", 200)] {
            let name = |over: &str| format!("{kind}.{over}.example.");
            tls.write_all(&framed(&question(&name("tls"), 7))).await.expect("written");
            let over_tls = read_framed(&mut tls).await.expect("an answer");
            let (status, over_post) = send(&mut https, post(question(&name("post"), 0))).await;
            assert!(status.is_success(), "{status}");
            let (_, over_get) = send(&mut https, get(&question(&name("get"), 0))).await;
            let over_quic = ask_quic(&quic, &question(&name("quic"), 0)).await;
            for (over, octets) in [("tls", over_tls), ("post", over_post), ("get", over_get), ("quic", over_quic)] {
                let answer = read(&octets);
                assert_eq!(answer.answers.len(), expected, "{kind} {over}: {answer}");
                assert!(answer.metadata.recursion_available && !answer.metadata.truncation, "{kind} {over}: {answer}");
                assert_eq!(answer.queries[0].name().to_ascii(), name(over));
            }
        }
    }
    for over in ["tls", "post", "get", "quic"] {
        for kind in ["www", "absent"] {
            assert_eq!(upstream.times(&format!("{kind}.{over}.example.")), 1, "{kind} {over}");
        }
    }
}

/// W5, F1. RFC 7766 section 6.2.1.1: answers need not come in the order of the queries.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_stream_an_answer_that_waits_holds_up_no_other() {
    let (upstream, open) = FakeUpstream::gated().await;
    let server = serving(options(), resolver::Options { timeout: 3 * PATIENCE, ..forward_to(&[upstream.address]) });
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let names = (1..=20).map(|id| (id, format!("name-{id}.example."))).chain([(100, OURS.to_owned())]);
    let queries: Vec<_> = names.flat_map(|(id, name)| framed(&question(&name, id))).collect();
    stream.write_all(&queries).await.expect("written");
    let first = read(&read_framed(&mut stream).await.expect("an answer"));
    assert_eq!((first.metadata.id, shown(&first)), (100, found(&["10.1.0.10"])), "ours is there first");
    (0..20).for_each(|_| open.send(()).expect("an upstream"));
    let mut ids = Vec::new();
    for _ in 0..20 {
        let answer = read(&read_framed(&mut stream).await.expect("an answer"));
        assert_eq!(shown(&answer), found(&["192.0.2.1"]));
        ids.push(answer.metadata.id);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=20).collect::<Vec<_>>());
}

/// W5.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_closed_its_half_of_the_connection_gets_the_answer_that_waits() {
    let upstream = FakeUpstream::sound().await;
    let server = server(&[upstream.address]);
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(&framed(&question("www.example.", 7))).await.expect("written");
    stream.shutdown().await.expect("closed");
    let answer = read(&read_framed(&mut stream).await.expect("an answer"));
    assert_eq!(shown(&answer), found(&["192.0.2.1"]));
}

/// W7. Each waits in memory until it is answered.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_connection_has_128_questions_that_wait_no_further_one_is_read() {
    const MOST: usize = 128;
    /// Far more than all buffers on the way hold.
    const QUERIES: usize = 40_000;
    let upstream = FakeUpstream::hanging().await;
    let server = serving(options(), resolver::Options { timeout: 3 * PATIENCE, ..forward_to(&[upstream.address]) });
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(1).expect("a buffer");
    let mut stream = socket.connect(server.address).await.expect("a connection");
    let queries: Vec<_> =
        (0..QUERIES).flat_map(|id| framed(&question(&format!("n{id}.example."), id as u16))).collect();
    let writing = tokio::spawn(async move {
        let written = stream.write_all(&queries).await;
        (stream, written)
    });
    let asked =
        || upstream.questions().into_iter().filter(|name| name.starts_with(['n', 'N'])).map(|name| name.to_lowercase());
    let count = || asked().collect::<BTreeSet<_>>().len();
    until("as many wait as may", async || count() >= MOST).await;
    // The connection's thread has had its turn many times since.
    for _ in 0..100 {
        assert_eq!(shown(&ask_over(&server, OURS, RecordType::A, true).await), found(&["10.1.0.10"]));
    }
    assert_eq!(count(), MOST);
    assert!(!writing.is_finished(), "everything was read");
    writing.abort();
}

/// W6, F1.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_had_to_wait_leaves_from_the_address_that_was_asked() {
    let upstream = FakeUpstream::sound().await;
    for (wildcard, asked) in [("0.0.0.0:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let bound = server::bind(&[wildcard.parse().expect("an address")], 1).expect("a free port");
        let clients = ["127.0.0.0/8", "::1/128"].map(|network| network.parse().expect("a network")).to_vec();
        let forward = resolver::Options { clients, ..forward_to(&[upstream.address]) };
        let server = Server::forwarding(bound, options(), forward);
        let asked = SocketAddr::new(asked.parse().expect("an address"), server.address.port());
        let socket = UdpSocket::bind(if asked.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }).await.expect("a port");
        // A connected socket takes datagrams from this address alone, as resolvers do.
        socket.connect(asked).await.expect("connected");
        for from in ["upstream", "the cache"] {
            socket.send(&question("www.example.", 7)).await.expect("sent");
            let mut octets = [0; 512];
            let length = timeout(PATIENCE, socket.recv(&mut octets)).await;
            let length = length.unwrap_or_else(|_| panic!("no answer from {asked}, from {from}")).expect("an answer");
            assert_eq!(shown(&read(&octets[..length])), found(&["192.0.2.1"]));
        }
    }
}
