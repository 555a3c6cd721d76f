//! Writes and deletions, and the errors for invalid ones.

use axum::body::Body;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::*;

#[tokio::test]
async fn unknown_fields_are_rejected_reported_or_dropped_by_field_validation() {
    let (sandbox, http) = sandbox().await;
    let mut object = service("db");
    object["spec"]["headless"] = json!(true);
    let strict = http.post(&format!("{SERVICES}?fieldValidation=Strict"), &object).await;
    assert_eq!(strict.code, StatusCode::BAD_REQUEST);
    let message = strict.body["message"].as_str().expect("a message");
    assert!(message.contains("strict decoding error: unknown field \"spec.headless\""), "{message}");
    let warned = http.post(&format!("{SERVICES}?fieldValidation=Warn"), &object).await;
    assert_eq!(warned.code, StatusCode::CREATED);
    assert_eq!(warned.headers["warning"], r#"299 - "unknown field \"spec.headless\"""#);
    assert_eq!(warned.body["spec"].get("headless"), None);
    assert_eq!(warned.body["spec"]["ports"][0]["targetPort"], 80);
    sandbox.shutdown().await;
}

/// What typed clients of client-go send, Helm 4 among them.
#[tokio::test]
async fn options_of_a_deletion_may_come_in_protobuf() {
    let (sandbox, http) = sandbox().await;
    let field =
        |number: u8, text: &str| format!("{}{}{text}", char::from(number << 3 | 2), char::from(text.len() as u8));
    let options = |group: &str, fields: &str| {
        let type_meta = field(1, group) + &field(2, "DeleteOptions");
        format!("k8s\0{}{}", field(1, &type_meta), field(2, fields))
    };
    let delete = async |path: String, body: String| {
        http.with_body(&Method::DELETE, &path, "application/vnd.kubernetes.protobuf", &body).await
    };
    http.post(STATEFUL_SETS, &stateful_set("db")).await;
    let other = options("apps/v1", &field(2, &field(1, "another-uid")));
    assert_eq!(delete(format!("{STATEFUL_SETS}/db"), other).await.body["reason"], "Conflict");
    let foreground = delete(format!("{STATEFUL_SETS}/db"), options("apps/v1", &field(4, "Foreground"))).await;
    assert_eq!(foreground.body["metadata"]["finalizers"], json!(["foregroundDeletion"]), "{}", foreground.body);
    http.post(PODS, &pod("p")).await;
    // No grace, and a dry run.
    let dry = delete(format!("{PODS}/p"), options("v1", &format!("\x08\0{}", field(5, "All")))).await;
    assert_eq!((dry.code, http.get(&format!("{PODS}/p")).await.code), (StatusCode::OK, StatusCode::OK));
    assert_eq!(delete(format!("{PODS}/p"), options("v1", "\x08\0")).await.body["status"], "Success");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn an_invalid_write_is_rejected_with_its_reason() {
    let (sandbox, http) = sandbox().await;
    http.post(SERVICES, &service("db")).await;
    http.post(STATEFUL_SETS, &stateful_set("db")).await;
    let in_nowhere = http.post("/api/v1/namespaces/nowhere/services", &service("db")).await;
    assert_eq!(
        (in_nowhere.code, &in_nowhere.body["message"]),
        (StatusCode::NOT_FOUND, &json!("namespaces \"nowhere\" not found"))
    );
    let again = http.post(SERVICES, &service("db")).await;
    assert_eq!((again.code, &again.body["reason"]), (StatusCode::CONFLICT, &json!("AlreadyExists")));

    let mut stale = service("db");
    stale["metadata"]["resourceVersion"] = json!("1");
    assert_eq!(http.put(&format!("{SERVICES}/db"), &stale).await.body["reason"], "Conflict");

    let mut bad = stateful_set("bad");
    bad["spec"]["template"]["metadata"]["labels"] = json!({ "app": "other" });
    let mismatch = http.post(STATEFUL_SETS, &bad).await;
    assert_eq!(mismatch.code, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(mismatch.body["details"]["causes"][0]["field"], "spec.template.metadata.labels");

    for (path, patch, field) in [
        (format!("{STATEFUL_SETS}/db"), json!({ "spec": { "serviceName": "other" } }), "spec"),
        (format!("{SERVICES}/db"), json!({ "spec": { "clusterIP": "10.0.0.1" } }), "spec.clusterIPs[0]"),
        (format!("{SERVICES}/db"), json!({ "spec": { "ports": [{ "port": 0 }] } }), "spec.ports[0].port"),
    ] {
        let rejected = http.patch(&path, "merge-patch+json", &patch).await;
        assert_eq!(rejected.code, StatusCode::UNPROCESSABLE_ENTITY, "{path} {patch}");
        assert_eq!(rejected.body["details"]["causes"][0]["field"], field);
    }
    sandbox.shutdown().await;
}

#[tokio::test]
async fn invalid_requests_get_the_fitting_status() {
    let (sandbox, http) = sandbox().await;
    assert_eq!(http.get("/api/v1/gadgets").await.code, StatusCode::NOT_FOUND);
    assert_eq!(http.get("/nothing/here").await.code, StatusCode::NOT_FOUND);
    assert_eq!(http.get(&format!("{PODS}/p/exec")).await.code, StatusCode::NOT_FOUND);
    assert_eq!(http.put(PODS, &pod("p")).await.code, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(http.post("/api/v1/pods", &pod("p")).await.code, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(http.with_body(&Method::POST, PODS, "text/plain", "x").await.code, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(http.with_body(&Method::POST, PODS, "application/json", "{").await.code, StatusCode::BAD_REQUEST);
    assert_eq!(http.patch(PODS, "merge-patch+json", &json!({})).await.code, StatusCode::METHOD_NOT_ALLOWED);
    for body in [json!([]), json!("pod"), json!({ "apiVersion": "v1", "kind": "Pod", "metadata": [], "spec": 5 })] {
        assert_eq!(http.post(PODS, &body).await.code, StatusCode::BAD_REQUEST, "{body}");
    }
    for bare in
        [json!({ "apiVersion": "v1", "kind": "Pod" }), json!({ "apiVersion": "v1", "kind": "Pod", "metadata": null })]
    {
        assert_eq!(http.post(PODS, &bare).await.code, StatusCode::UNPROCESSABLE_ENTITY, "{bare}");
    }
    for body in ["[]", "5", "a: [", "metadata: []", ""] {
        let apply = format!("{PODS}/p?fieldManager=test");
        let rejected = http.with_body(&Method::PATCH, &apply, "application/apply-patch+yaml", body).await;
        assert_eq!(rejected.code, StatusCode::BAD_REQUEST, "{body}");
        let eviction = http.with_body(&Method::POST, &format!("{PODS}/p/eviction"), "application/json", body).await;
        assert!(eviction.code.is_client_error(), "{body}");
    }
    let request = http.request(&Method::GET, PODS).header("accept", "text/html");
    assert_eq!(http.send(request.body(Body::empty()).expect("a request")).await.code, StatusCode::NOT_ACCEPTABLE);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn every_kind_of_patch_is_applied() {
    let (sandbox, http) = sandbox().await;
    http.post(STATEFUL_SETS, &stateful_set("db")).await;
    let path = format!("{STATEFUL_SETS}/db");
    let containers = json!([{ "name": "web", "image": "web:2" }, { "name": "side", "image": "side:1" }]);
    let strategic = json!({ "spec": { "template": { "spec": { "containers": containers } } } });
    let patched = http.patch(&path, "strategic-merge-patch+json", &strategic).await.body;
    assert_eq!(patched["metadata"]["generation"], 2);
    let images: Vec<&Value> = patched["spec"]["template"]["spec"]["containers"]
        .as_array()
        .expect("containers")
        .iter()
        .map(|container| &container["image"])
        .collect();
    assert_eq!(images, ["web:2", "side:1"]);
    let operations = json!([{ "op": "test", "path": "/spec/replicas", "value": 3 }, { "op": "replace", "path": "/spec/replicas", "value": 5 }]);
    assert_eq!(http.patch(&path, "json-patch+json", &operations).await.body["spec"]["replicas"], 5);
    let failed = http.patch(&path, "json-patch+json", &operations).await;
    assert_eq!(failed.code, StatusCode::UNPROCESSABLE_ENTITY, "the patch's test fails");

    let wanted =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "made" }, "data": { "a": "1" } });
    let apply = format!("{CONFIG_MAPS}/made?fieldManager=test");
    assert_eq!(http.patch(&apply, "apply-patch+yaml", &wanted).await.code, StatusCode::CREATED);
    let applied = http.patch(&apply, "apply-patch+yaml", &wanted).await;
    assert_eq!(applied.code, StatusCode::OK);
    assert_eq!(applied.body["metadata"]["managedFields"][0]["manager"], "test");

    let status = json!({ "spec": { "replicas": 9 }, "status": { "replicas": 4, "readyReplicas": 4 } });
    let patched = http.patch(&format!("{path}/status"), "merge-patch+json", &status).await.body;
    assert_eq!((&patched["spec"]["replicas"], &patched["status"]["readyReplicas"]), (&json!(5), &json!(4)));
    let ignored = http.patch(&path, "merge-patch+json", &json!({ "status": { "replicas": 7 } })).await.body;
    assert_eq!(ignored["status"]["replicas"], 4, "status is a subresource");

    let scale =
        http.patch(&format!("{path}/scale"), "merge-patch+json", &json!({ "spec": { "replicas": 2 } })).await.body;
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    assert_eq!(http.get(&path).await.body["spec"]["replicas"], 2);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_bare_pod_keeps_the_status_it_was_created_with() {
    let (sandbox, http) = sandbox().await;
    let mut described = pod("db-0");
    described["status"] = json!({ "podIP": "10.0.0.7", "conditions": [{ "type": "Ready", "status": "True" }] });
    assert_eq!(http.post(PODS, &described).await.body["status"]["podIP"], "10.0.0.7");
    described["status"]["podIP"] = json!("10.0.0.8");
    assert_eq!(http.put(&format!("{PODS}/db-0"), &described).await.body["status"]["podIP"], "10.0.0.8");
    let Some(fields) = described.as_object_mut() else { panic!("an object") };
    fields.remove("status");
    assert_eq!(http.put(&format!("{PODS}/db-0"), &described).await.body["status"]["podIP"], "10.0.0.8");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_deletion_waits_for_the_kubelet_and_finalizers_only() {
    let (sandbox, http) = sandbox().await;
    http.post(PODS, &pod("unbound")).await;
    assert_eq!(http.delete(&format!("{PODS}/unbound")).await.body["status"], "Success");
    assert_eq!(http.get(&format!("{PODS}/unbound")).await.code, StatusCode::NOT_FOUND);

    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = json!("node-1");
    http.post(PODS, &bound).await;
    let marked = http.delete(&format!("{PODS}/bound")).await.body;
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let gone = http.delete(&format!("{PODS}/bound?gracePeriodSeconds=0")).await.body;
    assert_eq!(gone["status"], "Success");

    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    http.post(CONFIG_MAPS, &held).await;
    assert!(http.delete(&format!("{CONFIG_MAPS}/held")).await.body["metadata"]["deletionTimestamp"].is_string());
    http.patch(&format!("{CONFIG_MAPS}/held"), "merge-patch+json", &json!({ "metadata": { "finalizers": null } }))
        .await;
    assert_eq!(http.get(&format!("{CONFIG_MAPS}/held")).await.code, StatusCode::NOT_FOUND);
    sandbox.shutdown().await;
}

#[tokio::test]
async fn dependents_are_orphaned_and_preconditions_checked() {
    let (sandbox, http) = sandbox().await;
    let owner = http.post(STATEFUL_SETS, &stateful_set("db")).await.body;
    let mut owned = pod("db-0");
    owned["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": owner["metadata"]["uid"], "controller": true,
    }]);
    http.post(PODS, &owned).await;
    let path = format!("{STATEFUL_SETS}/db");
    let body = json!({ "preconditions": { "uid": "another" } }).to_string();
    let other = http.with_body(&Method::DELETE, &path, "application/json", &body).await;
    assert_eq!(other.code, StatusCode::CONFLICT);
    assert_eq!(http.delete(&format!("{path}?propagationPolicy=Orphan")).await.body["status"], "Success");
    let orphan = http.get(&format!("{PODS}/db-0")).await.body;
    assert_eq!(orphan["metadata"].get("ownerReferences").and_then(|owners| owners.get(0)), None);
    let foreground = http.post(STATEFUL_SETS, &stateful_set("db")).await;
    assert_eq!(foreground.code, StatusCode::CREATED);
    let marked = http.delete(&format!("{path}?propagationPolicy=Foreground")).await.body;
    assert_eq!(marked["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    sandbox.shutdown().await;
}

#[tokio::test]
async fn deleting_a_namespace_deletes_its_objects() {
    // The namespace controller deletes them.
    let sandbox = Sandbox::start(Options::default()).await.expect("a free port");
    let http = Http::to(sandbox.address());
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "db" } });
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "team" } });
    http.post("/api/v1/namespaces", &namespace).await;
    http.post("/api/v1/namespaces/team/secrets", &secret).await;
    let mut held = config_map("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    http.post("/api/v1/namespaces/team/configmaps", &held).await;
    let mut watch = http.watch("/api/v1/namespaces/team?watch=true").await;
    let mut secrets = http.watch("/api/v1/namespaces/team/secrets?watch=true").await;
    assert_eq!(watch.change().await.0, "ADDED");
    assert_eq!(secrets.change().await.0, "ADDED");

    assert_eq!(http.delete("/api/v1/namespaces/team").await.body["status"]["phase"], "Terminating");
    assert_eq!(watch.change().await.0, "MODIFIED");
    assert_eq!(secrets.change().await, ("DELETED".to_owned(), "db".to_owned()));
    let rejected = http.post("/api/v1/namespaces/team/services", &service("late")).await;
    assert_eq!(rejected.code, StatusCode::FORBIDDEN);
    let release = json!({ "metadata": { "finalizers": null } });
    http.patch("/api/v1/namespaces/team/configmaps/held", "merge-patch+json", &release).await;
    assert_eq!(watch.change().await.0, "DELETED");
    sandbox.shutdown().await;
}

#[tokio::test]
async fn a_collection_is_deleted_by_selector() {
    let (sandbox, http) = sandbox().await;
    for name in ["a", "b"] {
        http.post(CONFIG_MAPS, &config_map(name)).await;
    }
    let deleted = http.delete(&format!("{CONFIG_MAPS}?labelSelector=app%3Da")).await.body;
    assert_eq!(names(&deleted), ["a"]);
    assert_eq!(names(&http.get(CONFIG_MAPS).await.body), ["b"]);
    sandbox.shutdown().await;
}
