//! A cluster in the record table and the authority that answers from it, for benches inside the process.

use std::sync::Arc;

use headless_dns::authority::{Authority, Identity, Options};
use headless_dns::cluster::{ClusterEvent, Resource, Scope, read_json};
use headless_dns::dns::name::Name;
use headless_dns::dns::wire::{DEFAULT_EDNS_UDP, WireOptions};
use headless_dns::index::Index;
use headless_dns::table::{TableReader, TableWriter, table};
use serde_json::Value;

use super::workload::{Asked, Cluster, ZONE};

pub const WIRE: WireOptions = WireOptions { edns_udp_size: DEFAULT_EDNS_UDP, tcp_keepalive: 50 };

/// Endpoints of the largest Service of a cluster that has many.
const MOST_ENDPOINTS: usize = 15;

/// A cluster and queries about it, by the name of the workload: `mix` and `ordinal` ask for Services of all sizes,
/// `endpoints-1000` for one of that size, `reverse-1000` for the names of its addresses, `services-10000` for that many small ones.
pub fn workload(name: &str, questions: usize) -> (Cluster, Vec<Asked>) {
    let number = |text: &str| text.parse().expect("a number");
    let cluster = match name.split_once('-') {
        Some(("endpoints" | "reverse", size)) => Cluster::of_sizes(&[number(size)]),
        Some((_, services)) => Cluster::of_services(number(services), MOST_ENDPOINTS),
        None => Cluster::of_services(200, 100),
    };
    let questions = match name {
        "mix" => cluster.mix(questions),
        _ if name.starts_with("reverse") => cluster.reverse_names(questions),
        _ => cluster.ordinals(questions),
    };
    (cluster, questions)
}

/// The index and the table of these objects, synchronised.
pub fn mirrored(objects: impl Iterator<Item = Value>) -> (Index, TableWriter, TableReader) {
    let (mut writer, reader) = table();
    let mut index = Index::default();
    objects.for_each(|object| index.apply(update(&object)));
    writer.publish(index.take_publications());
    writer.set_synchronised();
    (index, writer, reader)
}

/// The watch's update for an object.
pub fn update(object: &Value) -> ClusterEvent {
    let resource = match object["kind"].as_str() {
        Some("Service") => Resource::Services,
        Some("Pod") => Resource::Pods,
        _ => Resource::EndpointSlices,
    };
    read_json(resource, Scope::All, object.to_string().as_bytes()).expect("an object").0
}

/// Answers for the zone, and to NSID.
pub fn authority() -> Arc<Authority> {
    let options = Options {
        zones: vec![Name::parse(ZONE).expect("a name")],
        reverse_zones: vec![Name::parse("in-addr.arpa").expect("a name")],
        name_server: Vec::new(),
        hostmaster: None,
        identity: Identity { id: Some("replica-1".to_owned()), ..Identity::default() },
        namespaces: Vec::new(),
        headless_only: false,
        public: None,
        ttl: 5,
        negative_ttl: 1,
    };
    Arc::new(Authority::new(options).expect("names that fit"))
}
