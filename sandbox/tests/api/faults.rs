//! Fault injection, as a plain HTTP client and kube-rs see it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use http::{Method, StatusCode};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{Cut, Fault, Missed, Scope, Verb};
use kube_sandbox::kind::Kind;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::http_client::{End, soon};
use crate::*;

fn inject(sandbox: &Sandbox, fault: Fault) -> u64 {
    sandbox.faults().inject(fault).expect("a valid fault")
}

async fn client(sandbox: &Sandbox) -> Client {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(&sandbox.kubeconfig()).expect("a kubeconfig");
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a configuration");
    Client::try_from(config).expect("a client")
}

#[tokio::test]
async fn requests_get_an_error_for_the_configured_number_of_times() {
    let (sandbox, http) = sandbox().await;
    let on = Scope::kind(Kind::ConfigMap).verb(Verb::List);
    inject(&sandbox, Fault::Answer { on, code: 429, retry_after: Some(7), times: Some(2) });
    for _ in 0..2 {
        let refused = http.get(CONFIG_MAPS).await;
        assert_eq!(refused.code, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers["retry-after"], "7");
        assert_eq!(refused.body["reason"], "TooManyRequests");
    }
    assert_eq!(http.get(SERVICES).await.code, StatusCode::OK, "another resource");
    assert_eq!(http.get(CONFIG_MAPS).await.code, StatusCode::OK, "used up");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn too_many_requests_are_rejected_in_plain_text_with_the_header_as_by_the_api_servers_filter() {
    let (sandbox, http) = sandbox().await;
    let fault = json!({ "fault": "tooManyRequests", "resource": "configmaps", "verb": "list", "times": 1 });
    assert_eq!(http.post("/sandbox/faults", &fault).await.code, StatusCode::CREATED);
    let rejected = http.get(CONFIG_MAPS).await;
    assert_eq!(rejected.code, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(rejected.headers["retry-after"], "1");
    assert_eq!(rejected.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(rejected.body, "Too many requests, please try again later.\n", "no Status");
    assert_eq!(http.get(CONFIG_MAPS).await.code, StatusCode::OK, "once only");
    let on = Scope::kind(Kind::ConfigMap);
    inject(&sandbox, Fault::TooManyRequests { on, retry_after: 9, times: None });
    assert_eq!(http.get(CONFIG_MAPS).await.headers["retry-after"], "9");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_connection_is_closed_without_a_response() {
    let (sandbox, http) = sandbox().await;
    let number = inject(&sandbox, Fault::Drop { on: Scope::kind(Kind::Service), times: None });
    assert!(http.try_send(&Method::GET, SERVICES).await.is_err());
    sandbox.faults().remove(number);
    assert_eq!(http.try_send(&Method::GET, SERVICES).await, Ok(StatusCode::OK));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn responses_and_events_are_delayed() {
    let (sandbox, http) = sandbox().await;
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    let delay = Duration::from_millis(100);
    let milliseconds = 100;
    inject(&sandbox, Fault::Delay { on: Scope::kind(Kind::ConfigMap).verb(Verb::Watch), milliseconds });
    inject(&sandbox, Fault::Delay { on: Scope::kind(Kind::Service), milliseconds });
    let start = Instant::now();
    http.post(CONFIG_MAPS, &config_map("a")).await;
    watch.change().await;
    assert!(start.elapsed() >= delay, "the event");
    let start = Instant::now();
    http.get(SERVICES).await;
    assert!(start.elapsed() >= delay, "the response");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn open_watches_are_cut_in_every_way() {
    let (sandbox, http) = sandbox().await;
    for how in [Cut::Clean, Cut::Abrupt, Cut::Expired, Cut::Silent] {
        let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
        inject(&sandbox, Fault::CutWatches { on: Scope::kind(Kind::ConfigMap), how });
        match how {
            Cut::Clean => assert_eq!(watch.next().await, Err(End::Clean)),
            Cut::Abrupt => assert_eq!(watch.next().await, Err(End::Broken)),
            Cut::Expired => assert_eq!(watch.next().await.expect("an event")["object"]["code"], 410),
            Cut::Silent => {
                let mut other = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
                http.post(CONFIG_MAPS, &config_map("new")).await;
                assert_eq!(other.change().await.1, "new");
                assert!(timeout(Duration::ZERO, watch.next()).await.is_err(), "open and silent");
            }
            Cut::Garbled => unreachable!("this client reads JSON alone"),
        }
    }
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_watch_delivers_or_loses_its_events() {
    let (sandbox, http) = sandbox().await;
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    http.post(CONFIG_MAPS, &config_map("before")).await;
    assert_eq!(watch.change().await.1, "before");
    for (missed, name) in [(Missed::Deliver, "delivered"), (Missed::Skip, "lost")] {
        let number = inject(&sandbox, Fault::Stall { on: Scope::all(), missed });
        http.post(CONFIG_MAPS, &config_map(name)).await;
        sandbox.faults().remove(number);
        if missed == Missed::Deliver {
            assert_eq!(watch.change().await.1, "delivered");
        }
    }
    http.post(CONFIG_MAPS, &config_map("after")).await;
    assert_eq!(watch.change().await.1, "after");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_malformed_object_is_in_lists_and_watches_but_not_in_the_store() {
    let (sandbox, http) = sandbox().await;
    let slices = "/apis/discovery.k8s.io/v1/endpointslices";
    let mut open = http.watch(&format!("{slices}?watch=true")).await;
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": "none",
        "metadata": { "name": "broken", "namespace": "default" },
    });
    let number = inject(&sandbox, Fault::Malformed { object });
    assert_eq!(open.change().await, ("ADDED".to_owned(), "broken".to_owned()));
    assert_eq!(http.get(slices).await.body["items"][0]["endpoints"], "none");
    assert_eq!(http.watch(&format!("{slices}?watch=true")).await.change().await.1, "broken");
    assert!(sandbox.store().list(Kind::EndpointSlice, None).1.is_empty());
    sandbox.faults().remove(number);
    assert_eq!(http.get(slices).await.body["items"], json!([]));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_restore_resets_objects_and_versions_and_cuts_watches() {
    let (sandbox, http) = sandbox().await;
    let before = http.post(CONFIG_MAPS, &config_map("kept")).await.body;
    inject(&sandbox, Fault::Snapshot);
    let lost = http.post(CONFIG_MAPS, &config_map("lost")).await.body;
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    watch.change().await;
    watch.change().await;
    inject(&sandbox, Fault::Restore);
    while watch.next().await.is_ok() {}
    let list = http.get(CONFIG_MAPS).await.body;
    assert_eq!(list["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    let again = http.post(CONFIG_MAPS, &config_map("lost")).await.body;
    assert_eq!(again["metadata"]["resourceVersion"], lost["metadata"]["resourceVersion"], "the same version again");
    assert_ne!(again["metadata"]["uid"], lost["metadata"]["uid"], "of another object");
    sandbox.shutdown().await;
}

/// Waits until there are this many Pods, all of them Ready.
async fn ready(sandbox: &Sandbox, replicas: usize) {
    let mut latest = sandbox.store().subscribe();
    let is_ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True"))
    };
    loop {
        latest.mark_unchanged();
        let (_, pods) = sandbox.store().list(Kind::Pod, Some("default"));
        if pods.len() == replicas && pods.iter().all(|pod| is_ready(pod)) {
            return;
        }
        soon(latest.changed()).await.expect("the store exists");
    }
}

#[tokio::test]
async fn the_controllers_work_after_a_restore_and_a_compaction() {
    let sandbox = Sandbox::start(Options::default()).await.expect("a free port");
    let http = Http::to(sandbox.address());
    http.post(STATEFUL_SETS, &stateful_set("db")).await;
    let scale = async |replicas: usize| {
        let patch = json!({ "spec": { "replicas": replicas } });
        let scaled = http.patch(&format!("{STATEFUL_SETS}/db/scale"), "merge-patch+json", &patch).await;
        assert_eq!(scaled.code, StatusCode::OK);
        ready(&sandbox, replicas).await;
    };
    ready(&sandbox, 3).await;
    inject(&sandbox, Fault::Snapshot);
    scale(5).await;
    inject(&sandbox, Fault::Restore);
    ready(&sandbox, 3).await;
    scale(4).await;
    inject(&sandbox, Fault::Compact);
    scale(2).await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn the_api_goes_down_and_comes_back_on_the_same_port() {
    let (sandbox, http) = sandbox().await;
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    let number = inject(&sandbox, Fault::Down { milliseconds: None });
    assert_eq!(watch.next().await, Err(End::Broken));
    assert!(http.try_send(&Method::GET, CONFIG_MAPS).await.is_err());
    sandbox.faults().remove(number);
    soon(async { while http.try_send(&Method::GET, CONFIG_MAPS).await != Ok(StatusCode::OK) {} }).await;
    sandbox.shutdown().await;
}

#[tokio::test]
async fn faults_are_injected_and_requests_read_over_http() {
    let (sandbox, http) = sandbox().await;
    let fault = json!({ "fault": "answer", "resource": "configmaps", "verb": "list", "code": 403 });
    let number = http.post("/sandbox/faults", &fault).await.body["number"].as_u64().expect("a number");
    assert_eq!(http.get(CONFIG_MAPS).await.code, StatusCode::FORBIDDEN);
    assert_eq!(http.get("/sandbox/faults").await.body[number.to_string()]["code"], 403);
    assert_eq!(http.delete(&format!("/sandbox/faults/{number}")).await.code, StatusCode::NO_CONTENT);
    assert_eq!(http.get(CONFIG_MAPS).await.code, StatusCode::OK);
    for bad in [
        json!({ "fault": "earthquake" }),
        json!({ "fault": "answer", "code": 200 }),
        json!({ "fault": "drop", "resource": "gadgets" }),
        json!({ "fault": "restore" }),
        json!({ "fault": "malformed", "object": {} }),
    ] {
        assert_eq!(http.post("/sandbox/faults", &bad).await.code, StatusCode::BAD_REQUEST, "{bad}");
    }
    let requests = http.get("/sandbox/requests").await.body;
    let expected = json!([{
        "verb": "list", "group": "", "resource": "configmaps", "subresource": "", "namespace": "default", "count": 2,
    }]);
    assert_eq!(requests, expected);
    http.delete("/sandbox/requests").await;
    assert!(sandbox.faults().requests().is_empty());
    sandbox.shutdown().await;
}

/// Follows a watch until it has exactly these names.
async fn converges(
    events: &mut (impl Stream<Item = watcher::Result<watcher::Event<ConfigMap>>> + Unpin),
    known: &mut BTreeSet<String>,
    expected: &[&str],
) {
    let mut fresh = BTreeSet::new();
    while known.iter().map(String::as_str).ne(expected.iter().copied()) {
        match soon(events.next()).await.expect("a watcher never ends") {
            Ok(watcher::Event::Init) => fresh.clear(),
            Ok(watcher::Event::InitApply(object)) => drop(fresh.insert(object.name_any())),
            Ok(watcher::Event::InitDone) => *known = std::mem::take(&mut fresh),
            Ok(watcher::Event::Apply(object)) => drop(known.insert(object.name_any())),
            Ok(watcher::Event::Delete(object)) => drop(known.remove(&object.name_any())),
            // Errors are expected; the watcher must recover from them.
            Err(_) => {}
        }
    }
}

async fn recovers(config: watcher::Config) {
    let (sandbox, http) = sandbox().await;
    let api: Api<ConfigMap> = Api::default_namespaced(client(&sandbox).await);
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut known = BTreeSet::new();
    http.post(CONFIG_MAPS, &config_map("a")).await;
    converges(&mut events, &mut known, &["a"]).await;

    inject(&sandbox, Fault::CutWatches { on: Scope::all(), how: Cut::Abrupt });
    http.post(CONFIG_MAPS, &config_map("b")).await;
    converges(&mut events, &mut known, &["a", "b"]).await;

    let on = Scope::kind(Kind::ConfigMap).verb(Verb::Watch);
    inject(&sandbox, Fault::Answer { on, code: 500, retry_after: None, times: Some(1) });
    inject(&sandbox, Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
    http.delete(&format!("{CONFIG_MAPS}/a")).await;
    converges(&mut events, &mut known, &["b"]).await;

    inject(&sandbox, Fault::CutWatches { on: Scope::all(), how: Cut::Expired });
    inject(&sandbox, Fault::Compact);
    http.post(CONFIG_MAPS, &config_map("c")).await;
    converges(&mut events, &mut known, &["b", "c"]).await;
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_rs_recovers_from_faults_with_paged_lists() {
    recovers(watcher::Config::default().page_size(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kube_rs_recovers_from_faults_with_streaming_lists() {
    recovers(watcher::Config::default().streaming_lists()).await;
}

#[tokio::test]
async fn kube_rs_reads_writes_and_decodes_errors() {
    let (sandbox, _) = sandbox().await;
    let api: Api<ConfigMap> = Api::default_namespaced(client(&sandbox).await);
    let object: ConfigMap = serde_json::from_value(config_map("a")).expect("a ConfigMap");
    let created = api.create(&Default::default(), &object).await.expect("created");
    assert!(created.metadata.uid.is_some());
    let conflict = api.create(&Default::default(), &object).await.expect_err("exists");
    assert!(matches!(&conflict, kube::Error::Api(status) if status.is_already_exists()), "{conflict}");
    assert_eq!(api.get_opt("nope").await.expect("an answer"), None);
    let metadata = api.list_metadata(&Default::default()).await.expect("a list of metadata");
    assert_eq!(metadata.items[0].name_any(), "a");
    api.delete("a", &Default::default()).await.expect("deleted");
    sandbox.shutdown().await;
}
