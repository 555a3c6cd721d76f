//! What watches may say, at random: objects of a few names, in all states, listed anew and not to the end. And the objects
//! and changes that this stands for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headless_dns::cluster::{
    Change, ClusterEvent, Endpoint, Families, Hostname, ObjectKey, OwnLabels, Pod, Port, Protocol, Scope, Service,
    ServiceSpec, Slice, SlicePort, TargetPort, Template, Uid,
};
use headless_dns::dns::name::{Label, Name};
use headless_dns::records::ServiceKey;
use proptest::collection::vec;
use proptest::prelude::*;

const NAMESPACES: [&str; 3] = ["db", "web", "eager"];
const NAMES: [&str; 3] = ["pg", "mix", "one"];

/// Workloads whose Pods Services select, and different Pods that there are.
const WORKLOADS: u8 = 2;
const UIDS: u8 = 6;

/// Namespace and name of an object.
pub type Place = (usize, usize);

#[derive(Clone, Debug)]
pub enum Kind {
    Services,
    Slices,
    Pods,
}

/// An endpoint's address, the ordinal of its hostname, whether it is ready, and the Pod that it repeats.
pub type SaidEndpoint = (u8, Option<u8>, bool, Option<u8>);

#[derive(Clone, Debug)]
pub struct SaidPod {
    /// Which Pod of this name.
    uid: u8,
    workload: u8,
    /// The Service that it names as its subdomain.
    subdomain: Option<usize>,
    address: Option<u8>,
    is_ready: bool,
    is_terminating: bool,
    is_finished: bool,
}

#[derive(Clone, Debug)]
pub enum Said {
    Service {
        place: Place,
        spec: u8,
        publish_not_ready: bool,
        ports: u8,
        /// The workload whose Pods it selects.
        selects: Option<u8>,
    },
    Slice {
        place: Place,
        service: Option<usize>,
        endpoints: Vec<SaidEndpoint>,
        ports: u8,
    },
    Pod(Place, SaidPod),
    /// What the object says now cannot be used.
    Malformed(Kind, Place),
    Deleted(Kind, Place),
}

#[derive(Clone, Debug)]
pub enum Step {
    Said(Said),
    /// A relist that names some objects, and is or is not interrupted.
    Relist {
        kind: Kind,
        namespace: usize,
        named: Vec<Said>,
        is_finished: bool,
    },
    Publish,
}

fn place() -> impl Strategy<Value = Place> {
    (0..NAMESPACES.len(), 0..NAMES.len())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Services), Just(Kind::Slices), Just(Kind::Pods)]
}

fn said() -> impl Strategy<Value = Said> {
    let endpoint = (0..8u8, proptest::option::of(0..3u8), any::<bool>(), proptest::option::of(0..UIDS));
    let endpoints = vec(endpoint, 0..4);
    let selects = proptest::option::of(0..WORKLOADS);
    prop_oneof![
        3 => (place(), 0..5u8, any::<bool>(), 0..3u8, selects).prop_map(
            |(place, spec, publish_not_ready, ports, selects)| Said::Service {
                place, spec, publish_not_ready, ports, selects
            }
        ),
        5 => (place(), pod()).prop_map(|(place, pod)| Said::Pod(place, pod)),
        // The label may name any Service of the namespace, or none: slices move from one to another.
        5 => (place(), proptest::option::of(0..NAMES.len()), endpoints, 0..3u8).prop_map(
            |(place, service, endpoints, ports)| Said::Slice { place, service, endpoints, ports }
        ),
        1 => (kind(), place()).prop_map(|(kind, place)| Said::Malformed(kind, place)),
        2 => (kind(), place()).prop_map(|(kind, place)| Said::Deleted(kind, place)),
    ]
}

fn pod() -> impl Strategy<Value = SaidPod> {
    let states = (any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1));
    let subdomain = proptest::option::of(0..NAMES.len());
    (0..UIDS, 0..WORKLOADS, subdomain, proptest::option::of(0..8u8), states).prop_map(
        |(uid, workload, subdomain, address, (is_ready, is_terminating, is_finished))| SaidPod {
            uid,
            workload,
            subdomain,
            address,
            is_ready,
            is_terminating,
            is_finished,
        },
    )
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => said().prop_map(Step::Said),
        1 => (kind(), 0..NAMESPACES.len(), vec(said(), 0..6), any::<bool>()).prop_map(
            |(kind, namespace, named, is_finished)| Step::Relist { kind, namespace, named, is_finished }
        ),
        1 => Just(Step::Publish),
    ]
}

fn key(place: Place) -> ObjectKey {
    ObjectKey::new(NAMESPACES[place.0], NAMES[place.1])
}

fn service_key(place: Place) -> ServiceKey {
    ServiceKey::new(&label(NAMESPACES[place.0]), &label(NAMES[place.1]))
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

/// An address of either family out of a few, so that Services share some.
pub fn address(number: u8) -> IpAddr {
    if number < 6 {
        Ipv4Addr::new(10, number % 2, 0, number).into()
    } else {
        Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into()).into()
    }
}

pub fn addresses() -> BTreeSet<IpAddr> {
    (0..8).map(address).chain([[10, 96, 0, 1], [10, 96, 0, 2]].map(IpAddr::from)).collect()
}

fn port_protocol(number: u8) -> Protocol {
    if number.is_multiple_of(2) { Protocol::Tcp } else { Protocol::Udp }
}

fn port_owner(number: u8) -> Option<Box<[u8]>> {
    port_protocol(number).owner((number > 0).then_some("peer")).unwrap()
}

fn uid(number: u8) -> Option<Uid> {
    Uid::parse(&format!("00000000-0000-4000-8000-0000000000{number:02x}"))
}

fn workload(number: u8) -> String {
    format!("workload-{number}")
}

fn service(place: Place, spec: u8, publish_not_ready: bool, ports: u8, selects: Option<u8>) -> Service {
    let spec = match spec {
        0 => ServiceSpec::ExternalName(Name::parse("pg.db.svc.cluster.local").unwrap()),
        1 => ServiceSpec::ClusterIp(vec![[10, 96, 0, 1 + u8::from(place.1 > 0)].into()]),
        _ => ServiceSpec::Headless,
    };
    let port = |number: u8| {
        let port = 80 + u16::from(number);
        Port { owner: port_owner(number), port, protocol: port_protocol(number), target: TargetPort::Number(port) }
    };
    Service {
        key: service_key(place),
        object: key(place),
        spec,
        publish_not_ready,
        not_ready_ordinals: None,
        ports: (0..ports).map(port).collect(),
        selector: selects.map(|number| ("app".to_owned(), workload(number))).into_iter().collect(),
        families: Families::BOTH,
    }
}

fn slice(place: Place, service: Option<usize>, endpoints: &[SaidEndpoint], ports: u8) -> Slice {
    let endpoint = |(number, hostname, ready, pod): &SaidEndpoint| Endpoint {
        address: address(*number),
        hostname: hostname.map(|ordinal| label(&format!("pg-{ordinal}"))),
        ready: *ready,
        pod: pod.and_then(|number| uid(number + UIDS * (place.0 * NAMES.len()) as u8)),
    };
    Slice {
        object: key(place),
        service: service.map(|service| service_key((place.0, service))),
        endpoints: endpoints.iter().map(endpoint).collect(),
        ports: (0..ports)
            .map(|number| SlicePort { owner: port_owner(number), port: 5432 + u16::from(number) })
            .collect(),
    }
}

fn mirrored(place: Place, said: &SaidPod) -> Pod {
    let (v4, v6) = match said.address.map(address) {
        Some(IpAddr::V4(address)) => (Some(address), None),
        Some(IpAddr::V6(address)) => (None, Some(Box::new(address))),
        None => (None, None),
    };
    let ObjectKey { namespace, name } = key(place);
    Pod {
        name,
        // A UUID is one Pod's, and a Pod has one name.
        uid: uid(said.uid + UIDS * (place.0 * NAMES.len() + place.1) as u8),
        template: Arc::new(Template {
            namespace,
            labels: [("app".to_owned(), workload(said.workload))].into_iter().collect(),
            own_labels: OwnLabels::default(),
            hostname: Hostname::Own,
            subdomain: said.subdomain.map(|name| NAMES[name].into()),
            ports: Box::default(),
            owner: None,
        }),
        v4,
        v6,
        is_ready: said.is_ready,
        ready_changed: None,
        is_terminating: said.is_terminating,
        is_finished: said.is_finished,
    }
}

/// The watches of a history: one for all namespaces, or one for each.
#[derive(Clone, Copy, Debug)]
pub struct Watches {
    pub cluster_wide: bool,
}

impl Watches {
    pub fn scopes(self) -> Vec<Scope> {
        let mut scopes: Vec<_> = (0..NAMESPACES.len()).map(|namespace| self.scope(namespace)).collect();
        scopes.dedup();
        scopes
    }

    fn scope(self, namespace: usize) -> Scope {
        if self.cluster_wide { Scope::All } else { Scope::Namespace(NAMESPACES[namespace].into()) }
    }

    fn change(self, kind: &Kind, namespace: usize, change: Change<std::convert::Infallible>) -> ClusterEvent {
        fn of<K>(change: Change<std::convert::Infallible>) -> Change<K> {
            match change {
                Change::RelistStarted => Change::RelistStarted,
                Change::Apply(never) => match never {},
                Change::Unreadable(key) => Change::Unreadable(key),
                Change::Delete(key) => Change::Delete(key),
                Change::RelistDone => Change::RelistDone,
            }
        }
        match kind {
            Kind::Services => ClusterEvent::Service(self.scope(namespace), of(change)),
            Kind::Slices => ClusterEvent::Slice(self.scope(namespace), of(change)),
            Kind::Pods => ClusterEvent::Pod(self.scope(namespace), of(change)),
        }
    }

    fn update(self, said: &Said) -> ClusterEvent {
        match said {
            Said::Service { place, spec, publish_not_ready, ports, selects } => {
                let service = service(*place, *spec, *publish_not_ready, *ports, *selects);
                ClusterEvent::Service(self.scope(place.0), Change::Apply(service))
            }
            Said::Slice { place, service, endpoints, ports } => {
                ClusterEvent::Slice(self.scope(place.0), Change::Apply(slice(*place, *service, endpoints, *ports)))
            }
            Said::Pod(place, pod) => ClusterEvent::Pod(self.scope(place.0), Change::Apply(mirrored(*place, pod))),
            Said::Malformed(kind, place) => self.change(kind, place.0, Change::Unreadable(key(*place))),
            Said::Deleted(kind, place) => self.change(kind, place.0, Change::Delete(key(*place))),
        }
    }

    pub fn updates(self, step: &Step) -> Vec<ClusterEvent> {
        match step {
            Step::Said(said) => vec![self.update(said)],
            Step::Relist { kind, namespace, named, is_finished } => {
                let mut updates = vec![self.change(kind, *namespace, Change::RelistStarted)];
                updates.extend(named.iter().map(|said| self.update(said)));
                if *is_finished {
                    updates.push(self.change(kind, *namespace, Change::RelistDone));
                }
                updates
            }
            Step::Publish => Vec::new(),
        }
    }
}
