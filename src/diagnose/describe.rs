//! Describes a Service and its endpoints for a person, and which objects they come from.

use std::fmt::Write;

use crate::cluster::{Endpoint, Pod, Service, ServiceSpec};
use crate::index::Index;
use crate::records::ServiceKey;

/// Endpoints that are listed. The one that was asked about is always among them.
const MAX_LISTED: usize = 12;

/// Describes a Service and its endpoints, the one called `host` first.
pub fn describe(index: &Index, key: &ServiceKey, host: Option<&str>) -> Vec<String> {
    let mut lines = Vec::new();
    let service = index.service(key);
    match service {
        Some(service) => {
            lines.push(format!("Service {key} {}", properties(index, service)));
            lines.extend(endpoint_lines(index, service, host));
        }
        None => lines.push(format!("Service {key} not found")),
    }
    let is_listed = |pod: &Pod| {
        service.is_some_and(|service| {
            index.is_served(service) && index.pods_authoritative_for(service) && pod.is_selected_by(&service.selector)
        })
    };
    let others: Vec<_> = index.pods_with_subdomain(key).filter(|pod| !is_listed(pod)).map(pod_line).collect();
    if !others.is_empty() {
        lines.push(format!("other Pods with this Service as their subdomain: {}", others.len()));
        lines.extend(shorten(others, host));
    }
    lines
}

fn properties(index: &Index, service: &Service) -> String {
    let mut text = match &service.spec {
        ServiceSpec::Headless => "is headless".to_owned(),
        ServiceSpec::ClusterIp(addresses) => {
            let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            format!("is not headless (cluster IPs [{}])", addresses.join(", "))
        }
        ServiceSpec::ExternalName(target) => format!("is an alias of {target} (ExternalName)"),
    };
    if !index.is_served(service) {
        text += ", is not served (this server serves headless Services only)";
    }
    if service.selector.is_empty() {
        text += ", has no selector";
    } else {
        let _ = write!(text, ", selects Pods with {}", service.selector);
    }
    if service.publish_not_ready {
        text += ", publishes endpoints that are not ready";
    } else if index.names_not_ready_endpoints(service) {
        text += ", names endpoints before they are ready";
    }
    text
}

fn endpoint_lines(index: &Index, service: &Service, host: Option<&str>) -> Vec<String> {
    let sources = index.endpoint_sources(service);
    let pods: Vec<_> = sources.pods().map(pod_line).collect();
    let slices = index.slices_of(&service.key).count();
    let endpoints: Vec<_> = sources.from_slices().iter().map(|(_, endpoint)| endpoint_line(endpoint)).collect();
    let mut lines = Vec::new();
    if !pods.is_empty() {
        lines.push(format!("endpoints from watched Pods: {}", pods.len()));
        lines.extend(shorten(pods, host));
    }
    lines.push(format!("endpoints from EndpointSlices alone: {} (slices: {slices})", endpoints.len()));
    lines.extend(shorten(endpoints, host));
    lines
}

/// A line about one endpoint.
struct EndpointLine {
    host: String,
    text: String,
}

fn pod_line(pod: &Pod) -> EndpointLine {
    let mut addresses: Vec<_> = pod.v4.iter().map(ToString::to_string).collect();
    addresses.extend(pod.v6.iter().map(ToString::to_string));
    let address = if addresses.is_empty() { "no IP".to_owned() } else { addresses.join(" ") };
    let state = match pod {
        Pod { is_finished: true, .. } => "terminated",
        Pod { is_terminating: true, .. } => "terminating",
        Pod { is_ready: true, .. } => "Ready",
        _ => "not Ready",
    };
    let owner = match &pod.template.owner {
        Some((kind, name)) => format!(", of {kind} {name}"),
        None => String::new(),
    };
    let subdomain = pod.template.subdomain.as_deref().unwrap_or("none");
    let host = pod.hostname().as_ref().map_or_else(|| pod.name.to_string(), ToString::to_string);
    EndpointLine { text: format!("{host}  {address}  {state}, subdomain {subdomain}{owner}"), host }
}

fn endpoint_line(endpoint: &Endpoint<'_>) -> EndpointLine {
    let host = endpoint.hostname.as_ref().map_or_else(|| "(no hostname)".to_owned(), ToString::to_string);
    let state = if endpoint.ready { "ready" } else { "not ready" };
    EndpointLine { text: format!("{host}  {}  {state}", endpoint.address), host }
}

/// The first lines in the order of their hosts, that of `host` before all, and how many are left out.
fn shorten(mut lines: Vec<EndpointLine>, host: Option<&str>) -> Vec<String> {
    lines.sort_by(|one, other| {
        (Some(one.host.as_str()) != host, &one.host).cmp(&(Some(other.host.as_str()) != host, &other.host))
    });
    let left_out = lines.len().saturating_sub(MAX_LISTED);
    let mut listed: Vec<_> = lines.into_iter().take(MAX_LISTED).map(|line| format!("  {}", line.text)).collect();
    if left_out > 0 {
        listed.push(format!("  and {left_out} more"));
    }
    listed
}
