//! DNS over TLS, HTTPS and QUIC: the same answers, within the same bounds, under a certificate that may change.

pub mod clients;
mod quic;
mod quic_flood;
mod transfers;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headless_dns::server::{self, Certificate, CertificateFiles, Encrypted, StreamLimits};
use headless_dns::telemetry::metrics::{Label, Transport};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::common::{LIMITS, PATIENCE, Server, framed, options, query, read_framed};
use crate::support::peers;
use clients::{Secret, ask_quic, bare, bound, connect, connect_https, connect_quic, endless_post, get, post, send};

const NAME: &str = "pg-0.pg.db.svc.cluster.local.";
const MANIFESTS: &str = "
kind: Service
metadata: {namespace: db, name: pg}
spec: {clusterIP: None}
---
kind: EndpointSlice
metadata: {namespace: db, name: pg-1, labels: {kubernetes.io/service-name: pg}}
addressType: IPv4
ports: [{name: sql, port: 5432}]
endpoints:
- {addresses: [10.1.0.10], hostname: pg-0}
- {addresses: [10.1.0.11], hostname: pg-1}
";
const DOT: Option<&[u8]> = Some(b"dot");

/// A server with all transports, that has not heard of the cluster yet.
fn silent(limits: StreamLimits) -> (Secret, Server) {
    let secret = Secret::new();
    let bound = bound(CertificateFiles { certificate: secret.certificate(), key: secret.key() }, [127, 0, 0, 1].into());
    (secret, Server::bound(bound, options(), limits))
}

/// What a server answers for [`NAME`], over a connection of its own.
async fn address_over(transport: Transport, at: SocketAddr, secret: &Secret) -> String {
    let octets = question().to_vec().expect("a query");
    let answer = if transport == Transport::Tls {
        let mut tls = connect(at, secret.client(DOT)).await.expect("a connection");
        tls.write_all(&framed(&octets)).await.expect("written");
        read_framed(&mut tls).await.expect("an answer")
    } else {
        send(&mut connect_https(at, secret).await, post(octets)).await.1
    };
    Message::from_vec(&answer).expect("a message").answers[0].data.to_string()
}

#[tokio::test]
async fn connections_over_tls_and_https_are_divided_among_servers_that_share_the_address() {
    /// Which server gets a connection is the kernel's choice: that one gets all happens once in 2³⁹ times.
    const CONNECTIONS: usize = 40;
    // Those of before may still be there, as far as a busy server has seen.
    let limits = StreamLimits { connections: 4 * CONNECTIONS, connections_per_client: 4 * CONNECTIONS, ..LIMITS };
    let secret = Secret::new();
    let files = CertificateFiles { certificate: secret.certificate(), key: secret.key() };
    let certificate = Certificate::read(files).expect("a certificate");
    let at = |addresses: &[SocketAddr]| Encrypted {
        certificate: Arc::clone(&certificate),
        tls: vec![addresses[0]],
        https: vec![addresses[1]],
        https_path: "/dns-query".to_owned(),
        quic: vec![],
    };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut first = server::bind_shared(&[any], 2).expect("a free port");
    first.bind_encrypted(&at(&[any, any])).expect("free ports");
    let shared = first.encrypted_addresses().to_vec();
    let encrypted: Vec<_> = shared.iter().map(|(_, address)| *address).collect();
    let mut second = server::bind_shared(first.addresses(), 2).expect("a shared address");
    second.bind_encrypted(&at(&encrypted)).expect("shared addresses");
    let mut alone = server::bind(&[any], 1).expect("a free port");
    let error = alone.bind_encrypted(&at(&encrypted)).expect_err("not shared by this one").to_string();
    assert!(error.contains(&encrypted[0].to_string()) && error.contains("--tls-listen"), "{error}");

    let _servers = [(first, "10.1.0.10"), (second, "10.1.0.20")].map(|(bound, address)| {
        let mut server = Server::bound(bound, options(), limits);
        server.apply(&MANIFESTS.replace("10.1.0.10", address));
        server.writer.set_synchronised();
        server
    });
    for (transport, address) in shared {
        let mut answered = BTreeSet::new();
        for _ in 0..CONNECTIONS {
            answered.insert(address_over(transport, address, &secret).await);
        }
        assert_eq!(answered.len(), 2, "{transport:?} is answered by one of the two alone: {answered:?}");
    }
}

/// A server with all transports and the records of [`MANIFESTS`].
fn started(limits: StreamLimits) -> (Secret, Server) {
    let (secret, mut server) = silent(limits);
    server.apply(MANIFESTS);
    server.writer.set_synchronised();
    (secret, server)
}

fn at(server: &Server, transport: Transport) -> SocketAddr {
    server.encrypted.iter().find(|(of, _)| *of == transport).expect("one of each").1
}

/// A query as it is sent where messages need no ID.
fn question() -> Message {
    let mut question = query(NAME, RecordType::A);
    question.metadata.id = 0;
    question
}

/// What each encrypted transport answers to these octets, HTTPS by POST and by GET.
async fn ask_all(secret: &Secret, server: &Server, octets: &[u8]) -> Vec<(&'static str, Message)> {
    let mut tls = connect(at(server, Transport::Tls), secret.client(DOT)).await.expect("a connection");
    tls.write_all(&framed(octets)).await.expect("written");
    let over_tls = read_framed(&mut tls).await.expect("an answer");
    let mut https = connect_https(at(server, Transport::Https), secret).await;
    let (_, over_post) = send(&mut https, post(octets.to_vec())).await;
    let (_, over_get) = send(&mut https, get(octets)).await;
    let (_endpoint, connection) = connect_quic(at(server, Transport::Quic), secret).await;
    let over_quic = ask_quic(&connection, octets).await;
    [("TLS", over_tls), ("POST", over_post), ("GET", over_get), ("QUIC", over_quic)]
        .map(|(over, octets)| (over, Message::from_vec(&octets).unwrap_or_else(|error| panic!("{over}: {error}"))))
        .to_vec()
}

/// T1.
#[tokio::test]
async fn every_encrypted_transport_answers_and_before_the_first_synchronisation_with_servfail() {
    let (secret, mut server) = silent(LIMITS);
    let octets = question().to_vec().unwrap();
    for (over, answer) in ask_all(&secret, &server, &octets).await {
        assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "{over}");
        assert!(answer.edns.expect("an OPT record").option(EdnsCode::from(15)).is_some(), "{over}: no reason");
    }
    server.apply(MANIFESTS);
    server.writer.set_synchronised();
    for (over, answer) in ask_all(&secret, &server, &octets).await {
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{over}");
        assert_eq!(answer.answers[0].data.to_string(), "10.1.0.10", "{over}");
        assert!(answer.metadata.authoritative, "{over}");
    }
}

/// W3.
#[tokio::test]
async fn what_is_no_query_is_refused_on_every_encrypted_transport() {
    let (secret, server) = started(LIMITS);
    let mut twice = question();
    twice.add_query(twice.queries[0].clone());
    for (over, answer) in ask_all(&secret, &server, &twice.to_vec().unwrap()).await {
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr, "{over}: two questions");
    }
    let mut notify = question();
    notify.metadata.op_code = OpCode::Notify;
    for (over, answer) in ask_all(&secret, &server, &notify.to_vec().unwrap()).await {
        assert_eq!(answer.metadata.response_code, ResponseCode::NotImp, "{over}: NOTIFY");
    }
    // Two questions announced, none there.
    let empty = [0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    for (over, answer) in ask_all(&secret, &server, &empty).await {
        assert_eq!(answer.metadata.response_code, ResponseCode::FormErr, "{over}: a count alone");
    }
}

/// W5.
#[tokio::test]
async fn many_queries_on_one_tls_connection_are_answered_in_order() {
    let (secret, server) = started(LIMITS);
    let mut tls = connect(at(&server, Transport::Tls), secret.client(DOT)).await.unwrap();
    let queries = (0..500_u16).flat_map(|id| {
        let mut question = question();
        question.metadata.id = id;
        framed(&question.to_vec().unwrap())
    });
    let queries: Vec<_> = queries.collect();
    let (mut from, mut to) = tokio::io::split(&mut tls);
    let write = async { to.write_all(&queries).await.unwrap() };
    let read = async {
        for id in 0..500 {
            let answer = Message::from_vec(&read_framed(&mut from).await.unwrap()).unwrap();
            assert_eq!((answer.metadata.id, answer.answers.len()), (id, 1));
        }
    };
    timeout(PATIENCE, async { tokio::join!(write, read) }).await.expect("all answers in time");
}

#[tokio::test]
async fn over_tls_a_client_may_name_the_protocol_or_none_but_no_other() {
    let (secret, server) = started(LIMITS);
    let address = at(&server, Transport::Tls);
    let named = connect(address, secret.client(DOT)).await.expect("dot");
    assert_eq!(named.get_ref().1.alpn_protocol(), DOT);
    connect(address, secret.client(None)).await.expect("none");
    connect(address, secret.client(Some(b"h2"))).await.expect_err("another");
}

#[tokio::test]
async fn the_keepalive_option_is_answered_over_tls_and_not_over_https() {
    let (secret, server) = started(LIMITS);
    let mut asking = question();
    let edns = asking.edns.as_mut().unwrap();
    edns.options_mut().insert(EdnsOption::Unknown(11, Vec::new()));
    let octets = asking.to_vec().unwrap();
    let has_keepalive =
        |octets: &[u8]| Message::from_vec(octets).unwrap().edns.unwrap().option(EdnsCode::Keepalive).is_some();
    let mut tls = connect(at(&server, Transport::Tls), secret.client(DOT)).await.unwrap();
    tls.write_all(&framed(&octets)).await.unwrap();
    assert!(has_keepalive(&read_framed(&mut tls).await.unwrap()));
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    assert!(!has_keepalive(&send(&mut https, post(octets)).await.1));
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_before_any_handshake() {
    /// Well below the time that is given to a handshake.
    const AT_ONCE: Duration = Duration::from_secs(3);
    let (_secret, server) = started(StreamLimits { connections_per_client: 2, ..LIMITS });
    let (tls, https) = (at(&server, Transport::Tls), at(&server, Transport::Https));
    let _silent = [TcpStream::connect(tls).await.unwrap(), TcpStream::connect(https).await.unwrap()];
    for address in [tls, https, server.address] {
        let mut too_many = TcpStream::connect(address).await.unwrap();
        let closed = timeout(AT_ONCE, too_many.read_u8()).await.expect("closed at once");
        closed.expect_err("no octet comes from a server that does not serve");
    }
}

#[tokio::test]
async fn silent_tls_clients_are_closed_in_time() {
    let (secret, server) = started(StreamLimits { idle: Duration::from_millis(300), ..LIMITS });
    for transport in [Transport::Tls, Transport::Https] {
        let mut silent = TcpStream::connect(at(&server, transport)).await.unwrap();
        let until_closed = async { while let Ok(1..) = silent.read(&mut [0; 64]).await {} };
        timeout(PATIENCE, until_closed).await.expect("closed in time");
    }
    // One that has asked is closed after a while too, with an end that is announced.
    let mut tls = connect(at(&server, Transport::Tls), secret.client(DOT)).await.unwrap();
    tls.write_all(&framed(&question().to_vec().unwrap())).await.unwrap();
    read_framed(&mut tls).await.expect("an answer");
    assert_eq!(timeout(PATIENCE, tls.read(&mut [0; 1])).await.expect("in time").expect("an announced end"), 0);
}

/// A connection to a server that may not have seen its new certificate yet.
async fn connect_once_renewed(address: SocketAddr, secret: &Secret) -> tokio_rustls::client::TlsStream<TcpStream> {
    timeout(PATIENCE, async {
        loop {
            if let Ok(stream) = connect(address, secret.client(DOT)).await {
                return stream;
            }
        }
    })
    .await
    .expect("the new certificate in time")
}

#[tokio::test]
async fn an_https_connection_without_queries_is_closed_even_if_it_asks_for_other_things() {
    let (secret, server) = started(StreamLimits { idle: Duration::from_millis(300), ..LIMITS });
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    assert_eq!(send(&mut https, post(question().to_vec().unwrap())).await.0, StatusCode::OK);
    let closed = async {
        while let Ok(response) = https.send_request(bare(Method::GET, "/")).await {
            assert_eq!(response.status(), StatusCode::NOT_FOUND);
        }
    };
    timeout(PATIENCE, closed).await.expect("closed in time");
}

#[tokio::test]
async fn an_https_client_that_does_not_go_on_is_not_waited_for() {
    let (secret, server) = started(StreamLimits { idle: Duration::from_millis(300), ..LIMITS });
    // After the handshake of TLS, nothing of HTTP.
    let mut mute = connect(at(&server, Transport::Https), secret.client(Some(b"h2"))).await.unwrap();
    let until_closed = async { while let Ok(1..) = mute.read(&mut [0; 64]).await {} };
    timeout(PATIENCE, until_closed).await.expect("closed in time");
    // A request without its body.
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    let answer = timeout(PATIENCE, send(&mut https, endless_post())).await.expect("in time");
    assert_eq!(answer.0, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn an_http_request_that_is_no_query_is_told_what_is_wrong() {
    let (secret, server) = started(LIMITS);
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    let mut plain = post(question().to_vec().unwrap());
    plain.headers_mut().insert("content-type", http::HeaderValue::from_static("text/plain"));
    for (request, status) in [
        (bare(Method::GET, "/elsewhere?dns=AAAA"), StatusCode::NOT_FOUND),
        (bare(Method::PUT, "/dns-query"), StatusCode::METHOD_NOT_ALLOWED),
        (bare(Method::GET, "/dns-query"), StatusCode::BAD_REQUEST),
        (bare(Method::GET, "/dns-query?dns=%21"), StatusCode::BAD_REQUEST),
        (bare(Method::GET, "/dns-query?dns=AAAA"), StatusCode::BAD_REQUEST),
        (plain, StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (post(vec![0; 70_000]), StatusCode::PAYLOAD_TOO_LARGE),
        (post(question().to_vec().unwrap()), StatusCode::OK),
    ] {
        let what = format!("{request:?}");
        assert_eq!(send(&mut https, request).await.0, status, "{what}");
    }
}

/// RFC 9110 section 8.3.1.
#[tokio::test]
async fn a_media_type_is_the_same_in_any_case_and_with_parameters() {
    let (secret, server) = started(LIMITS);
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    for (media_type, status) in [
        ("Application/DNS-Message", StatusCode::OK),
        ("application/dns-message; charset=utf-8", StatusCode::OK),
        ("application/dns-message ;x=\"y;z\"", StatusCode::OK),
        ("application/dns-messages", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("application/json; a=application/dns-message", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("", StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ] {
        let mut request = post(question().to_vec().unwrap());
        request.headers_mut().insert("content-type", http::HeaderValue::from_static(media_type));
        assert_eq!(send(&mut https, request).await.0, status, "{media_type}");
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_open_ones_go_on() {
    let (mut secret, server) = started(LIMITS);
    let address = at(&server, Transport::Tls);
    let mut before = connect(address, secret.client(DOT)).await.unwrap();
    let (_endpoint, quic_before) = connect_quic(at(&server, Transport::Quic), &secret).await;
    secret.renew();
    // Trusts the new certificate alone.
    let mut after = connect_once_renewed(address, &secret).await;
    connect_https(at(&server, Transport::Https), &secret).await;
    connect_quic(at(&server, Transport::Quic), &secret).await;
    let octets = question().to_vec().unwrap();
    for stream in [&mut before, &mut after] {
        stream.write_all(&framed(&octets)).await.unwrap();
        assert!(read_framed(stream).await.is_some());
    }
    assert!(!ask_quic(&quic_before, &octets).await.is_empty());
}

#[tokio::test]
async fn a_stop_ends_connections_with_an_announced_end_after_their_answers() {
    let (secret, server) = started(LIMITS);
    let octets = question().to_vec().unwrap();
    let mut tls = connect(at(&server, Transport::Tls), secret.client(DOT)).await.unwrap();
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    let (_endpoint, quic) = connect_quic(at(&server, Transport::Quic), &secret).await;
    tls.write_all(&framed(&octets)).await.unwrap();
    let (over_https, over_quic) = tokio::join!(send(&mut https, post(octets.clone())), ask_quic(&quic, &octets));
    assert_eq!((over_https.0, over_quic.is_empty()), (StatusCode::OK, false));
    assert!(read_framed(&mut tls).await.is_some());
    let running = server.stop();
    assert_eq!(timeout(PATIENCE, tls.read(&mut [0; 1])).await.expect("in time").expect("an announced end"), 0);
    timeout(PATIENCE, quic.closed()).await.expect("in time");
    timeout(PATIENCE, running).await.expect("stopped in time").expect("no panic").expect("no error");
}

#[tokio::test]
async fn kdig_gets_answers_over_every_encrypted_transport() {
    if peers::missing(&["kdig"]) {
        return;
    }
    let (secret, server) = started(LIMITS);
    for (transport, how) in [
        (Transport::Tls, "+tls"),
        (Transport::Https, "+https"),
        (Transport::Https, "+https-get"),
        (Transport::Quic, "+quic"),
    ] {
        let address = at(&server, transport);
        let output = tokio::process::Command::new("kdig")
            .args([&format!("@{}", address.ip()), "-p", &address.port().to_string()])
            // Before the transport: as kdig reads its arguments, these ask for TLS, and the last one wins.
            .arg(format!("+tls-ca={}", secret.certificate().display()))
            .arg(format!("+tls-hostname={}", clients::HOST))
            .args([how, "+short", NAME, "A"])
            .output();
        let output = timeout(PATIENCE, output).await.expect("in time").expect("kdig runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "10.1.0.10\n", "{how} over {}", transport.as_str());
    }
}
