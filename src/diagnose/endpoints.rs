//! A Service and its endpoints as data: the state of each, where it comes from, and why its name is absent.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::describe::summary;
use super::inspect::{EndpointState, Inspected, SliceEndpoint};
use crate::cluster::Pod;
use crate::dns::name::Label;
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords};
use crate::table::Table;

/// A Service as the index and the record table have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceState {
    /// What it is, in a sentence.
    pub summary: String,
    /// Why it has no names.
    pub why: Option<String>,
    /// Endpoints that are wanted, and Pods that have the Service as their subdomain without being endpoints of it.
    pub total: usize,
    /// Some of them, by name.
    pub endpoints: Vec<EndpointView>,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndpointView {
    /// The label of its name below that of the Service.
    pub name: String,
    /// Whether the name has records.
    pub resolves: bool,
    pub addresses: Vec<IpAddr>,
    pub state: EndpointState,
    /// Since when it is ready, or is not.
    pub since: Option<Timestamp>,
    /// The object that it comes from, for a person.
    pub source: String,
    /// Why the name is absent, or another one that it would have.
    pub why: Option<String>,
}

impl ServiceState {
    pub(super) fn new(inspected: &Inspected, table: &Table<'_>) -> Self {
        let known = Known::of(table, &inspected.key);
        let Inspected { pods, endpoints, others, .. } = inspected;
        let pod_views = pods.first.iter().chain(&others.first).map(|pod| known.pod(pod));
        let mut views: Vec<_> =
            pod_views.chain(endpoints.first.iter().map(|endpoint| known.endpoint(endpoint))).collect();
        // The order of ordinals, for the Pods of a StatefulSet.
        views.sort_by(|one, other| (one.name.len(), &one.name).cmp(&(other.name.len(), &other.name)));
        let why = known.reasons.and_then(Reasons::of_service).map(|reason| reason.to_string());
        Self { summary: summary(inspected), why, total: pods.total + endpoints.total + others.total, endpoints: views }
    }
}

/// What the table has of the Service.
struct Known<'t> {
    records: Option<&'t ServiceRecords>,
    reasons: Option<&'t Reasons>,
}

impl<'t> Known<'t> {
    fn of(table: &'t Table<'_>, key: &ServiceKey) -> Self {
        Self { records: table.service(key.as_wire()), reasons: table.reasons(key.as_wire()) }
    }

    fn pod(&self, pod: &Pod) -> EndpointView {
        let owner = pod.template.owner.as_ref().map(|(kind, name)| format!(" of {kind} {name}")).unwrap_or_default();
        let since = pod.ready_changed.and_then(|seconds| Timestamp::from_second(seconds.get().into()).ok());
        let state = EndpointState::of_pod(pod);
        EndpointView {
            since: since.filter(|_| matches!(state, EndpointState::Ready | EndpointState::NotReady)),
            state,
            source: format!("Pod {}{owner}", pod.name),
            ..self.view(pod.hostname(), &pod.name, pod.addresses().collect())
        }
    }

    fn endpoint(&self, SliceEndpoint { slice, endpoint }: &SliceEndpoint) -> EndpointView {
        EndpointView {
            state: if endpoint.ready { EndpointState::Ready } else { EndpointState::NotReady },
            source: format!("EndpointSlice {slice}"),
            ..self.view(endpoint.hostname.clone(), "", vec![endpoint.address])
        }
    }

    /// What follows from the names that an endpoint may have: its hostname, or its address.
    fn view(&self, hostname: Option<Label>, pod: &str, addresses: Vec<IpAddr>) -> EndpointView {
        let names = || hostname.iter().cloned().chain(addresses.iter().map(|address| Label::of_address(*address)));
        let has_records = |name: &Label| {
            let host = self.records.and_then(|records| records.hosts.get(name.as_wire()));
            host.is_some_and(|host| addresses.iter().any(|address| host.contains(*address)))
        };
        let named = names().find(has_records);
        // Reasons are a moment behind the records.
        let absent = hostname.as_ref().filter(|hostname| named.as_ref() != Some(*hostname));
        let why = self.reasons.and_then(|reasons| reasons.of_host(absent?.as_wire()));
        EndpointView {
            resolves: named.is_some(),
            name: named.or_else(|| names().next()).map_or_else(|| pod.to_owned(), |label| label.to_string()),
            addresses,
            state: EndpointState::NotReady,
            since: None,
            source: String::new(),
            why: why.map(|reason| reason.to_string()),
        }
    }
}
