//! Services, cut down to what is served.

use std::net::IpAddr;

use serde::Deserialize;

use super::incoming::{Kind, Raw, RawMetadata};
use super::tolerant::Field;
use super::{Change, ObjectKey, Scope, Update, Watched, name_label};
use crate::name::{Label, Name};
use crate::records::ServiceKey;

/// What is served of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub key: ServiceKey,
    pub object: ObjectKey,
    pub spec: ServiceSpec,
    /// Whether endpoints count before they are ready.
    pub publish_not_ready: bool,
    pub ports: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceSpec {
    Headless,
    /// With its virtual addresses, one for each family; none before they are allocated.
    ClusterIp(Vec<IpAddr>),
    ExternalName(Name),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The two labels `_port._protocol` in wire form; none for a port without a name.
    pub owner: Option<Box<[u8]>>,
    pub port: u16,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
}

/// A port as Services and slices alike write it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPort {
    name: Field<String>,
    protocol: Field<Protocol>,
    pub port: Field<u16>,
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
    const WATCHED: Watched = Watched::Services;
    type Raw = RawService;

    fn update(scope: Scope, change: Change<Self>) -> Update {
        Update::Service(scope, change)
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
        Ok(Self {
            key: ServiceKey::new(&namespace, &name),
            object,
            spec: kind,
            publish_not_ready: publish == Some(true) || tolerate.as_deref() == Some("true"),
            ports,
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
        let port = raw.port.clone();
        Ok(Self { owner: raw.owner()?, port: port.required("port")? })
    }
}
