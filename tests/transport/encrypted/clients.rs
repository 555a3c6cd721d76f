//! Clients of the encrypted transports that can be made to misbehave, and certificates for them to trust.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use headless_dns::server::{self, Bound, Certificate, CertificateFiles, Encrypted};
use http::{Method, Request, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Bytes;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::common::framed;
pub use crate::support::secret::{HOST, Secret};

/// What a request carries.
pub type Body = BoxBody<Bytes, Infallible>;

pub const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A TLS connection.
pub async fn connect(server: SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(HOST).expect("a name"), stream).await
}

/// An HTTP/2 connection.
pub async fn connect_https(server: SocketAddr, secret: &Secret) -> SendRequest<Body> {
    let stream = connect(server, secret.client(Some(b"h2"))).await.expect("a connection");
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

/// A POST of `body` to the path where queries are answered.
pub fn post(body: Vec<u8>) -> Request<Body> {
    let request = Request::post(format!("https://{HOST}/dns-query")).header("content-type", "application/dns-message");
    request.body(Full::from(body).boxed()).expect("a request")
}

/// A POST whose body never comes.
pub fn endless_post() -> Request<Body> {
    let mut request = post(Vec::new());
    *request.body_mut() = StreamBody::new(futures::stream::pending()).boxed();
    request
}

/// A request without a body.
pub fn bare(method: Method, path_and_query: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(format!("https://{HOST}{path_and_query}"));
    request.body(Full::default().boxed()).expect("a request")
}

/// The GET that asks `query`.
pub fn get(query: &[u8]) -> Request<Body> {
    bare(Method::GET, &format!("/dns-query?x=y&dns={}", data_encoding::BASE64URL_NOPAD.encode(query)))
}

/// The status and the body that come back.
pub async fn send(sender: &mut SendRequest<Body>, request: Request<Body>) -> (StatusCode, Vec<u8>) {
    let response = sender.send_request(request).await.expect("a response");
    let status = response.status();
    (status, response.into_body().collect().await.expect("a body").to_bytes().into())
}

/// A QUIC connection, and the endpoint that keeps it alive.
pub async fn connect_quic(server: SocketAddr, secret: &Secret) -> (quinn::Endpoint, quinn::Connection) {
    try_quic(server, LOOPBACK, secret).await.expect("a connection")
}

/// The same from an address of choice, if the server accepts it.
pub async fn try_quic(
    server: SocketAddr,
    from: Ipv4Addr,
    secret: &Secret,
) -> Result<(quinn::Endpoint, quinn::Connection), quinn::ConnectionError> {
    let endpoint = quic_endpoint(from);
    let connection = endpoint.connect_with(quic_client(secret), server, HOST).expect("a name").await?;
    Ok((endpoint, connection))
}

/// A QUIC connection on whose streams so many octets may come before the client reads.
pub async fn connect_quic_narrow(
    server: SocketAddr,
    secret: &Secret,
    window: u32,
) -> (quinn::Endpoint, quinn::Connection) {
    let (endpoint, mut config) = (quic_endpoint(LOOPBACK), quic_client(secret));
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window(window.into());
    config.transport_config(Arc::new(transport));
    let connection = endpoint.connect_with(config, server, HOST).expect("a name").await.expect("a connection");
    (endpoint, connection)
}

fn quic_endpoint(from: Ipv4Addr) -> quinn::Endpoint {
    quinn::Endpoint::client((from, 0).into()).expect("a socket")
}

/// A client that keeps its connections open: it sends pings for as long as it has nothing to ask.
fn quic_client(secret: &Secret) -> quinn::ClientConfig {
    let config = quinn::crypto::rustls::QuicClientConfig::try_from(secret.client(Some(b"doq"))).expect("TLS 1.3");
    let mut config = quinn::ClientConfig::new(Arc::new(config));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_millis(50)));
    config.transport_config(Arc::new(transport));
    config
}

/// The first datagrams of as many handshakes, none of which a server has seen.
pub async fn quic_initials(count: usize, secret: &Secret) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind((LOOPBACK, 0)).await.expect("a socket");
    let endpoint = quic_endpoint(LOOPBACK);
    let server = sink.local_addr().expect("an address");
    let _handshakes: Vec<_> =
        (0..count).map(|_| endpoint.connect_with(quic_client(secret), server, HOST).expect("a name")).collect();
    // By their destination connection IDs (RFC 9000 section 17.2), as each is sent again until it is answered.
    let mut initials = BTreeMap::new();
    while initials.len() < count {
        let mut datagram = vec![0; 2048];
        let length = sink.recv(&mut datagram).await.expect("a datagram");
        datagram.truncate(length);
        let connection_id = datagram[6..6 + usize::from(datagram[5])].to_vec();
        initials.insert(connection_id, datagram);
    }
    initials.into_values().collect()
}

/// Asks on a stream of its own.
pub async fn ask_quic(connection: &quinn::Connection, query: &[u8]) -> Vec<u8> {
    let mut stream = send_quic(connection, &framed(query)).await;
    let answer = read_quic(&mut stream).await.expect("an answer");
    answer.get(2..).unwrap_or_default().to_vec()
}

/// Sends octets and the end of the stream on a stream of its own.
pub async fn send_quic(connection: &quinn::Connection, octets: &[u8]) -> quinn::RecvStream {
    let (mut to, from) = connection.open_bi().await.expect("a stream");
    to.write_all(octets).await.expect("written");
    to.finish().expect("an open stream");
    from
}

/// Everything that comes on a stream.
pub async fn read_quic(stream: &mut quinn::RecvStream) -> Result<Vec<u8>, quinn::ReadToEndError> {
    stream.read_to_end(usize::from(u16::MAX) + 2).await
}

/// All transports, each on a free port of an address.
pub fn bound(certificate: CertificateFiles, address: Ipv4Addr) -> Bound {
    let any = vec![SocketAddr::from((address, 0))];
    let encrypted = Encrypted {
        certificate: Certificate::read(certificate).expect("a certificate"),
        tls: any.clone(),
        https: any.clone(),
        https_path: "/dns-query".to_owned(),
        quic: any.clone(),
    };
    let mut bound = server::bind(&any, 1).expect("a free port");
    bound.bind_encrypted(&encrypted).expect("free ports");
    bound
}
