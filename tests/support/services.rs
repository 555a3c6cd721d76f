//! Services and their slices as the tests of misbehaving API servers have them.

use kube_sandbox::Sandbox;
use kube_sandbox::kind::Kind;
use serde_json::{Value, json};

/// Makes the headless Service `db/NAME` have these endpoints, `NAME-0` and so on.
pub fn put(sandbox: &Sandbox, name: &str, endpoints: &[u8]) {
    for (kind, object) in [(Kind::Service, service(name)), (Kind::EndpointSlice, slice(name, endpoints))] {
        let store = sandbox.store();
        let stored =
            if store.get(kind, "db", name).is_some() { store.update(kind, object) } else { store.create(kind, object) };
        stored.expect("a valid object");
    }
}

pub fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "db", "name": name },
        "spec": { "clusterIP": "None", "ports": [{ "name": "sql", "port": 5432 }] },
    })
}

/// A slice with the endpoints `NAME-0` at 10.0.0.`endpoints[0]` and so on.
pub fn slice(name: &str, endpoints: &[u8]) -> Value {
    let endpoint =
        |(i, last): (usize, &u8)| json!({ "addresses": [format!("10.0.0.{last}")], "hostname": format!("{name}-{i}") });
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "namespace": "db", "name": name, "labels": { "kubernetes.io/service-name": name } },
        "addressType": "IPv4",
        "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
        "endpoints": endpoints.iter().enumerate().map(endpoint).collect::<Vec<_>>(),
    })
}
