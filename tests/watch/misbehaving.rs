//! The watch against an API server that misbehaves: whatever it does, the table converges to the server's objects, with
//! nothing lost and nothing invented; answers go on; each problem is counted, and logged once.

use std::cell::Cell;
use std::net::Ipv4Addr;
use std::time::Duration;

use kube_sandbox::faults::{Cut, Fault, Missed, Scope, Verb};
use kube_sandbox::kind::Kind;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::mirrored::{MirroredSandbox, on};

pub fn cut(kind: Kind, how: Cut) -> Fault {
    Fault::CutWatches { on: on(kind), how }
}

/// Every kind of change: a Service is created, one is changed, one is deleted.
pub fn change(mirrored: &MirroredSandbox) {
    mirrored.put("new", &[9]);
    mirrored.put("changed", &[4, 5]);
    mirrored.remove("gone");
}

/// A mirror of the Services `steady`, `changed` and `gone`.
pub async fn with_something_to_change() -> MirroredSandbox {
    let mirrored = MirroredSandbox::start().await;
    mirrored.put("changed", &[4]);
    mirrored.put("gone", &[6]);
    mirrored.converge("before the fault").await;
    mirrored
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_is_resumed_without_a_list_or_a_warning() {
    let mirrored = with_something_to_change().await;
    let relists = mirrored.metric("watch_events_total{resource=\"services\",event=\"relist\"}");
    for round in 0..5 {
        mirrored.inject(cut(Kind::Service, Cut::Clean));
        mirrored.inject(cut(Kind::EndpointSlice, Cut::Clean));
        // An event for each kind: a watch that ends without an event counts as failed.
        mirrored.put(&format!("new-{round}"), &[10 + round]);
        mirrored.converge("after a clean end").await;
    }
    assert_eq!(mirrored.metric("watch_events_total{resource=\"services\",event=\"relist\"}"), relists);
    assert!(mirrored.warnings().is_empty(), "{:?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_in_the_middle_of_an_event_loses_nothing() {
    let mirrored = with_something_to_change().await;
    mirrored.inject(cut(Kind::EndpointSlice, Cut::Abrupt));
    change(&mirrored);
    mirrored.converge("after the cut").await;
    // It is an end like another, and the watch is resumed without a pause.
    assert!(mirrored.warnings().is_empty(), "{:?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_event_costs_a_reconnect_and_one_warning() {
    let mirrored = with_something_to_change().await;
    let relists = mirrored.metric("watch_events_total{resource=\"endpointslices\",event=\"relist\"}");
    mirrored.inject(cut(Kind::EndpointSlice, Cut::Garbled));
    change(&mirrored);
    mirrored.converge("after the reconnect").await;
    assert_eq!(mirrored.errors("endpointslices", "malformed"), 1);
    assert_eq!(mirrored.metric("watch_events_total{resource=\"endpointslices\",event=\"relist\"}"), relists);
    assert_eq!(mirrored.warnings().len(), 1, "{:?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn an_expired_position_is_followed_by_a_list_that_also_finds_deletions() {
    let mirrored = with_something_to_change().await;
    for kind in [Kind::Service, Kind::EndpointSlice] {
        mirrored.inject(Fault::Stall { on: on(kind), missed: Missed::Skip });
    }
    change(&mirrored);
    mirrored.sandbox.faults().clear();
    mirrored.inject(cut(Kind::Service, Cut::Expired));
    mirrored.inject(cut(Kind::EndpointSlice, Cut::Expired));
    mirrored.converge("after 410 as an event").await;
    assert_eq!((mirrored.errors("services", "gone"), mirrored.errors("endpointslices", "gone")), (1, 1));
    assert!(mirrored.warnings().is_empty(), "a compaction is normal: {:?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn a_position_that_was_compacted_while_disconnected_is_followed_by_a_list() {
    let mirrored = with_something_to_change().await;
    let stall = mirrored.inject(Fault::Stall { on: Scope::all(), missed: Missed::Deliver });
    change(&mirrored);
    mirrored.inject(Fault::Compact);
    mirrored.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
    mirrored.sandbox.faults().remove(stall);
    mirrored.converge("after a compaction").await;
}

/// An API server that refuses to resume a watch, twice in a row.
async fn refused(code: u16, reason: &str, message: &str) {
    let mirrored = with_something_to_change().await;
    let verb = on(Kind::EndpointSlice).verb(Verb::Watch);
    mirrored.inject(Fault::Answer { on: verb, code, retry_after: None, times: Some(2) });
    mirrored.inject(cut(Kind::EndpointSlice, Cut::Clean));
    change(&mirrored);
    mirrored.converge(&format!("after {code}")).await;
    assert_eq!(mirrored.errors("endpointslices", reason), 2, "{code}");
    assert_eq!(mirrored.errors("services", reason), 0, "{code}");
    let log = mirrored.log();
    let logged: Vec<_> = log.iter().filter(|line| line.contains(message)).collect();
    assert_eq!(logged.len(), 1, "{code} is logged once, with what to do: {log:#?}");
    assert_eq!(log.iter().filter(|line| line.contains("the watch works again")).count(), 1, "{log:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_throttled_watch_is_retried() {
    refused(429, "throttled", "asks for fewer requests").await;
}

/// A server that refuses to resume a watch once, and asks for three seconds.
async fn paused(fault: impl FnOnce(Scope, u32) -> Fault) {
    let mirrored = with_something_to_change().await;
    mirrored.inject(fault(on(Kind::EndpointSlice).verb(Verb::Watch), 3));
    mirrored.inject(cut(Kind::EndpointSlice, Cut::Clean));
    mirrored.until("refused", |mirrored| mirrored.errors("endpointslices", "throttled") == 1).await;
    let began = Instant::now();
    change(&mirrored);
    mirrored.converge("after the pause").await;
    // The backoff alone would end in less than two seconds.
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn retry_after_in_a_status_is_honoured() {
    paused(|on, seconds| Fault::Answer { on, code: 429, retry_after: Some(seconds), times: Some(1) }).await;
}

/// The answer of an overloaded kube-apiserver.
#[tokio::test(start_paused = true)]
async fn retry_after_in_the_header_of_a_plain_text_429_is_honoured() {
    paused(|on, retry_after| Fault::TooManyRequests { on, retry_after, times: Some(1) }).await;
}

#[tokio::test(start_paused = true)]
async fn an_internal_error_is_retried() {
    refused(500, "server", "reports an internal error").await;
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_server_is_reported_and_retried() {
    refused(503, "server", "reports an internal error").await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_is_named() {
    refused(403, "forbidden", "grant it list and watch on endpointslices.discovery.k8s.io").await;
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_reported() {
    refused(401, "unauthorized", "does not accept the credentials").await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_answered_with_410_is_followed_by_a_list() {
    refused(410, "gone", "relisting").await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_are_closed_without_an_answer_are_made_again() {
    let mirrored = with_something_to_change().await;
    mirrored.inject(Fault::Drop { on: on(Kind::Service), times: Some(2) });
    mirrored.inject(cut(Kind::Service, Cut::Clean));
    change(&mirrored);
    mirrored.converge("after dropped connections").await;
    assert_eq!(mirrored.errors("services", "unreachable"), 2);
    assert_eq!(mirrored.warnings().len(), 1, "{:?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_watch_resumes_where_it_stopped() {
    let mirrored = with_something_to_change().await;
    let stall = mirrored.inject(Fault::Stall { on: Scope::all(), missed: Missed::Deliver });
    change(&mirrored);
    assert!(mirrored.difference().is_some(), "the changes are not known");
    assert_eq!(mirrored.addresses("changed"), Some(vec![Ipv4Addr::new(10, 0, 0, 4)]), "the last known state is served");
    mirrored.sandbox.faults().remove(stall);
    mirrored.converge("after the stall").await;
    assert!(mirrored.warnings().is_empty(), "{:?}", mirrored.warnings());
}

#[tokio::test(start_paused = true)]
async fn delayed_events_are_not_lost() {
    let mirrored = with_something_to_change().await;
    mirrored.inject(Fault::Delay { on: on(Kind::EndpointSlice).verb(Verb::Watch), milliseconds: 300 });
    change(&mirrored);
    // The events of the Services arrive long before those of their slices.
    mirrored.converge("after the delay").await;
}

fn malformed(kind: &str, api_version: &str, rest: Value) -> Fault {
    let mut object = json!({ "apiVersion": api_version, "kind": kind });
    object.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
    Fault::Malformed { object }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_object_causes_one_warning_and_does_not_affect_others() {
    let mirrored = with_something_to_change().await;
    let wrong = json!({ "metadata": { "namespace": "db", "name": "wrong" }, "spec": "none", "endpoints": { "a": 1 } });
    mirrored.inject(malformed("Service", "v1", wrong.clone()));
    mirrored.inject(malformed("EndpointSlice", "discovery.k8s.io/v1", wrong));
    change(&mirrored);
    mirrored.converge("beside malformed objects").await;
    // Lists contain them too, and they have not changed.
    for _ in 0..2 {
        let relists =
            |mirrored: &MirroredSandbox| mirrored.metric("watch_events_total{resource=\"services\",event=\"relist\"}");
        let before = relists(&mirrored);
        mirrored.inject(cut(Kind::Service, Cut::Expired));
        mirrored.until("relisted", |mirrored| relists(mirrored) > before).await;
        mirrored.converge("after a list with malformed objects").await;
    }
    for resource in ["services", "endpointslices"] {
        assert_eq!(mirrored.metric(&format!("malformed_objects_total{{resource=\"{resource}\"}}")), 1, "{resource}");
    }
    let warnings = mirrored.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:#?}");
    assert!(warnings.iter().all(|warning| warning.contains("object=db/wrong")), "{warnings:#?}");
}

/// An object that becomes malformed is served in its last readable state, until it is deleted or readable again.
#[tokio::test(start_paused = true)]
async fn an_object_that_becomes_malformed_keeps_its_last_readable_state() {
    let mirrored = with_something_to_change().await;
    let wrong = json!({ "metadata": { "namespace": "db", "name": "changed" }, "addressType": 7, "endpoints": [] });
    let number = mirrored.inject(malformed("EndpointSlice", "discovery.k8s.io/v1", wrong));
    mirrored.put("later", &[7]);
    mirrored.converge("after the malformed state").await;
    assert_eq!(mirrored.addresses("changed"), Some(vec![Ipv4Addr::new(10, 0, 0, 4)]));
    mirrored.sandbox.faults().remove(number);
    mirrored.put("changed", &[8]);
    mirrored.converge("after the object is well-formed again").await;
}

/// An object without metadata has no resourceVersion to resume from, so everything is relisted.
#[tokio::test(start_paused = true)]
async fn an_object_without_metadata_causes_a_relist_and_the_others_are_served() {
    let mirrored = with_something_to_change().await;
    let number = mirrored.inject(malformed("EndpointSlice", "discovery.k8s.io/v1", json!({ "metadata": [] })));
    change(&mirrored);
    mirrored.converge("beside an object without metadata").await;
    mirrored.sandbox.faults().remove(number);
    mirrored.put("later", &[7]);
    mirrored.converge("without it").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_at_startup_is_retried_and_nothing_is_answered_before() {
    let mirrored = MirroredSandbox::start_with(kube_sandbox::Options::default(), |sandbox| {
        sandbox.faults().inject(Fault::Down { milliseconds: None }).expect("a fault");
    })
    .await;
    mirrored.until("tried", |mirrored| mirrored.errors("services", "unreachable") >= 1).await;
    assert_eq!(mirrored.readiness.pending().len(), 2);
    assert!(mirrored.addresses("steady").is_none());
    mirrored.sandbox.faults().clear();
    mirrored.converge("once the server is there").await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_asked_less_and_less_often() {
    let mirrored = with_something_to_change().await;
    mirrored.sandbox.faults().forget_requests();
    mirrored.inject(Fault::EndWatches { on: on(Kind::Service) });
    let tries = 3;
    mirrored.until("tried", |mirrored| mirrored.errors("services", "other") == tries).await;
    assert_eq!(mirrored.requests(Verb::Watch, "services"), tries, "no requests but those that were counted");
    assert_eq!(mirrored.logged("the watch ended at once, without an event"), 1, "{:#?}", mirrored.log());
    assert_eq!(mirrored.logged("the watch works again"), 0, "{:#?}", mirrored.log());
    mirrored.sandbox.faults().clear();
    change(&mirrored);
    mirrored.converge("once watches stay open").await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_proxy_is_one_failure_however_many_lines_it_has() {
    let mirrored = with_something_to_change().await;
    mirrored.sandbox.faults().forget_requests();
    mirrored.inject(Fault::Page { on: on(Kind::Service), times: None });
    mirrored.inject(Fault::CutWatches { on: on(Kind::Service), how: Cut::Clean });
    let tries = 3;
    mirrored.until("tried", |mirrored| mirrored.errors("services", "malformed") == tries).await;
    assert_eq!(mirrored.requests(Verb::Watch, "services"), tries, "or pauses would be eight times as long");
    mirrored.sandbox.faults().clear();
    change(&mirrored);
    mirrored.converge("once the API server answers").await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_when_the_watches_are_back_and_the_next_one_is_reported_too() {
    let mirrored = with_something_to_change().await;
    for outages in 1..=2 {
        let down = mirrored.inject(Fault::Down { milliseconds: None });
        mirrored.until("reported", |mirrored| mirrored.warnings().len() == outages).await;
        for resource in ["services", "endpointslices", "pods"] {
            mirrored.until("noticed", |mirrored| mirrored.errors(resource, "unreachable") >= outages as u64).await;
        }
        mirrored.sandbox.faults().remove(down);
        // Nothing changes in the cluster.
        let recoveries = 3 * outages;
        mirrored.until("over", |mirrored| mirrored.logged("the watch works again") == recoveries).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bookmarks_reset_the_age_of_a_watch() {
    let options =
        kube_sandbox::Options { bookmark_interval: Duration::from_millis(200), ..kube_sandbox::Options::default() };
    let mirrored = MirroredSandbox::start_with(options, |_| {}).await;
    mirrored.converge("at the start").await;
    for _ in 0..3 {
        let before = Cell::new(Duration::ZERO);
        let is_younger = |mirrored: &MirroredSandbox| {
            let now = mirrored.watch_age();
            now < before.replace(now)
        };
        mirrored.until("younger than before", is_younger).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_warning_per_object_while_its_problems_are_the_same() {
    let mirrored = with_something_to_change().await;
    let slice = |generation: u8| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "FQDN",
            "metadata": { "namespace": "db", "name": "fqdn", "annotations": { "generation": generation.to_string() } },
            "endpoints": [{ "addresses": ["a.example"] }],
        })
    };
    let store = mirrored.sandbox.store();
    store.create(Kind::EndpointSlice, slice(1)).expect("a valid object");
    for generation in 2..5 {
        store.update(Kind::EndpointSlice, slice(generation)).expect("a valid object");
    }
    mirrored.put("later", &[7]);
    mirrored.until("the later object is there", |mirrored| mirrored.addresses("later").is_some()).await;
    assert_eq!(mirrored.warnings().len(), 1, "{:#?}", mirrored.warnings());
    store.delete(Kind::EndpointSlice, "db", "fqdn", None).expect("it is there");
    store.create(Kind::EndpointSlice, slice(5)).expect("a valid object");
    mirrored.until("warned of the new object", |mirrored| mirrored.warnings().len() == 2).await;
    // It is deleted without an event, which the next list shows.
    let relists = |mirrored: &MirroredSandbox| {
        mirrored.metric("watch_events_total{resource=\"endpointslices\",event=\"relist\"}")
    };
    let before = relists(&mirrored);
    let stall = mirrored.inject(Fault::Stall { on: on(Kind::EndpointSlice), missed: Missed::Skip });
    store.delete(Kind::EndpointSlice, "db", "fqdn", None).expect("it is there");
    mirrored.sandbox.faults().remove(stall);
    mirrored.inject(cut(Kind::EndpointSlice, Cut::Expired));
    mirrored.until("relisted", |mirrored| relists(mirrored) > before).await;
    store.create(Kind::EndpointSlice, slice(6)).expect("a valid object");
    mirrored.until("warned of the third object", |mirrored| mirrored.warnings().len() == 3).await;
}
