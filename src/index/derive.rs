//! From objects to records: what the DNS specification says follows from one Service and its endpoints. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Endpoint, Pod, Port, Service, ServiceSpec, SlicePort, TargetPort, Template};
use crate::name::Label;
use crate::records::{Addresses, Hosts, ServiceKind, ServiceRecords, Srv, SrvByOwner, SrvTarget};

/// One endpoint of a Service, whichever object says so.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    pub hostname: Option<Label>,
    pub address: IpAddr,
    pub is_ready: bool,
    /// Ports with the endpoint's own numbers.
    pub ports: &'a [SlicePort],
}

impl<'a> Member<'a> {
    /// An endpoint as its slice has it.
    pub fn of_slice(endpoint: Endpoint, ports: &'a [SlicePort]) -> Self {
        let Endpoint { address, hostname, ready, .. } = endpoint;
        Self { hostname, address, is_ready: ready, ports }
    }

    /// The endpoints that a Pod is, one for each family, as Kubernetes' EndpointSlice controller makes them.
    pub fn of_pod(service: &Service, pod: &'a Pod, ports: &'a [SlicePort]) -> impl Iterator<Item = Self> {
        // A Pod that will not run again is no endpoint; one without an address is none yet.
        let v4 = pod.v4.filter(|_| service.families.v4 && !pod.is_finished).map(IpAddr::V4);
        let v6 = pod.v6.as_deref().filter(|_| service.families.v6 && !pod.is_finished).map(|v6| IpAddr::V6(*v6));
        // Its hostname is a name below the Service that it names as its subdomain, and below no other.
        let is_subdomain = pod.template.subdomain.as_deref() == Some(&*service.object.name);
        let hostname = is_subdomain.then(|| pod.hostname()).flatten();
        // "ready" is never true of a Pod that is terminating, unless addresses are published regardless.
        let is_ready = pod.is_ready && !pod.is_terminating;
        v4.into_iter().chain(v6).map(move |address| Self { hostname: hostname.clone(), address, is_ready, ports })
    }
}

/// The ports of a Service as the Pods of one template number them. A port whose target they do not have is left out.
pub fn ports_of(service: &Service, template: &Template) -> Vec<SlicePort> {
    let number = |port: &Port| match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => {
            let mut named = template.ports.iter();
            Some(named.find(|named| named.name == *name && named.protocol == port.protocol)?.port)
        }
    };
    let resolved = |port: &Port| Some(SlicePort { owner: port.owner.clone(), port: number(port)? });
    service.ports.iter().filter_map(resolved).collect()
}

/// The records of `service`, whose endpoints are `members` in any order. Where `not_ready_ordinals` is set, an endpoint that
/// is not ready has its name already, and nothing else.
pub fn derive(service: &Service, members: &[Member<'_>], not_ready_ordinals: bool) -> ServiceRecords {
    let counts = |member: &Member<'_>| member.is_ready || service.publish_not_ready;
    match &service.spec {
        ServiceSpec::ExternalName(target) => ServiceRecords::empty(ServiceKind::ExternalName(target.clone())),
        ServiceSpec::ClusterIp(addresses) => {
            let hosts = Named::of(members.iter().filter(|member| counts(member)));
            cluster_ip(service, addresses.iter().copied().collect(), hosts.into_records())
        }
        ServiceSpec::Headless => {
            let is_named = |member: &Member<'_>| counts(member) || (not_ready_ordinals && member.hostname.is_some());
            let hosts = Named::of(members.iter().filter(|member| is_named(member)));
            let (mut addresses, mut srv) = (Vec::new(), SrvSets::default());
            for (target, (_, members)) in (0u32..).zip(&hosts.0) {
                for member in members.iter().filter(|member| counts(member)) {
                    addresses.push(member.address);
                    for port in member.ports {
                        srv.add(port.owner.as_deref(), Srv { port: port.port, target: SrvTarget::Host(target) });
                    }
                }
            }
            let (srv, all_srv) = srv.into_records();
            let addresses = addresses.into_iter().collect();
            ServiceRecords { kind: ServiceKind::Headless, addresses, hosts: hosts.into_records(), srv, all_srv }
        }
    }
}

/// The names and ports of a Service with virtual addresses. Without an address there is nothing for a port to lead to.
fn cluster_ip(service: &Service, addresses: Addresses, hosts: Hosts) -> ServiceRecords {
    let mut srv = SrvSets::default();
    for Port { owner, port, .. } in service.ports.iter().filter(|_| !addresses.is_empty()) {
        srv.add(owner.as_deref(), Srv { port: *port, target: SrvTarget::Service });
    }
    let (srv, all_srv) = srv.into_records();
    ServiceRecords { kind: ServiceKind::ClusterIp, addresses, hosts, srv, all_srv }
}

/// The endpoints' names, each with the endpoints that have it. An endpoint may stand in several slices, and a name on several
/// endpoints. In the order of the labels, so that equal records are equal values.
struct Named<'a>(Vec<(Label, Vec<&'a Member<'a>>)>);

impl<'a> Named<'a> {
    fn of(members: impl Iterator<Item = &'a Member<'a>>) -> Self {
        let mut labelled: Vec<_> = members.map(|member| (host_label(member), member)).collect();
        labelled.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut hosts: Vec<(Label, Vec<&'a Member<'a>>)> = Vec::with_capacity(labelled.len());
        for (label, member) in labelled {
            match hosts.last_mut() {
                Some((last, members)) if *last == label => members.push(member),
                _ => hosts.push((label, vec![member])),
            }
        }
        Self(hosts)
    }

    fn into_records(self) -> Hosts {
        let addresses =
            |members: Vec<&Member<'_>>| members.into_iter().map(|member| member.address).collect::<Addresses>();
        self.0.into_iter().map(|(label, members)| (label, addresses(members))).collect()
    }
}

/// The label below the Service's name: the endpoint's hostname, else its address with dashes (specification section
/// 2.4.1, "a unique, system-assigned identifier"), as CoreDNS writes it.
fn host_label(member: &Member<'_>) -> Label {
    member.hostname.clone().unwrap_or_else(|| Label::of_address(member.address))
}

/// SRV records on their way into a fixed order: by owner, then by target, then by port.
#[derive(Default)]
struct SrvSets<'a> {
    named: BTreeMap<&'a [u8], Vec<(SrvTarget, u16)>>,
    all: Vec<(SrvTarget, u16)>,
}

impl<'a> SrvSets<'a> {
    fn add(&mut self, owner: Option<&'a [u8]>, srv: Srv) {
        self.all.push((srv.target, srv.port));
        if let Some(owner) = owner {
            self.named.entry(owner).or_default().push((srv.target, srv.port));
        }
    }

    fn into_records(self) -> (SrvByOwner, Arc<[Srv]>) {
        let set = |mut set: Vec<(SrvTarget, u16)>| -> Arc<[Srv]> {
            // In this order already, but for the ports of one target.
            set.sort();
            set.dedup();
            set.into_iter().map(|(target, port)| Srv { port, target }).collect()
        };
        let all = set(self.all);
        let shared = |one: Arc<[Srv]>| if one == all { Arc::clone(&all) } else { one };
        let named = self.named.into_iter().map(|(owner, records)| (owner.into(), shared(set(records))));
        (named.collect(), Arc::clone(&all))
    }
}
