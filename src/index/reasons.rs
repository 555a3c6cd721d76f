//! Determines why names of a Service are absent. Pure.
//!
//! A reason claims nothing of objects that are not watched (rule T8): which ones are depends on the options, and Pods count only
//! while they are trusted.

use std::collections::{BTreeMap, HashSet};

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::Index;
use crate::cluster::{Endpoint, Pod, PodSelection, Service, ServiceSpec};
use crate::dns::name::Label;
use crate::records::ServiceKey;
use crate::records::reasons::{
    Family, HostReason, KnownPods, KnownServices, Problem, Reasons, ServiceReason, WantedBy,
};

impl Index {
    /// Why names of a Service are absent; none if no reason is known.
    pub(super) fn reasons(&self, key: &ServiceKey) -> Option<Reasons> {
        let pods_with_subdomain: Vec<&Pod> =
            self.pods_with_subdomain(key).filter(|pod| self.pods.are_trusted(pod.namespace())).collect();
        let without_hosts = |service| Reasons { key: key.clone(), service, hosts: BTreeMap::new() };
        let reasons = match self.service(key) {
            Some(service) if self.is_served(service) => self.reasons_of_service(service, &pods_with_subdomain),
            Some(_) => without_hosts(Some(ServiceReason::NotHeadless)),
            // Which Pod is named does not depend on the order in which they came.
            None => {
                without_hosts(pods_with_subdomain.iter().min_by_key(|pod| (pod.name.len(), &pod.name)).map(|pod| {
                    let kinds = if self.options.headless_only { KnownServices::Headless } else { KnownServices::All };
                    ServiceReason::Missing { wanted_by: wanted_by(pod), kinds }
                }))
            }
        };
        (!reasons.is_empty()).then_some(reasons)
    }

    /// The reasons of a Service that exists.
    fn reasons_of_service(&self, service: &Service, pods_with_subdomain: &[&Pod]) -> Reasons {
        if let ServiceSpec::ExternalName(_) = service.spec {
            // Nothing is below an alias, whatever its slices list.
            return Reasons { key: service.key.clone(), service: None, hosts: BTreeMap::new() };
        }
        let may_be_not_ready =
            |has_hostname: bool| service.publish_not_ready || (has_hostname && self.names_not_ready_endpoints(service));
        let mut survey = Survey::default();
        let sources = self.endpoint_sources(service);
        for pod in sources.pods() {
            let subdomain = wrong_subdomain(service, pod);
            let problem = problem_of(service, pod);
            let is_about_readiness = matches!(problem, Some(Problem::NotReady(_) | Problem::Terminating));
            survey.add_endpoint(problem.is_none() || (is_about_readiness && service.publish_not_ready));
            let is_named = is_about_readiness && may_be_not_ready(pod.has_hostname() && subdomain.is_none());
            // Below another Service it has no hostname, whatever becomes of it. It may have other records there.
            let of_name = if pod.is_finished { problem } else { subdomain.or(problem.filter(|_| !is_named)) };
            survey.add_name(pod.hostname(), of_name.map(|problem| HostReason::of_pod(&pod.name, problem)));
        }
        for (_, Endpoint { hostname, ready, .. }) in sources.from_slices() {
            survey.add_endpoint(*ready || service.publish_not_ready);
            let is_absent = !ready && !may_be_not_ready(hostname.is_some());
            let reason = HostReason { pod: None, problem: Problem::NotReady(None) };
            survey.add_name(hostname.clone(), is_absent.then_some(reason));
        }
        if self.pods_authoritative_for(service) {
            for pod in pods_with_subdomain.iter().filter(|pod| !pod.is_selected_by(&service.selector)) {
                survey.add_name(pod.hostname(), Some(HostReason::of_pod(&pod.name, Problem::NotSelected)));
            }
        }
        let endpoints = survey.endpoints;
        let reason = match &service.spec {
            ServiceSpec::ExternalName(_) => None,
            ServiceSpec::ClusterIp(addresses) => addresses.is_empty().then_some(ServiceReason::NoClusterIp),
            ServiceSpec::Headless if survey.has_any_ready => None,
            ServiceSpec::Headless if endpoints > 0 => Some(ServiceReason::NoneReady { endpoints }),
            ServiceSpec::Headless if service.selector.is_empty() => Some(ServiceReason::NoEndpoints),
            ServiceSpec::Headless => {
                let selector = service.selector.to_string().into();
                Some(ServiceReason::SelectsNothing { selector, pods: self.known_pods(service) })
            }
        };
        Reasons { key: service.key.clone(), service: reason, hosts: survey.absent_hosts() }
    }
}

impl Index {
    /// Of which Pods it is known whether a Service selects them.
    fn known_pods(&self, service: &Service) -> KnownPods {
        match self.options.pods {
            _ if !self.pods_authoritative_for(service) => KnownPods::None,
            PodSelection::Off => KnownPods::None,
            PodSelection::StatefulSets => KnownPods::OfStatefulSets,
            PodSelection::All => KnownPods::All,
        }
    }
}

/// The endpoints of a Service, divided into present and absent ones.
#[derive(Default)]
struct Survey {
    endpoints: usize,
    /// An endpoint counts for the Service's own names.
    has_any_ready: bool,
    present: HashSet<Label, RandomState>,
    absent: Vec<(Label, HostReason)>,
}

impl Survey {
    fn add_endpoint(&mut self, is_ready: bool) {
        self.endpoints += 1;
        self.has_any_ready |= is_ready;
    }

    /// Adds the name of an endpoint, which is absent if there is a reason.
    fn add_name(&mut self, hostname: Option<Label>, reason: Option<HostReason>) {
        match (hostname, reason) {
            (Some(hostname), Some(reason)) => self.absent.push((hostname, reason)),
            (Some(hostname), None) => drop(self.present.insert(hostname)),
            (None, _) => {}
        }
    }

    /// The hostnames that no present endpoint has. Of several reasons one counts that is about to end (rule D7), then the one of
    /// the first Pod by name: in whatever order they came.
    fn absent_hosts(mut self) -> BTreeMap<Label, HostReason> {
        self.absent.retain(|(label, _)| !self.present.contains(label));
        self.absent.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| rank(a).cmp(&rank(b))));
        self.absent.dedup_by(|later, first| later.0 == first.0);
        self.absent.into_iter().collect()
    }
}

fn rank(reason: &HostReason) -> (bool, Option<&str>) {
    (!reason.problem.ends_with_readiness(), reason.pod.as_deref())
}

/// The problem that a selected Pod with a hostname has another subdomain than the Service.
fn wrong_subdomain(service: &Service, pod: &Pod) -> Option<Problem> {
    let subdomain = pod.template.subdomain.as_deref();
    let is_wrong = pod.has_hostname() && subdomain != Some(&*service.object.name);
    is_wrong.then(|| Problem::Subdomain(subdomain.map(Into::into)))
}

/// Why a selected Pod has no records in the Service. Of several problems, the one to solve first.
fn problem_of(service: &Service, pod: &Pod) -> Option<Problem> {
    if pod.is_finished {
        Some(Problem::Finished)
    } else if !pod.has_address() {
        Some(Problem::NoAddress)
    } else if service.families.v4 && !service.families.v6 && pod.v4.is_none() {
        Some(Problem::OtherFamily(Family::V4))
    } else if service.families.v6 && !service.families.v4 && pod.v6.is_none() {
        Some(Problem::OtherFamily(Family::V6))
    } else if pod.is_terminating {
        Some(Problem::Terminating)
    } else if !pod.is_ready {
        let since = pod.ready_changed.and_then(|seconds| Timestamp::from_second(seconds.get().into()).ok());
        Some(Problem::NotReady(since))
    } else {
        None
    }
}

fn wanted_by(pod: &Pod) -> WantedBy {
    let owner = pod.template.owner.as_ref();
    WantedBy {
        pod: pod.name.as_str().into(),
        controller: owner.map(|(kind, name)| (kind.as_str().into(), name.as_str().into())),
    }
}
