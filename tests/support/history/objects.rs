//! The objects of random histories. Each `…State` is what is generated, and says which object it stands for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use headless_dns::cluster::{
    Endpoint, Families, Hostname, Labels, ObjectKey, OwnLabels, POD_INDEX, POD_NAME, Pod, PodRef, Service, ServiceSpec,
    Slice, Template, Version,
};
use headless_dns::dns::name::Name;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::values::{
    ADDRESSES, HOSTNAMES, LABELS, LabelStates, NAMES, OWNERS, PODS, PortState, Slot, UIDS, VALUES, address,
    any_address, cluster_ip, label, labels, v4, v6, version,
};

#[derive(Clone, Debug)]
pub struct ServiceState {
    pub slot: Slot,
    spec: ServiceSpec,
    publish_not_ready: bool,
    not_ready_ordinals: Option<bool>,
    public: Option<bool>,
    ports: Vec<PortState>,
    selects: LabelStates,
    /// The Pod that it selects by name, and the ordinal.
    selects_pod: Option<usize>,
    selects_index: Option<usize>,
    families: Families,
}

impl ServiceState {
    pub fn any() -> impl Strategy<Value = Self> {
        let alias = |name: &str| Just(ServiceSpec::ExternalName(Name::parse(name).expect("a name")));
        let spec = prop_oneof![
            8 => Just(ServiceSpec::Headless),
            2 => vec(cluster_ip(), 0..3).prop_map(ServiceSpec::ClusterIp),
            1 => prop_oneof![alias("pg.db.svc.cluster.local"), alias("db.example.com")],
        ];
        let families = prop_oneof![
            4 => Just(Families::BOTH),
            1 => Just(Families { v4: true, v6: false }),
            1 => Just(Families { v4: false, v6: true }),
        ];
        let value = |weight| option::weighted(weight, 0..VALUES.len());
        let selects = [value(0.7), value(0.3), value(0.1)];
        let selects_one = (option::weighted(0.1, 0..PODS.len()), option::weighted(0.1, 0..2usize));
        let early = (any::<bool>(), option::weighted(0.3, any::<bool>()));
        let early = (early, option::weighted(0.6, any::<bool>()));
        (Slot::any(), spec, early, vec(PortState::any(), 0..3), (selects, selects_one), families).prop_map(
            |(slot, spec, ((publish_not_ready, not_ready_ordinals), public), ports, selector, families)| {
                let (selects, (selects_pod, selects_index)) = selector;
                Self {
                    slot,
                    spec,
                    publish_not_ready,
                    not_ready_ordinals,
                    public,
                    ports,
                    selects,
                    selects_pod,
                    selects_index,
                    families,
                }
            },
        )
    }

    /// A headless Service without anything else.
    pub fn bare(slot: Slot) -> Self {
        Self {
            slot,
            spec: ServiceSpec::Headless,
            publish_not_ready: false,
            not_ready_ordinals: None,
            public: None,
            ports: Vec::new(),
            selects: [None; LABELS.len()],
            selects_pod: None,
            selects_index: None,
            families: Families::BOTH,
        }
    }

    pub fn object(&self) -> Service {
        let one = self.selects_pod.map(|pod| (POD_NAME, PODS[pod]));
        let index = self.selects_index.map(|index| (POD_INDEX, ["0", "1"][index]));
        Service {
            key: self.slot.service_key(),
            object: self.slot.object(),
            spec: self.spec.clone(),
            publish_not_ready: self.publish_not_ready,
            not_ready_ordinals: self.not_ready_ordinals,
            public: self.public,
            ports: self.ports.iter().map(|port| port.of_service()).collect(),
            selector: labels(self.selects).chain(one).chain(index).collect(),
            families: self.families,
        }
    }
}

#[derive(Clone, Debug)]
struct EndpointState {
    address: IpAddr,
    /// A position in [`HOSTNAMES`].
    hostname: Option<usize>,
    is_ready: bool,
    /// The Pod that it is: the place of its name, and which of the Pods of that name.
    pod: Option<(usize, u8)>,
    /// The slice does not say the name of the Pod.
    is_nameless: bool,
}

impl EndpointState {
    fn any() -> impl Strategy<Value = Self> {
        let hostname = option::of(0..HOSTNAMES.len());
        let pod = option::weighted(0.7, (0..PODS.len(), 0..UIDS));
        (any_address(), hostname, any::<bool>(), pod, proptest::bool::weighted(0.1)).prop_map(
            |(address, hostname, is_ready, pod, is_nameless)| Self { address, hostname, is_ready, pod, is_nameless },
        )
    }

    fn endpoint(&self, namespace: usize) -> Endpoint<'static> {
        let pod = self.pod.and_then(|(name, which)| {
            let uid = Slot { namespace, name }.uid(which)?;
            Some(PodRef { uid, name: if self.is_nameless { "" } else { PODS[name] }.into() })
        });
        let hostname = self.hostname.map(|hostname| label(HOSTNAMES[hostname]));
        Endpoint { address: self.address, hostname, ready: self.is_ready, pod }
    }
}

#[derive(Clone, Debug)]
pub struct SliceState {
    pub slot: Slot,
    version: Version,
    /// Any Service of the namespace, or none: slices move from one to another.
    service: Option<usize>,
    endpoints: Vec<EndpointState>,
    ports: Vec<PortState>,
}

impl SliceState {
    pub fn any() -> impl Strategy<Value = Self> {
        let service = option::weighted(0.9, 0..NAMES.len());
        let ports = vec(PortState::any(), 0..3);
        (Slot::any(), version(), service, vec(EndpointState::any(), 0..4), ports)
            .prop_map(|(slot, version, service, endpoints, ports)| Self { slot, version, service, endpoints, ports })
    }

    /// A slice of the Service of the same name with one ready endpoint, whose address no other such slice has.
    pub fn bare(slot: Slot) -> Self {
        let endpoint = EndpointState {
            address: address(slot.name as u8),
            hostname: Some(0),
            is_ready: true,
            pod: None,
            is_nameless: false,
        };
        Self {
            slot,
            version: Version::default(),
            service: Some(slot.name),
            endpoints: vec![endpoint],
            ports: Vec::new(),
        }
    }

    /// The same, with a Pod as its first endpoint, at its address and ready as it is.
    pub fn listing(mut self, pod: &PodState) -> Self {
        let address = pod.v4.map(IpAddr::V4).or(pod.v6.map(IpAddr::V6)).unwrap_or(address(0));
        let endpoint = EndpointState {
            address,
            hostname: None,
            is_ready: pod.is_ready,
            pod: pod.uid.map(|which| (pod.slot.name, which)),
            is_nameless: false,
        };
        self.slot.namespace = pod.slot.namespace;
        self.endpoints.insert(0, endpoint);
        self
    }

    pub fn versioned(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }

    pub fn object(&self) -> Slice {
        let slot = self.slot;
        Slice {
            object: slot.object(),
            version: self.version,
            triggered: None,
            service: self.service.map(|name| Slot { name, ..slot }.service_key()),
            endpoints: self.endpoints.iter().map(|endpoint| endpoint.endpoint(slot.namespace)).collect(),
            ports: self.ports.iter().map(|port| port.of_slice()).collect(),
        }
    }
}

#[derive(Clone, Debug)]
struct TemplateState {
    labels: LabelStates,
    /// It has the labels of a StatefulSet's Pod.
    own_labels: OwnLabels,
    /// None for the Pod's own name, otherwise one of [`HOSTNAMES`], or no hostname.
    hostname: Option<Option<usize>>,
    /// The Service that is its subdomain.
    subdomain: Option<usize>,
    ports: Vec<PortState>,
    owner: Option<usize>,
}

#[derive(Clone, Debug)]
pub struct PodState {
    pub slot: Slot,
    /// Which Pod of this name; none if the UID cannot be read.
    uid: Option<u8>,
    version: Version,
    template: TemplateState,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    is_ready: bool,
    ready_changed: u32,
    is_terminating: bool,
    is_finished: bool,
}

impl PodState {
    pub fn any() -> impl Strategy<Value = Self> {
        let value = |weight| option::weighted(weight, 0..VALUES.len());
        let own_labels = any::<(bool, bool)>().prop_map(|(name, index)| OwnLabels { name, index });
        let hostname = option::weighted(0.4, option::of(0..HOSTNAMES.len()));
        let subdomain = option::weighted(0.8, 0..NAMES.len());
        let shared = ([value(0.9), value(0.5), value(0.3)], own_labels, hostname, subdomain);
        let template = (shared, vec(PortState::any(), 0..3), option::of(0..OWNERS.len())).prop_map(
            |((labels, own_labels, hostname, subdomain), ports, owner)| TemplateState {
                labels,
                own_labels,
                hostname,
                subdomain,
                ports,
                owner,
            },
        );
        let addresses =
            (option::weighted(0.7, (0..ADDRESSES).prop_map(v4)), option::weighted(0.4, (0..ADDRESSES).prop_map(v6)));
        let states = (any::<bool>(), 0..3u32, proptest::bool::weighted(0.2), proptest::bool::weighted(0.1));
        let identity = (Slot::any(), option::weighted(0.95, 0..UIDS), version());
        (identity, template, addresses, states).prop_map(|(identity, template, (v4, v6), states)| {
            let (slot, uid, version) = identity;
            let (is_ready, ready_changed, is_terminating, is_finished) = states;
            Self { slot, uid, version, template, v4, v6, is_ready, ready_changed, is_terminating, is_finished }
        })
    }

    pub fn versioned(&self, version: Version) -> Self {
        Self { version, ..self.clone() }
    }

    /// The same at another address.
    pub fn at(&self, v4: Ipv4Addr) -> Self {
        Self { v4: Some(v4), ..self.clone() }
    }

    pub fn object(&self) -> Pod {
        let ObjectKey { namespace, name } = self.slot.pod();
        let TemplateState { labels: states, own_labels, hostname, subdomain, ports, owner } = &self.template;
        let hostname = match hostname {
            None => Hostname::Own,
            Some(None) => Hostname::None,
            Some(Some(other)) if HOSTNAMES[*other] == name => Hostname::Own,
            Some(Some(other)) => Hostname::Other(label(HOSTNAMES[*other])),
        };
        Pod {
            uid: self.uid.and_then(|which| self.slot.uid(which)),
            name,
            version: self.version,
            template: Arc::new(Template {
                namespace,
                labels: labels(*states).collect::<Labels>(),
                own_labels: *own_labels,
                hostname,
                subdomain: subdomain.map(|name| NAMES[name].into()),
                ports: ports.iter().filter_map(|port| port.of_container()).collect(),
                owner: owner.map(|owner| (OWNERS[owner].0.into(), OWNERS[owner].1.into())),
            }),
            v4: self.v4,
            v6: self.v6.map(Box::new),
            is_ready: self.is_ready,
            ready_changed: NonZeroU32::new(self.ready_changed),
            is_terminating: self.is_terminating,
            is_finished: self.is_finished,
        }
    }
}
