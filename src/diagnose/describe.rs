//! Describes a Service and its endpoints for a person, and which objects they come from.

use std::fmt::Write;

use super::inspect::{EndpointState, Excerpt, Inspected, SliceEndpoint};
use crate::cluster::{Pod, PodSelection, Service, ServiceSpec};

/// Describes a Service and its endpoints, the one that was asked about first.
pub(super) fn describe(inspected: &Inspected) -> Vec<String> {
    let Inspected { others, .. } = inspected;
    let mut lines = vec![summary(inspected)];
    if let Some(service) = &inspected.service {
        lines.extend(endpoint_lines(inspected, service));
    }
    if others.total > 0 {
        let as_of = if inspected.pods_are_trusted { "" } else { " (as last seen: their watch is not up to date)" };
        lines.push(format!("other Pods with this Service as their subdomain: {}{as_of}", others.total));
        lines.extend(listed(others, pod_line));
    }
    lines
}

/// What the Service is, in a line.
pub(super) fn summary(inspected: &Inspected) -> String {
    let Inspected { key, options, .. } = inspected;
    match &inspected.service {
        Some(service) => format!("Service {key} {}", properties(inspected, service)),
        None if options.headless_only => format!("no headless Service {key} found (others are not watched)"),
        None => format!("Service {key} not found"),
    }
}

fn properties(inspected: &Inspected, service: &Service) -> String {
    let mut text = match &service.spec {
        ServiceSpec::Headless => "is headless".to_owned(),
        ServiceSpec::ClusterIp(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("is not headless (cluster IPs [{}])", addresses.join(", "))
        }
        ServiceSpec::ExternalName(target) => format!("is an alias of {target} (ExternalName)"),
    };
    if !inspected.is_served {
        text += ", is not served (this server serves headless Services only)";
    }
    if service.selector.is_empty() {
        text += ", has no selector";
    } else {
        let _ = write!(text, ", selects Pods with {}", service.selector);
    }
    if service.publish_not_ready {
        text += ", publishes endpoints that are not ready";
    } else if inspected.names_not_ready {
        text += ", names endpoints before they are ready";
    }
    if inspected.options.public_namespaces.is_some() {
        text += if inspected.is_public { ", is in the public view" } else { ", is not in the public view" };
    }
    text
}

fn endpoint_lines(inspected: &Inspected, service: &Service) -> Vec<String> {
    let Inspected { pods, endpoints, slices, .. } = inspected;
    let mut lines = Vec::new();
    if pods.total > 0 {
        lines.push(format!("endpoints from watched Pods: {}", pods.total));
        lines.extend(listed(pods, pod_line));
    }
    lines.push(format!("endpoints from EndpointSlices alone: {} (slices: {slices})", endpoints.total));
    lines.extend(listed(endpoints, endpoint_line));
    if service.spec == ServiceSpec::Headless && !service.selector.is_empty() {
        lines.extend(pods_left_out(inspected).map(str::to_owned));
    }
    lines
}

/// Which Pods a Service may select that are not known here.
fn pods_left_out(inspected: &Inspected) -> Option<&'static str> {
    match inspected.options.pods {
        PodSelection::Off => Some("Pods are not watched (pods = off)"),
        _ if !inspected.pods_are_trusted => Some("the watch of Pods is not up to date, and EndpointSlices count"),
        PodSelection::StatefulSets => Some("of Pods, only those of StatefulSets are watched"),
        PodSelection::All => None,
    }
}

fn pod_line(pod: &Pod) -> String {
    let addresses: Vec<_> = pod.addresses().map(|address| address.to_string()).collect();
    let address = if addresses.is_empty() { "no IP".to_owned() } else { addresses.join(" ") };
    let state = match EndpointState::of_pod(pod) {
        EndpointState::Terminated => "terminated",
        EndpointState::Terminating => "terminating",
        EndpointState::Ready => "Ready",
        EndpointState::NotReady => "not Ready",
    };
    let owner = match &pod.template.owner {
        Some((kind, name)) => format!(", of {kind} {name}"),
        None => String::new(),
    };
    let subdomain = pod.template.subdomain.as_deref().unwrap_or("none");
    let host = pod.hostname().as_ref().map_or_else(|| pod.name.to_string(), ToString::to_string);
    format!("{host}  {address}  {state}, subdomain {subdomain}{owner}")
}

fn endpoint_line(SliceEndpoint { endpoint, .. }: &SliceEndpoint) -> String {
    let host = endpoint.hostname.as_ref().map_or_else(|| "(no hostname)".to_owned(), ToString::to_string);
    let state = if endpoint.ready { "ready" } else { "not ready" };
    format!("{host}  {}  {state}", endpoint.address)
}

/// A line for each item that is kept, and how many are left out.
fn listed<T>(excerpt: &Excerpt<T>, line: impl Fn(&T) -> String) -> Vec<String> {
    let mut lines: Vec<_> = excerpt.first.iter().map(|item| format!("  {}", line(item))).collect();
    let left_out = excerpt.total.saturating_sub(excerpt.first.len());
    if left_out > 0 {
        lines.push(format!("  and {left_out} more"));
    }
    lines
}
