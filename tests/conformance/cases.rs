//! The contract as a table: objects in, questions, whole answers out. The files are `tests/cases/*.yaml`; each question
//! goes over UDP and over TCP to a real socket.

use std::collections::BTreeMap;
use std::fs;

use crate::support::common::{LIMITS, Server, exchange, options};
use crate::support::fixture::asked;
use headless_dns::authority::Options;
use headless_dns::dns::name::Name;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Record, RecordType};
use serde::Deserialize;

/// One file: a cluster and what is asked about it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Manifests, as several YAML documents.
    objects: String,
    #[serde(default)]
    zones: Vec<String>,
    #[serde(default)]
    chaos_id: Option<String>,
    questions: Vec<Asked>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The rules of the contract that this holds to.
    rules: Vec<String>,
    /// `name type`, or `name class type`.
    ask: String,
    /// Response code; NOERROR if not given.
    #[serde(default)]
    rcode: Option<String>,
    /// Records without their order: `owner ttl class type data`.
    #[serde(default)]
    answer: Vec<String>,
    /// The zone whose SOA record denies the name or the type.
    #[serde(default)]
    denied_by: Option<String>,
    /// Seconds for which the denial may be kept, the TTL of that record and its MINIMUM; `negative_ttl` if not given.
    #[serde(default)]
    denied_for: Option<u32>,
    #[serde(default)]
    additional: Vec<String>,
    /// Not AA: an answer that comes from no zone of ours.
    #[serde(default)]
    foreign: bool,
}

fn text(record: &Record) -> String {
    record.to_string()
}

fn sorted(records: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut records: Vec<_> = records.into_iter().collect();
    records.sort();
    records
}

fn soa(zone: &str, primary: &str, ttl: u32) -> String {
    format!("{zone} {ttl} IN SOA ns.dns.{primary} hostmaster.{primary} SERIAL 60 10 86400 {ttl}")
}

/// A SOA record without its serial, which follows the clock.
fn without_serial(record: &Record) -> String {
    let fields = text(record);
    let mut fields: Vec<_> = fields.split(' ').collect();
    if record.record_type() == RecordType::SOA {
        fields[6] = "SERIAL";
    }
    fields.join(" ")
}

fn check(asked: &Asked, answer: &Message, primary: &str, transport: &str) {
    let at = format!("{} ({:?}, {transport})", asked.ask, asked.rules);
    let rcode = match asked.rcode.as_deref() {
        None => ResponseCode::NoError,
        Some("NXDOMAIN") => ResponseCode::NXDomain,
        Some("REFUSED") => ResponseCode::Refused,
        Some("SERVFAIL") => ResponseCode::ServFail,
        Some(other) => panic!("{at}: unknown rcode {other}"),
    };
    assert_eq!(answer.metadata.response_code, rcode, "{at}");
    assert_eq!(answer.metadata.authoritative, !asked.foreign, "{at}: AA");
    assert!(!answer.metadata.recursion_available, "{at}: RA");
    assert!(!answer.metadata.truncation, "{at}: TC");
    assert_eq!(sorted(answer.answers.iter().map(without_serial)), sorted(asked.answer.clone()), "{at}: answer");
    let denied_for = asked.denied_for.unwrap_or(options().negative_ttl);
    let denied = asked.denied_by.iter().map(|zone| soa(zone, primary, denied_for));
    assert_eq!(sorted(answer.authorities.iter().map(without_serial)), sorted(denied), "{at}: authority");
    assert_eq!(sorted(answer.additionals.iter().map(text)), sorted(asked.additional.clone()), "{at}: additional");
    assert!(answer.edns.is_some(), "{at}: an OPT record for an OPT record");
    let question = &answer.queries[0];
    assert_eq!(
        question.name().to_string(),
        asked.ask.split(' ').next().expect("a name"),
        "{at}: the question's letters"
    );
}

async fn run(path: &std::path::Path, seen: &mut BTreeMap<String, usize>) {
    let case: Case = serde_yaml_ng::from_str(&fs::read_to_string(path).expect("a case file"))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut options = options();
    if !case.zones.is_empty() {
        options.zones = case.zones.iter().map(|zone| Name::parse(zone).expect("a zone")).collect();
    }
    options.identity.id = case.chaos_id;
    let primary = options.zones[0].to_string();
    let mut server = Server::start(options, LIMITS);
    server.apply(&case.objects);
    server.writer.set_synchronised();
    for question in &case.questions {
        let query = asked(&question.ask);
        for (tcp, transport) in [(false, "UDP"), (true, "TCP")] {
            let answer = exchange(server.address, &query, tcp).await.expect("an answer");
            check(question, &answer, &primary, transport);
        }
        for rule in &question.rules {
            *seen.entry(rule.clone()).or_default() += 1;
        }
    }
}

/// The rules that are about names and records; those about the wire are held by `tests/transport`, those about the order of
/// events by `histories.rs`.
const RULES: [&str; 37] = [
    "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "S11", "S12", "S13", "S14", "S15", "S16", "S17",
    "S18", "S19", "D1", "D2", "D3", "D4", "D5", "D7", "K1", "K2", "K3", "K4", "K5", "R1", "R2", "R3", "R4", "R5", "R6",
    "R7",
];

#[tokio::test]
async fn every_question_of_the_case_table_gets_its_whole_answer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut files: Vec<_> = fs::read_dir(folder).expect("the cases").map(|file| file.expect("a file").path()).collect();
    files.sort();
    let mut seen = BTreeMap::new();
    for file in &files {
        run(file, &mut seen).await;
    }
    let missing: Vec<_> = RULES.iter().filter(|rule| !seen.contains_key(**rule)).collect();
    assert!(missing.is_empty(), "rules without a case: {missing:?}");
}

/// R5, R7.
#[tokio::test]
async fn the_name_of_a_name_server_without_addresses_owns_nothing() {
    let mut server = Server::start(Options { name_server: Vec::new(), ..options() }, LIMITS);
    server.writer.set_synchronised();
    for record_type in [RecordType::A, RecordType::AAAA, RecordType::ANY] {
        let answer = server.ask("ns.dns.cluster.local.", record_type).await;
        assert_eq!((answer.metadata.response_code, answer.answers.len()), (ResponseCode::NoError, 0), "{record_type}");
    }
    let answer = server.ask("cluster.local.", RecordType::NS).await;
    assert_eq!((answer.answers.len(), answer.additionals.len()), (1, 0), "no glue");
}
