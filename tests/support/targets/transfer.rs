//! Any octets as a request for a zone, to a server that wants no signature, and to one that does, as they are and with a signature:
//! whatever is asked, what is sent can be read, ends, and is a zone, a difference or one record. Nothing is sent without a key where
//! there has to be one; with it, the same is sent as where none is wanted, and each message is signed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use headless_dns::authority::Authority;
use headless_dns::dns::name::Label;
use headless_dns::dns::wire::WireOptions;
use headless_dns::records::{ServiceKey, ServiceKind, ServiceRecords};
use headless_dns::server::{Portion, Responder};
use headless_dns::table::{TableWriter, table};
use headless_dns::telemetry::metrics::{Metrics, Transport};
use headless_dns::transfer::{HistoryLimits, KeyFiles, Keys, Policy, Primary, VersionWriter, versions};
use hickory_proto::op::Message;
use hickory_proto::rr::{Record, RecordType};

use crate::support::fixture::options;
use crate::support::tsig::{KEY, Signed};

/// The serials of the versions, of which the last is the newest and the others are in the history.
const SERIALS: [u32; 4] = [4, 12, 16, 32];
/// More messages than this zone ever takes.
const MOST_MESSAGES: usize = 8;
const WIRE: WireOptions = WireOptions { edns_udp_size: 1232, tcp_keepalive: 50 };
const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 53);

struct Server {
    responder: Responder,
    _writers: (TableWriter, VersionWriter),
}

static OPEN: LazyLock<Server> = LazyLock::new(|| Server::new(Vec::new()));
static SIGNED: LazyLock<Server> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("keys");
    fs::write(&file, KEY).expect("written");
    Server::new(vec![file])
});

impl Server {
    fn new(keys: Vec<std::path::PathBuf>) -> Self {
        let (mut writer, reader) = table();
        writer.keep_changes();
        writer.set_synchronised();
        let (mut versions, history) = versions(HistoryLimits { versions: 8, octets: 1 << 20 });
        for (serial, last) in SERIALS.into_iter().zip(1..) {
            let label = |text: &str| Label::parse(text).expect("a label");
            let address = IpAddr::from([10, 0, 0, last]);
            let records = ServiceRecords {
                addresses: [address].into_iter().collect(),
                hosts: [(label("pg-0"), [address])].into_iter().collect(),
                ..ServiceRecords::empty(ServiceKind::Headless)
            };
            // One is always there, and one every second time.
            let other = (last % 2 == 0).then(|| records.clone());
            let key = |name: &str| ServiceKey::new(&label("db"), &label(name));
            writer.publish([(key("pg"), Some(records)), (key("web"), other)]);
            versions.cut(serial, writer.take_changes());
            writer.set_serial(serial);
        }
        let authority = Arc::new(Authority::new(options()).expect("names that fit"));
        let metrics = Arc::new(Metrics::new());
        let clients = vec!["127.0.0.0/8".parse().expect("a network")];
        let files = KeyFiles { zones: keys, ..KeyFiles::default() };
        let policy = Policy { clients, public_clients: Vec::new(), keys: Keys::read(files).expect("keys") };
        let primary = Arc::new(Primary::new(Arc::clone(&authority), history, policy, Arc::clone(&metrics)));
        let responder = Responder::new(authority, reader, metrics, WIRE).transferring(primary);
        Self { responder, _writers: (writer, versions) }
    }

    /// What is sent over a transport: each message.
    fn sent(&self, message: &[u8], transport: Transport) -> Vec<Vec<u8>> {
        let mut worker = self.responder.worker(transport);
        let mut batch = self.responder.batch(&mut worker);
        let mut out = Vec::new();
        if batch.respond(message, CLIENT, &mut out) {
            return vec![out];
        }
        let Some(mut outbound) = batch.take_transfer() else { return Vec::new() };
        let mut sent = Vec::new();
        loop {
            let portion = self.responder.next(&mut outbound, transport, &mut out);
            if !out.is_empty() {
                let (length, message) = out.split_first_chunk().expect("a length");
                assert_eq!(usize::from(u16::from_be_bytes(*length)), message.len());
                sent.push(message.to_vec());
                out.clear();
            }
            assert!(sent.len() <= MOST_MESSAGES, "it does not end");
            match portion {
                Portion::Last => return sent,
                Portion::Broken => panic!("it cannot go on"),
                Portion::Working | Portion::Message => {}
            }
        }
    }
}

pub fn run(message: &[u8]) {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let open = records(&OPEN.sent(message, transport));
        let shut = records(&SIGNED.sent(message, transport));
        // Nobody who fuzzes has the time in a signature right.
        assert!(shut.iter().all(Vec::is_empty), "sent without a signature");
        let Some(mut signed) = Signed::new(message) else { continue };
        let sent = SIGNED.sent(&signed.octets, transport);
        // An error about the signature is not signed.
        if !records(&sent).iter().all(Vec::is_empty) {
            let unsigned: Vec<_> = sent.iter().map(|octets| signed.check(octets)).collect();
            assert_eq!(records(&unsigned).concat(), open.concat(), "with a signature, and where none is wanted");
        } else if has_signature(message) {
            // Two are one too many.
        } else {
            assert!(open.iter().all(Vec::is_empty), "not sent for a signature: {open:?}");
        }
    }
}

/// The records of each message that answers a request for a zone, which are a zone, a difference or one record.
fn records(sent: &[Vec<u8>]) -> Vec<Vec<Record>> {
    let read = sent.iter().map(|octets| Message::from_vec(octets).expect("it can be read"));
    let of_transfers = read.filter(|message| {
        let asked = message.queries.first().map(|query| query.query_type());
        matches!(asked, Some(RecordType::AXFR | RecordType::IXFR))
    });
    let records: Vec<_> = of_transfers.map(|message| message.answers).collect();
    let all = records.concat();
    let soas = all.iter().filter(|record| record.record_type() == RecordType::SOA).count();
    assert!(matches!((soas, all.len()), (0, 0) | (1, 1) | (2, 3..) | (4, 4..)), "{all:?}");
    records
}

/// Whether a message has a signature of its own.
fn has_signature(message: &[u8]) -> bool {
    // Of a message that cannot be read nothing is said.
    Message::from_vec(message).map_or(true, |message| {
        message.signature.is_some() || message.additionals.iter().any(|record| record.record_type() == RecordType::TSIG)
    })
}
