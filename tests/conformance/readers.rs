//! Readers that run beside the writer always see one consistent version of a Service.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use headless_dns::authority::Authority;
use headless_dns::cluster::{Scope, read_json};
use headless_dns::dns::wire::WireOptions;
use headless_dns::index::Index;
use headless_dns::server::Responder;
use headless_dns::table::table;
use headless_dns::telemetry::metrics::{Metrics, Transport};
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};

use crate::support::common::{objects, options, query};

/// Versions that are published while the readers run.
const VERSIONS: u16 = 1000;
const ENDPOINTS: u8 = 7;
const READERS: usize = 2;

/// `db/pg` at one version, which all of its addresses and ports encode.
fn version(version: u16) -> String {
    let [high, low] = version.to_be_bytes();
    let endpoints = (0..ENDPOINTS).map(|i| format!("{{addresses: [10.{high}.{low}.{i}], hostname: pg-{i}}}"));
    format!(
        "kind: EndpointSlice\nmetadata: {{namespace: db, name: pg-a, labels: {{kubernetes.io/service-name: pg}}}}\n\
         addressType: IPv4\nports: [{{name: peer, port: {version}}}]\nendpoints: [{}]\n",
        endpoints.collect::<Vec<_>>().join(", ")
    )
}

/// The versions that the records of an SRV answer encode.
fn versions(answer: &Message) -> BTreeSet<u16> {
    let version = |data: &RData| match data {
        RData::SRV(srv) => srv.port,
        RData::A(a) => u16::from_be_bytes([a.0.octets()[1], a.0.octets()[2]]),
        other => panic!("{other}"),
    };
    answer.answers.iter().chain(&answer.additionals).map(|record| version(&record.data)).collect()
}

#[test]
fn no_reader_sees_the_ports_of_one_version_with_the_addresses_of_another() {
    let (mut writer, reader) = table();
    writer.set_synchronised();
    let mut index = Index::default();
    let mut publish = |manifests: &str| {
        for (watched, json) in objects(manifests) {
            index.apply(read_json(watched, Scope::All, &json).unwrap().0);
        }
        assert_eq!(writer.publish(index.take_publications()), 1);
    };
    publish("kind: Service\nmetadata: {namespace: db, name: pg}\nspec: {clusterIP: None}\n");
    publish(&version(1));
    let asked = query("_peer._tcp.pg.db.svc.cluster.local.", RecordType::SRV).to_vec().unwrap();
    let is_done = AtomicBool::new(false);
    let read = || {
        let authority = Arc::new(Authority::new(options()).unwrap());
        let wire = WireOptions { edns_udp_size: 1232, tcp_keepalive: 50 };
        let responder = Responder::new(authority, reader.clone(), Arc::new(Metrics::new()), wire);
        let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
        let mut seen = BTreeSet::new();
        // The last query comes after the last version.
        let mut is_last = false;
        while !is_last {
            is_last = is_done.load(Ordering::Acquire);
            let mut answer = Vec::new();
            assert!(responder.respond(&asked, client, Transport::Tcp, &mut answer));
            let answer = Message::from_vec(&answer).unwrap();
            assert_eq!(answer.answers.len() + answer.additionals.len(), 2 * usize::from(ENDPOINTS));
            let versions = versions(&answer);
            assert_eq!(versions.len(), 1, "one version at a time: {versions:?}");
            seen.extend(versions);
        }
        assert!(seen.contains(&VERSIONS), "the last version is seen");
    };
    thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(read);
        }
        (2..=VERSIONS).for_each(|number| publish(&version(number)));
        is_done.store(true, Ordering::Release);
    });
}
