//! Zone transfers over real connections: who gets one, what is in it, and what clients that mean no good can do.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use domain::base::iana::Rtype;
use domain::base::{Message as Signed, MessageBuilder, Name as DomainName};
use domain::rdata::tsig::Time48;
use domain::tsig::{Algorithm, ClientSequence, Key};
use headless_dns::dns::name::Label;
use headless_dns::records::{ServiceKey, ServiceKind, ServiceRecords};
use headless_dns::server::{self, StreamLimits};
use headless_dns::transfer::{KeyFiles, Keys, MAX_TRANSFERS_OF_CLIENT, Policy};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::common::{
    LIMITS, PATIENCE, Server, exchange, exchange_octets, extended_errors, framed, query, read_framed,
};

const ZONE: &str = "cluster.local.";
/// Endpoints of the large Service: its records are twenty messages and more.
const LARGE: u32 = 20_000;

pub fn policy(clients: &[&str], files: &[&TempDir]) -> Policy {
    let files = files.iter().map(|folder| folder.path().join("keys")).collect();
    let clients = clients.iter().map(|network| network.parse().expect("a network")).collect();
    let files = KeyFiles { zones: files, ..KeyFiles::default() };
    Policy { clients, public_clients: Vec::new(), keys: Keys::read(files).expect("keys") }
}

pub fn primary(limits: StreamLimits, policy: Policy) -> Server {
    Server::primary(server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port"), limits, policy)
}

/// A server that loopback may transfer from.
fn open() -> Server {
    primary(LIMITS, policy(&["127.0.0.0/8"], &[]))
}

pub fn key(name: &str) -> ServiceKey {
    ServiceKey::new(&Label::parse("db").expect("a label"), &Label::parse(name).expect("a label"))
}

/// A headless Service whose endpoints have addresses from this one on.
pub fn headless(first: u32, endpoints: u32) -> ServiceRecords {
    let hosts = (0..endpoints).map(|number| {
        let address = IpAddr::from((first + number).to_be_bytes());
        (Label::parse(&format!("host-{number}")).expect("a label"), address)
    });
    let hosts: Vec<_> = hosts.collect();
    ServiceRecords {
        addresses: hosts.iter().map(|(_, address)| *address).collect(),
        hosts: hosts.into_iter().map(|(label, address)| (label, [address])).collect(),
        ..ServiceRecords::empty(ServiceKind::Headless)
    }
}

/// A request for the difference from a version.
fn ixfr(serial: u32) -> Message {
    ixfr_of(ZONE, serial)
}

/// The same of this zone.
pub fn ixfr_of(zone: &str, serial: u32) -> Message {
    let mut message = query(zone, RecordType::IXFR);
    let root = Name::root();
    let soa = SOA::new(root.clone(), root, serial, 0, 0, 0, 0);
    message.authorities.push(Record::from_rdata(Name::from_ascii(zone).expect("a name"), 0, RData::SOA(soa)));
    message
}

pub fn serial(record: &Record) -> Option<u32> {
    match &record.data {
        RData::SOA(soa) => Some(soa.serial),
        _ => None,
    }
}

/// Whether records end a transfer: the SOA record with which it begins has come twice, or three times in a difference.
fn is_whole(records: &[Record]) -> bool {
    let Some(first) = records.first() else { return false };
    let soas = records.iter().filter(|record| serial(record) == serial(first)).count();
    let is_difference = records.get(1).is_some_and(|second| serial(second).is_some());
    soas == if is_difference { 3 } else { 2 }
}

/// The records of a transfer, and how many messages they came in.
pub async fn transfer(server: SocketAddr, request: &Message) -> (Vec<Record>, usize) {
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    stream.write_all(&framed(&request.to_vec().expect("a message"))).await.expect("sent");
    received(&mut stream).await
}

/// The records of one transfer that comes over a stream, and how many messages they came in.
pub async fn received(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<Record>, usize) {
    let (mut records, mut messages) = (Vec::new(), 0);
    while !is_whole(&records) {
        let message = timeout(PATIENCE, read_framed(stream)).await.expect("in time").expect("a message");
        let message = Message::from_vec(&message).expect("a message");
        assert_eq!(message.metadata.response_code, ResponseCode::NoError);
        assert!(message.metadata.authoritative && !message.metadata.truncation);
        records.extend(message.answers);
        messages += 1;
    }
    (records, messages)
}

/// X1, X6, W4.
#[tokio::test]
async fn only_whom_the_configuration_names_gets_a_zone_and_each_error_is_what_the_rfc_says() {
    let closed = primary(LIMITS, policy(&["192.0.2.0/24"], &[]));
    let mut open = open();
    let ask = async |server: &Server, request: &Message, tcp| {
        let answer = exchange(server.address, request, tcp).await.expect("an answer");
        let errors: Vec<u16> = extended_errors(&answer).into_iter().map(|(code, _)| code).collect();
        (answer.metadata.response_code, answer.answers.len(), errors)
    };
    let axfr = query(ZONE, RecordType::AXFR);
    for tcp in [false, true] {
        for request in [&axfr, &ixfr(1), &query("example.com.", RecordType::AXFR)] {
            assert_eq!(ask(&closed, request, tcp).await, (ResponseCode::Refused, 0, vec![18]), "over TCP: {tcp}");
        }
    }
    assert_eq!(ask(&open, &axfr, true).await, (ResponseCode::ServFail, 0, vec![14]), "not synchronised");
    assert_eq!(ask(&open, &ixfr(1), false).await, (ResponseCode::ServFail, 0, vec![14]));
    open.cut(16);
    open.writer.set_synchronised();
    assert_eq!(ask(&open, &axfr, false).await, (ResponseCode::FormErr, 0, vec![]), "there is no AXFR over UDP");
    assert_eq!(ask(&open, &ixfr(1), false).await, (ResponseCode::NoError, 1, vec![]), "the serial alone");
    assert_eq!(ask(&open, &query(ZONE, RecordType::IXFR), true).await, (ResponseCode::FormErr, 0, vec![]));
    for zone in ["example.com.", "db.svc.cluster.local.", "."] {
        let answer = ask(&open, &query(zone, RecordType::AXFR), true).await;
        assert_eq!(answer, (ResponseCode::NotAuth, 0, vec![20]), "{zone}");
    }
}

/// X2, X3.
#[tokio::test]
async fn what_is_transferred_is_the_zone_the_difference_or_the_serial_alone() {
    let mut server = open();
    server.writer.set_synchronised();
    server.writer.publish([(key("pg"), Some(headless(0x0a01_0001, 3))), (key("web"), Some(headless(0x0a02_0001, 2)))]);
    server.cut(16);
    let (whole, _) = transfer(server.address, &query(ZONE, RecordType::AXFR)).await;
    assert_eq!(whole.len(), 2 + 3 + 2 * 5, "two SOA, NS, its address, the version, and each endpoint twice");
    server.writer.publish([(key("pg"), Some(headless(0x0a01_0001, 4)))]);
    server.cut(32);
    let serials = |records: &[Record]| records.iter().filter_map(serial).collect::<Vec<_>>();
    let (difference, _) = transfer(server.address, &ixfr(16)).await;
    assert_eq!(serials(&difference), [32, 16, 32, 32]);
    assert_eq!(difference.len(), 4 + 2, "the new endpoint, below its name and below the Service's");
    for unknown in [15, 17, 8] {
        let (records, _) = transfer(server.address, &ixfr(unknown)).await;
        assert_eq!((serials(&records), records.len()), (vec![32, 32], whole.len() + 2), "{unknown} is not known");
    }
    for newest in [32, 33, 1000] {
        let answer = exchange(server.address, &ixfr(newest), true).await.expect("an answer");
        assert_eq!(serials(&answer.answers), [32], "{newest}");
        assert_eq!(answer.answers.len(), 1);
    }
    let soa = exchange(server.address, &query(ZONE, RecordType::SOA), false).await.expect("an answer");
    assert_eq!(serials(&soa.answers), [32], "the serial of answers is that of the newest version");
    let mut reverse = query("in-addr.arpa.", RecordType::AXFR);
    reverse.edns = None;
    assert_eq!(transfer(server.address, &reverse).await.0.len(), 2 + 1 + 6, "two SOA, NS, and each address");
}

/// X2, X7, W5.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_transfer_is_of_one_version_and_holds_up_no_query_of_its_own_connection() {
    let mut server = open();
    server.writer.set_synchronised();
    server.writer.publish([(key("large"), Some(headless(0x0a00_0000, LARGE)))]);
    server.cut(16);
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    let request = |record_type| framed(&query(ZONE, record_type).to_vec().expect("a message"));
    stream.write_all(&[request(RecordType::AXFR), request(RecordType::NS)].concat()).await.expect("sent");
    // The zone is another one before the first message is read.
    server.writer.publish([(key("large"), Some(headless(0x0b00_0000, LARGE)))]);
    server.cut(32);
    let (mut records, mut messages, mut answered_after) = (Vec::new(), 0, None);
    while !is_whole(&records) || answered_after.is_none() {
        let message = timeout(PATIENCE, read_framed(&mut stream)).await.expect("in time").expect("a message");
        let message = Message::from_vec(&message).expect("a message");
        if message.queries[0].query_type() == RecordType::NS {
            answered_after = Some(messages);
        } else {
            records.extend(message.answers);
            messages += 1;
        }
    }
    assert!(messages > 20, "{messages} messages");
    assert!(answered_after.is_some_and(|messages| messages <= 2), "answered after {answered_after:?} messages");
    assert_eq!(records.len(), 2 + 3 + 2 * LARGE as usize);
    let is_old = |record: &Record| match &record.data {
        RData::A(address) => address.octets()[0] == 10 || address.octets()[0] == 127,
        _ => true,
    };
    assert!(records.iter().all(is_old), "all of one version");
    assert_eq!(serial(&records[0]), Some(16));
}

/// X7.
#[tokio::test(flavor = "multi_thread")]
async fn a_secondary_that_does_not_read_loses_its_places_and_meanwhile_has_no_more_than_its_share() {
    let limits = StreamLimits { idle: Duration::from_secs(1), ..LIMITS };
    let mut server = primary(limits, policy(&["127.0.0.0/8"], &[]));
    server.writer.set_synchronised();
    server.writer.publish([(key("large"), Some(headless(0x0a00_0000, 4 * LARGE)))]);
    server.cut(16);
    let request = query(ZONE, RecordType::AXFR);
    let octets = framed(&request.to_vec().expect("a message"));
    let mut stalled = Vec::new();
    for _ in 0..MAX_TRANSFERS_OF_CLIENT {
        let mut stream = TcpStream::connect(server.address).await.expect("a connection");
        stream.write_all(&octets).await.expect("sent");
        // It has begun: the first octets are here.
        stream.readable().await.expect("readable");
        stalled.push(stream);
    }
    let answer = exchange(server.address, &request, true).await.expect("an answer");
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail, "too many");
    server.ask("ns.dns.cluster.local.", RecordType::A).await;
    // Each stalled one ends after a second, and frees its place.
    timeout(PATIENCE, async {
        loop {
            let answer = exchange_octets(server.address, &request.to_vec().expect("a message"), true).await;
            let answer = Message::from_vec(&answer.expect("an answer")).expect("a message");
            if answer.metadata.response_code == ResponseCode::NoError {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("a place");
}

/// A folder with a key file, and the key.
fn signing_key() -> (TempDir, Key) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = "key secondary { algorithm hmac-sha512; secret \"c2VjcmV0LXNlY3JldC1zZWNyZXQ=\"; };";
    fs::write(folder.path().join("keys"), file).expect("written");
    let name = "secondary".parse().expect("a name");
    let key = Key::new(Algorithm::Sha512, b"secret-secret-secret", name, None, None).expect("a key");
    (folder, key)
}

/// A signed request, and what checks the messages of the answer.
pub fn signed(key: Key, zone: &str, rr_type: Rtype) -> (Vec<u8>, ClientSequence<Key>) {
    let mut builder = MessageBuilder::new_vec().question();
    builder.push((DomainName::<Vec<u8>>::vec_from_str(zone).expect("a name"), rr_type)).expect("room");
    let mut builder = builder.additional();
    let sequence = ClientSequence::request(key, &mut builder, Time48::now()).expect("signed");
    (builder.finish(), sequence)
}

/// X1.
#[tokio::test(flavor = "multi_thread")]
async fn with_keys_a_request_has_to_be_signed_and_every_message_of_the_answer_is() {
    let (folder, key) = signing_key();
    let mut server = primary(LIMITS, policy(&["127.0.0.0/8"], &[&folder]));
    server.writer.set_synchronised();
    server.writer.publish([(self::key("large"), Some(headless(0x0a00_0000, LARGE)))]);
    server.cut(16);
    let unsigned = exchange(server.address, &query(ZONE, RecordType::AXFR), true).await.expect("an answer");
    assert_eq!(unsigned.metadata.response_code, ResponseCode::Refused);

    let (request, mut sequence) = signed(key.clone(), ZONE, Rtype::AXFR);
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(&framed(&request)).await.expect("sent");
    let (mut records, mut messages) = (Vec::new(), 0);
    while !is_whole(&records) {
        let message = timeout(PATIENCE, read_framed(&mut stream)).await.expect("in time").expect("a message");
        let mut message = Signed::from_octets(message).expect("a message");
        sequence.answer(&mut message, Time48::now()).unwrap_or_else(|error| panic!("message {messages}: {error}"));
        records.extend(Message::from_vec(message.as_slice()).expect("a message").answers);
        messages += 1;
    }
    sequence.done().expect("signed to the end");
    assert!(messages > 20 && records.len() > 2 * LARGE as usize);

    // Secondaries sign their questions for the serial too.
    let (request, mut sequence) = signed(key, ZONE, Rtype::SOA);
    let answer = exchange_octets(server.address, &request, false).await.expect("an answer");
    let mut answer = Signed::from_octets(answer).expect("a message");
    sequence.answer(&mut answer, Time48::now()).expect("a signed answer");
    assert_eq!(answer.header_counts().ancount(), 1);

    let other =
        Key::new(Algorithm::Sha512, b"another", "secondary".parse().expect("a name"), None, None).expect("a key");
    let (request, _) = signed(other, ZONE, Rtype::AXFR);
    let answer = exchange_octets(server.address, &request, true).await.expect("an answer");
    assert_eq!(answer[3] & 0x0f, 9, "NOTAUTH");
}

/// X1: keys are read again while the server runs.
#[tokio::test]
async fn a_new_key_is_used_and_a_broken_file_is_not() {
    let (folder, _) = signing_key();
    let file = folder.path().join("keys");
    let keys = Keys::read(KeyFiles { zones: vec![file.clone()], ..KeyFiles::default() }).expect("keys");
    let stop = tokio_util::sync::CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&keys).follow(stop.clone()));
    fs::write(&file, "key:\n - id: second\n   algorithm: hmac-sha256\n   secret: aGFsbG8=\n").expect("written");
    timeout(PATIENCE, async {
        while keys.named("second").is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("read again");
    assert!(keys.named("secondary").is_none());
    stop.cancel();
    following.await.expect("ended");
}
