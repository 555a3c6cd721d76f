//! What the index tells of a Service for a person. Collected by the task that owns the index, which has better things to do:
//! objects are shared or few, and nothing is formatted here.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::cluster::{Endpoint, Hostname, Pod, Service};
use crate::index::{Index, Options};
use crate::records::ServiceKey;

/// Endpoints that are listed, of each source. The one that was asked about is always among them.
pub(super) const MAX_LISTED: usize = 12;

/// A request to the task that owns the index: inspect a Service with [`inspect()`], and send what is found.
pub struct Inspection {
    pub service: ServiceKey,
    /// The endpoint that was asked about.
    pub host: Option<String>,
    pub reply: oneshot::Sender<Inspected>,
}

/// The capacity of the channel for inspections.
pub const INSPECTIONS: usize = 16;

/// A Service and its endpoints as the index has them.
#[derive(Debug)]
pub struct Inspected {
    pub(super) key: ServiceKey,
    pub(super) service: Option<Arc<Service>>,
    pub(super) options: Options,
    pub(super) is_served: bool,
    pub(super) names_not_ready: bool,
    pub(super) is_public: bool,
    /// Whether the watch of the Pods in its namespace is up to date.
    pub(super) pods_are_trusted: bool,
    /// The Pods that are endpoints themselves.
    pub(super) pods: Excerpt<Pod>,
    /// The endpoints that only slices show.
    pub(super) endpoints: Excerpt<Endpoint<'static>>,
    pub(super) slices: usize,
    /// Other Pods that have the Service as their subdomain.
    pub(super) others: Excerpt<Pod>,
}

/// The first of some items, and how many there are.
#[derive(Debug)]
pub(super) struct Excerpt<T> {
    pub first: Vec<T>,
    pub total: usize,
}

impl<T> Default for Excerpt<T> {
    fn default() -> Self {
        Self { first: Vec::new(), total: 0 }
    }
}

impl<T> Excerpt<T> {
    /// Keeps the wanted item before all others, and converts no more than are kept.
    fn of<I>(items: impl Iterator<Item = I>, is_wanted: impl Fn(&I) -> bool, keep: impl Fn(I) -> T) -> Self {
        let mut excerpt = Self::default();
        for item in items {
            excerpt.total += 1;
            if is_wanted(&item) {
                excerpt.first.insert(0, keep(item));
                excerpt.first.truncate(MAX_LISTED);
            } else if excerpt.first.len() < MAX_LISTED {
                excerpt.first.push(keep(item));
            }
        }
        excerpt
    }
}

/// What the index has of a Service, the endpoint called `host` first.
pub fn inspect(index: &Index, key: &ServiceKey, host: Option<&str>) -> Inspected {
    let service = index.service(key);
    let is_pod = |pod: &&Pod| host.is_some_and(|host| is_called(pod, host));
    let mut inspected = Inspected {
        key: key.clone(),
        service: service.cloned(),
        options: index.options().clone(),
        is_public: service.is_some_and(|service| index.is_public(service)),
        is_served: service.is_some_and(|service| index.is_served(service)),
        names_not_ready: service.is_some_and(|service| index.names_not_ready_endpoints(service)),
        pods_are_trusted: index.pods_are_trusted(key),
        pods: Excerpt::default(),
        endpoints: Excerpt::default(),
        slices: index.slices_of(key).count(),
        others: Excerpt::default(),
    };
    if let Some(service) = service {
        let sources = index.endpoint_sources(service);
        inspected.pods = Excerpt::of(sources.pods(), is_pod, Pod::clone);
        let is_endpoint =
            |endpoint: &&Endpoint<'_>| endpoint.hostname.as_ref().is_some_and(|label| Some(label.as_text()) == host);
        let endpoints = sources.from_slices().iter().map(|(_, endpoint)| endpoint);
        inspected.endpoints = Excerpt::of(endpoints, is_endpoint, |endpoint| Endpoint {
            pod: None,
            hostname: endpoint.hostname.clone(),
            ..*endpoint
        });
    }
    let is_listed = |pod: &Pod| {
        inspected.is_served
            && service.is_some_and(|it| index.pods_authoritative_for(it) && pod.is_selected_by(&it.selector))
    };
    inspected.others = Excerpt::of(index.pods_with_subdomain(key).filter(|pod| !is_listed(pod)), is_pod, Pod::clone);
    inspected
}

/// Whether this is the label of a Pod's name, in a Service that it has as its subdomain or not.
fn is_called(pod: &Pod, host: &str) -> bool {
    match &pod.template.hostname {
        Hostname::None | Hostname::Own => pod.name == host,
        Hostname::Other(label) => label.as_text() == host,
    }
}
