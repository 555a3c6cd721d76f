//! What every cluster has from the start: its namespaces and, where controllers run, its nodes and the Service of its API.

use serde_json::{Value, json};

use crate::admit::FieldValidation;
use crate::controllers;
use crate::kind::Kind;
use crate::status::ApiError;
use crate::store::Store;
use crate::time;

use super::discovery;
use super::write::{Writer, store_error};

const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// The name of the Service of the API, in the namespace `default`.
const API: &str = "kubernetes";

/// The port of its Service.
const API_PORT: u16 = 443;

/// The port of an API server that is no option of anybody's.
const SECURE_PORT: u16 = 6443;

/// Creates the initial namespaces, and with controllers the nodes and the Service `default/kubernetes`.
///
/// # Errors
/// None in an empty store.
pub fn create_initial_objects(store: &Store, controllers: Option<&controllers::Options>) -> Result<(), ApiError> {
    let writer = Writer { store, validation: FieldValidation::Strict, dry_run: false };
    for name in NAMESPACES {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        writer.create(Kind::Namespace, "", namespace)?;
    }
    let Some(options) = controllers else { return Ok(()) };
    for (index, name) in options.nodes.iter().enumerate() {
        // Past admission, which takes the status off.
        let node = node(name, index, options);
        store.create(Kind::Node, node).map_err(|error| store_error(Kind::Node, name, &error))?;
    }
    for (kind, object) in service_of_api(options) {
        writer.create(kind, NAMESPACES[0], object)?;
    }
    Ok(())
}

fn node(name: &str, index: usize, options: &controllers::Options) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let now = time::now();
    let internal = options.addresses_of_node(index).map(|ip| json!({ "type": "InternalIP", "address": ip }));
    let addresses: Vec<Value> = internal.chain([json!({ "type": "Hostname", "address": name })]).collect();
    // What a Pod asks for is not counted.
    let resources = json!({ "cpu": "8", "memory": "16Gi", "pods": "110" });
    json!({
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture,
            },
        },
        "spec": {},
        "status": {
            "addresses": addresses,
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{
                "type": "Ready",
                "status": "True",
                "reason": "KubeletReady",
                "message": "a node of the sandbox, which runs no containers",
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }],
            "nodeInfo": {
                "architecture": architecture,
                "operatingSystem": "linux",
                "osImage": "kube-sandbox",
                "kernelVersion": "",
                "containerRuntimeVersion": "none",
                "kubeletVersion": discovery::git_version(),
                "kubeProxyVersion": "",
                "bootID": "",
                "machineID": "",
                "systemUUID": "",
            },
        },
    })
}

/// The Service of the API with its endpoint, as `pkg/controlplane` of Kubernetes has them: its cluster IP is the first of the
/// range, and it has no selector. An API server never publishes a loopback address, so that its endpoint is an address of the
/// nodes' network; nothing listens there.
fn service_of_api(options: &controllers::Options) -> [(Kind, Value); 3] {
    let ip = options.address_of_api();
    let port = json!({ "name": "https", "port": SECURE_PORT, "protocol": "TCP" });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": API, "labels": { "component": "apiserver", "provider": "kubernetes" } },
        "spec": {
            "clusterIP": options.service_cidr.nth(0),
            "ipFamilyPolicy": "SingleStack",
            "ports": [{ "name": "https", "port": API_PORT, "protocol": "TCP", "targetPort": SECURE_PORT }],
        },
    });
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": { "name": API, "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" } },
        "subsets": [{ "addresses": [{ "ip": ip }], "ports": [port] }],
    });
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": API, "labels": { "kubernetes.io/service-name": API } },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [ip], "conditions": { "ready": true } }],
        "ports": [port],
    });
    [(Kind::Service, service), (Kind::Endpoints, endpoints), (Kind::EndpointSlice, slice)]
}
