//! Zone transfers over encrypted transports: over TLS (RFC 9103), and over no other.

use headless_dns::server::CertificateFiles;
use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use tokio::io::AsyncWriteExt;

use super::clients::{Secret, ask_quic, bound, connect, connect_https, connect_quic, post, send};
use super::{DOT, at};
use crate::support::common::{LIMITS, Server, extended_errors, framed, query, read_framed};
use crate::transport::transfers::{headless, ixfr_of, key, policy, received, serial, transfer};

const ZONE: &str = "cluster.local.";
/// Endpoints: their records are several messages.
const LARGE: u32 = 5_000;

/// A primary with all transports, and its certificate.
fn started() -> (Secret, Server) {
    let secret = Secret::new();
    let bound = bound(CertificateFiles { certificate: secret.certificate(), key: secret.key() }, [127, 0, 0, 1].into());
    let mut server = Server::primary(bound, LIMITS, policy(&["127.0.0.0/8"], &[]));
    server.writer.set_synchronised();
    server.writer.publish([(key("pg"), Some(headless(0x0a01_0001, LARGE)))]);
    server.cut(16);
    (secret, server)
}

/// X2, X3: RFC 9103 section 7: several transfers over one connection, one after the other and at once.
#[tokio::test(flavor = "multi_thread")]
async fn zones_and_differences_are_transferred_over_tls_several_over_one_connection() {
    let (secret, mut server) = started();
    let (whole, _) = transfer(server.address, &query(ZONE, RecordType::AXFR)).await;
    let mut tls = connect(at(&server, Transport::Tls), secret.client(DOT)).await.expect("a connection");
    let octets = |request: &Message| framed(&request.to_vec().expect("a message"));
    tls.write_all(&octets(&query(ZONE, RecordType::AXFR))).await.expect("written");
    let (over_tls, messages) = received(&mut tls).await;
    assert!(messages > 2, "{messages} messages");
    assert_eq!(over_tls, whole, "what comes over TCP");
    server.writer.publish([(key("web"), Some(headless(0x0a02_0001, 2)))]);
    server.cut(32);
    tls.write_all(&octets(&ixfr_of(ZONE, 16))).await.expect("written");
    let (difference, _) = received(&mut tls).await;
    assert_eq!(difference.iter().filter_map(serial).collect::<Vec<_>>(), [32, 16, 32, 32]);
    let (mut first, mut second) = (query(ZONE, RecordType::AXFR), query(ZONE, RecordType::SOA));
    (first.metadata.id, second.metadata.id) = (1, 2);
    tls.write_all(&[octets(&first), octets(&second)].concat()).await.expect("written");
    let mut sizes = [0; 2];
    while sizes.iter().sum::<usize>() < whole.len() + 4 + 1 {
        let message = Message::from_vec(&read_framed(&mut tls).await.expect("a message")).expect("a message");
        sizes[usize::from(message.metadata.id) - 1] += message.answers.len();
    }
    assert_eq!(sizes, [whole.len() + 4, 1]);
}

/// W4, X2.
#[tokio::test]
async fn no_zone_is_transferred_over_https_and_quic() {
    let (secret, server) = started();
    let mut request = query(ZONE, RecordType::AXFR);
    request.metadata.id = 0;
    let octets = request.to_vec().expect("a message");
    let mut https = connect_https(at(&server, Transport::Https), &secret).await;
    let over_https = send(&mut https, post(octets.clone())).await.1;
    let (_endpoint, connection) = connect_quic(at(&server, Transport::Quic), &secret).await;
    let over_quic = ask_quic(&connection, &octets).await;
    for answer in [over_https, over_quic] {
        let answer = Message::from_vec(&answer).expect("a message");
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::Refused, 0));
        assert_eq!(extended_errors(&answer).first().map(|(code, _)| *code), Some(21), "it is not supported");
    }
}
