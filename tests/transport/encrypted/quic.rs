//! DNS over QUIC (RFC 9250): many queries and many connections, none of which waits for another; limits; and what ends a
//! stream or a connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use headless_dns::server::StreamLimits;
use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsOption;
use quinn::{Connection, ConnectionError, Endpoint, ReadError, ReadToEndError, VarInt};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::clients::{
    LOOPBACK, Secret, ask_quic, connect_quic, connect_quic_narrow, quic_initials, read_quic, send_quic, try_quic,
};
use super::{at, question, silent, started};
use crate::support::answering::big;
use crate::support::common::{LIMITS, PATIENCE, Server, framed, query, read_framed};
use crate::support::large::BARE;
use crate::transport::connections::{client, until, until_closed};

/// Error codes of RFC 9250 section 8.4.
const DOQ_NO_ERROR: VarInt = VarInt::from_u32(0);
const DOQ_PROTOCOL_ERROR: VarInt = VarInt::from_u32(2);
const DOQ_REQUEST_CANCELLED: VarInt = VarInt::from_u32(3);
const DOQ_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(4);
const DOQ_UNSPECIFIED_ERROR: VarInt = VarInt::from_u32(5);
/// Bits of a long header's first octet that tell the type of a packet, and those of a Retry packet (RFC 9000 section 17.2).
const LONG_PACKET_TYPE: u8 = 0x30;
const RETRY: u8 = 0x30;

fn quic(server: &Server) -> SocketAddr {
    at(server, Transport::Quic)
}

fn octets() -> Vec<u8> {
    question().to_vec().expect("a message")
}

/// Asserts that this is the answer to [`question`].
fn check(answer: &[u8]) {
    let answer = Message::from_vec(answer).expect("a message");
    assert_eq!((answer.metadata.id, answer.answers.len()), (0, 1), "{answer}");
}

/// The error code with which the server closes the connection.
async fn closed_with(connection: &Connection) -> VarInt {
    match timeout(PATIENCE, connection.closed()).await.expect("closed in time") {
        ConnectionError::ApplicationClosed(close) => close.error_code,
        other => panic!("closed by other means: {other}"),
    }
}

/// Clients that have sent their first datagram, and never answer the server's.
pub async fn stalled_handshakes(count: usize, server: SocketAddr, secret: &Secret) -> Vec<UdpSocket> {
    let mut clients = Vec::new();
    for initial in quic_initials(count, secret).await {
        let socket = UdpSocket::bind((LOOPBACK, 0)).await.expect("a socket");
        socket.send_to(&initial, server).await.expect("sent");
        clients.push(socket);
    }
    clients
}

#[tokio::test]
async fn a_thousand_queries_on_one_connection_are_answered() {
    let (secret, server) = started(LIMITS);
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    let octets = octets();
    let answers = join_all((0..1000).map(|_| ask_quic(&connection, &octets)));
    for answer in timeout(PATIENCE, answers).await.expect("all answers in time") {
        check(&answer);
    }
}

#[tokio::test]
async fn a_hundred_connections_at_once_are_answered_beside_handshakes_that_stall() {
    const CONNECTIONS: usize = 100;
    /// Together they have more time for their handshakes than the others have patience.
    const STALLED: usize = 4;
    let (secret, server) = started(StreamLimits { connections: 128, connections_per_client: 128, ..LIMITS });
    let _stalled = stalled_handshakes(STALLED, quic(&server), &secret).await;
    let asked = (0..CONNECTIONS).map(|_| async {
        let (endpoint, connection) = connect_quic(quic(&server), &secret).await;
        check(&ask_quic(&connection, &octets()).await);
        // So that all are open at the same time.
        (endpoint, connection)
    });
    assert_eq!(timeout(PATIENCE, join_all(asked)).await.expect("all in time").len(), CONNECTIONS);
}

#[tokio::test]
async fn handshakes_from_addresses_that_may_be_forged_take_few_places() {
    const STALLED: usize = 16;
    let limits = StreamLimits { connections: 8, connections_per_client: 8, ..LIMITS };
    let (secret, server) = started(limits);
    let stalled = stalled_handshakes(STALLED, quic(&server), &secret).await;
    let mut retries = 0;
    for socket in &stalled {
        let mut first = [0; 2048];
        timeout(PATIENCE, socket.recv(&mut first)).await.expect("in time").expect("a packet");
        retries += usize::from(first[0] & LONG_PACKET_TYPE == RETRY);
    }
    let taken = limits.connections / 4;
    assert_eq!(retries, STALLED - taken, "the others have to prove their address first");
    let valid = (0..limits.connections - taken).map(|_| async {
        let (endpoint, connection) = connect_quic(quic(&server), &secret).await;
        check(&ask_quic(&connection, &octets()).await);
        (endpoint, connection)
    });
    timeout(PATIENCE, join_all(valid)).await.expect("a place for each that does");
}

#[tokio::test]
async fn clients_that_have_proved_their_address_leave_room_for_others_that_have_not() {
    let limits = StreamLimits { connections: 8, connections_per_client: 8, ..LIMITS };
    let (secret, server) = started(limits);
    let mut open = Vec::new();
    for _ in 0..limits.connections / 4 {
        let (endpoint, connection) = connect_quic(quic(&server), &secret).await;
        check(&ask_quic(&connection, &octets()).await);
        open.push((endpoint, connection));
    }
    for socket in stalled_handshakes(limits.connections / 4, quic(&server), &secret).await {
        let mut first = [0; 2048];
        timeout(PATIENCE, socket.recv(&mut first)).await.expect("in time").expect("a packet");
        assert_ne!(first[0] & LONG_PACKET_TYPE, RETRY, "a handshake, without another round trip");
    }
}

fn assert_refused(result: Result<(Endpoint, Connection), ConnectionError>) {
    match result.map(drop).expect_err("refused") {
        ConnectionError::ConnectionClosed(close) => {
            assert_eq!(close.error_code, quinn::TransportErrorCode::CONNECTION_REFUSED);
        }
        other => panic!("not refused but {other}"),
    }
}

/// A connection that is answered on, once there is room: the server counts one that has ended a moment after its client
/// knows.
async fn once_there_is_room(server: SocketAddr, from: Ipv4Addr, secret: &Secret) -> (Endpoint, Connection) {
    let connected = async {
        loop {
            if let Ok(connected) = try_quic(server, from, secret).await {
                return connected;
            }
        }
    };
    let (endpoint, connection) = timeout(PATIENCE, connected).await.expect("room in time");
    check(&ask_quic(&connection, &octets()).await);
    (endpoint, connection)
}

#[tokio::test]
async fn a_connection_over_the_limit_is_refused_until_another_has_left() {
    let limits = StreamLimits { connections: 4, connections_per_client: 4, ..LIMITS };
    let (secret, server) = started(limits);
    let mut within = Vec::new();
    for number in 0..limits.connections {
        within.push(try_quic(quic(&server), client(number), &secret).await.expect("within the limit"));
    }
    assert_refused(try_quic(quic(&server), client(9), &secret).await);
    // All transports share one limit.
    until_closed(&mut TcpStream::connect(server.address).await.expect("a connection")).await;
    for (_, connection) in &within {
        check(&ask_quic(connection, &octets()).await);
    }
    let (_endpoint, leaving) = within.pop().expect("a connection");
    leaving.close(DOQ_NO_ERROR, b"");
    once_there_is_room(quic(&server), client(9), &secret).await;
}

#[tokio::test]
async fn a_client_with_its_share_of_connections_is_refused_and_others_are_not() {
    let (secret, server) = started(StreamLimits { connections_per_client: 2, ..LIMITS });
    let (_first, second) = (connect_quic(quic(&server), &secret).await, connect_quic(quic(&server), &secret).await);
    assert_refused(try_quic(quic(&server), LOOPBACK, &secret).await);
    try_quic(quic(&server), client(0), &secret).await.expect("another client has its own share");
    second.1.close(DOQ_NO_ERROR, b"");
    once_there_is_room(quic(&server), LOOPBACK, &secret).await;
}

/// RFC 9250 section 4.3.3.
#[tokio::test]
async fn a_protocol_error_ends_its_connection_and_no_other() {
    let (secret, server) = started(LIMITS);
    let (_endpoint, other) = connect_quic(quic(&server), &secret).await;
    let mut with_id = question();
    with_id.metadata.id = 1;
    let mut with_keepalive = question();
    with_keepalive.edns.as_mut().expect("an OPT record").options_mut().insert(EdnsOption::Unknown(11, Vec::new()));
    let mut with_more_options = with_keepalive.clone();
    with_more_options.edns.as_mut().expect("an OPT record").options_mut().insert(EdnsOption::Unknown(3, Vec::new()));
    let mut response = octets();
    response[2] |= 0x80;
    for (what, sent) in [
        ("a message ID", framed(&with_id.to_vec().expect("a message"))),
        ("the keepalive option", framed(&with_keepalive.to_vec().expect("a message"))),
        ("the keepalive option among others", framed(&with_more_options.to_vec().expect("a message"))),
        ("two messages", framed(&octets()).repeat(2)),
        ("octets behind the message", [framed(&octets()), vec![0]].concat()),
        ("half a message", framed(&octets())[..20].to_vec()),
        ("no message", vec![]),
        ("half a length", vec![0]),
        ("half a header", framed(&[0; 6])),
        ("a response", framed(&response)),
    ] {
        let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
        let _stream = send_quic(&connection, &sent).await;
        assert_eq!(closed_with(&connection).await, DOQ_PROTOCOL_ERROR, "{what}");
        check(&ask_quic(&other, &octets()).await);
    }
}

#[tokio::test]
async fn a_client_may_open_no_unidirectional_stream_and_send_no_datagram() {
    let (secret, server) = started(LIMITS);
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    assert!(connection.open_uni().now_or_never().is_none(), "no such stream is granted");
    assert_eq!(connection.max_datagram_size(), None);
    check(&ask_quic(&connection, &octets()).await);
}

#[tokio::test]
async fn a_client_must_name_the_protocol() {
    let (secret, server) = started(LIMITS);
    for protocol in [None, Some(&b"h3"[..])] {
        let endpoint = Endpoint::client((LOOPBACK, 0).into()).expect("a socket");
        let config = quinn::crypto::rustls::QuicClientConfig::try_from(secret.client(protocol)).expect("TLS 1.3");
        let config = quinn::ClientConfig::new(std::sync::Arc::new(config));
        let connecting = endpoint.connect_with(config, quic(&server), "localhost").expect("a name");
        timeout(PATIENCE, connecting).await.expect("in time").expect_err("no common protocol");
    }
}

#[tokio::test]
async fn a_cancelled_query_ends_its_stream_and_no_other() {
    let (secret, server) = started(LIMITS);
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    let (mut to, mut from) = connection.open_bi().await.expect("a stream");
    to.write_all(&framed(&octets())[..20]).await.expect("written");
    to.reset(DOQ_REQUEST_CANCELLED).expect("an open stream");
    let ended = timeout(PATIENCE, read_quic(&mut from)).await.expect("in time");
    assert_eq!(ended, Err(ReadToEndError::Read(ReadError::Reset(DOQ_REQUEST_CANCELLED))));
    check(&ask_quic(&connection, &octets()).await);
}

#[tokio::test]
async fn a_query_that_stalls_ends_its_stream_and_the_connection_goes_on() {
    let (secret, server) = started(StreamLimits { idle: Duration::from_secs(1), ..LIMITS });
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    let (mut to, mut from) = connection.open_bi().await.expect("a stream");
    to.write_all(&framed(&octets())[..20]).await.expect("written");
    let asking = async {
        loop {
            check(&ask_quic(&connection, &octets()).await);
        }
    };
    let ended = tokio::select! {
        ended = timeout(PATIENCE, read_quic(&mut from)) => ended.expect("in time"),
        () = asking => unreachable!("it has no end"),
    };
    assert_eq!(ended, Err(ReadToEndError::Read(ReadError::Reset(DOQ_UNSPECIFIED_ERROR))));
    check(&ask_quic(&connection, &octets()).await);
}

#[tokio::test]
async fn a_connection_without_queries_is_closed_even_if_it_sends_pings() {
    let (secret, server) = started(StreamLimits { idle: Duration::from_millis(300), ..LIMITS });
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    check(&ask_quic(&connection, &octets()).await);
    assert_eq!(closed_with(&connection).await, DOQ_NO_ERROR);
}

/// W5. The limits are for all transports together, and so is who gives way.
#[tokio::test]
async fn a_quiet_connection_gives_way_to_a_new_one_of_another_transport_and_is_told_why() {
    let limits = StreamLimits { connections_per_client: 1, idle: PATIENCE * 10, ..LIMITS };
    let (secret, server) = started(limits);
    // With one place for a client, each has to prove its address first.
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    check(&ask_quic(&connection, &octets()).await);
    let connecting = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.expect("a connection");
            if stream.write_all(&framed(&octets())).await.is_ok() && read_framed(&mut stream).await.is_some() {
                return;
            }
        }
    };
    timeout(PATIENCE, connecting).await.expect("room in time");
    assert_eq!(closed_with(&connection).await, DOQ_EXCESSIVE_LOAD);
}

/// W5. The answer has left for the client, as far as the server's buffers go, and the client takes it after the stop.
#[tokio::test]
async fn a_stop_waits_until_the_client_has_taken_the_whole_of_a_large_answer() {
    /// The server waits for half a second; other programs on the machine may take the time that the client has.
    const TRIES: usize = 3;
    /// Octets that the client takes before it reads.
    const WINDOW: u32 = 16 * 1024;
    let large = query(BARE, RecordType::A);
    let mut octets = large.to_vec().expect("a query");
    octets[..2].fill(0);
    for number in 1..=TRIES {
        let (secret, mut server) = silent(LIMITS);
        server.apply(&big(4000));
        server.writer.set_synchronised();
        let (_endpoint, connection) = connect_quic_narrow(quic(&server), &secret, WINDOW).await;
        let mut stream = send_quic(&connection, &framed(&octets)).await;
        until(&server, "responses_total", 1).await;
        let running = server.stop();
        let answer = timeout(PATIENCE, read_quic(&mut stream)).await.expect("in time");
        timeout(PATIENCE, running).await.expect("stopped in time").expect("no panic").expect("no error");
        match answer {
            Ok(answer) => return assert!(answer.len() > 4000 * 16, "{} octets", answer.len()),
            Err(error) => assert!(number < TRIES, "{error}"),
        }
    }
}

/// W5. However long a connection may be idle.
#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_does_not_finish_its_query() {
    let (secret, server) = started(StreamLimits { idle: Duration::from_secs(86_400), ..LIMITS });
    let (_endpoint, connection) = connect_quic(quic(&server), &secret).await;
    let (mut to, _from) = connection.open_bi().await.expect("a stream");
    to.write_all(&framed(&octets())[..20]).await.expect("written");
    // Behind it on the same connection, so that it has arrived when this is answered.
    check(&ask_quic(&connection, &octets()).await);
    let running = server.stop();
    assert_eq!(closed_with(&connection).await, DOQ_NO_ERROR);
    timeout(PATIENCE, running).await.expect("stopped in time").expect("no panic").expect("no error");
}

#[tokio::test]
async fn a_stop_answers_the_queries_in_flight_and_refuses_new_connections() {
    const QUERIES: usize = 20;
    let (secret, server) = started(LIMITS);
    let address = quic(&server);
    let (_endpoint, connection) = connect_quic(address, &secret).await;
    let mut streams = Vec::new();
    for _ in 0..QUERIES {
        streams.push(send_quic(&connection, &framed(&octets())).await);
    }
    let (mut to, from) = connection.open_bi().await.expect("a stream");
    let query = framed(&octets());
    to.write_all(&query[..20]).await.expect("written");
    streams.push(from);
    // Behind the others on the same connection, so that they have arrived when it is answered.
    check(&ask_quic(&connection, &octets()).await);
    let running = server.stop();
    let (too_late, ()) = tokio::join!(timeout(PATIENCE, try_quic(address, LOOPBACK, &secret)), async {
        to.write_all(&query[20..]).await.expect("written");
        to.finish().expect("an open stream");
    });
    assert_refused(too_late.expect("in time"));
    for stream in &mut streams {
        check(&read_quic(stream).await.expect("an answer")[2..]);
    }
    assert_eq!(closed_with(&connection).await, DOQ_NO_ERROR);
    timeout(PATIENCE, running).await.expect("stopped in time").expect("no panic").expect("no error");
}
