//! Lists, watches and tables.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use crate::http_client::{End, Http};
use crate::*;

#[tokio::test]
async fn the_pages_of_a_list_are_consistent() {
    let (sandbox, http) = sandbox().await;
    for name in ["a", "b", "c", "d", "e"] {
        assert_eq!(http.post(CONFIG_MAPS, &config_map(name)).await.code, StatusCode::CREATED);
    }
    let first = http.get(&format!("{CONFIG_MAPS}?limit=2")).await.body;
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);

    http.delete(&format!("{CONFIG_MAPS}/c")).await;
    http.post(CONFIG_MAPS, &config_map("bb")).await;
    let next = format!("{CONFIG_MAPS}?limit=2&continue={}", first["metadata"]["continue"].as_str().expect("a token"));
    let second = http.get(&next).await.body;
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);

    sandbox.store().compact();
    let expired = http.get(&next).await;
    assert_eq!((expired.code, &expired.body["reason"]), (StatusCode::GONE, &json!("Expired")));
    assert_eq!(names(&http.get(CONFIG_MAPS).await.body), ["a", "b", "bb", "d", "e"]);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_list_is_limited_by_selectors() {
    let (sandbox, http) = sandbox().await;
    for name in ["a", "b"] {
        http.post(PODS, &pod(name)).await;
    }
    http.post(SERVICES, &service("headless")).await;
    for (path, expected) in [
        ("/api/v1/pods?labelSelector=app%20in%20(web)", vec!["a", "b"]),
        ("/api/v1/pods?labelSelector=!app", vec![]),
        ("/api/v1/pods?fieldSelector=metadata.name%3Db", vec!["b"]),
        ("/api/v1/pods?fieldSelector=status.phase!%3DPending", vec![]),
        ("/api/v1/services?fieldSelector=spec.clusterIP%3DNone", vec!["headless"]),
        ("/api/v1/namespaces/kube-system/pods", vec![]),
    ] {
        assert_eq!(names(&http.get(path).await.body), expected, "{path}");
    }
    let rejected = http.get("/api/v1/pods?fieldSelector=spec.hostname%3Da").await;
    assert_eq!(rejected.code, StatusCode::BAD_REQUEST);
    assert_eq!(rejected.body["message"], "field label not supported: spec.hostname");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_watch_starts_with_the_current_state_and_continues_with_changes() {
    let (sandbox, http) = sandbox().await;
    http.post(CONFIG_MAPS, &config_map("old")).await;
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true")).await;
    assert_eq!(watch.change().await, ("ADDED".to_owned(), "old".to_owned()));
    http.post(CONFIG_MAPS, &config_map("new")).await;
    http.patch(&format!("{CONFIG_MAPS}/new"), "merge-patch+json", &json!({ "data": { "k": "v" } })).await;
    http.delete(&format!("{CONFIG_MAPS}/old")).await;
    for expected in [("ADDED", "new"), ("MODIFIED", "new"), ("DELETED", "old")] {
        let (event, name) = watch.change().await;
        assert_eq!((event.as_str(), name.as_str()), expected);
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_watch_with_a_selector_reports_objects_that_start_or_stop_to_match() {
    let (sandbox, http) = sandbox().await;
    let created = http.post(CONFIG_MAPS, &config_map("a")).await.body;
    let from = created["metadata"]["resourceVersion"].as_str().expect("a version");
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector=on%3Dyes&resourceVersion={from}")).await;
    let set = async |on: Value| {
        let patch = json!({ "metadata": { "labels": { "on": on } } });
        http.patch(&format!("{CONFIG_MAPS}/a"), "merge-patch+json", &patch).await.body
    };
    set(json!("yes")).await;
    let last = set(json!(null)).await;
    assert_eq!(watch.next().await.expect("an event")["type"], "ADDED");
    let deleted = watch.next().await.expect("an event");
    assert_eq!(deleted["type"], "DELETED");
    assert_eq!(deleted["object"]["metadata"]["labels"]["on"], "yes", "its last state that matched");
    assert_eq!(deleted["object"]["metadata"]["resourceVersion"], last["metadata"]["resourceVersion"]);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_watch_from_a_compacted_version_gets_an_error_event_and_ends() {
    let (sandbox, http) = sandbox().await;
    http.post(CONFIG_MAPS, &config_map("a")).await;
    sandbox.store().compact();
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true&resourceVersion=1")).await;
    let event = watch.next().await.expect("an event");
    assert_eq!(event["type"], "ERROR");
    assert_eq!((&event["object"]["code"], &event["object"]["reason"]), (&json!(410), &json!("Expired")));
    assert_eq!(watch.next().await, Err(End::Clean));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_streaming_list_ends_with_an_annotated_bookmark() {
    let (sandbox, http) = sandbox().await;
    http.post(CONFIG_MAPS, &config_map("a")).await;
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(watch.next().await.expect("an event")["type"], "ADDED");
    let bookmark = watch.next().await.expect("an event");
    assert_eq!(bookmark["type"], "BOOKMARK");
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!(metadata["resourceVersion"], sandbox.store().revision().to_string());

    let rejected = http.get(&format!("{CONFIG_MAPS}?watch=true&sendInitialEvents=true")).await;
    assert_eq!(rejected.code, StatusCode::UNPROCESSABLE_ENTITY);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_sandbox_without_streaming_lists_rejects_them() {
    let options = Options { streaming_lists: false, ..options() };
    let sandbox = Sandbox::start(options).await.expect("a free port");
    let http = Http::to(sandbox.address());
    let query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let rejected = http.get(&format!("{CONFIG_MAPS}?{query}")).await;
    assert_eq!(rejected.code, StatusCode::UNPROCESSABLE_ENTITY);
    let message = rejected.body["message"].as_str().expect("a message");
    assert!(message.contains("unless the WatchList feature gate is enabled"), "{message}");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_quiet_watch_gets_bookmarks_and_ends_cleanly_after_its_timeout() {
    let options = Options { bookmark_interval: Duration::from_millis(50), ..options() };
    let sandbox = Sandbox::start(options).await.expect("a free port");
    let http = Http::to(sandbox.address());
    // The event of another kind advances the bookmark too.
    let mut watch = http.watch(&format!("{CONFIG_MAPS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1")).await;
    http.post(SERVICES, &service("db")).await;
    let current = json!(sandbox.store().revision().to_string());
    loop {
        let event = watch.next().await.expect("a bookmark before the end");
        assert_eq!(event["type"], "BOOKMARK");
        if event["object"]["metadata"]["resourceVersion"] == current {
            break;
        }
    }
    let end = loop {
        if let Err(end) = watch.next().await {
            break end;
        }
    };
    assert_eq!(end, End::Clean);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_table_has_the_columns_that_kubectl_prints() {
    let (sandbox, http) = sandbox().await;
    let mut running = pod("web-0");
    running["status"] = json!({ "phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [
        { "name": "web", "ready": true, "restartCount": 0, "image": "web:1", "imageID": "" },
    ] });
    http.post(PODS, &running).await;
    let request = http.request(&Method::GET, PODS).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = http.send(request.body(Body::empty()).expect("a request")).await.body;
    let columns: Vec<&Value> =
        table["columnDefinitions"].as_array().expect("columns").iter().map(|column| &column["name"]).collect();
    assert_eq!(columns[..6], ["Name", "Ready", "Status", "Restarts", "Age", "IP"]);
    let cells = table["rows"][0]["cells"].as_array().expect("cells");
    assert_eq!(cells[..4], ["web-0", "1/1", "Running", "0"]);
    assert_eq!(cells[5], "10.0.0.9");
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    sandbox.shutdown().await;
}
