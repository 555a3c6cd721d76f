//! What the tests serve and ask, without anything that runs: also for tests that are binaries of their own.

use std::str::FromStr;

use headless_dns::authority::{Identity, Options};
use headless_dns::cluster::Resource;
use headless_dns::dns::name::Name;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{DNSClass, RecordType};

/// The zones that the tests serve unless they say otherwise.
pub fn options() -> Options {
    Options {
        zones: vec![Name::parse("cluster.local").expect("a name")],
        reverse_zones: ["in-addr.arpa", "ip6.arpa"].map(|zone| Name::parse(zone).expect("a name")).to_vec(),
        public: None,
        name_server: vec!["127.0.0.1".parse().expect("an address")],
        hostmaster: None,
        identity: Identity::default(),
        namespaces: Vec::new(),
        headless_only: false,
        ttl: 5,
        negative_ttl: 1,
    }
}

/// The watched objects of several YAML documents, as JSON.
pub fn objects(manifests: &str) -> Vec<(Resource, Vec<u8>)> {
    use serde::Deserialize;
    serde_yaml_ng::Deserializer::from_str(manifests)
        .map(|document| serde_json::Value::deserialize(document).expect("YAML"))
        .filter(|object| !object.is_null())
        .map(|object| {
            let watched = match object["kind"].as_str() {
                Some("Service") => Resource::Services,
                Some("EndpointSlice") => Resource::EndpointSlices,
                Some("Pod") => Resource::Pods,
                other => panic!("kind {other:?} is not watched"),
            };
            (watched, object.to_string().into_bytes())
        })
        .collect()
}

/// A query with EDNS, as `dig` sends it.
pub fn query(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(0x1d, MessageType::Query, OpCode::Query);
    let mut question = Query::query(hickory_proto::rr::Name::from_ascii(name).expect("a name"), record_type);
    question.set_query_class(DNSClass::IN);
    message.add_query(question);
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}

/// The query for a question of the case table: `name type`, or `name class type`.
pub fn asked(question: &str) -> Message {
    let words: Vec<_> = question.split(' ').collect();
    let (name, class, record_type) = match words[..] {
        [name, record_type] => (name, "IN", record_type),
        [name, class, record_type] => (name, class, record_type),
        _ => panic!("{question}: not a question"),
    };
    let mut query = query(name, record_type_of(record_type));
    query.queries[0].set_query_class(DNSClass::from_str(class).expect("a class"));
    query
}

/// A type by its name, or as RFC 3597 writes it, `TYPE251`.
fn record_type_of(text: &str) -> RecordType {
    let number = text.strip_prefix("TYPE").map(|number| number.parse::<u16>().expect("a number"));
    number.map_or_else(|| RecordType::from_str(text).expect("a type"), RecordType::from)
}
