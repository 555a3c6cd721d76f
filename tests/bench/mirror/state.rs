//! What the saved state costs at 150,000 Pods. The index waits only for `snapshot`.

use std::time::Duration;

use headless_dns::cluster::{ClusterEvent, Resource, Scope, Selection, Timing, read_json};
use headless_dns::index::Index;
use headless_dns::state::State;
use jiff::Timestamp;

const SERVICES: usize = 10_000;
const PODS: usize = 15;

fn main() {
    divan::main();
}

/// Headless Services of StatefulSets, with their Pods and slices.
fn index() -> Index {
    let mut index = Index::default();
    let mut apply = |watched, json: String| index.apply(read(watched, &json));
    for i in 0..SERVICES {
        let metadata = format!(r#""namespace": "n{}", "name": "s{i}""#, i % 100);
        apply(
            Resource::Services,
            format!(
                r#"{{"metadata": {{{metadata}}}, "spec": {{"clusterIP": "None", "selector": {{"app": "s{i}"}}}}}}"#
            ),
        );
        let address = |j| format!("10.{}.{}.{j}", i / 250, i % 250);
        let uid = |j| format!("00000000-0000-4000-8000-0000{i:06x}{j:02x}");
        let endpoint = |j| {
            let (address, uid) = (address(j), uid(j));
            format!(
                r#"{{"addresses": ["{address}"], "hostname": "s{i}-{j}", "targetRef": {{"kind": "Pod", "uid": "{uid}"}}}}"#
            )
        };
        let endpoints: Vec<_> = (1..=PODS).map(endpoint).collect();
        apply(
            Resource::EndpointSlices,
            format!(
                r#"{{"metadata": {{{metadata}, "labels": {{"kubernetes.io/service-name": "s{i}",
                    "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}}},
                    "addressType": "IPv4", "endpoints": [{}]}}"#,
                endpoints.join(",")
            ),
        );
        for j in 1..=PODS {
            let (namespace, address, uid) = (i % 100, address(j), uid(j));
            apply(
                Resource::Pods,
                format!(
                    r#"{{"metadata": {{"namespace": "n{namespace}", "name": "s{i}-{j}", "uid": "{uid}", "labels":
                        {{"app": "s{i}", "statefulset.kubernetes.io/pod-name": "s{i}-{j}"}}}},
                        "spec": {{"hostname": "s{i}-{j}", "subdomain": "s{i}"}},
                        "status": {{"podIPs": [{{"ip": "{address}"}}],
                            "conditions": [{{"type": "Ready", "status": "True"}}]}}}}"#
                ),
            );
        }
    }
    index
}

fn read(watched: Resource, json: &str) -> ClusterEvent {
    read_json(watched, Scope::All, json.as_bytes()).expect("JSON").0
}

fn state(folder: &tempfile::TempDir) -> State {
    let timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };
    State::open(folder.path(), "https://10.96.0.1/", &Selection::of(vec![Scope::All], timing)).expect("a folder")
}

/// How long the index waits.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn snapshot(bencher: divan::Bencher<'_, '_>) {
    let index = index();
    bencher.bench_local(|| index.snapshot());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn save(bencher: divan::Bencher<'_, '_>) {
    let (index, folder) = (index(), tempfile::tempdir().expect("a folder"));
    let state = state(&folder);
    let save = |snapshot| state.save(snapshot, Timestamp::UNIX_EPOCH).expect("saved");
    bencher.with_inputs(|| index.snapshot()).bench_local_values(save);
    println!("{} octets", std::fs::metadata(state.path()).expect("a file").len());
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn load(bencher: divan::Bencher<'_, '_>) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = state(&folder);
    state.save(index().snapshot(), Timestamp::UNIX_EPOCH).expect("saved");
    bencher.bench_local(|| state.load(Index::default()).expect("no refusal"));
}
