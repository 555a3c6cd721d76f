//! Servers that are not what they were: restored, emptied, replaced, or not an API server at all.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{Fault, Scope};
use kube_sandbox::kind::Kind;
use tokio::time::timeout;

use crate::http_client::{End, Watch};
use crate::*;

/// Long enough for many bookmarks.
const QUIET: Duration = Duration::from_millis(100);

async fn frequent_bookmarks() -> (Sandbox, Http) {
    let options = Options { bookmark_interval: Duration::from_millis(5), ..options() };
    let sandbox = Sandbox::start(options).await.expect("a free port");
    let http = Http::to(sandbox.address());
    (sandbox, http)
}

fn inject(sandbox: &Sandbox, fault: Fault) -> u64 {
    sandbox.faults().inject(fault).expect("a valid fault")
}

fn on() -> Scope {
    Scope::kind(Kind::ConfigMap)
}

async fn watch_from(http: &Http, version: u64) -> Watch {
    http.watch(&format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true&resourceVersion={version}")).await
}

#[tokio::test]
async fn a_watch_from_a_version_that_is_not_reached_is_silent_until_it_is() {
    let (sandbox, http) = frequent_bookmarks().await;
    let ahead = sandbox.store().revision() + 2;
    let mut watch = watch_from(&http, ahead).await;
    http.post(CONFIG_MAPS, &config_map("a")).await;
    assert!(timeout(QUIET, watch.next()).await.is_err(), "no event, no bookmark");
    http.post(CONFIG_MAPS, &config_map("b")).await;
    http.post(CONFIG_MAPS, &config_map("c")).await;
    assert_eq!(watch.change().await.1, "c", "the first one after that version");
    assert_eq!(http.get(&format!("{CONFIG_MAPS}?resourceVersion=100000")).await.code, StatusCode::GATEWAY_TIMEOUT);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn an_emptied_store_starts_over() {
    let (sandbox, http) = sandbox().await;
    http.post(CONFIG_MAPS, &config_map("a")).await;
    let mut watch = watch_from(&http, sandbox.store().revision()).await;
    inject(&sandbox, Fault::Empty);
    assert_eq!(watch.next().await, Err(End::Clean));
    let list = http.get(CONFIG_MAPS).await.body;
    assert_eq!((&list["items"], &list["metadata"]["resourceVersion"]), (&json!([]), &json!("1")));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn another_cluster_has_the_same_objects_with_other_uids_at_a_version_of_its_own() {
    let (sandbox, http) = sandbox().await;
    let ours = http.post(CONFIG_MAPS, &config_map("a")).await.body["metadata"].clone();
    for (revision, expected) in [(Some(1000), "1000"), (None, "6")] {
        let before = sandbox.store().revision();
        inject(&sandbox, Fault::Replace { revision });
        let list = http.get(CONFIG_MAPS).await.body;
        let theirs = &list["items"][0]["metadata"];
        assert_eq!(list["metadata"]["resourceVersion"], expected);
        assert_eq!(theirs["name"], ours["name"]);
        assert_ne!(theirs["uid"], ours["uid"]);
        let mut watch = watch_from(&http, before).await;
        assert!(timeout(QUIET, watch.next()).await.is_err(), "accepted, and nothing to tell");
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn error_events_come_with_200() {
    let (sandbox, http) = sandbox().await;
    let mut open = watch_from(&http, sandbox.store().revision()).await;
    let number = inject(&sandbox, Fault::ErrorEvents { on: on(), code: 403 });
    for watch in [&mut open, &mut watch_from(&http, sandbox.store().revision()).await] {
        let event = watch.next().await.expect("an event");
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(403)));
        assert_eq!(watch.next().await, Err(End::Clean));
    }
    assert!(sandbox.faults().inject(Fault::ErrorEvents { on: on(), code: 200 }).is_err());
    sandbox.faults().remove(number);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_page_comes_in_the_place_of_a_list_and_connections_close() {
    let (sandbox, http) = sandbox().await;
    inject(&sandbox, Fault::CloseConnections { on: on() });
    inject(&sandbox, Fault::Page { on: on(), times: Some(1) });
    let page = http.get(CONFIG_MAPS).await;
    assert_eq!(
        (page.code, &page.headers["content-type"]),
        (StatusCode::OK, &"text/html; charset=utf-8".parse().unwrap())
    );
    let list = http.get(CONFIG_MAPS).await;
    assert_eq!((&list.body["kind"], &list.headers["connection"]), (&json!("ConfigMapList"), &"close".parse().unwrap()));
    assert!(!http.get(SERVICES).await.headers.contains_key("connection"));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn bookmarks_are_withheld() {
    let (sandbox, http) = frequent_bookmarks().await;
    let mut watch = watch_from(&http, sandbox.store().revision()).await;
    assert_eq!(watch.next().await.expect("an event")["type"], "BOOKMARK");
    inject(&sandbox, Fault::WithholdBookmarks { on: on() });
    let mut other = watch_from(&http, sandbox.store().revision()).await;
    assert!(timeout(QUIET, other.next()).await.is_err());
    sandbox.shutdown().await;
}

#[tokio::test]
async fn without_sockets_the_api_answers_refuses_and_breaks_like_over_one() {
    let (sandbox, http) = sandbox().await;
    http.post(CONFIG_MAPS, &config_map("a")).await;
    let api = sandbox.in_process();
    let get = |path: &str| Request::get(path.to_owned()).body(axum::body::Body::empty()).expect("a request");
    let response = api.send(get(CONFIG_MAPS)).await.expect("a response");
    assert_eq!(response.status(), StatusCode::OK);
    let watch = api.send(get(&format!("{CONFIG_MAPS}?watch=true"))).await.expect("a response");
    let mut watch = watch.into_body();
    assert!(watch.frame().await.expect("an event").is_ok());
    let down = inject(&sandbox, Fault::Down { milliseconds: None });
    assert!(watch.frame().await.expect("an error").is_err());
    assert!(api.send(get(CONFIG_MAPS)).await.is_err());
    sandbox.faults().remove(down);
    inject(&sandbox, Fault::Drop { on: on(), times: Some(1) });
    assert!(api.send(get(CONFIG_MAPS)).await.is_err());
    assert!(api.send(get(CONFIG_MAPS)).await.is_ok());
    sandbox.shutdown().await;
}
