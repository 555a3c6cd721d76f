//! The public view over real connections: who gets it and nothing else, and what it answers.

use std::fs;

use domain::base::iana::Rtype;
use domain::tsig::{Algorithm, Key};
use headless_dns::records::ServiceRecords;
use headless_dns::transfer::{KeyFiles, Keys, Policy};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use tempfile::TempDir;

use super::transfers::{headless, ixfr_of, key, primary, serial, signed, transfer};
use crate::support::common::{LIMITS, Server, exchange, exchange_octets, extended_errors, query};

const ZONE: &str = "cluster.local.";
const VIEW: &str = "peers.example.com.";

/// Who may have everything, and who the public view, from loopback; with keys where there is a folder of them.
fn serving(clients: &str, public_clients: &str, keys: Option<&TempDir>) -> Server {
    let networks = |network: &str| vec![network.parse().expect("a network")];
    let file = |name: &str| keys.map(|folder| folder.path().join(name)).into_iter().collect();
    let files = KeyFiles { zones: file("zones"), public: file("public") };
    let policy = Policy {
        clients: networks(clients),
        public_clients: networks(public_clients),
        keys: Keys::read(files).expect("keys"),
    };
    let mut server = primary(LIMITS, policy);
    server.writer.set_synchronised();
    server
        .writer
        .publish([(key("pg"), Some(public(headless(0x0a01_0001, 2)))), (key("web"), Some(headless(0x0a02_0001, 2)))]);
    server.cut(16);
    server
}

fn public(records: ServiceRecords) -> ServiceRecords {
    ServiceRecords { is_public: true, ..records }
}

const LOOPBACK: &str = "127.0.0.0/8";
const NOBODY: &str = "192.0.2.0/24";

/// The owners of records, without the SOA records.
fn owners(records: &[Record]) -> Vec<String> {
    let mut owners: Vec<_> =
        records.iter().filter(|record| serial(record).is_none()).map(|record| record.name.to_string()).collect();
    owners.sort_unstable();
    owners
}

/// X8, W4.
#[tokio::test]
async fn who_may_have_the_public_view_alone_gets_it_and_is_refused_every_other_zone() {
    let server = serving(NOBODY, LOOPBACK, None);
    for tcp in [false, true] {
        for zone in [ZONE, "in-addr.arpa.", "ip6.arpa."] {
            for request in [query(zone, RecordType::AXFR), ixfr_of(zone, 1)] {
                let answer = exchange(server.address, &request, tcp).await.expect("an answer");
                let errors: Vec<_> = extended_errors(&answer).into_iter().map(|(code, _)| code).collect();
                let is_without_serial = !tcp && request.queries[0].query_type() == RecordType::AXFR;
                let (expected, code) =
                    if is_without_serial { (ResponseCode::FormErr, vec![]) } else { (ResponseCode::Refused, vec![18]) };
                assert_eq!((answer.metadata.response_code, answer.answers.len()), (expected, 0), "{zone} {tcp}");
                assert_eq!(errors, code, "{zone} {tcp}");
            }
        }
    }
    let unknown = exchange(server.address, &query("example.com.", RecordType::AXFR), true).await.expect("an answer");
    assert_eq!(unknown.metadata.response_code, ResponseCode::NotAuth);
    let alone = exchange(server.address, &ixfr_of(VIEW, 1), false).await.expect("an answer");
    assert_eq!(alone.answers.iter().map(serial).collect::<Vec<_>>(), [Some(16)], "the serial, over UDP");
    let (records, _) = transfer(server.address, &query(VIEW, RecordType::AXFR)).await;
    let pods = ["host-0.pg.db", "host-1.pg.db", "pg.db", "pg.db"].map(|name| format!("{name}.{VIEW}"));
    let mut expected: Vec<_> = pods.into_iter().chain([VIEW.to_owned(), VIEW.to_owned()]).collect();
    expected.sort_unstable();
    assert_eq!(owners(&records), expected, "the Service, and two NS records");

    // Who may have everything may have it too.
    let everything = serving(LOOPBACK, NOBODY, None);
    assert_eq!(transfer(everything.address, &query(VIEW, RecordType::AXFR)).await.0.len(), records.len());
    assert!(transfer(everything.address, &query(ZONE, RecordType::AXFR)).await.0.len() > records.len());
}

/// X8, X3, X5.
#[tokio::test]
async fn a_service_that_is_chosen_comes_whole_and_one_that_no_longer_is_goes_whole() {
    let mut server = serving(LOOPBACK, NOBODY, None);
    server.writer.publish([(key("web"), Some(public(headless(0x0a02_0001, 2))))]);
    server.cut(32);
    server.writer.publish([(key("pg"), Some(headless(0x0a01_0001, 2)))]);
    server.cut(48);
    let difference = async |from| transfer(server.address, &ixfr_of(VIEW, from)).await.0;
    let serials = |records: &[Record]| records.iter().filter_map(serial).collect::<Vec<_>>();
    let both = difference(16).await;
    assert_eq!(serials(&both), [48, 48], "the zone, which is shorter than what goes and what comes");
    let gone = difference(32).await;
    assert_eq!(serials(&gone), [48, 32, 48, 48]);
    let pods = ["host-0.pg.db", "host-1.pg.db", "pg.db", "pg.db"].map(|name| format!("{name}.{VIEW}"));
    assert_eq!(owners(&gone), pods);
    // Inside, nothing has changed.
    let inside = transfer(server.address, &ixfr_of(ZONE, 16)).await.0;
    assert_eq!(serials(&inside), [48, 16, 48, 48]);
    assert!(owners(&inside).is_empty(), "{inside:?}");
}

/// X8.
#[tokio::test]
async fn names_of_the_view_are_answered_and_a_denial_tells_nothing_of_what_is_not_in_it() {
    let mut server = serving(NOBODY, LOOPBACK, None);
    let ask = async |server: &Server, name: &str, record_type| {
        exchange(server.address, &query(&format!("{name}{VIEW}"), record_type), false).await.expect("an answer")
    };
    let soa = ask(&server, "", RecordType::SOA).await;
    assert_eq!(soa.answers.iter().map(serial).collect::<Vec<_>>(), [Some(16)]);
    assert!(soa.answers[0].data.to_string().starts_with("ns1.example.org. hostmaster.peers.example.com. "));
    let servers: Vec<_> = ask(&server, "", RecordType::NS).await.answers.iter().map(|it| it.data.to_string()).collect();
    assert_eq!(servers, ["ns1.example.org.", "ns2.example.org."]);
    let answer = ask(&server, "host-0.pg.db.", RecordType::A).await;
    assert!(answer.metadata.authoritative && answer.answers[0].data.to_string() == "10.1.0.1");
    let code = |answer: &Message| (answer.metadata.response_code, extended_errors(answer).len());
    assert_eq!(code(&ask(&server, "db.", RecordType::A).await), (ResponseCode::NoError, 0), "a name is below it");
    for name in ["web.db.", "host-0.web.db.", "nothing.db.", "other.", "ns.dns.", "dns-version.", "pg.db.svc."] {
        assert_eq!(code(&ask(&server, name, RecordType::A).await), (ResponseCode::NXDomain, 0), "{name}");
    }
    server.writer.publish([(key("pg"), Some(headless(0x0a01_0001, 2)))]);
    assert_eq!(code(&ask(&server, "db.", RecordType::A).await).0, ResponseCode::NXDomain, "the last one has gone");
    server.writer.publish([(key("pg"), None), (key("web"), Some(public(headless(0x0a02_0001, 2))))]);
    assert_eq!(code(&ask(&server, "db.", RecordType::A).await).0, ResponseCode::NoError, "another has come");
}

/// X8, X1.
#[tokio::test]
async fn a_key_of_the_public_view_opens_no_other_zone_from_whatever_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str| {
        let text = format!("key {name} {{ algorithm hmac-sha256; secret \"c2VjcmV0LXNlY3JldC1zZWNyZXQ=\"; }};");
        fs::write(folder.path().join(name), text).expect("written");
        let name = name.parse().expect("a name");
        Key::new(Algorithm::Sha256, b"secret-secret-secret", name, None, None).expect("a key")
    };
    let (zones, public) = (write("zones"), write("public"));
    let server = serving(LOOPBACK, LOOPBACK, Some(&folder));
    let rcode = async |key: &Key, zone: &str| {
        let (request, _) = signed(key.clone(), zone, Rtype::AXFR);
        exchange_octets(server.address, &request, true).await.expect("an answer")[3] & 0x0f
    };
    const REFUSED: u8 = 5;
    assert_eq!([rcode(&zones, ZONE).await, rcode(&zones, VIEW).await], [0, 0]);
    assert_eq!([rcode(&public, ZONE).await, rcode(&public, VIEW).await], [REFUSED, 0]);
    for zone in [ZONE, VIEW] {
        let unsigned = exchange(server.address, &query(zone, RecordType::AXFR), true).await.expect("an answer");
        assert_eq!(unsigned.metadata.response_code, ResponseCode::Refused, "{zone}");
    }
}
