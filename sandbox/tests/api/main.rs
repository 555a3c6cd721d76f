//! The HTTP API of the sandbox: reads, writes, manifests and faults, as clients see them.

mod faults;
mod http_client;
mod manifests;
mod reads;
mod servers;
mod writes;

use http_client::{Http, soon};
use kube_sandbox::{Options, Sandbox, StartError};
use serde_json::{Value, json};

pub const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";
pub const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";

/// Options without controllers, so that objects stay as they are written.
pub fn options() -> Options {
    Options { controllers: None, ..Options::default() }
}

pub async fn sandbox() -> (Sandbox, Http) {
    let sandbox = Sandbox::start(options()).await.expect("a free port");
    let http = Http::to(sandbox.address());
    (sandbox, http)
}

pub fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": { "app": name } } })
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": "web" } },
        "spec": { "containers": [{ "name": "web", "image": "web:1" }] },
    })
}

pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "clusterIP": "None", "selector": { "app": "web" }, "ports": [{ "name": "http", "port": 80 }] },
    })
}

pub fn stateful_set(name: &str) -> Value {
    let labels = json!({ "app": "web" });
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": name },
        "spec": {
            "serviceName": name, "replicas": 3, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod(name)["spec"] },
        },
    })
}

pub fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().expect("a list").iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn a_port_in_use_and_an_address_other_than_loopback_are_rejected() {
    let (sandbox, _) = sandbox().await;
    let taken = Options { listen: sandbox.address(), ..options() };
    let error = Sandbox::start(taken).await.err().expect("the port is taken");
    assert!(error.to_string().contains("is the port in use?"), "{error}");
    let open = Options { listen: ([0, 0, 0, 0], 0).into(), ..options() };
    let error = Sandbox::start(open).await.err().expect("not on loopback");
    assert!(matches!(error, StartError::NotLoopback(_)), "{error}");
    soon(sandbox.shutdown()).await;
}
