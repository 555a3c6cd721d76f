//! The Endpoints controller: the endpoints of a Service in one object, for clients from before EndpointSlices.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::store::Object;

use super::actions::{Action, Target};
use super::endpoint_slice::{HEADLESS_LABEL, PortGroup, desired, families, has_slices};
use super::types::Pod;
use super::workloads::Service;

/// Label of an Endpoints object with the controller that manages it, since Kubernetes 1.33.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");

/// The largest number of addresses in one object, as in the controller of Kubernetes, and the annotation of one that has been cut.
const CAPACITY: usize = 1000;
const OVER_CAPACITY: (&str, &str) = ("endpoints.kubernetes.io/over-capacity", "truncated");

/// The write of the Endpoints of a Service; None if it has no selector, so that somebody else writes them.
pub fn plan(service: &Service, pods: &[Arc<Pod>], present: Option<&Object>) -> Option<Action> {
    if service.metadata.is_terminating() || !has_slices(service) {
        return None;
    }
    let mut room = CAPACITY;
    let mut groups = desired(service, pods);
    let groups = families(service).first().and_then(|family| groups.remove(family)).unwrap_or_default();
    let wanted: usize = groups.iter().map(|group| group.endpoints.len()).sum();
    let subsets: Vec<Value> = groups.into_iter().filter_map(|group| subset(service, group, &mut room)).collect();

    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS_LABEL);
    if service.spec.is_headless() {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
    let mut endpoints = json!({
        "metadata": {"labels": labels},
        "subsets": if subsets.is_empty() { Value::Null } else { Value::Array(subsets) },
    });
    if wanted > CAPACITY {
        endpoints["metadata"]["annotations"] = json!({OVER_CAPACITY.0: OVER_CAPACITY.1});
    }
    if let Some(present) = present {
        return Some(Action::Replace(Target::of(Kind::Endpoints, present), endpoints));
    }
    endpoints["metadata"]["namespace"] = json!(service.metadata.namespace);
    endpoints["metadata"]["name"] = json!(service.metadata.name);
    Some(Action::Ensure(Kind::Endpoints, endpoints))
}

/// The endpoints with the same ports. A Pod that is being deleted is none, unless readiness does not count.
fn subset(service: &Service, group: PortGroup, room: &mut usize) -> Option<Value> {
    let mut endpoints: Vec<Value> = group.endpoints;
    endpoints
        .retain(|endpoint| endpoint["conditions"]["terminating"] != true || service.spec.publish_not_ready_addresses);
    endpoints.sort_by_key(|endpoint| endpoint["addresses"][0].as_str().and_then(|ip| ip.parse::<IpAddr>().ok()));
    let (ready, others): (Vec<_>, Vec<_>) =
        endpoints.iter().partition(|endpoint| endpoint["conditions"]["ready"] == true);
    let mut subset = json!({});
    for (field, endpoints) in [("addresses", ready), ("notReadyAddresses", others)] {
        let addresses: Vec<Value> = endpoints.into_iter().take(*room).map(address).collect();
        *room -= addresses.len();
        if !addresses.is_empty() {
            subset[field] = Value::Array(addresses);
        }
    }
    if subset.as_object().is_none_or(|fields| fields.is_empty()) {
        return None;
    }
    if !group.ports.is_empty() {
        subset["ports"] = group.ports.into_iter().map(port).collect();
    }
    Some(subset)
}

fn address(endpoint: &Value) -> Value {
    let mut address = json!({"ip": endpoint["addresses"][0]});
    for field in ["hostname", "nodeName", "targetRef"] {
        if let Some(value) = endpoint.get(field) {
            address[field] = value.clone();
        }
    }
    address
}

/// A port, whose name is left out if it is empty.
fn port(mut port: Value) -> Value {
    if port["name"] == "" {
        crate::fields::remove(&mut port, "name");
    }
    port
}

#[cfg(test)]
mod tests {
    use crate::controllers::testing::{object, stateful_pod};

    use super::*;

    fn planned(service: Value, pods: Vec<Pod>) -> Value {
        let pods: Vec<Arc<Pod>> = pods.into_iter().map(Arc::new).collect();
        match plan(&object(&service), &pods, None) {
            Some(Action::Ensure(Kind::Endpoints, endpoints)) => endpoints,
            other => panic!("{other:?}"),
        }
    }

    fn service(publish: bool) -> Value {
        json!({
            "metadata": {"namespace": "default", "name": "db", "labels": {"app": "db"}},
            "spec": {
                "clusterIP": "None", "selector": {"app": "db"}, "publishNotReadyAddresses": publish,
                "ports": [{"port": 5432}],
            },
        })
    }

    fn addresses(subset: &Value, field: &str) -> Vec<String> {
        let of = subset[field].as_array().into_iter().flatten();
        of.filter_map(|address| address["ip"].as_str().map(str::to_owned)).collect()
    }

    #[test]
    fn ready_addresses_others_and_those_that_go_are_told_apart() {
        let pods = || {
            vec![
                stateful_pod("db", 1).ip("10.0.0.11").ready().build(),
                stateful_pod("db", 0).ip("10.0.0.9").ready().build(),
                stateful_pod("db", 2).ip("10.0.0.12").running().build(),
                stateful_pod("db", 3).ip("10.0.0.13").ready().terminating().build(),
            ]
        };
        let endpoints = planned(service(false), pods());
        assert_eq!(endpoints["metadata"]["labels"][MANAGED_BY.0], MANAGED_BY.1);
        assert_eq!(endpoints["metadata"]["labels"][HEADLESS_LABEL], "");
        let subset = &endpoints["subsets"][0];
        assert_eq!(addresses(subset, "addresses"), ["10.0.0.9", "10.0.0.11"]);
        assert_eq!(addresses(subset, "notReadyAddresses"), ["10.0.0.12"]);
        assert_eq!(subset["ports"], json!([{"port": 5432, "protocol": "TCP"}]));

        let all = ["10.0.0.9", "10.0.0.11", "10.0.0.12", "10.0.0.13"];
        assert_eq!(addresses(&planned(service(true), pods())["subsets"][0], "addresses"), all);
        assert_eq!(planned(service(false), Vec::new())["subsets"], Value::Null);
    }

    #[test]
    fn a_service_without_a_selector_keeps_the_endpoints_that_somebody_else_writes() {
        let mut service = service(false);
        service["spec"]["selector"] = json!({});
        assert_eq!(plan(&object(&service), &[], None), None);
    }
}
