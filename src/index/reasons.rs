//! Why names are absent: what keeps the Pods and endpoints of one Service from having theirs. Pure.

use std::collections::{BTreeMap, HashSet};

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::Index;
use crate::cluster::{Endpoint, Pod, Service, ServiceSpec};
use crate::dns::name::Label;
use crate::records::ServiceKey;
use crate::records::reasons::{HostReason, Reasons, ServiceReason, Why, Workload};

impl Index {
    /// What is known of why names of a Service are absent; none if nothing is.
    pub(super) fn reasons_of(&self, key: &ServiceKey) -> Option<Reasons> {
        let naming: Vec<&Pod> = self.pods.naming(key).collect();
        let reasons = match self.service(key) {
            Some(service) => self.reasons_beside(service, &naming),
            None => {
                let service = naming.first().map(|pod| ServiceReason::Wanted(workload(pod)));
                Reasons { key: key.clone(), service, hosts: BTreeMap::new() }
            }
        };
        (!reasons.is_empty()).then_some(reasons)
    }

    /// Those of a Service that there is.
    fn reasons_beside(&self, service: &Service, naming: &[&Pod]) -> Reasons {
        let is_published =
            |is_named: bool| service.publish_not_ready || (is_named && self.has_not_ready_ordinals(service));
        let mut seen = Seen::default();
        for pod in self.selected(service) {
            let why = why_absent(service, pod).filter(|why| {
                let waits = matches!(why, Why::NotReady(_) | Why::Terminating);
                !(waits && is_published(pod.has_hostname()))
            });
            seen.add(pod.hostname(), why.map(|why| HostReason { pod: Some(pod.name.as_str().into()), why }));
        }
        for Endpoint { hostname, ready, .. } in self.endpoints(service) {
            let is_absent = !ready && !is_published(hostname.is_some());
            seen.add(hostname, is_absent.then_some(HostReason { pod: None, why: Why::NotReady(None) }));
        }
        let endpoints = seen.endpoints;
        if self.pods.speak_for(service) {
            for pod in naming.iter().filter(|pod| !pod.is_selected_by(&service.selector)) {
                let reason = HostReason { pod: Some(pod.name.as_str().into()), why: Why::NotSelected };
                seen.add(pod.hostname(), Some(reason));
            }
        }
        let why = match &service.spec {
            ServiceSpec::ExternalName(_) => None,
            ServiceSpec::ClusterIp(addresses) => addresses.is_empty().then_some(ServiceReason::NoClusterIp),
            ServiceSpec::Headless if seen.is_anything_there => None,
            ServiceSpec::Headless if endpoints > 0 => Some(ServiceReason::NoneReady(endpoints)),
            ServiceSpec::Headless if service.selector.is_empty() => Some(ServiceReason::NoEndpoints),
            ServiceSpec::Headless => Some(ServiceReason::SelectsNothing(service.selector.to_string().into())),
        };
        Reasons { key: service.key.clone(), service: why, hosts: seen.absent() }
    }
}

/// Endpoints that have been looked at.
#[derive(Default)]
struct Seen {
    endpoints: usize,
    is_anything_there: bool,
    there: HashSet<Label, RandomState>,
    absent: Vec<(Label, HostReason)>,
}

impl Seen {
    fn add(&mut self, hostname: Option<Label>, reason: Option<HostReason>) {
        self.endpoints += 1;
        match (hostname, reason) {
            (Some(hostname), Some(reason)) => self.absent.push((hostname, reason)),
            (None, Some(_)) => {}
            (hostname, None) => {
                self.is_anything_there = true;
                self.there.extend(hostname);
            }
        }
    }

    /// Why those hostnames are absent that no other endpoint has, in their order. Of several reasons the first counts.
    fn absent(mut self) -> BTreeMap<Label, HostReason> {
        self.absent.retain(|(label, _)| !self.there.contains(label));
        self.absent.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.absent.dedup_by(|later, first| later.0 == first.0);
        self.absent.into_iter().collect()
    }
}

/// Why a selected Pod has no name below the Service; what would come first if several things were wrong.
fn why_absent(service: &Service, pod: &Pod) -> Option<Why> {
    let subdomain = pod.template.subdomain.as_deref();
    if pod.is_finished {
        Some(Why::Finished)
    } else if pod.has_hostname() && subdomain != Some(&*service.object.name) {
        Some(Why::Subdomain(subdomain.map(Into::into)))
    } else if !pod.has_address() {
        Some(Why::NoAddress)
    } else if pod.is_terminating {
        Some(Why::Terminating)
    } else if !pod.is_ready {
        let since = pod.ready_changed.and_then(|seconds| Timestamp::from_second(seconds.get().into()).ok());
        Some(Why::NotReady(since))
    } else {
        None
    }
}

fn workload(pod: &Pod) -> Workload {
    match &pod.template.owner {
        Some((kind, name)) => Workload::Controller(kind.as_str().into(), name.as_str().into()),
        None => Workload::Pod(pod.name.as_str().into()),
    }
}
