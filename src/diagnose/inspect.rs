//! What the index tells of a Service for a person. Collected by the task that owns the index, which has better things to do:
//! objects are shared or few, and nothing is formatted here.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::cluster::{Endpoint, Hostname, Pod, Service, Slice};
use crate::dns::name::Label;
use crate::index::{Index, Options};
use crate::records::ServiceKey;

/// A request to the task that owns the index: inspect a Service with [`inspect()`], and send what is found.
pub struct Inspection {
    pub service: ServiceKey,
    pub wanted: Wanted,
    pub reply: oneshot::Sender<Inspected>,
}

/// Which endpoints are looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The one that was asked about: before all others.
    pub host: Option<String>,
    /// Those whose name or address contains this text: all, if it is empty.
    pub containing: String,
    /// How many are listed, of each source.
    pub most: usize,
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
    pub(super) endpoints: Excerpt<SliceEndpoint>,
    pub(super) slices: usize,
    /// Other Pods that have the Service as their subdomain.
    pub(super) others: Excerpt<Pod>,
}

/// An endpoint that only slices show.
#[derive(Clone, Debug)]
pub(super) struct SliceEndpoint {
    /// The name of its slice.
    pub slice: SmolStr,
    pub endpoint: Endpoint<'static>,
}

/// The state of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointState {
    Ready,
    NotReady,
    /// It has been deleted and is shutting down.
    Terminating,
    /// It will not run again.
    Terminated,
}

impl EndpointState {
    pub(super) fn of_pod(pod: &Pod) -> Self {
        match pod {
            Pod { is_finished: true, .. } => Self::Terminated,
            Pod { is_terminating: true, .. } => Self::Terminating,
            Pod { is_ready: true, .. } => Self::Ready,
            _ => Self::NotReady,
        }
    }
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
    /// Keeps what was asked about before all others, and converts no more than are kept.
    fn of<I>(
        items: impl Iterator<Item = I>,
        most: usize,
        is_asked_about: impl Fn(&I) -> bool,
        keep: impl Fn(I) -> T,
    ) -> Self {
        let mut excerpt = Self::default();
        for item in items {
            excerpt.total += 1;
            if is_asked_about(&item) {
                excerpt.first.insert(0, keep(item));
                excerpt.first.truncate(most);
            } else if excerpt.first.len() < most {
                excerpt.first.push(keep(item));
            }
        }
        excerpt
    }
}

/// What the index has of a Service and of the endpoints that are wanted.
pub fn inspect(index: &Index, key: &ServiceKey, wanted: &Wanted) -> Inspected {
    let service = index.service(key);
    let host = wanted.host.as_deref();
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
    let has_text = |pod: &&Pod| wanted.is_pod(pod);
    if let Some(service) = service {
        let sources = index.endpoint_sources(service);
        inspected.pods = Excerpt::of(sources.pods().filter(has_text), wanted.most, is_pod, Pod::clone);
        let endpoints = sources.from_slices().iter().filter(|(_, endpoint)| wanted.is_endpoint(endpoint));
        let is_endpoint = |(_, endpoint): &&(&Slice, Endpoint<'_>)| {
            endpoint.hostname.as_ref().is_some_and(|label| Some(label.as_text()) == host)
        };
        inspected.endpoints = Excerpt::of(endpoints, wanted.most, is_endpoint, |(slice, endpoint)| SliceEndpoint {
            slice: slice.object.name.clone(),
            endpoint: Endpoint { pod: None, hostname: endpoint.hostname.clone(), ..*endpoint },
        });
    }
    let is_listed = |pod: &Pod| {
        inspected.is_served
            && service.is_some_and(|it| index.pods_authoritative_for(it) && pod.is_selected_by(&it.selector))
    };
    let others = index.pods_with_subdomain(key).filter(|pod| !is_listed(pod)).filter(has_text);
    inspected.others = Excerpt::of(others, wanted.most, is_pod, Pod::clone);
    inspected
}

impl Wanted {
    fn is_pod(&self, pod: &Pod) -> bool {
        let has_name = || pod.name.contains(&self.containing) || self.is_hostname(pod.hostname().as_ref());
        self.has_text(has_name, || pod.addresses())
    }

    fn is_endpoint(&self, endpoint: &Endpoint<'_>) -> bool {
        let is_pod = |name: &str| name.contains(&self.containing);
        let has_name = || {
            self.is_hostname(endpoint.hostname.as_ref()) || endpoint.pod.as_ref().is_some_and(|pod| is_pod(&pod.name))
        };
        self.has_text(has_name, || Some(endpoint.address).into_iter())
    }

    fn is_hostname(&self, hostname: Option<&Label>) -> bool {
        hostname.is_some_and(|label| label.as_text().contains(&self.containing))
    }

    fn has_text<I: Iterator<Item = IpAddr>>(&self, has_name: impl Fn() -> bool, addresses: impl Fn() -> I) -> bool {
        self.containing.is_empty()
            || has_name()
            || addresses().any(|address| address.to_string().contains(&self.containing))
    }
}

/// Whether this is the label of a Pod's name, in a Service that it has as its subdomain or not.
fn is_called(pod: &Pod, host: &str) -> bool {
    match &pod.template.hostname {
        Hostname::None | Hostname::Own => pod.name == host,
        Hostname::Other(label) => label.as_text() == host,
    }
}
