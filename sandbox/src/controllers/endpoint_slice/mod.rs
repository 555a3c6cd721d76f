//! The EndpointSlice controller: computes the endpoints of a Service and distributes them to slices.
//!
//! ```text
//! Service, its Pods ──desired──▶ endpoints by family and ports ──pack (with existing slices)──▶ slices to write
//! ```
//!
//! Slices without the controller's label are never changed. Services without a selector are ignored.

mod pack;
mod trigger_times;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::controllers::actions::{Action, Target};
use crate::controllers::pod_template::controller_reference;
use crate::controllers::service::family_of;
use crate::controllers::types::{IntOrString, Pod};
use crate::controllers::workloads::{Service, ServicePort};
use crate::controllers::world::SERVICE_NAME_LABEL;
use crate::kind::Kind;
use crate::store::Object;
use crate::{deletion, fields};

pub use pack::PortGroup;
pub use trigger_times::TriggerTimes;

/// Label of a slice with the controller that manages it.
pub const MANAGED_BY_LABEL: &str = "endpointslice.kubernetes.io/managed-by";

/// The EndpointSlice controller's value of [`MANAGED_BY_LABEL`].
pub const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Label of the slices of headless Services.
pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// Annotation with the time of the change that caused the write.
const TRIGGER_TIME_ANNOTATION: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The API's default of `protocol`.
const DEFAULT_PROTOCOL: &str = "TCP";

/// The state that a decision about the slices of one Service depends on.
pub struct Observed<'a> {
    pub service: &'a Service,
    /// The Pods that the Service selects.
    pub pods: &'a [Arc<Pod>],
    /// All slices of the Service.
    pub slices: &'a [Object],
    /// The time of the earliest change that is not in the slices yet.
    pub trigger_time: Option<&'a str>,
    pub max_endpoints: usize,
}

/// The actions for the slices of a Service.
pub fn plan(observed: &Observed<'_>) -> Vec<Action> {
    let service = observed.service;
    if service.metadata.is_terminating() || !has_slices(service) {
        return Vec::new();
    }
    let desired = desired(service, observed.pods);
    let (present, orphaned) = managed_slices(service, observed.slices);
    let mut actions: Vec<Action> =
        orphaned.iter().map(|slice| Action::Delete(Target::of(Kind::EndpointSlice, slice))).collect();
    for slice in &present {
        if !desired.contains_key(slice["addressType"].as_str().unwrap_or_default()) {
            actions.push(Action::Delete(Target::of(Kind::EndpointSlice, slice)));
        }
    }
    let labels = labels(service);
    for (family, by_ports) in desired {
        let of_family: Vec<&Object> = present.iter().filter(|slice| slice["addressType"] == family).copied().collect();
        let changes = pack::pack(&of_family, by_ports, &labels, observed.max_endpoints);
        actions.extend(changes.delete.iter().map(|slice| Action::Delete(Target::of(Kind::EndpointSlice, slice))));
        for (slice, content) in changes.update {
            let wanted = slice_object(observed, family, &labels, content);
            actions.push(Action::Replace(Target::of(Kind::EndpointSlice, slice), wanted));
        }
        for content in changes.create {
            let mut slice = slice_object(observed, family, &labels, content);
            slice["metadata"]["namespace"] = json!(service.metadata.namespace);
            slice["metadata"]["generateName"] = json!(format!("{}-", service.metadata.name));
            slice["metadata"]["ownerReferences"] = json!([controller_reference(Kind::Service, &service.metadata)]);
            actions.push(Action::Create(Kind::EndpointSlice, slice));
        }
    }
    actions
}

/// Whether this controller manages slices of the Service.
pub fn has_slices(service: &Service) -> bool {
    !service.spec.selector.is_empty() && !service.spec.is_external_name()
}

/// The endpoints of a Service by address family, and then by ports, as Pods may have different numbers for a named port.
pub fn desired(service: &Service, pods: &[Arc<Pod>]) -> BTreeMap<&'static str, Vec<PortGroup>> {
    let mut desired: BTreeMap<&'static str, Vec<PortGroup>> =
        families(service).into_iter().map(|family| (family, Vec::new())).collect();
    for pod in pods.iter().filter(|pod| !pod.is_finished()) {
        let ports: Vec<Value> = service.spec.ports.iter().filter_map(|port| endpoint_port(port, pod)).collect();
        for (family, groups) in &mut desired {
            let Some(address) = address_of(pod, family) else { continue };
            let endpoint = endpoint(service, pod, address);
            match groups.iter_mut().find(|group| group.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(PortGroup { ports: ports.clone(), endpoints: vec![endpoint] }),
            }
        }
    }
    desired
}

fn endpoint(service: &Service, pod: &Pod, address: &str) -> Value {
    let serving = pod.is_ready();
    let terminating = pod.metadata.is_terminating();
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let mut endpoint = json!({
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
        "targetRef": {
            "kind": Kind::Pod.name(),
            "namespace": pod.metadata.namespace,
            "name": pod.metadata.name,
            "uid": pod.metadata.uid,
        },
    });
    if let Some(node) = pod.spec.node_name.as_deref().filter(|node| !node.is_empty()) {
        endpoint["nodeName"] = json!(node);
    }
    // The hostname is set only if the Pod's subdomain is the name of the Service, as another Service with the same Pods must
    // not publish their names.
    if let Some(hostname) = pod.spec.hostname.as_deref().filter(|hostname| !hostname.is_empty())
        && pod.spec.subdomain.as_deref() == Some(&service.metadata.name)
    {
        endpoint["hostname"] = json!(hostname);
    }
    endpoint
}

/// A port of the Service with the Pod's number; None if the Pod has no port with the name in `targetPort`.
fn endpoint_port(port: &ServicePort, pod: &Pod) -> Option<Value> {
    let protocol = port.protocol.as_deref().unwrap_or(DEFAULT_PROTOCOL);
    let number = match &port.target_port {
        None => i64::from(port.port),
        // Zero is the Go value of an unset `targetPort`, which means the port itself.
        Some(IntOrString::Int(0)) => i64::from(port.port),
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => i64::from(named_port(pod, name, protocol)?),
    };
    let mut endpoint_port = json!({"name": port.name.as_deref().unwrap_or(""), "port": number, "protocol": protocol});
    if let Some(app_protocol) = &port.app_protocol {
        endpoint_port["appProtocol"] = json!(app_protocol);
    }
    Some(endpoint_port)
}

fn named_port(pod: &Pod, name: &str, protocol: &str) -> Option<u16> {
    let sidecars = pod.spec.init_containers.iter().filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let mut ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    let port = ports.find(|port| {
        port.name.as_deref() == Some(name) && port.protocol.as_deref().unwrap_or(DEFAULT_PROTOCOL) == protocol
    })?;
    Some(port.container_port)
}

fn address_of<'a>(pod: &'a Pod, family: &str) -> Option<&'a str> {
    pod.addresses().find(|address| address.parse::<IpAddr>().is_ok_and(|address| family_of(address) == family))
}

/// The address families of the Service's slices.
pub fn families(service: &Service) -> Vec<&'static str> {
    let named = service.spec.ip_families.iter();
    let mut families: Vec<&'static str> = named.map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" }).collect();
    if families.is_empty() {
        let own = service.spec.cluster_ip.as_deref().and_then(|address| address.parse().ok());
        families.push(own.map_or("IPv4", family_of));
    }
    families
}

/// The slices that this controller manages: those of this Service, and those of a deleted one with the same name.
fn managed_slices<'a>(service: &Service, slices: &'a [Object]) -> (Vec<&'a Object>, Vec<&'a Object>) {
    let managed = slices
        .iter()
        .filter(|slice| slice["metadata"]["labels"][MANAGED_BY_LABEL] == MANAGER && !deletion::is_terminating(slice));
    managed.partition(|slice| {
        let owners = fields::list(&slice["metadata"]["ownerReferences"]);
        owners.iter().any(|owner| owner["uid"] == service.metadata.uid.as_str())
    })
}

/// The labels of the slices: those of the Service, and the controller's.
fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS_LABEL);
    if service.spec.is_headless() {
        labels.insert(HEADLESS_LABEL.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME_LABEL.to_owned(), service.metadata.name.clone());
    labels.insert(MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned());
    labels
}

/// A slice with this content, without its identity. A real API server returns null for an empty list.
fn slice_object(observed: &Observed<'_>, family: &str, labels: &BTreeMap<String, String>, content: PortGroup) -> Value {
    let list = |items: Vec<Value>| if items.is_empty() { Value::Null } else { Value::Array(items) };
    let mut slice = json!({
        "metadata": {"labels": labels},
        "addressType": family,
        "endpoints": list(content.endpoints),
        "ports": list(content.ports),
    });
    if let Some(time) = observed.trigger_time {
        slice["metadata"]["annotations"] = json!({TRIGGER_TIME_ANNOTATION: time});
    }
    slice
}

#[cfg(test)]
mod tests;
