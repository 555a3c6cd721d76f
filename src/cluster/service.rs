//! Services, cut down to what is served.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::incoming::{Kind, Raw, RawMap, RawMetadata, moment};
use super::labels::Labels;
use super::tolerant::Field;
use super::{Change, ClusterEvent, ObjectKey, Resource, Scope, name_label};
use crate::dns::name::{Label, Name};
use crate::records::ServiceKey;
use crate::telemetry::metrics::ServiceKind;

/// What is served of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub key: ServiceKey,
    pub object: ObjectKey,
    pub spec: ServiceSpec,
    /// Whether endpoints count before they are ready.
    pub publish_not_ready: bool,
    /// Whether the names of single endpoints are there before the endpoints are ready; none where the Service does not say.
    pub not_ready_ordinals: Option<bool>,
    pub ports: Vec<Port>,
    /// The labels of the Pods that are its endpoints; none for a Service that has no selector.
    pub selector: Labels,
    pub families: Families,
}

impl Service {
    /// How it comes by its endpoints, for metrics; none for one that has none.
    pub fn label(&self) -> Option<ServiceKind> {
        match self.spec {
            ServiceSpec::ClusterIp(_) => Some(ServiceKind::ClusterIp),
            ServiceSpec::Headless if self.selector.is_empty() => Some(ServiceKind::HeadlessWithoutSelector),
            ServiceSpec::Headless => Some(ServiceKind::HeadlessWithSelector),
            ServiceSpec::ExternalName(_) => None,
        }
    }
}

/// Families of addresses that a Service has endpoints of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

impl Families {
    /// What a Service that names none is taken to have.
    pub const BOTH: Self = Self { v4: true, v6: true };
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceSpec {
    Headless,
    /// With its virtual addresses, one for each family; none before they are allocated.
    ClusterIp(Vec<IpAddr>),
    ExternalName(Name),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The two labels `_port._protocol` in wire form; none for a port without a name.
    pub owner: Option<Box<[u8]>>,
    pub port: u16,
    pub protocol: Protocol,
    pub target: TargetPort,
}

/// The port of a Pod that a Service's port leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPort {
    Number(u16),
    /// The port to which the Pod's container gives this name.
    Name(Box<str>),
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Tcp => b"\x04_tcp",
            Self::Udp => b"\x04_udp",
            Self::Sctp => b"\x05_sctp",
        }
    }

    /// The owner of the SRV records of a port named `name`, `_name._protocol`; none where the name is empty.
    ///
    /// # Errors
    /// The name is no label.
    pub fn owner(self, name: Option<&str>) -> Result<Option<Box<[u8]>>, String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        let label = Label::parse(&format!("_{name}")).map_err(|error| format!("port name {name:?}: {error}"))?;
        Ok(Some([label.as_wire(), self.label()].concat().into()))
    }
}

/// The annotation that came before the field `publishNotReadyAddresses`.
const TOLERATE_UNREADY: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
/// The annotation that overrides the option `not_ready_ordinals` for one Service.
const NOT_READY_ORDINALS: &str = "headless-dns/not-ready-ordinals";
const HEADLESS: &str = "None";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawService {
    metadata: Field<RawMetadata>,
    spec: Field<RawSpec>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    r#type: Field<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Field<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Field<Vec<Field<String>>>,
    external_name: Field<String>,
    publish_not_ready_addresses: Field<bool>,
    ports: Field<Vec<Field<RawPort>>>,
    selector: Field<RawMap>,
    ip_families: Field<Vec<Field<String>>>,
}

/// A port as Services and slices alike write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawPort {
    name: Field<String>,
    protocol: Field<Protocol>,
    pub port: Field<u16>,
    target_port: Field<RawTargetPort>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum RawTargetPort {
    Number(u16),
    Name(String),
}

impl RawPort {
    /// The owner of its SRV records, as [`Protocol::owner`].
    pub fn owner(self) -> Result<Option<Box<[u8]>>, String> {
        let name = self.name.optional("name")?;
        let protocol = self.protocol.optional("protocol")?.unwrap_or_default();
        protocol.owner(name.as_deref())
    }
}

impl Raw for RawService {
    fn metadata(&self) -> &Field<RawMetadata> {
        &self.metadata
    }
}

impl Kind for Service {
    const WATCHED: Resource = Resource::Services;
    type Raw = RawService;

    fn update(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Service(scope, change)
    }

    fn happened(raw: &RawService) -> Option<SystemTime> {
        moment(&raw.metadata.value()?.creation_timestamp)
    }

    fn read(object: ObjectKey, raw: RawService, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let metadata = raw.metadata.required("metadata")?;
        let annotations = metadata.annotations.optional("metadata.annotations")?.unwrap_or_default();
        let spec = raw.spec.required("spec")?;
        let namespace = name_label(&object.namespace, "metadata.namespace")?;
        let name = name_label(&object.name, "metadata.name")?;
        let tolerate =
            annotations.tolerate_unready_endpoints.optional(&format!("metadata.annotations[{TOLERATE_UNREADY}]"))?;
        let publish = spec.publish_not_ready_addresses.optional("spec.publishNotReadyAddresses")?;
        let not_ready_ordinals = match annotations
            .not_ready_ordinals
            .optional(&format!("metadata.annotations[{NOT_READY_ORDINALS}]"))?
            .as_deref()
        {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                warn(format!(
                    "metadata.annotations[{NOT_READY_ORDINALS}]: {other:?} is neither \"true\" nor \"false\""
                ));
                None
            }
        };
        let selector = Labels::read(spec.selector, "spec.selector")?;
        let families = Families::read(spec.ip_families)?;
        let kind = if spec.r#type.optional("spec.type")?.as_deref() == Some("ExternalName") {
            let target = spec.external_name.required("spec.externalName")?;
            ServiceSpec::ExternalName(Name::parse(&target).map_err(|error| format!("spec.externalName: {error}"))?)
        } else {
            virtual_addresses(spec.cluster_ip, spec.cluster_ips)?
        };
        let mut ports = Vec::new();
        for (i, port) in spec.ports.optional("spec.ports")?.unwrap_or_default().into_iter().enumerate() {
            match port.required("the port").and_then(Port::read) {
                Ok(port) => ports.push(port),
                Err(error) => warn(format!("spec.ports[{i}]: {error}")),
            }
        }
        ports.shrink_to_fit();
        Ok(Self {
            key: ServiceKey::new(&namespace, &name),
            object,
            spec: kind,
            publish_not_ready: publish == Some(true) || tolerate.as_deref() == Some("true"),
            not_ready_ordinals,
            ports,
            selector,
            families,
        })
    }
}

fn virtual_addresses(one: Field<String>, all: Field<Vec<Field<String>>>) -> Result<ServiceSpec, String> {
    let mut texts = Vec::new();
    for text in all.optional("spec.clusterIPs")?.unwrap_or_default() {
        texts.push(text.required("an entry of spec.clusterIPs")?);
    }
    if texts.is_empty() {
        texts.extend(one.optional("spec.clusterIP")?.filter(|text| !text.is_empty()));
    }
    if texts.iter().any(|text| text == HEADLESS) {
        return Ok(ServiceSpec::Headless);
    }
    let address = |text: &String| text.parse().map_err(|_| format!("spec.clusterIPs: {text:?} is no IP address"));
    Ok(ServiceSpec::ClusterIp(texts.iter().map(address).collect::<Result<_, _>>()?))
}

impl Port {
    fn read(raw: RawPort) -> Result<Self, String> {
        let port = raw.port.clone().required("port")?;
        let protocol = raw.protocol.clone().optional("protocol")?.unwrap_or_default();
        let target = match raw.target_port.clone().optional("targetPort")? {
            // Zero is how the API writes that there is none.
            None | Some(RawTargetPort::Number(0)) => TargetPort::Number(port),
            Some(RawTargetPort::Number(number)) => TargetPort::Number(number),
            Some(RawTargetPort::Name(name)) if name.is_empty() => TargetPort::Number(port),
            Some(RawTargetPort::Name(name)) => TargetPort::Name(name.into()),
        };
        Ok(Self { owner: raw.owner()?, port, protocol, target })
    }
}

impl Families {
    fn read(raw: Field<Vec<Field<String>>>) -> Result<Self, String> {
        let mut families = Self { v4: false, v6: false };
        for family in raw.optional("spec.ipFamilies")?.unwrap_or_default() {
            match family.required("an entry of spec.ipFamilies")?.as_str() {
                "IPv4" => families.v4 = true,
                "IPv6" => families.v6 = true,
                other => return Err(format!("spec.ipFamilies: {other:?} is neither IPv4 nor IPv6")),
            }
        }
        Ok(if families.v4 || families.v6 { families } else { Self::BOTH })
    }
}
