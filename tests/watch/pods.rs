//! Pods over the real watch: the answers while the slices lag behind the Pods, are missing, or are the only source.

use std::net::Ipv4Addr;
use std::time::Duration;

use headless_dns::cluster::Timing;
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope, Verb};
use kube_sandbox::kind::Kind;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::mirrored::{MirroredSandbox, TIMING, on};

const SERVICE: &str = "pg";

pub fn service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "db", "name": SERVICE },
        "spec": { "clusterIP": "None", "selector": { "app": "pg" }, "ipFamilies": ["IPv4"] },
    })
}

/// The Pod `pg-ORDINAL` of a StatefulSet.
pub fn pod(ordinal: u8, generation: u8, is_ready: bool) -> Value {
    let name = format!("{SERVICE}-{ordinal}");
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "db", "name": name,
            "labels": { "app": "pg", "statefulset.kubernetes.io/pod-name": name },
        },
        "spec": { "hostname": name, "subdomain": SERVICE, "containers": [{ "name": "pg", "image": "pg" }] },
        "status": {
            "phase": "Running", "podIPs": [{ "ip": address(ordinal, generation) }],
            "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
        },
    })
}

pub fn address(ordinal: u8, generation: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, generation, ordinal)
}

/// What the EndpointSlice controller writes of the Pod `pg-0` while that is ready.
pub fn slice(sandbox: &Sandbox) -> Value {
    let pod = sandbox.store().get(Kind::Pod, "db", "pg-0").expect("the Pod");
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "namespace": "db", "name": "pg-x", "labels": {
            "kubernetes.io/service-name": SERVICE,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        } },
        "endpoints": [{
            "addresses": [pod["status"]["podIPs"][0]["ip"]], "hostname": "pg-0", "conditions": { "ready": true },
            "targetRef": { "kind": "Pod", "namespace": "db", "name": "pg-0", "uid": pod["metadata"]["uid"] },
        }],
    })
}

/// Creates an object, or puts it in the place of the one of its name.
pub fn put(sandbox: &Sandbox, kind: Kind, object: Value) {
    let (store, name) = (sandbox.store(), object["metadata"]["name"].as_str().expect("a name").to_owned());
    let stored =
        if store.get(kind, "db", &name).is_some() { store.update(kind, object) } else { store.create(kind, object) };
    stored.expect("a valid object");
}

/// Deletes a Pod by force: it is marked first, as by the API server.
fn delete(sandbox: &Sandbox, name: &str) {
    let store = sandbox.store();
    let mut pod = Value::clone(&store.get(Kind::Pod, "db", name).expect("it is there"));
    pod["metadata"]["deletionTimestamp"] = json!("2026-11-21T02:04:05Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    store.update(Kind::Pod, pod).expect("marked");
    store.delete(Kind::Pod, "db", name, None).expect("removed");
}

async fn start(prepare: impl FnOnce(&Sandbox)) -> MirroredSandbox {
    MirroredSandbox::start_with(kube_sandbox::Options::default(), |sandbox| {
        put(sandbox, Kind::Service, service());
        prepare(sandbox);
    })
    .await
}

/// A mirror that knows the ready Pod `pg-0` and its slice. A slice is answered before the Pods are listed, and a Pod that is deleted
/// before then was never known.
async fn with_pg_0() -> MirroredSandbox {
    let mirrored = start(|sandbox| {
        put(sandbox, Kind::Pod, pod(0, 1, true));
        put(sandbox, Kind::EndpointSlice, slice(sandbox));
    })
    .await;
    answers(&mirrored, "pg-0.pg", &[address(0, 1)]).await;
    let pods_listed = "watch_events_total{resource=\"pods\",event=\"relist\"}";
    mirrored.until("the Pods are listed", |mirrored| mirrored.metric(pods_listed) == 1).await;
    mirrored
}

pub async fn answers(mirrored: &MirroredSandbox, name: &str, addresses: &[Ipv4Addr]) {
    let expected = (!addresses.is_empty()).then(|| addresses.to_vec());
    mirrored.until(&format!("{name} = {addresses:?}"), |mirrored| mirrored.addresses(name) == expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_answered_without_any_slice() {
    let mirrored = start(|_| {}).await;
    put(&mirrored.sandbox, Kind::Pod, pod(0, 1, false));
    put(&mirrored.sandbox, Kind::Pod, pod(1, 1, true));
    answers(&mirrored, "pg", &[address(1, 1)]).await;
    put(&mirrored.sandbox, Kind::Pod, pod(0, 1, true));
    answers(&mirrored, "pg-0.pg", &[address(0, 1)]).await;
    answers(&mirrored, "pg", &[address(0, 1), address(1, 1)]).await;
    delete(&mirrored.sandbox, "pg-1");
    answers(&mirrored, "pg", &[address(0, 1)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_was_replaced_is_answered_by_its_new_address_while_the_slice_has_the_old_one() {
    let mirrored = with_pg_0().await;
    delete(&mirrored.sandbox, "pg-0");
    answers(&mirrored, "pg-0.pg", &[]).await;
    put(&mirrored.sandbox, Kind::Pod, pod(0, 2, true));
    answers(&mirrored, "pg-0.pg", &[address(0, 2)]).await;
    put(&mirrored.sandbox, Kind::EndpointSlice, slice(&mirrored.sandbox));
    mirrored.converge("after the slice has caught up").await;
    answers(&mirrored, "pg-0.pg", &[address(0, 2)]).await;
}

#[tokio::test]
async fn a_pod_that_lost_the_label_by_which_it_is_watched_is_answered_from_its_slice() {
    let mirrored = with_pg_0().await;
    let mut pod = pod(0, 1, true);
    pod["metadata"]["labels"] = json!({ "app": "pg" });
    put(&mirrored.sandbox, Kind::Pod, pod);
    let left = "watch_events_total{resource=\"pods\",event=\"delete\"}";
    mirrored.until("it has left the watch", |mirrored| mirrored.metric(left) == 1).await;
    mirrored.until("answered", |mirrored| mirrored.addresses("pg-0.pg") == Some(vec![address(0, 1)])).await;
}

#[tokio::test(start_paused = true)]
async fn without_permission_to_list_pods_the_slices_are_the_source() {
    let forbidden = Fault::Answer { on: on(Kind::Pod), code: 403, retry_after: None, times: None };
    let mirrored = start(|sandbox| {
        put(sandbox, Kind::Pod, pod(0, 1, false));
        put(sandbox, Kind::EndpointSlice, slice(sandbox));
        sandbox.faults().inject(forbidden).expect("a fault that can strike");
    })
    .await;
    mirrored.readiness.wait_ready().await;
    answers(&mirrored, "pg-0.pg", &[address(0, 1)]).await;
    mirrored.until("reported", |mirrored| mirrored.logged("grant it list and watch on pods") == 1).await;
    mirrored.sandbox.faults().clear();
    answers(&mirrored, "pg-0.pg", &[]).await;
}

/// A mirror whose watch of Pods is forbidden until that fault is removed, and the Pod `pg-0` replaced meanwhile.
async fn forbidden_pods() -> (MirroredSandbox, u64) {
    let mirrored = start(|sandbox| {
        put(sandbox, Kind::Pod, pod(1, 1, false));
        put(sandbox, Kind::Pod, pod(0, 1, true));
        put(sandbox, Kind::EndpointSlice, slice(sandbox));
    })
    .await;
    mirrored.converge("at the start").await;
    let forbidden = Fault::Answer { on: on(Kind::Pod), code: 403, retry_after: None, times: None };
    let forbidden = mirrored.inject(forbidden);
    mirrored.inject(Fault::CutWatches { on: on(Kind::Pod), how: Cut::Clean });
    mirrored.until("refused", |mirrored| mirrored.errors("pods", "forbidden") >= 1).await;
    let store = mirrored.sandbox.store();
    store.delete(Kind::Pod, "db", "pg-0", None).expect("it is there");
    put(&mirrored.sandbox, Kind::Pod, pod(0, 2, true));
    put(&mirrored.sandbox, Kind::EndpointSlice, slice(&mirrored.sandbox));
    (mirrored, forbidden)
}

/// T4.
#[tokio::test(start_paused = true)]
async fn with_only_pods_forbidden_the_dead_address_is_gone_after_twice_the_bound() {
    let (mirrored, forbidden) = forbidden_pods().await;
    let began = Instant::now();
    answers(&mirrored, "pg-0.pg", &[address(0, 2)]).await;
    assert!(began.elapsed() <= TIMING.stale_after * 2, "{:?}", began.elapsed());
    for _ in 0..4 {
        sleep(TIMING.stale_after).await;
        assert_eq!(mirrored.addresses("pg-0.pg"), Some(vec![address(0, 2)]));
        assert_eq!(mirrored.extended_errors_of("pg-0.pg"), [], "the answer is not stale");
    }
    put(&mirrored.sandbox, Kind::Pod, pod(0, 3, true));
    mirrored.sandbox.faults().remove(forbidden);
    answers(&mirrored, "pg-0.pg", &[address(0, 3)]).await;
}

/// T6.
#[tokio::test(start_paused = true)]
async fn a_replaced_pod_is_not_answered_beside_its_successor_while_the_watch_of_pods_is_late() {
    let mirrored = with_pg_0().await;
    let late = mirrored.inject(Fault::Stall { on: on(Kind::Pod), missed: Missed::Deliver });
    delete(&mirrored.sandbox, "pg-0");
    put(&mirrored.sandbox, Kind::Pod, pod(0, 2, true));
    put(&mirrored.sandbox, Kind::EndpointSlice, slice(&mirrored.sandbox));
    let is_new = |mirrored: &MirroredSandbox| {
        let answered = mirrored.addresses("pg-0.pg").expect("always one of them");
        assert_eq!(answered.len(), 1, "{answered:?}");
        answered == [address(0, 2)]
    };
    mirrored.until("the new address alone", is_new).await;
    mirrored.sandbox.faults().remove(late);
    mirrored.converge("after the watch of Pods has caught up").await;
    answers(&mirrored, "pg-0.pg", &[address(0, 2)]).await;
}

/// T7.
#[tokio::test(start_paused = true)]
async fn pods_that_could_not_be_trusted_count_again_when_their_watch_has_told_an_event_and_not_before() {
    let (mirrored, forbidden) = forbidden_pods().await;
    sleep(TIMING.stale_after * 3).await;
    // The watch is accepted, and what was missed is still on its way.
    let late = mirrored.inject(Fault::Stall { on: on(Kind::Pod), missed: Missed::Deliver });
    mirrored.sandbox.faults().remove(forbidden);
    mirrored.until("resumed", |mirrored| mirrored.logged("the watch works again") == 1).await;
    for _ in 0..20 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(mirrored.addresses("pg-0.pg"), Some(vec![address(0, 2)]), "slices alone");
    }
    mirrored.sandbox.faults().remove(late);
    // Which slices do not know.
    put(&mirrored.sandbox, Kind::Pod, pod(0, 3, true));
    answers(&mirrored, "pg-0.pg", &[address(0, 3)]).await;
}

/// T7. Each end of the watch is followed by a 2xx response, which shows nothing of what was missed. A bookmark does.
#[tokio::test(start_paused = true)]
async fn pods_whose_watch_goes_on_and_tells_nothing_are_not_trusted_before_a_bookmark() {
    let mirrored = with_pg_0().await;
    let silent = mirrored.inject(Fault::WithholdBookmarks { on: on(Kind::Pod) });
    let forbidden = Fault::Answer { on: on(Kind::Pod), code: 403, retry_after: None, times: None };
    let forbidden = mirrored.inject(forbidden);
    mirrored.inject(Fault::CutWatches { on: on(Kind::Pod), how: Cut::Clean });
    sleep(TIMING.stale_after * 3).await;
    mirrored.sandbox.faults().remove(forbidden);
    mirrored.until("resumed", |mirrored| mirrored.logged("the watch works again") == 1).await;
    // Of which the Pod, which counts where it is trusted, knows nothing.
    let mut moved = slice(&mirrored.sandbox);
    moved["endpoints"][0]["addresses"] = json!([address(0, 9)]);
    put(&mirrored.sandbox, Kind::EndpointSlice, moved);
    answers(&mirrored, "pg-0.pg", &[address(0, 9)]).await;
    for _ in 0..30 {
        sleep(TIMING.stale_after / 10).await;
        assert_eq!(mirrored.addresses("pg-0.pg"), Some(vec![address(0, 9)]), "over several ends of the watch");
    }
    mirrored.sandbox.faults().remove(silent);
    answers(&mirrored, "pg-0.pg", &[address(0, 1)]).await;
}

/// T7. Behind a link that died without a word, the request that goes on with a watch gets no answer, and fails no sooner than after
/// a minute: longer than twice a short bound.
#[tokio::test(start_paused = true)]
async fn pods_whose_watch_was_not_answered_for_long_count_again_with_its_next_event() {
    let timing = Timing { stale_after: Duration::from_secs(10), ..TIMING };
    // Without bookmarks, the watch that is open ends in time, whatever is delayed from then on.
    let options = kube_sandbox::Options { bookmark_interval: Duration::from_secs(3600), ..Default::default() };
    let mirrored = MirroredSandbox::timed(timing, options, |sandbox| {
        put(sandbox, Kind::Service, service());
        put(sandbox, Kind::Pod, pod(0, 1, true));
        put(sandbox, Kind::EndpointSlice, slice(sandbox));
    })
    .await;
    answers(&mirrored, "pg-0.pg", &[address(0, 1)]).await;
    sleep(timing.stale_after).await;
    let hanging = Scope::kind(Kind::Pod).verb(Verb::Watch);
    let hanging = mirrored.inject(Fault::Delay { on: hanging, milliseconds: 40_000 });
    sleep(timing.stale_after * 3).await;
    // Of which the Pod, which counts where it is trusted, knows nothing.
    let mut moved = slice(&mirrored.sandbox);
    moved["endpoints"][0]["addresses"] = json!([address(0, 9)]);
    put(&mirrored.sandbox, Kind::EndpointSlice, moved);
    answers(&mirrored, "pg-0.pg", &[address(0, 9)]).await;
    mirrored.sandbox.faults().remove(hanging);
    put(&mirrored.sandbox, Kind::Pod, pod(0, 3, true));
    answers(&mirrored, "pg-0.pg", &[address(0, 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_pods_that_is_cut_misses_nothing() {
    let mirrored = start(|sandbox| put(sandbox, Kind::Pod, pod(0, 1, true))).await;
    answers(&mirrored, "pg", &[address(0, 1)]).await;
    for how in [Cut::Clean, Cut::Abrupt, Cut::Expired] {
        mirrored.inject(Fault::CutWatches { on: on(Kind::Pod), how });
        put(&mirrored.sandbox, Kind::Pod, pod(1, 1, true));
        answers(&mirrored, "pg", &[address(0, 1), address(1, 1)]).await;
        mirrored.inject(Fault::Compact);
        mirrored.inject(Fault::CutWatches { on: on(Kind::Pod), how });
        delete(&mirrored.sandbox, "pg-1");
        answers(&mirrored, "pg", &[address(0, 1)]).await;
    }
    mirrored.converge("at the end").await;
}

/// However many Pods of a Service change at once, it is derived and published a few times, not once for each.
#[tokio::test(start_paused = true)]
async fn a_burst_of_pods_is_published_together() {
    const PODS: u8 = 200;
    let mirrored = start(|_| {}).await;
    put(&mirrored.sandbox, Kind::Pod, pod(0, 1, true));
    answers(&mirrored, "pg", &[address(0, 1)]).await;
    let measured = || mirrored.metric("publication_duration_seconds_count");
    let (before, measured_before) = (mirrored.serial(), measured());
    // Nothing else runs on this thread meanwhile.
    (0..PODS).for_each(|ordinal| put(&mirrored.sandbox, Kind::Pod, pod(ordinal, 2, true)));
    mirrored.converge("after the burst").await;
    let publications = mirrored.serial().wrapping_sub(before);
    assert!(publications <= u32::from(PODS) / 10, "{publications} publications of {PODS} changes");
    assert_eq!(u64::from(publications), measured() - measured_before, "each is measured");
}
