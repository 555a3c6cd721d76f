//! Services.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::identity::ObjectKey;
use super::labels::Labels;
use crate::dns::name::{Label, Name};
use crate::records::ServiceKey;
use crate::telemetry::metrics::EndpointSource;

/// The served fields of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub key: ServiceKey,
    pub object: ObjectKey,
    pub spec: ServiceSpec,
    /// Endpoints count before they are ready.
    pub publish_not_ready: bool,
    /// Endpoints have their own names before they are ready. None if the Service leaves that to the configuration.
    pub not_ready_ordinals: Option<bool>,
    /// Whether it is part of the public view. None if it leaves that to the configuration.
    pub public: Option<bool>,
    pub ports: Vec<Port>,
    /// Selects the Pods that are its endpoints; empty if the Service has no selector.
    pub selector: Labels,
    pub families: Families,
}

impl Service {
    /// Its label in metrics. None if it has no endpoints.
    pub fn label(&self) -> Option<EndpointSource> {
        match self.spec {
            ServiceSpec::ClusterIp(_) => Some(EndpointSource::ClusterIp),
            ServiceSpec::Headless if self.selector.is_empty() => Some(EndpointSource::HeadlessWithoutSelector),
            ServiceSpec::Headless => Some(EndpointSource::HeadlessWithSelector),
            ServiceSpec::ExternalName(_) => None,
        }
    }
}

/// The address families of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    pub v4: bool,
    pub v6: bool,
}

impl Families {
    /// The default if a Service names none.
    pub const BOTH: Self = Self { v4: true, v6: true };
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceSpec {
    Headless,
    /// With its virtual addresses, one per family; none before they are allocated.
    ClusterIp(Vec<IpAddr>),
    ExternalName(Name),
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The two labels `_port._protocol` in wire form; None for an unnamed port.
    pub owner: Option<Box<[u8]>>,
    pub port: u16,
    pub protocol: Protocol,
    pub target: TargetPort,
}

/// The port of a Pod to which a port of a Service leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetPort {
    Number(u16),
    /// The container port of this name.
    Name(Box<str>),
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

    /// The owner of the SRV records of a port named `name`, `_name._protocol` in wire form. None if the name is empty.
    ///
    /// # Errors
    /// The name is not a DNS label.
    pub fn owner(self, name: Option<&str>) -> Result<Option<Box<[u8]>>, String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
        let label = Label::parse(&format!("_{name}")).map_err(|error| format!("port name {name:?}: {error}"))?;
        Ok(Some([label.as_wire(), self.label()].concat().into()))
    }
}
