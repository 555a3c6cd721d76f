//! From objects to records: what the DNS specification says follows from one Service and its EndpointSlices. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::cluster::{Endpoint, Port, Service, ServiceSpec, Slice};
use crate::name::Label;
use crate::records::{Addresses, Hosts, ServiceKind, ServiceRecords, Srv, SrvByOwner, SrvTarget};

/// The records of `service`, whose slices are `slices` in any order.
pub fn derive<'a>(service: &Service, slices: impl Iterator<Item = &'a Slice> + Clone) -> ServiceRecords {
    let counts = |endpoint: &&Endpoint| endpoint.ready || service.publish_not_ready;
    match &service.spec {
        ServiceSpec::ExternalName(target) => ServiceRecords::empty(ServiceKind::ExternalName(target.clone())),
        ServiceSpec::ClusterIp(addresses) => {
            let endpoints = slices.flat_map(|slice| slice.endpoints.iter().filter(counts));
            cluster_ip(service, addresses.iter().copied().collect(), hosts(endpoints))
        }
        ServiceSpec::Headless => {
            let hosts = hosts(slices.clone().flat_map(|slice| slice.endpoints.iter().filter(counts)));
            let places: BTreeMap<&[u8], u32> = hosts.labels().zip(0..).collect();
            let mut srv = SrvSets::default();
            for slice in slices {
                for endpoint in slice.endpoints.iter().filter(counts) {
                    let Some(place) = places.get(host_label(endpoint).as_wire()) else { continue };
                    let target = SrvTarget::Host(*place);
                    for port in &slice.ports {
                        srv.add(port.owner.as_deref(), Srv { port: port.port, target });
                    }
                }
            }
            let (srv, all_srv) = srv.into_records();
            let addresses = hosts.iter().flat_map(|(_, addresses)| addresses.iter()).collect();
            ServiceRecords { kind: ServiceKind::Headless, addresses, hosts, srv, all_srv }
        }
    }
}

/// The names and ports of a Service with virtual addresses. Without an address there is nothing for a port to lead to.
fn cluster_ip(service: &Service, addresses: Addresses, hosts: Hosts) -> ServiceRecords {
    let mut srv = SrvSets::default();
    for Port { owner, port } in service.ports.iter().filter(|_| !addresses.is_empty()) {
        srv.add(owner.as_deref(), Srv { port: *port, target: SrvTarget::Service });
    }
    let (srv, all_srv) = srv.into_records();
    ServiceRecords { kind: ServiceKind::ClusterIp, addresses, hosts, srv, all_srv }
}

/// The endpoints' names with their addresses. An endpoint may stand in several slices, and a name on several endpoints:
/// each address counts once. In the order of the labels, which for the Pods of a StatefulSet is that of their ordinals.
fn hosts<'a>(endpoints: impl Iterator<Item = &'a Endpoint>) -> Hosts {
    let mut hosts: BTreeMap<Label, BTreeSet<IpAddr>> = BTreeMap::new();
    for endpoint in endpoints {
        hosts.entry(host_label(endpoint)).or_default().insert(endpoint.address);
    }
    hosts.into_iter().map(|(label, addresses)| (label, addresses.into_iter().collect::<Addresses>())).collect()
}

/// The label below the Service's name: the endpoint's hostname, else its address with dashes (specification section
/// 2.4.1, "a unique, system-assigned identifier"), as CoreDNS writes it.
fn host_label(endpoint: &Endpoint) -> Label {
    endpoint.hostname.clone().unwrap_or_else(|| Label::of_address(endpoint.address))
}

/// SRV records on their way into a fixed order: by owner, then by target, then by port.
#[derive(Default)]
struct SrvSets {
    named: BTreeMap<Box<[u8]>, BTreeSet<(SrvTarget, u16)>>,
    all: BTreeSet<(SrvTarget, u16)>,
}

impl SrvSets {
    fn add(&mut self, owner: Option<&[u8]>, srv: Srv) {
        self.all.insert((srv.target, srv.port));
        if let Some(owner) = owner {
            self.named.entry(owner.into()).or_default().insert((srv.target, srv.port));
        }
    }

    fn into_records(self) -> (SrvByOwner, Box<[Srv]>) {
        let set =
            |set: BTreeSet<(SrvTarget, u16)>| set.into_iter().map(|(target, port)| Srv { port, target }).collect();
        (self.named.into_iter().map(|(owner, records)| (owner, set(records))).collect(), set(self.all))
    }
}
