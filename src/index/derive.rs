//! Derives the records of one Service from its endpoints, as the DNS specification has them. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Endpoint, Pod, Port, Service, ServiceSpec, SlicePort, TargetPort, Template};
use crate::dns::name::Label;
use crate::records::{Addresses, Hosts, ServiceKind, ServiceRecords, Srv, SrvByOwner, SrvTarget};

/// One endpoint of a Service, from a slice or from a Pod.
#[derive(Clone, Debug)]
pub(super) struct EndpointView<'a> {
    pub hostname: Option<Label>,
    pub address: IpAddr,
    pub is_ready: bool,
    /// Ports with the endpoint's own numbers.
    pub ports: &'a [SlicePort],
}

impl<'a> EndpointView<'a> {
    pub fn from_slice(endpoint: &Endpoint<'_>, ports: &'a [SlicePort]) -> Self {
        Self { hostname: endpoint.hostname.clone(), address: endpoint.address, is_ready: endpoint.ready, ports }
    }

    /// The endpoints of a Pod, one for each address family, as Kubernetes' EndpointSlice controller makes them.
    pub fn from_pod(service: &Service, pod: &'a Pod, ports: &'a [SlicePort]) -> impl Iterator<Item = Self> {
        // A Pod that will not restart is not an endpoint; one without an address is not one yet.
        let v4 = pod.v4.filter(|_| service.families.v4 && !pod.is_finished).map(IpAddr::V4);
        let v6 = pod.v6.as_deref().filter(|_| service.families.v6 && !pod.is_finished).map(|v6| IpAddr::V6(*v6));
        // A hostname counts below the Service that the Pod has as its subdomain, and below no other.
        let is_subdomain = pod.template.subdomain.as_deref() == Some(&*service.object.name);
        let hostname = is_subdomain.then(|| pod.hostname()).flatten();
        // A terminating Pod is never ready, unless the Service publishes addresses regardless.
        let is_ready = pod.is_ready && !pod.is_terminating;
        v4.into_iter().chain(v6).map(move |address| Self { hostname: hostname.clone(), address, is_ready, ports })
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

/// The records of a Service with these endpoints, in any order. With `not_ready_ordinals`, an endpoint that is not ready has
/// its own name already, and no other record.
pub(super) fn derive(service: &Service, endpoints: &[EndpointView<'_>], not_ready_ordinals: bool) -> ServiceRecords {
    let counts = |endpoint: &EndpointView<'_>| endpoint.is_ready || service.publish_not_ready;
    match &service.spec {
        ServiceSpec::ExternalName(target) => ServiceRecords::empty(ServiceKind::ExternalName(target.clone())),
        ServiceSpec::ClusterIp(addresses) => {
            let hosts = EndpointsByName::of(endpoints.iter().filter(|endpoint| counts(endpoint)));
            cluster_ip(service, addresses.iter().copied().collect(), hosts.records())
        }
        ServiceSpec::Headless => {
            let has_name =
                |endpoint: &EndpointView<'_>| counts(endpoint) || (not_ready_ordinals && endpoint.hostname.is_some());
            let hosts = EndpointsByName::of(endpoints.iter().filter(|endpoint| has_name(endpoint)));
            let mut srv = SrvSets::default();
            for (target, named) in (0u32..).zip(hosts.iter()) {
                for (_, endpoint) in named.iter().filter(|(_, endpoint)| counts(endpoint)) {
                    for port in endpoint.ports {
                        srv.add(port.owner.as_deref(), Srv { port: port.port, target: SrvTarget::Host(target) });
                    }
                }
            }
            let (srv, all_srv) = srv.into_records();
            let addresses =
                endpoints.iter().filter(|endpoint| counts(endpoint)).map(|endpoint| endpoint.address).collect();
            ServiceRecords { kind: ServiceKind::Headless, addresses, hosts: hosts.records(), srv, all_srv }
        }
    }
}

/// The records of a Service with virtual addresses. Without an address there are no SRV records.
fn cluster_ip(service: &Service, addresses: Addresses, hosts: Hosts) -> ServiceRecords {
    let mut srv = SrvSets::default();
    for Port { owner, port, .. } in service.ports.iter().filter(|_| !addresses.is_empty()) {
        srv.add(owner.as_deref(), Srv { port: *port, target: SrvTarget::Service });
    }
    let (srv, all_srv) = srv.into_records();
    ServiceRecords { kind: ServiceKind::ClusterIp, addresses, hosts, srv, all_srv }
}

/// Endpoints sorted by name, so that equal records are equal values. An endpoint may be in several slices, and several
/// endpoints may share a name.
struct EndpointsByName<'a>(Vec<(Cow<'a, Label>, &'a EndpointView<'a>)>);

impl<'a> EndpointsByName<'a> {
    fn of(endpoints: impl Iterator<Item = &'a EndpointView<'a>>) -> Self {
        let mut named: Vec<_> = endpoints.map(|endpoint| (host_label(endpoint), endpoint)).collect();
        // The stable sort is the faster one where they are sorted already, as the Pods of a StatefulSet are.
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(named)
    }

    /// The endpoints of each name.
    fn iter(&self) -> impl Iterator<Item = &[(Cow<'a, Label>, &'a EndpointView<'a>)]> {
        self.0.chunk_by(|(one, _), (other, _)| one == other)
    }

    fn records(&self) -> Hosts {
        let named = self.iter().filter_map(|endpoints| Some((endpoints.first()?.0.as_wire(), endpoints)));
        named.map(|(label, endpoints)| (label, endpoints.iter().map(|(_, endpoint)| endpoint.address))).collect()
    }
}

/// The label below the Service's name: the endpoint's hostname, else its address with dashes (specification section
/// 2.4.1, "a unique, system-assigned identifier"), as CoreDNS writes it.
fn host_label<'a>(endpoint: &'a EndpointView<'_>) -> Cow<'a, Label> {
    let EndpointView { hostname, address, .. } = endpoint;
    hostname.as_ref().map_or_else(|| Cow::Owned(Label::of_address(*address)), Cow::Borrowed)
}

/// Collects SRV records and sorts them: by owner, then by target, then by port.
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
            // Sorted already, unless a target has several ports.
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
