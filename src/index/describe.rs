//! A Service as a person would want it told: what it says, what its endpoints are, and who says so.

use std::fmt::Write;

use super::Index;
use crate::cluster::{Endpoint, Pod, Service, ServiceSpec};
use crate::records::ServiceKey;

/// Endpoints that are told one by one. The one that was asked about is told in any case.
const MOST_TOLD: usize = 12;

impl Index {
    /// Lines about a Service and its endpoints, the one called `host` first.
    pub fn describe(&self, key: &ServiceKey, host: Option<&str>) -> Vec<String> {
        let mut lines = Vec::new();
        match self.described.get(key) {
            Some(service) => {
                lines.push(format!("Service {key} is {}", self.what_it_is(service)));
                lines.extend(self.endpoint_lines(service, host));
            }
            None => lines.push(format!("there is no Service {key}")),
        }
        let naming = self.pods.naming(key);
        let naming: Vec<_> = naming.filter(|pod| !self.is_told(key, pod)).map(pod_line).collect();
        if !naming.is_empty() {
            lines.push(format!("other Pods that name it as their subdomain: {}", naming.len()));
            lines.extend(shortened(naming, host));
        }
        lines
    }

    fn what_it_is(&self, service: &Service) -> String {
        let mut text = match &service.spec {
            ServiceSpec::Headless => "headless".to_owned(),
            ServiceSpec::ClusterIp(addresses) => {
                let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
                format!("no headless one, its cluster IPs are [{}]", addresses.join(", "))
            }
            ServiceSpec::ExternalName(target) => format!("an alias of {target}"),
        };
        if self.service(&service.key).is_none() {
            text += ", and this server has headless Services only";
        }
        if service.selector.is_empty() {
            text += ", has no selector";
        } else {
            let _ = write!(text, ", selects Pods with {}", service.selector);
        }
        if service.publish_not_ready {
            text += ", publishes endpoints that are not ready";
        } else if self.has_not_ready_ordinals(service) {
            text += ", names endpoints before they are ready";
        }
        text
    }

    fn endpoint_lines(&self, service: &Service, host: Option<&str>) -> Vec<String> {
        let pods: Vec<_> = self.selected(service).map(pod_line).collect();
        let slices = self.slices(&service.key).count();
        let endpoints: Vec<_> = self.endpoints(service).map(endpoint_line).collect();
        let mut lines = Vec::new();
        if !pods.is_empty() {
            lines.push(format!("Pods of it that speak for themselves: {}", pods.len()));
            lines.extend(shortened(pods, host));
        }
        lines.push(format!("endpoints that EndpointSlices alone tell of: {} (slices: {slices})", endpoints.len()));
        lines.extend(shortened(endpoints, host));
        lines
    }

    /// Whether a Pod is one of the endpoints of the Service that are told.
    fn is_told(&self, key: &ServiceKey, pod: &Pod) -> bool {
        self.service(key).is_some_and(|service| self.pods.speak_for(service) && pod.is_selected_by(&service.selector))
    }
}

/// A line with what it is about.
type Line = (String, String);

fn pod_line(pod: &Pod) -> Line {
    let mut addresses: Vec<_> = pod.v4.iter().map(ToString::to_string).collect();
    addresses.extend(pod.v6.iter().map(ToString::to_string));
    let address = if addresses.is_empty() { "no IP".to_owned() } else { addresses.join(" ") };
    let state = match pod {
        Pod { is_finished: true, .. } => "finished",
        Pod { is_terminating: true, .. } => "terminating",
        Pod { is_ready: true, .. } => "Ready",
        _ => "not Ready",
    };
    let owner = match &pod.template.owner {
        Some((kind, name)) => format!(", of {kind} {name}"),
        None => String::new(),
    };
    let subdomain = pod.template.subdomain.as_deref().unwrap_or("none");
    let name = pod.hostname().as_ref().map_or_else(|| pod.name.to_string(), ToString::to_string);
    (name.clone(), format!("{name}  {address}  {state}, subdomain {subdomain}{owner}"))
}

fn endpoint_line(endpoint: Endpoint) -> Line {
    let name = endpoint.hostname.as_ref().map_or_else(|| "without hostname".to_owned(), ToString::to_string);
    let state = if endpoint.ready { "ready" } else { "not ready" };
    (name.clone(), format!("{name}  {}  {state}", endpoint.address))
}

/// The first lines in the order of what they are about, that of `host` before them, and how many are left out.
fn shortened(mut lines: Vec<Line>, host: Option<&str>) -> Vec<String> {
    lines.sort_by_key(|(name, _)| (Some(name.as_str()) != host, name.clone()));
    let left_out = lines.len().saturating_sub(MOST_TOLD);
    let mut told: Vec<_> = lines.into_iter().take(MOST_TOLD).map(|(_, line)| format!("  {line}")).collect();
    if left_out > 0 {
        told.push(format!("  and {left_out} more"));
    }
    told
}
