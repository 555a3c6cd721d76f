//! From objects to records: what the DNS specification says follows from one Service and its endpoints. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Endpoint, Pod, Port, Service, ServiceSpec, SlicePort, TargetPort, Template};
use crate::dns::name::Label;
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
            Some(named.find(|named| *named.name == **name && named.protocol == port.protocol)?.port)
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
            cluster_ip(service, addresses.iter().copied().collect(), hosts.records())
        }
        ServiceSpec::Headless => {
            let is_named = |member: &Member<'_>| counts(member) || (not_ready_ordinals && member.hostname.is_some());
            let hosts = Named::of(members.iter().filter(|member| is_named(member)));
            let mut srv = SrvSets::default();
            for (target, members) in (0u32..).zip(hosts.iter()) {
                for (_, member) in members.iter().filter(|(_, member)| counts(member)) {
                    for port in member.ports {
                        srv.add(port.owner.as_deref(), Srv { port: port.port, target: SrvTarget::Host(target) });
                    }
                }
            }
            let (srv, all_srv) = srv.into_records();
            let addresses = members.iter().filter(|member| counts(member)).map(|member| member.address).collect();
            ServiceRecords { kind: ServiceKind::Headless, addresses, hosts: hosts.records(), srv, all_srv }
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

/// Endpoints in the order of their names, so that equal records are equal values. One may stand in several slices, and
/// several may have one name.
struct Named<'a>(Vec<(Cow<'a, Label>, &'a Member<'a>)>);

impl<'a> Named<'a> {
    fn of(members: impl Iterator<Item = &'a Member<'a>>) -> Self {
        let mut named: Vec<_> = members.map(|member| (host_label(member), member)).collect();
        // Stable because that is quick where they come in this order, as the Pods of a StatefulSet do.
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(named)
    }

    /// The endpoints of each name.
    fn iter(&self) -> impl Iterator<Item = &[(Cow<'a, Label>, &'a Member<'a>)]> {
        self.0.chunk_by(|(one, _), (other, _)| one == other)
    }

    fn records(&self) -> Hosts {
        let named = self.iter().filter_map(|members| Some((members.first()?.0.as_wire(), members)));
        named.map(|(label, members)| (label, members.iter().map(|(_, member)| member.address))).collect()
    }
}

/// The label below the Service's name: the endpoint's hostname, else its address with dashes (specification section
/// 2.4.1, "a unique, system-assigned identifier"), as CoreDNS writes it.
fn host_label<'a>(member: &'a Member<'_>) -> Cow<'a, Label> {
    let Member { hostname, address, .. } = member;
    hostname.as_ref().map_or_else(|| Cow::Owned(Label::of_address(*address)), Cow::Borrowed)
}

/// SRV records on their way into a fixed order: by owner, then by target, then by port.
#[derive(Default)]
struct SrvSets<'a> {
    named: BTreeMap<&'a [u8], Vec<Srv>>,
    all: Vec<Srv>,
}

impl<'a> SrvSets<'a> {
    fn add(&mut self, owner: Option<&'a [u8]>, srv: Srv) {
        self.all.push(srv);
        if let Some(owner) = owner {
            self.named.entry(owner).or_default().push(srv);
        }
    }

    fn into_records(self) -> (SrvByOwner, Arc<[Srv]>) {
        let set = |mut set: Vec<Srv>| -> Arc<[Srv]> {
            let order = |srv: &Srv| (srv.target, srv.port);
            // In this order already, but for the ports of one target.
            if !set.is_sorted_by(|one, other| order(one) < order(other)) {
                set.sort_by_key(order);
                set.dedup();
            }
            set.into()
        };
        let all = set(self.all);
        let shared = |one: Arc<[Srv]>| if one == all { Arc::clone(&all) } else { one };
        let named = self.named.into_iter().map(|(owner, records)| (owner.into(), shared(set(records))));
        (named.collect(), Arc::clone(&all))
    }
}
