//! EndpointSlices, cut down to what is served.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::endpoints::{Endpoint, Endpoints};
use super::incoming::{Kind, Raw, RawMetadata, moment};
use super::service::RawPort;
use super::tolerant::Field;
use super::{Change, ClusterEvent, ObjectKey, Resource, Scope, Uid, name_label};
use crate::dns::name::Label;
use crate::records::ServiceKey;

/// What is served of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub object: ObjectKey,
    /// The Service that the slice says it belongs to; none for a slice that belongs to nothing.
    pub service: Option<ServiceKey>,
    pub endpoints: Endpoints,
    pub ports: Vec<SlicePort>,
}

/// A port that every endpoint of the slice has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    /// The two labels `_port._protocol` in wire form; none for a port without a name.
    pub owner: Option<Box<[u8]>>,
    pub port: u16,
}

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawSlice {
    metadata: Field<RawMetadata>,
    address_type: Field<String>,
    endpoints: Field<Vec<Field<RawEndpoint>>>,
    ports: Field<Vec<Field<RawPort>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawEndpoint {
    addresses: Field<Vec<Field<String>>>,
    hostname: Field<String>,
    conditions: Field<RawConditions>,
    target_ref: Field<RawTarget>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawTarget {
    kind: Field<String>,
    uid: Field<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawConditions {
    ready: Field<bool>,
}

impl Raw for RawSlice {
    fn metadata(&self) -> &Field<RawMetadata> {
        &self.metadata
    }
}

impl Kind for Slice {
    const WATCHED: Resource = Resource::EndpointSlices;
    type Raw = RawSlice;

    fn update(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Slice(scope, change)
    }

    fn happened(raw: &RawSlice) -> Option<SystemTime> {
        moment(&raw.metadata.value()?.annotations.value()?.last_change_trigger_time)
    }

    fn read(object: ObjectKey, raw: RawSlice, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let metadata = raw.metadata.required("metadata")?;
        let mut labels = metadata.labels.optional("metadata.labels")?.unwrap_or_default();
        let mut label = |key: &str| labels.remove(key).unwrap_or_default().optional(&format!("metadata.labels[{key}]"));
        let service = match label(SERVICE_NAME)?.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let namespace = name_label(&object.namespace, "metadata.namespace")?;
                Some(ServiceKey::new(&namespace, &name_label(&name, &format!("metadata.labels[{SERVICE_NAME}]"))?))
            }
        };
        let is_controllers = label(MANAGED_BY)?.as_deref() == Some(CONTROLLER);
        let is_v4 = match raw.address_type.required("addressType")?.as_str() {
            "IPv4" => true,
            "IPv6" => false,
            "FQDN" => {
                // Deprecated, and without a meaning in the DNS specification: a slice that has no addresses.
                warn("addressType FQDN is not served".to_owned());
                return Ok(Self { object, service, endpoints: Endpoints::default(), ports: Vec::new() });
            }
            other => return Err(format!("addressType {other:?} is none of IPv4, IPv6, FQDN")),
        };
        let mut endpoints = Vec::new();
        for (i, endpoint) in raw.endpoints.optional("endpoints")?.unwrap_or_default().into_iter().enumerate() {
            match endpoint.required("the endpoint").and_then(|raw| Endpoint::read(raw, is_v4)) {
                Ok(endpoint) => endpoints.push(Endpoint { pod: endpoint.pod.filter(|_| is_controllers), ..endpoint }),
                Err(error) => warn(format!("endpoints[{i}]: {error}")),
            }
        }
        let mut ports = Vec::new();
        for (i, port) in raw.ports.optional("ports")?.unwrap_or_default().into_iter().enumerate() {
            match port.required("the port").and_then(SlicePort::read) {
                Ok(port) => ports.extend(port),
                Err(error) => warn(format!("ports[{i}]: {error}")),
            }
        }
        ports.shrink_to_fit();
        Ok(Self { object, service, endpoints: endpoints.into_iter().collect(), ports })
    }
}

impl Endpoint {
    fn read(raw: RawEndpoint, is_v4: bool) -> Result<Self, String> {
        let first = raw.addresses.required("addresses")?.into_iter().next().unwrap_or_default();
        let text = first.required("addresses[0]")?;
        let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is no IP address"))?;
        if address.is_ipv4() != is_v4 {
            return Err(format!("{address} is not of the slice's addressType"));
        }
        let hostname = match raw.hostname.optional("hostname")?.filter(|hostname| !hostname.is_empty()) {
            None => None,
            Some(hostname) => Some(Label::parse(&hostname).map_err(|error| format!("hostname: {error}"))?),
        };
        let conditions = raw.conditions.optional("conditions")?.unwrap_or_default();
        // EndpointConditions: "A nil value should be interpreted as 'true'."
        let ready = conditions.ready.optional("conditions.ready")?.unwrap_or(true);
        let target = raw.target_ref.optional("targetRef")?.unwrap_or_default();
        let is_pod = target.kind.optional("targetRef.kind")?.as_deref() == Some("Pod");
        let uid = target.uid.optional("targetRef.uid")?.filter(|_| is_pod);
        Ok(Self { address, hostname, ready, pod: uid.as_deref().and_then(Uid::parse) })
    }
}

impl SlicePort {
    /// None for a port without a number, which stands for all ports and has no SRV record.
    fn read(raw: RawPort) -> Result<Option<Self>, String> {
        let Some(port) = raw.port.clone().optional("port")? else { return Ok(None) };
        Ok(Some(Self { owner: raw.owner()?, port }))
    }
}
