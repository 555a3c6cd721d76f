//! A server's answering part over the objects of the case table, without a socket. Shared with the fuzz targets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use headless_dns::authority::{Authority, Options};
use headless_dns::cluster::{Scope, read_json};
use headless_dns::dns::name::Name;
use headless_dns::dns::reverse;
use headless_dns::dns::wire::WireOptions;
use headless_dns::index::Index;
use headless_dns::server::{Responder, Worker};
use headless_dns::table::{TableReader, table};
use headless_dns::telemetry::metrics::Metrics;
use serde::Deserialize;

use crate::support::fixture::{objects, options};
use crate::support::oracle::EDNS_UDP_SIZE;

/// The clusters of the case table.
const CASES: [&str; 3] = [
    include_str!("../cases/headless.yaml"),
    include_str!("../cases/services.yaml"),
    include_str!("../cases/zone.yaml"),
];
/// Endpoints of the Service `db/big`, whose answers fit no datagram.
const BIG: usize = 100;
/// Endpoints in a slice, as the controller of Kubernetes cuts them.
const SLICE: usize = 100;

const WIRE: WireOptions = WireOptions { edns_udp_size: EDNS_UDP_SIZE, tcp_keepalive: 50 };

/// A file of the case table, without its answers.
#[derive(Deserialize)]
struct Case {
    objects: String,
    questions: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    ask: String,
}

/// What answers: the responder, and what it looks answers up in.
pub struct Answering {
    pub responder: Responder,
    pub authority: Arc<Authority>,
    pub table: TableReader,
    metrics: Arc<Metrics>,
}

/// The answering part of a server that knows the case table.
pub struct Server {
    pub answering: Answering,
    /// Names that own records, in wire form, and a few that do not.
    pub names: Vec<Vec<u8>>,
    /// The questions of the case table.
    pub questions: Vec<String>,
}

impl Server {
    /// Knows every object of the case table, and `db/big`, in the zones that the oracle knows.
    pub fn of_cases() -> Self {
        let cases = CASES.map(|case| serde_yaml_ng::from_str::<Case>(case).expect("a case file"));
        let big = big(BIG);
        let table = table_of(cases.iter().map(|case| &*case.objects).chain([&*big]));
        let names = names(&table);
        let questions = cases.into_iter().flat_map(|case| case.questions).map(|question| question.ask).collect();
        Self { answering: Answering::new(table), names, questions }
    }
}

/// A synchronised table of these manifests.
pub fn table_of<'m>(manifests: impl IntoIterator<Item = &'m str>) -> TableReader {
    let mut index = Index::default();
    for (watched, json) in manifests.into_iter().flat_map(objects) {
        index.apply(read_json(watched, Scope::All, &json).expect("JSON").0);
    }
    let (mut writer, reader) = table();
    writer.publish(index.take_publications());
    writer.set_synchronised();
    reader
}

impl Answering {
    /// Answers from `table` in the zones that the oracle knows.
    pub fn new(table: TableReader) -> Self {
        let zones = ["cluster.local", "k8s.example"].map(|zone| Name::parse(zone).expect("a zone")).to_vec();
        let options = Options { zones, ..options() };
        let authority = Arc::new(Authority::new(options).expect("names that fit"));
        let metrics = Arc::new(Metrics::new());
        let responder = Responder::new(Arc::clone(&authority), table.clone(), Arc::clone(&metrics), WIRE);
        Self { responder, authority, table, metrics }
    }

    /// Another responder, whose first worker writes what the first worker of any other writes.
    pub fn new_responder(&self) -> Responder {
        Responder::new(Arc::clone(&self.authority), self.table.clone(), Arc::clone(&self.metrics), WIRE)
    }
}

/// The answer of a worker to one message, if it gets one.
pub fn respond_as(responder: &Responder, worker: &mut Worker, message: &[u8]) -> Option<Vec<u8>> {
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
    // What stands in the buffer already is another answer's and stays.
    let mut out = b"before".to_vec();
    let is_answered = responder.batch(worker).respond(message, client, &mut out);
    let answer = out.strip_prefix(b"before").expect("only appended to");
    assert_eq!(is_answered, !answer.is_empty());
    is_answered.then(|| answer.to_vec())
}

/// The address of an endpoint of `db/big`.
pub fn address(endpoint: usize) -> String {
    format!("10.2.{}.{}", endpoint / 250, endpoint % 250 + 1)
}

/// A headless Service `db/big` with endpoints `big-0`, `big-1` … on one port.
pub fn big(endpoints: usize) -> String {
    format!("{BIG_SERVICE}{}", slices(endpoints, "IPv4", address))
}

/// The same with an IPv6 address for each endpoint too.
pub fn dual_stack(endpoints: usize) -> String {
    big(endpoints) + &slices(endpoints, "IPv6", |endpoint| format!("\"fd00::{endpoint:x}\""))
}

const BIG_SERVICE: &str = "kind: Service\nmetadata: {namespace: db, name: big}\nspec: {clusterIP: None}\n";

fn slices(endpoints: usize, family: &str, address: impl Fn(usize) -> String) -> String {
    let (mut manifests, prefix) = (String::new(), family.to_lowercase());
    for first in (0..endpoints).step_by(SLICE) {
        manifests += &format!(
            "---\nkind: EndpointSlice\n\
             metadata: {{namespace: db, name: {prefix}-{first}, labels: {{kubernetes.io/service-name: big}}}}\n\
             addressType: {family}\nports: [{{name: peer, port: 7000}}]\nendpoints:\n"
        );
        for i in first..endpoints.min(first + SLICE) {
            manifests += &format!("- {{addresses: [{}], hostname: big-{i}}}\n", address(i));
        }
    }
    manifests
}

/// Every name of every Service, every reverse name, and those at the top of the zones.
pub fn names(reader: &TableReader) -> Vec<Vec<u8>> {
    const ZONE: &[u8] = b"\x07cluster\x05local\x00";
    let mut names: Vec<Vec<u8>> = [
        "",
        "\x03svc",
        "\x02db\x03svc",
        "\x0bdns-version",
        "\x02ns\x03dns",
        "\x04nope\x02db\x03svc",
        "\x04_tcp\x02pg\x02db\x03svc",
    ]
    .map(|relative| [relative.as_bytes(), ZONE].concat())
    .to_vec();
    names.extend([b"\x00".to_vec(), b"\x07in-addr\x04arpa\x00".to_vec(), b"\x07version\x04bind\x00".to_vec()]);
    let table = reader.pin();
    for (key, records) in table.services() {
        let below = |label: &[u8]| [label, key.as_wire(), b"\x03svc", ZONE].concat();
        names.push(below(b""));
        names.extend(records.hosts.labels().take(5).map(below));
        names.extend(records.srv.owners().map(below));
    }
    names.extend(table.reverse_addresses().into_iter().take(50).map(reverse::name_of));
    names
}
