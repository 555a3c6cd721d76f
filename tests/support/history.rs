//! Random histories of watches: changes of objects with a few names, in all states, and relists, complete or interrupted.
//! A history is generated in terms of small numbers, which this module turns into objects and updates.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use headless_dns::cluster::{
    Change, ClusterEvent, Endpoint, Families, Hostname, ObjectKey, OwnLabels, Pod, PodRef, Port, Protocol, Scope,
    Service, ServiceSpec, Slice, SlicePort, TargetPort, Template, Uid, Version,
};
use headless_dns::dns::name::{Label, Name};
use headless_dns::records::ServiceKey;
use proptest::collection::vec;
use proptest::prelude::*;

const NAMESPACES: [&str; 3] = ["db", "web", "eager"];
const NAMES: [&str; 3] = ["pg", "mix", "one"];

/// Workloads whose Pods Services select.
const WORKLOADS: u8 = 2;
/// Different Pods of one name.
const UIDS: u8 = 6;

/// The name of an object, as positions in [`NAMESPACES`] and [`NAMES`].
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub namespace: usize,
    pub name: usize,
}

#[derive(Clone, Debug)]
pub enum Kind {
    Services,
    Slices,
    Pods,
}

#[derive(Clone, Debug)]
pub struct EndpointState {
    pub address: u8,
    /// The ordinal of its hostname.
    pub ordinal: Option<u8>,
    pub is_ready: bool,
    /// The Pod that it is.
    pub pod: Option<u8>,
}

#[derive(Clone, Debug)]
pub struct PodState {
    /// Which Pod of this name.
    uid: u8,
    workload: u8,
    /// The Service that is its subdomain.
    subdomain: Option<usize>,
    address: Option<u8>,
    is_ready: bool,
    is_terminating: bool,
    is_finished: bool,
}

#[derive(Clone, Debug)]
pub enum Event {
    Service {
        slot: Slot,
        spec: u8,
        publish_not_ready: bool,
        ports: u8,
        /// The workload whose Pods it selects.
        selects: Option<u8>,
    },
    Slice {
        slot: Slot,
        service: Option<usize>,
        endpoints: Vec<EndpointState>,
        ports: u8,
    },
    Pod(Slot, PodState),
    /// The object exists, but cannot be read.
    Malformed(Kind, Slot),
    Deleted(Kind, Slot),
}

#[derive(Clone, Debug)]
pub enum Step {
    Event(Event),
    /// A relist of some objects, interrupted if it is not finished.
    Relist {
        kind: Kind,
        namespace: usize,
        listed: Vec<Event>,
        is_finished: bool,
    },
    Publish,
}

fn slot() -> impl Strategy<Value = Slot> {
    (0..NAMESPACES.len(), 0..NAMES.len()).prop_map(|(namespace, name)| Slot { namespace, name })
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Services), Just(Kind::Slices), Just(Kind::Pods)]
}

fn event() -> impl Strategy<Value = Event> {
    let endpoint = (0..8u8, proptest::option::of(0..3u8), any::<bool>(), proptest::option::of(0..UIDS))
        .prop_map(|(address, ordinal, is_ready, pod)| EndpointState { address, ordinal, is_ready, pod });
    let endpoints = vec(endpoint, 0..4);
    let selects = proptest::option::of(0..WORKLOADS);
    prop_oneof![
        3 => (slot(), 0..5u8, any::<bool>(), 0..3u8, selects).prop_map(
            |(slot, spec, publish_not_ready, ports, selects)| Event::Service {
                slot, spec, publish_not_ready, ports, selects
            }
        ),
        5 => (slot(), pod()).prop_map(|(slot, pod)| Event::Pod(slot, pod)),
        // The label may name any Service of the namespace, or none: slices move from one to another.
        5 => (slot(), proptest::option::of(0..NAMES.len()), endpoints, 0..3u8).prop_map(
            |(slot, service, endpoints, ports)| Event::Slice { slot, service, endpoints, ports }
        ),
        1 => (kind(), slot()).prop_map(|(kind, slot)| Event::Malformed(kind, slot)),
        2 => (kind(), slot()).prop_map(|(kind, slot)| Event::Deleted(kind, slot)),
    ]
}

fn pod() -> impl Strategy<Value = PodState> {
    let states = (any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1));
    let subdomain = proptest::option::of(0..NAMES.len());
    (0..UIDS, 0..WORKLOADS, subdomain, proptest::option::of(0..8u8), states).prop_map(
        |(uid, workload, subdomain, address, (is_ready, is_terminating, is_finished))| PodState {
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
        8 => event().prop_map(Step::Event),
        1 => (kind(), 0..NAMESPACES.len(), vec(event(), 0..6), any::<bool>()).prop_map(
            |(kind, namespace, listed, is_finished)| Step::Relist { kind, namespace, listed, is_finished }
        ),
        1 => Just(Step::Publish),
    ]
}

fn key(slot: Slot) -> ObjectKey {
    ObjectKey::new(NAMESPACES[slot.namespace], NAMES[slot.name])
}

fn service_key(slot: Slot) -> ServiceKey {
    ServiceKey::new(&label(NAMESPACES[slot.namespace]), &label(NAMES[slot.name]))
}

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

/// One of a few addresses of both families, so that Services share some.
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

fn service(slot: Slot, spec: u8, publish_not_ready: bool, ports: u8, selects: Option<u8>) -> Service {
    let spec = match spec {
        0 => ServiceSpec::ExternalName(Name::parse("pg.db.svc.cluster.local").unwrap()),
        1 => ServiceSpec::ClusterIp(vec![[10, 96, 0, 1 + u8::from(slot.name > 0)].into()]),
        _ => ServiceSpec::Headless,
    };
    let port = |number: u8| {
        let port = 80 + u16::from(number);
        Port { owner: port_owner(number), port, protocol: port_protocol(number), target: TargetPort::Number(port) }
    };
    Service {
        key: service_key(slot),
        object: key(slot),
        spec,
        publish_not_ready,
        not_ready_ordinals: None,
        ports: (0..ports).map(port).collect(),
        selector: selects.map(|number| ("app".to_owned(), workload(number))).into_iter().collect(),
        families: Families::BOTH,
    }
}

fn slice(slot: Slot, service: Option<usize>, endpoints: &[EndpointState], ports: u8) -> Slice {
    let endpoint = |endpoint: &EndpointState| Endpoint {
        address: address(endpoint.address),
        hostname: endpoint.ordinal.map(|ordinal| label(&format!("pg-{ordinal}"))),
        ready: endpoint.is_ready,
        // The Pods called like the first name.
        pod: endpoint
            .pod
            .and_then(|number| uid(number + UIDS * (slot.namespace * NAMES.len()) as u8))
            .map(|uid| PodRef { uid, name: NAMES[0].into() }),
    };
    Slice {
        object: key(slot),
        version: Version::default(),
        service: service.map(|service| service_key(Slot { name: service, ..slot })),
        endpoints: endpoints.iter().map(endpoint).collect(),
        ports: (0..ports)
            .map(|number| SlicePort { owner: port_owner(number), port: 5432 + u16::from(number) })
            .collect(),
    }
}

fn pod_object(slot: Slot, state: &PodState) -> Pod {
    let (v4, v6) = match state.address.map(address) {
        Some(IpAddr::V4(address)) => (Some(address), None),
        Some(IpAddr::V6(address)) => (None, Some(Box::new(address))),
        None => (None, None),
    };
    let ObjectKey { namespace, name } = key(slot);
    Pod {
        name,
        // No two names share a UUID.
        uid: uid(state.uid + UIDS * (slot.namespace * NAMES.len() + slot.name) as u8),
        version: Version::default(),
        template: Arc::new(Template {
            namespace,
            labels: [("app".to_owned(), workload(state.workload))].into_iter().collect(),
            own_labels: OwnLabels::default(),
            hostname: Hostname::Own,
            subdomain: state.subdomain.map(|name| NAMES[name].into()),
            ports: Box::default(),
            owner: None,
        }),
        v4,
        v6,
        is_ready: state.is_ready,
        ready_changed: None,
        is_terminating: state.is_terminating,
        is_finished: state.is_finished,
    }
}

/// The watches of a history: one for all namespaces, or one for each namespace.
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
                Change::Deselect(key) => Change::Deselect(key),
                Change::RelistDone => Change::RelistDone,
            }
        }
        match kind {
            Kind::Services => ClusterEvent::Service(self.scope(namespace), of(change)),
            Kind::Slices => ClusterEvent::Slice(self.scope(namespace), of(change)),
            Kind::Pods => ClusterEvent::Pod(self.scope(namespace), of(change)),
        }
    }

    fn update(self, event: &Event) -> ClusterEvent {
        match event {
            Event::Service { slot, spec, publish_not_ready, ports, selects } => {
                let service = service(*slot, *spec, *publish_not_ready, *ports, *selects);
                ClusterEvent::Service(self.scope(slot.namespace), Change::Apply(service))
            }
            Event::Slice { slot, service, endpoints, ports } => ClusterEvent::Slice(
                self.scope(slot.namespace),
                Change::Apply(slice(*slot, *service, endpoints, *ports)),
            ),
            Event::Pod(slot, pod) => {
                ClusterEvent::Pod(self.scope(slot.namespace), Change::Apply(pod_object(*slot, pod)))
            }
            Event::Malformed(kind, slot) => self.change(kind, slot.namespace, Change::Unreadable(key(*slot))),
            Event::Deleted(kind, slot) => self.change(kind, slot.namespace, Change::Delete(key(*slot))),
        }
    }

    pub fn updates(self, step: &Step) -> Vec<ClusterEvent> {
        match step {
            Step::Event(event) => vec![self.update(event)],
            Step::Relist { kind, namespace, listed, is_finished } => {
                let mut updates = vec![self.change(kind, *namespace, Change::RelistStarted)];
                updates.extend(listed.iter().map(|event| self.update(event)));
                if *is_finished {
                    updates.push(self.change(kind, *namespace, Change::RelistDone));
                }
                updates
            }
            Step::Publish => Vec::new(),
        }
    }
}
