//! How long a Pod's new address is not answered yet.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use headless_dns::app::{self, mirror};
use headless_dns::authority::{Authority, Identity, Options};
use headless_dns::cluster::{self, Connection, CredentialSource, PodSelection, Scope, Selection, Timing};
use headless_dns::dns::name;
use headless_dns::dns::name::Name;
use headless_dns::dns::wire::WireOptions;
use headless_dns::index;
use headless_dns::server::Responder;
use headless_dns::table::table;
use headless_dns::telemetry::metrics::{Metrics, Transport};
use headless_dns::telemetry::readiness::Readiness;
use kube_sandbox::kind::Kind;
use kube_sandbox::{Sandbox, controllers};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::objects::NAMESPACE;
use crate::server::{address_in, question, until};

/// Endpoints of the Service.
const SIZES: [usize; 2] = [10, 1_000];
/// How far the EndpointSlice controller is behind.
const SLICES_LATE: Duration = Duration::from_secs(1);
/// Changes that are timed; without Pods each takes that second.
const ROUNDS: [(PodSelection, usize); 2] = [(PodSelection::StatefulSets, 300), (PodSelection::Off, 5)];
/// Nothing here goes silent, and nothing is to be checked.
const TIMING: Timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
/// Between two changes, so that each is one by itself.
const PAUSE: Duration = Duration::from_millis(10);
/// Between two questions: whoever asked without a pause would take a core from what is measured.
const ASK: Duration = Duration::from_micros(20);

pub fn run(cluster: &Runtime) {
    let server = Runtime::new().expect("a runtime");
    println!("freshness: from the write of a Pod's new address to its being answered, slices {SLICES_LATE:?} late");
    println!("endpoints  Pods watched   p50 ms   p99 ms   max ms");
    for size in SIZES {
        for (pods, rounds) in ROUNDS {
            let mut times = measure((cluster, &server), size, pods, rounds);
            times.sort_unstable();
            let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            let watched = if pods == PodSelection::Off { "no" } else { "yes" };
            println!("{size:>9}  {watched:<12} {:>8.2} {:>8.2} {:>8.2}", at(0.5), at(0.99), at(1.0));
        }
    }
}

fn measure((cluster, server): (&Runtime, &Runtime), size: usize, pods: PodSelection, rounds: usize) -> Vec<Duration> {
    let controllers = controllers::Options { endpoint_slice_delay: SLICES_LATE, ..controllers::Options::default() };
    let options = kube_sandbox::Options { controllers: Some(controllers), ..kube_sandbox::Options::default() };
    let sandbox = cluster.block_on(Sandbox::start(options)).expect("a free port");
    for (kind, object) in [(Kind::Service, service()), (Kind::StatefulSet, stateful_set(size))] {
        sandbox.store().create(kind, object).expect("a new object");
    }
    let (writer, reader) = table();
    let (readiness, metrics) = (Readiness::new(), Arc::new(Metrics::new()));
    let (_inspect, inspections) = mpsc::channel(1);
    let access = server.block_on(connect(&sandbox));
    let selection = Selection { pods, ..Selection::of(vec![Scope::All], TIMING) };
    let mirrored = app::Mirrored { selection, index: index::Options::default(), state: None };
    let mirror = server.spawn(mirror(
        access,
        mirrored,
        writer,
        inspections,
        &readiness,
        Arc::clone(&metrics),
        CancellationToken::new(),
    ));
    let authority = Arc::new(Authority::new(served()).expect("names that fit"));
    let wire = WireOptions { edns_udp_size: 1232, tcp_keepalive: 0 };
    let responder = Responder::new(authority, reader.clone(), metrics, wire);
    let ask = |ordinal: usize| {
        let (mut answer, client) = (Vec::new(), SocketAddr::from((Ipv4Addr::LOCALHOST, 5353)));
        let asked = question(&format!("db-{ordinal}.db.{NAMESPACE}.svc.cluster.local"));
        responder.respond(&asked, client, Transport::Udp, &mut answer).then(|| address_in(&answer)).flatten()
    };
    until("all endpoints", || reader.pin().size().endpoints == size);

    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let (ordinal, new) = (round * 7 % size, Ipv4Addr::from(0x0b00_0000 + round as u32));
        std::thread::park_timeout(PAUSE);
        let change = |pod: &mut serde_json::Value| {
            pod["status"]["podIP"] = json!(new);
            pod["status"]["podIPs"] = json!([{ "ip": new }]);
        };
        sandbox.store().modify(Kind::Pod, NAMESPACE, &format!("db-{ordinal}"), change).expect("the Pod");
        let written = Instant::now();
        while ask(ordinal) != Some(new) {
            assert!(written.elapsed() < crate::PATIENCE, "never answered");
            std::thread::park_timeout(ASK);
        }
        times.push(written.elapsed());
    }
    mirror.abort();
    cluster.block_on(sandbox.shutdown());
    times
}

async fn connect(sandbox: &Sandbox) -> Connection {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    sandbox.write_kubeconfig(&path).expect("a file");
    cluster::connect(&CredentialSource { kubeconfig: Some(path), context: None }).await.expect("a kubeconfig")
}

fn served() -> Options {
    let name = |text: &str| name::Name::parse(text).expect("a name");
    Options {
        zones: vec![name("cluster.local")],
        reverse_zones: Vec::<Name>::new(),
        name_server: Vec::new(),
        hostmaster: None,
        namespaces: Vec::new(),
        identity: Identity::default(),
        ttl: 5,
        negative_ttl: 1,
    }
}

fn service() -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": NAMESPACE, "name": "db" },
        "spec": {
            "clusterIP": "None", "clusterIPs": ["None"], "ipFamilies": ["IPv4"], "selector": { "app": "db" },
            "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP", "targetPort": 5432 }],
        },
    })
}

fn stateful_set(replicas: usize) -> serde_json::Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "namespace": NAMESPACE, "name": "db" },
        "spec": {
            "replicas": replicas, "serviceName": "db", "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": { "app": "db" } },
            "template": {
                "metadata": { "labels": { "app": "db" } },
                "spec": { "containers": [{ "name": "db", "image": "db" }] },
            },
        },
    })
}
