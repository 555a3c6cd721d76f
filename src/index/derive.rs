//! Derives the records of one Service from its endpoints, as the DNS specification has them. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ptr;
use std::sync::Arc;

use crate::cluster::{Endpoint, Pod, Port, Service, ServiceSpec, SlicePort, TargetPort, Template};
use crate::dns::name::Label;
use crate::records::{Addresses, Hosts, ServiceKind, ServiceRecords, Srv, SrvByOwner, SrvTarget};

/// One endpoint of a Service, from a slice or from a Pod.
#[derive(Clone, Debug)]
pub(super) struct EndpointView<'a> {
    /// The label below the Service's name: the endpoint's hostname, else its address with dashes (specification section
    /// 2.4.1, "a unique, system-assigned identifier"), as CoreDNS writes it.
    label: Label,
    has_hostname: bool,
    address: IpAddr,
    is_ready: bool,
    /// Ports with the endpoint's own numbers.
    ports: &'a [SlicePort],
}

impl<'a> EndpointView<'a> {
    pub fn from_slice(endpoint: &Endpoint<'_>, ports: &'a [SlicePort]) -> Self {
        Self::new(endpoint.hostname.clone(), endpoint.address, endpoint.ready, ports)
    }

    /// The endpoints of a Pod, one for each address family, as Kubernetes' EndpointSlice controller makes them.
    pub fn from_pod(service: &Service, pod: &'a Pod, ports: &'a [SlicePort]) -> impl Iterator<Item = Self> {
        // A Pod that will not restart is not an endpoint; one without an address is not one yet.
        let v4 = pod.v4.filter(|_| service.families.v4 && !pod.is_finished).map(IpAddr::V4);
        let v6 = pod.v6.as_deref().filter(|_| service.families.v6 && !pod.is_finished).map(|v6| IpAddr::V6(*v6));
        // A hostname counts below the Service that the Pod has as its subdomain, and below no other.
        let is_subdomain = pod.template.subdomain.as_deref() == Some(&*service.object.name);
        let hostname = move || is_subdomain.then(|| pod.hostname()).flatten();
        // A terminating Pod is never ready, unless the Service publishes addresses regardless.
        let is_ready = pod.is_ready && !pod.is_terminating;
        v4.into_iter().chain(v6).map(move |address| Self::new(hostname(), address, is_ready, ports))
    }

    fn new(hostname: Option<Label>, address: IpAddr, is_ready: bool, ports: &'a [SlicePort]) -> Self {
        let has_hostname = hostname.is_some();
        let label = hostname.unwrap_or_else(|| Label::of_address(address));
        Self { label, has_hostname, address, is_ready, ports }
    }
}

/// The ports of a Service with the numbers that the Pods of one template have for them. A port whose target they do not have
/// is left out.
pub(super) fn resolve_ports(service: &Service, template: &Template) -> Vec<SlicePort> {
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

/// The records of a Service with these endpoints, in any order, as those of one that is not public. With `not_ready_ordinals`, an
/// endpoint that is not ready has its own name already, and no other record.
pub(super) fn derive(
    service: &Service,
    mut endpoints: Vec<EndpointView<'_>>,
    not_ready_ordinals: bool,
) -> ServiceRecords {
    let counts = |endpoint: &EndpointView<'_>| endpoint.is_ready || service.publish_not_ready;
    match &service.spec {
        ServiceSpec::ExternalName(target) => ServiceRecords::empty(ServiceKind::ExternalName(target.clone())),
        ServiceSpec::ClusterIp(addresses) => {
            endpoints.retain(counts);
            cluster_ip(service, addresses.iter().copied().collect(), hosts(&by_name(&mut endpoints)))
        }
        ServiceSpec::Headless => {
            endpoints.retain(|endpoint| counts(endpoint) || (not_ready_ordinals && endpoint.has_hostname));
            let counting = endpoints.iter().filter(|endpoint| counts(endpoint));
            let addresses: Addresses = counting.map(|endpoint| endpoint.address).collect();
            let named = by_name(&mut endpoints);
            let mut ports_by_target = Vec::with_capacity(addresses.borrowed().len());
            for (position, endpoints) in (0..).zip(&named) {
                let counting = endpoints.iter().filter(|endpoint| counts(endpoint));
                ports_by_target.extend(counting.map(|endpoint| (SrvTarget::Host(position), endpoint.ports)));
            }
            let (srv, all_srv) = srv_sets(&ports_by_target);
            let (kind, hosts) = (ServiceKind::Headless, hosts(&named));
            ServiceRecords { kind, addresses, hosts, srv, all_srv, is_public: false }
        }
    }
}

/// The records of a Service with virtual addresses. Without an address there are no SRV records.
fn cluster_ip(service: &Service, addresses: Addresses, hosts: Hosts) -> ServiceRecords {
    let ports = service.ports.iter().filter(|_| !addresses.is_empty());
    let ports: Vec<_> = ports.map(|Port { owner, port, .. }| SlicePort { owner: owner.clone(), port: *port }).collect();
    let (srv, all_srv) = srv_sets(&[(SrvTarget::Service, &ports)]);
    ServiceRecords { kind: ServiceKind::ClusterIp, addresses, hosts, srv, all_srv, is_public: false }
}

/// The endpoints of each name, sorted by it, so that equal records are equal values. An endpoint may be in several slices, and
/// several endpoints may share a name.
fn by_name<'e, 'a>(endpoints: &'e mut [EndpointView<'a>]) -> Vec<&'e [EndpointView<'a>]> {
    // The Pods of a StatefulSet are sorted already.
    if !endpoints.is_sorted_by(|one, other| one.label <= other.label) {
        endpoints.sort_by(|one, other| one.label.cmp(&other.label));
    }
    let mut named = Vec::with_capacity(endpoints.len());
    named.extend(endpoints.chunk_by(|one, other| one.label == other.label));
    named
}

fn hosts(named: &[&[EndpointView<'_>]]) -> Hosts {
    let hosts = named.iter().map(|endpoints| {
        let label = endpoints.first().map_or(&[][..], |endpoint| endpoint.label.as_wire());
        (label, endpoints.iter().map(|endpoint| endpoint.address))
    });
    hosts.collect()
}

/// The SRV records of endpoints with these ports, by owner and all together, each set sorted by target and port.
fn srv_sets(endpoints: &[(SrvTarget, &[SlicePort])]) -> (SrvByOwner, Arc<[Srv]>) {
    let mut all = Vec::with_capacity(endpoints.len());
    let mut named = BTreeMap::<&[u8], Vec<Srv>>::new();
    // The Pods of one template have the same ports.
    for run in endpoints.chunk_by(|(_, one), (_, other)| ptr::eq(*one, *other) || one == other) {
        for SlicePort { owner, port } in run.first().map_or(&[][..], |(_, ports)| ports) {
            let records = run.iter().map(|(target, _)| Srv { port: *port, target: *target });
            all.extend(records.clone());
            if let Some(owner) = owner {
                named.entry(owner).or_default().extend(records);
            }
        }
    }
    let all = sorted(all);
    let shared = |one: Arc<[Srv]>| if one == all { Arc::clone(&all) } else { one };
    let named = named.into_iter().map(|(owner, records)| (owner.into(), shared(sorted(records))));
    (named.collect(), Arc::clone(&all))
}

fn sorted(mut set: Vec<Srv>) -> Arc<[Srv]> {
    let order = |srv: &Srv| (srv.target, srv.port);
    // Sorted already, unless there are several ports.
    if !set.is_sorted_by(|one, other| order(one) < order(other)) {
        set.sort_by_key(order);
        set.dedup();
    }
    set.into()
}
