//! Knot DNS as the upstream, with a signed zone of every kind of name: what is passed on is what it says.

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use futures::StreamExt;
use futures::stream;
use headless_dns::resolver::{self, CacheLimits, ForwardTo, MAX_IN_FLIGHT};
use headless_dns::server;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use crate::support::common::{PATIENCE, Server, exchange, options, query};
use crate::support::passed_on::{all_bits, differences, query_with};
use crate::support::peers::{Running, command, free_address, missing};

/// Names of each kind.
const NAMES: usize = 500;
/// Questions that are asked at once.
const AT_ONCE: usize = 32;
/// Differences that are shown.
const SHOWN: usize = 10;
/// The type of which nobody knows anything.
const UNKNOWN: u16 = 65_300;

/// A kind of name: what the zone has of number `i`, and what is asked.
type Kind = fn(zone: &mut String, i: usize) -> (String, RecordType);

/// Every kind of name. All are below `example.`.
const KINDS: [Kind; 20] = [
    |zone, i| records(zone, &format!("a{i}"), "A", &[&format!("192.0.2.{}", i % 256)], RecordType::A),
    |zone, i| {
        records(zone, &format!("aaaa{i}"), "AAAA", &[&format!("2001:db8::{i:x}"), "2001:db8::ffff:1"], RecordType::AAAA)
    },
    // No data of that type.
    |zone, i| records(zone, &format!("nodata{i}"), "A", &["192.0.2.1"], RecordType::AAAA),
    // Chains of aliases, one more with each number.
    |zone, i| {
        let (next, end) = (if i % 8 == 0 { "a0".to_owned() } else { format!("alias{}", i - 1) }, format!("alias{i}"));
        records(zone, &end, "CNAME", &[&next], RecordType::A)
    },
    |zone, i| records(zone, &format!("out{i}"), "CNAME", &[&format!("h{i}.elsewhere.test.")], RecordType::A),
    |zone, i| records(zone, &format!("lost{i}"), "CNAME", &[&format!("absent{i}")], RecordType::A),
    |zone, i| records(zone, &format!("txt{i}"), "TXT", &[&format!("\"v={i}\" \"\" \"two words\"")], RecordType::TXT),
    // Up to 4 kB: beyond a datagram.
    |zone, i| {
        let texts: Vec<_> = (0..i % 21).map(|text| format!("\"{text}-{}\"", "x".repeat(190))).collect();
        let texts: Vec<_> = texts.iter().map(String::as_str).chain(["small"]).collect();
        records(zone, &format!("big{i}"), "TXT", &texts, RecordType::TXT)
    },
    |zone, i| {
        let addresses: Vec<_> = (0..=i % 80).map(|last| format!("198.51.100.{last}")).collect();
        let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
        records(zone, &format!("many{i}"), "A", &addresses, RecordType::A)
    },
    |zone, i| {
        let targets = ["0 1 5432 a0", "0 1 5432 aaaa0", "1 1 5433 absent"];
        records(zone, &format!("_s{i}._tcp"), "SRV", &targets[..=i % 3], RecordType::SRV)
    },
    |zone, i| records(zone, &format!("mx{i}"), "MX", &["10 a1", "20 mail.elsewhere.test."], RecordType::MX),
    |_, i| (format!("absent{i}"), RecordType::A),
    |_, i| (format!("below.a{i}"), RecordType::A),
    |_, i| (format!("any{i}.wild"), [RecordType::A, RecordType::MX][i % 2]),
    |_, i| (format!("x.any{i}.alias.wild"), RecordType::A),
    // Delegations, of which each second is signed.
    |zone, i| {
        records(zone, &format!("sub{i}"), "NS", &[&format!("ns.sub{i}")], RecordType::NS);
        records(zone, &format!("ns.sub{i}"), "A", &["192.0.2.53"], RecordType::A);
        if i % 2 == 0 {
            let digest = "1 13 2 f3d1b3a4b6f1a0e7c9d85d2a1e7b60c4a98d3f2c5b6e7d8091a2b3c4d5e6f708";
            records(zone, &format!("sub{i}"), "DS", &[digest], RecordType::DS);
        }
        [(format!("www.sub{i}"), RecordType::A), (format!("sub{i}"), RecordType::DS)][i / 2 % 2].clone()
    },
    // Names that exist because something is below them.
    |zone, i| {
        records(zone, &format!("x.y.empty{i}"), "A", &["192.0.2.1"], RecordType::A);
        (format!("{}empty{i}", ["", "y."][i % 2]), RecordType::A)
    },
    |zone, i| {
        let (name, _) = records(zone, &format!("signed{i}"), "A", &["192.0.2.1"], RecordType::A);
        (name, [RecordType::RRSIG, RecordType::NSEC, RecordType::ANY, RecordType::DNSKEY][i % 4])
    },
    |zone, i| {
        let (name, data, record_type) = [
            ("CAA", "0 issue \"ca.example.net\"", RecordType::CAA),
            ("NAPTR", "100 10 \"U\" \"E2U+sip\" \"!^.*$!sip:a@example!\" .", RecordType::NAPTR),
            ("SVCB", "1 svc.example. alpn=h2 port=8443", RecordType::SVCB),
            ("TYPE65300", "\\# 4 00ff10c0", RecordType::Unknown(UNKNOWN)),
        ][i % 4];
        records(zone, &format!("rare{i}"), name, &[data], record_type)
    },
    // Synthesised from a DNAME record, in letters of both cases, with octets that are none.
    |_, i| {
        let names = [format!("www{i}.renamed"), format!("A{i}.RENAMED"), format!("a\\.b{i}"), format!("*.x{i}.wild")];
        (names[i % 4].clone(), RecordType::A)
    },
];

/// Writes records of a name, and gives name and type as what is asked.
fn records(zone: &mut String, name: &str, what: &str, data: &[&str], asked: RecordType) -> (String, RecordType) {
    for data in data {
        let _ = writeln!(zone, "{name} {what} {data}");
    }
    (name.to_owned(), asked)
}

/// The zone file, and the questions.
fn zone() -> (String, Vec<(String, RecordType)>) {
    let mut zone = "$ORIGIN example.\n$TTL 120\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 192.0.2.53\n\
                    *.wild A 192.0.2.7\n*.wild TXT wild\n*.alias.wild CNAME a0\nrenamed DNAME wild\n"
        .to_owned();
    let questions = KINDS.iter().flat_map(|kind| (0..NAMES).map(|i| kind(&mut zone, i)).collect::<Vec<_>>());
    let questions = questions.map(|(name, record_type)| (format!("{name}.example."), record_type)).collect();
    (zone, questions)
}

/// Knot with a zone that it signs.
struct Knot {
    address: SocketAddr,
    _running: Running,
    _folder: TempDir,
}

impl Knot {
    async fn start(zone: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = free_address();
        let path = folder.path().join("knot.conf");
        fs::write(folder.path().join("zone"), zone).expect("written");
        fs::write(&path, configuration(folder.path(), address.port())).expect("written");
        let running = Running::start(command("knotd").arg("--config").arg(&path));
        let knot = Self { address, _running: running, _folder: folder };
        tokio::time::timeout(PATIENCE * 3, knot.is_signed()).await.expect("a signed zone in time");
        knot
    }

    /// Waits until it answers with signatures.
    async fn is_signed(&self) {
        let question = query("example.", RecordType::RRSIG);
        loop {
            let asked = tokio::time::timeout(PATIENCE / 20, exchange(self.address, &question, true)).await;
            if asked.ok().flatten().is_some_and(|answer| {
                answer.metadata.response_code == ResponseCode::NoError && !answer.answers.is_empty()
            }) {
                return;
            }
            tokio::time::sleep(PATIENCE / 200).await;
        }
    }
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {folder}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 1\n  tcp-io-timeout: 10000\ndatabase:\n  storage: {folder}\nlog:\n  - target: stderr\n    \
         any: warning\nzone:\n  - domain: example\n    file: {folder}/zone\n    zonefile-sync: -1\n    dnssec-signing: on\n"
    )
}

/// F1, F8.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_passed_on_is_what_the_upstream_says_for_ten_thousand_names_of_every_kind() {
    if missing(&["knotd"]) {
        return;
    }
    let (zone, questions) = zone();
    assert_eq!(questions.len(), 10_000);
    let knot = Knot::start(&zone).await;
    let forward = resolver::Options {
        forward: vec![ForwardTo::parse(&knot.address.to_string()).expect("an upstream")],
        clients: vec!["127.0.0.0/8".parse().expect("a network")],
        cache: CacheLimits { octets: 64 << 20, stale: PATIENCE },
        timeout: PATIENCE,
        in_flight: MAX_IN_FLIGHT,
        trees: Vec::new(),
    };
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], 1).expect("a free port");
    let mut server = Server::forwarding(bound, options(), forward);
    server.writer.set_synchronised();
    let (bits, server) = (all_bits(), server.address);
    let compared = questions.iter().enumerate().map(|(i, (name, record_type))| {
        let query = query_with(name, *record_type, bits[i % bits.len()]);
        async move { differences(knot.address, server, &query).await }
    });
    let differences: Vec<_> = stream::iter(compared).buffer_unordered(AT_ONCE).concat().await;
    let shown = differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "{} differences, such as\n{shown}", differences.len());
}
