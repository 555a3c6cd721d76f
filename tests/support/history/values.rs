//! What the objects of random histories are made of: few names, labels, addresses and ports, so that objects meet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use headless_dns::cluster::{ContainerPort, ObjectKey, Port, Protocol, SlicePort, TargetPort, Uid, Version};
use headless_dns::dns::name::Label;
use headless_dns::records::ServiceKey;
use proptest::option;
use proptest::prelude::*;

pub const NAMESPACES: [&str; 3] = ["db", "web", "eager"];
/// Names of Services and of EndpointSlices. One of them could be the name of a Pod.
pub const NAMES: [&str; 3] = ["pg", "pg-0", "one"];
pub const PODS: [&str; 3] = ["pg-0", "pg-1", "one-0"];
/// Hostnames, two of which read like addresses: the names that endpoints at these have without a hostname (S7).
pub const HOSTNAMES: [&str; 5] = ["pg-0", "pg-1", "quorum", "10-0-0-0", "fd00--0"];
const PORTS: [&str; 2] = ["sql", "peer"];
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
/// Keys of labels, each with the values `a` and `b`. Selectors are not looked up by the last one, which a controller sets.
pub const LABELS: [&str; 3] = ["app", "tier", "controller-revision-hash"];
pub const VALUES: [&str; 2] = ["a", "b"];
pub const OWNERS: [(&str, &str); 2] = [("StatefulSet", "pg"), ("ReplicaSet", "web")];
/// Pods of one name, one after the other.
pub const UIDS: u8 = 3;
/// Addresses of each family.
pub const ADDRESSES: u8 = 5;
const VERSIONS: u64 = 6;

/// A namespace and a name in it, as positions in [`NAMESPACES`], and [`NAMES`] or [`PODS`].
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    pub namespace: usize,
    pub name: usize,
}

impl Slot {
    /// Mostly in one namespace, where objects meet.
    pub fn any() -> impl Strategy<Value = Self> {
        (namespace(), 0..NAMES.len()).prop_map(|(namespace, name)| Self { namespace, name })
    }

    /// The name of a Service or an EndpointSlice.
    pub fn object(self) -> ObjectKey {
        ObjectKey::new(NAMESPACES[self.namespace], NAMES[self.name])
    }

    pub fn pod(self) -> ObjectKey {
        ObjectKey::new(NAMESPACES[self.namespace], PODS[self.name])
    }

    pub fn service_key(self) -> ServiceKey {
        ServiceKey::new(&label(NAMESPACES[self.namespace]), &label(NAMES[self.name]))
    }

    /// The UUID of one of the Pods of this name: no two names share one.
    pub fn uid(self, which: u8) -> Option<Uid> {
        let number = usize::from(which) + usize::from(UIDS) * (self.namespace * PODS.len() + self.name);
        Uid::parse(&format!("00000000-0000-4000-8000-{number:012x}"))
    }
}

pub fn namespace() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0), 1 => 1..NAMESPACES.len()]
}

pub fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

pub fn v4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, number % 2, 0, number)
}

/// `fd00::`, whose label with dashes has to be padded (S7), and those after it.
pub fn v6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into())
}

pub fn address(number: u8) -> IpAddr {
    if number < ADDRESSES { v4(number).into() } else { v6(number - ADDRESSES).into() }
}

/// One of either family.
pub fn any_address() -> impl Strategy<Value = IpAddr> {
    (0..2 * ADDRESSES).prop_map(address)
}

/// An address that no endpoint has, or one that some have.
pub fn cluster_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![2 => (1..3u8).prop_map(|last| [10, 96, 0, last].into()), 1 => any_address()]
}

/// Every address that may occur, and one beside them.
pub fn addresses() -> BTreeSet<IpAddr> {
    (0..2 * ADDRESSES).map(address).chain((1..4).map(|last| [10, 96, 0, last].into())).collect()
}

/// Every Service that there may be.
pub fn service_keys() -> Vec<ServiceKey> {
    let slots = (0..NAMESPACES.len()).flat_map(|namespace| (0..NAMES.len()).map(move |name| Slot { namespace, name }));
    slots.map(Slot::service_key).collect()
}

pub fn version() -> impl Strategy<Value = Version> {
    (0..VERSIONS).prop_map(Version)
}

/// Labels by the positions of their values, or the part of a selector that asks for such.
pub type LabelStates = [Option<usize>; LABELS.len()];

pub fn labels(states: LabelStates) -> impl Iterator<Item = (&'static str, &'static str)> {
    LABELS.into_iter().zip(states).filter_map(|(key, value)| Some((key, VALUES[value?])))
}

/// A name and a protocol, as positions in [`PORTS`] and [`PROTOCOLS`].
#[derive(Clone, Copy, Debug)]
pub struct PortState {
    name: Option<usize>,
    protocol: usize,
    number: u16,
    /// The name of the Pods' port that it targets, otherwise its own number.
    target: Option<usize>,
}

impl PortState {
    pub fn any() -> impl Strategy<Value = Self> {
        let names = option::weighted(0.8, 0..PORTS.len());
        (names, 0..PROTOCOLS.len(), 80..83u16, option::of(0..PORTS.len()))
            .prop_map(|(name, protocol, number, target)| Self { name, protocol, number, target })
    }

    fn owner(self) -> Option<Box<[u8]>> {
        PROTOCOLS[self.protocol].owner(self.name.map(|name| PORTS[name])).expect("a label")
    }

    pub fn of_service(self) -> Port {
        let target = match self.target {
            Some(name) => TargetPort::Name(PORTS[name].into()),
            None => TargetPort::Number(self.number),
        };
        Port { owner: self.owner(), port: self.number, protocol: PROTOCOLS[self.protocol], target }
    }

    pub fn of_slice(self) -> SlicePort {
        SlicePort { owner: self.owner(), port: 5000 + self.number }
    }

    pub fn of_container(self) -> Option<ContainerPort> {
        let port = 6000 + self.number;
        Some(ContainerPort { name: PORTS[self.name?].into(), protocol: PROTOCOLS[self.protocol], port })
    }
}
