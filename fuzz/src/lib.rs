//! What the fuzz targets share: a server's answering part over the objects of the case table, without a socket.

#[path = "../../tests/suite/oracle.rs"]
pub mod oracle;
#[path = "../../tests/suite/rebuild.rs"]
pub mod rebuild;

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use headless_dns::authority::{Authority, Identity, Options};
use headless_dns::cluster::{Scope, Watched, read_json};
use headless_dns::index::Index;
use headless_dns::metrics::{Metrics, Transport};
use headless_dns::name::Name;
use headless_dns::server::Responder;
use headless_dns::table::{TableReader, table};
use headless_dns::wire::WireOptions;
use serde::Deserialize;
use serde_json::Value;

/// The clusters of the case table.
const CASES: [&str; 3] = [
    include_str!("../../tests/cases/headless.yaml"),
    include_str!("../../tests/cases/services.yaml"),
    include_str!("../../tests/cases/zone.yaml"),
];

/// Endpoints of the Service `db/big`, whose answers fit no datagram.
const BIG: usize = 100;

/// A server's answering part.
pub struct Server {
    pub responder: Responder,
    /// Names that own records, in wire form, and a few that do not.
    pub names: Vec<Vec<u8>>,
}

impl Server {
    /// Knows every object of the case table, and `db/big`.
    pub fn of_cases() -> Self {
        let mut index = Index::default();
        for case in CASES {
            let case: Value = serde_yaml_ng::from_str(case).expect("a case file");
            apply(&mut index, case["objects"].as_str().expect("objects"));
        }
        apply(&mut index, &big());
        let (mut writer, reader) = table();
        writer.publish(index.take_batch());
        writer.set_synchronised();
        let names = names(&reader);
        Self { responder: responder(reader), names }
    }

    /// The answer to one message, if it gets one.
    pub fn respond(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        respond(&self.responder, message, transport)
    }
}

/// The answer to one message, if it gets one.
pub fn respond(responder: &Responder, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
    // What stands in the buffer already is another answer's and stays.
    let mut out = b"before".to_vec();
    let is_answered = responder.respond(message, client, transport, &mut out);
    let answer = out.strip_prefix(b"before").expect("only appended to");
    assert_eq!(is_answered, !answer.is_empty());
    is_answered.then(|| answer.to_vec())
}

/// Answers from `table` in the zones that the oracle knows.
pub fn responder(table: TableReader) -> Responder {
    let name = |text| Name::parse(text).expect("a name");
    let options = Options {
        zones: vec![name("cluster.local")],
        reverse_zones: vec![name("in-addr.arpa"), name("ip6.arpa")],
        name_server: vec![Ipv4Addr::LOCALHOST.into()],
        hostmaster: None,
        identity: Identity::default(),
        namespaces: Vec::new(),
        ttl: 5,
        negative_ttl: 1,
    };
    let authority = Arc::new(Authority::new(options).expect("names that fit"));
    let wire = WireOptions { edns_udp_size: oracle::EDNS_UDP_SIZE, tcp_keepalive: 50 };
    Responder::new(authority, table, Arc::new(Metrics::new()), wire)
}

fn apply(index: &mut Index, manifests: &str) {
    for document in serde_yaml_ng::Deserializer::from_str(manifests) {
        let object = Value::deserialize(document).expect("YAML");
        let watched = match object["kind"].as_str() {
            Some("Service") => Watched::Services,
            Some("EndpointSlice") => Watched::EndpointSlices,
            Some("Pod") => Watched::Pods,
            _ => continue,
        };
        let (update, _) = read_json(watched, Scope::All, object.to_string().as_bytes()).expect("JSON");
        index.apply(update);
    }
}

fn big() -> String {
    let mut manifests = "kind: Service\nmetadata: {namespace: db, name: big}\nspec: {clusterIP: None}\n---\n\
         kind: EndpointSlice\nmetadata: {namespace: db, name: big-a, labels: {kubernetes.io/service-name: big}}\n\
         addressType: IPv4\nports: [{name: peer, port: 7000}]\nendpoints:\n"
        .to_owned();
    for i in 0..BIG {
        let _ = writeln!(manifests, "- {{addresses: [10.2.{}.{}], hostname: big-{i}}}", i / 250, i % 250);
    }
    manifests
}

/// Every name of every Service, every reverse name, and those at the top of the zones.
fn names(reader: &TableReader) -> Vec<Vec<u8>> {
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
        names.extend(records.hosts.keys().take(5).map(|host| below(host.as_wire())));
        names.extend(records.srv.keys().map(|owner| below(owner)));
    }
    names.extend(table.reverses().into_iter().take(50).map(|(address, _)| headless_dns::reverse::name_of(address)));
    names
}
