//! EndpointSlices as the API sends them.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Deserialize;

use super::incoming::{Kind, Raw};
use super::metadata::{RawMetadata, name_label, parse_time, read_version};
use super::port::RawPort;
use super::tolerant::Field;
use crate::cluster::objects::{Endpoint, Endpoints, ObjectKey, PodRef, Scope, Slice, Uid};
use crate::cluster::update::{Change, ClusterEvent};
use crate::dns::name::Label;
use crate::records::ServiceKey;
use crate::telemetry::metrics::Resource;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawSlice {
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
    name: Field<String>,
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
    const RESOURCE: Resource = Resource::EndpointSlices;
    type Raw = RawSlice;

    fn event(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Slice(scope, change)
    }

    fn changed_at(raw: &RawSlice) -> Option<SystemTime> {
        parse_time(&raw.metadata.value()?.annotations.value()?.last_change_trigger_time)
    }

    fn read(object: ObjectKey, raw: RawSlice, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let metadata = raw.metadata.required("metadata")?;
        let version = read_version(&metadata);
        let mut labels = metadata.labels.optional("metadata.labels")?.unwrap_or_default();
        let mut label = |key: &str| labels.remove(key).unwrap_or_default().optional(&format!("metadata.labels[{key}]"));
        let service = match label(SERVICE_NAME)?.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let namespace = name_label(&object.namespace, "metadata.namespace")?;
                Some(ServiceKey::new(&namespace, &name_label(&name, &format!("metadata.labels[{SERVICE_NAME}]"))?))
            }
        };
        let is_by_controller = label(MANAGED_BY)?.as_deref() == Some(CONTROLLER);
        let is_v4 = match raw.address_type.required("addressType")?.as_str() {
            "IPv4" => true,
            "IPv6" => false,
            "FQDN" => {
                // Deprecated, and without meaning in the DNS specification.
                warn("addressType FQDN is not served".to_owned());
                return Ok(Self { object, version, service, endpoints: Endpoints::default(), ports: Vec::new() });
            }
            other => return Err(format!("addressType {other:?} is not IPv4, IPv6 or FQDN")),
        };
        let mut endpoints = Vec::new();
        for (i, endpoint) in raw.endpoints.optional("endpoints")?.unwrap_or_default().into_iter().enumerate() {
            match endpoint.required("the endpoint").and_then(|raw| read_endpoint(raw, is_v4)) {
                Ok(endpoint) => endpoints.push(Endpoint { pod: endpoint.pod.filter(|_| is_by_controller), ..endpoint }),
                Err(error) => warn(format!("endpoints[{i}]: {error}")),
            }
        }
        let mut ports = Vec::new();
        for (i, port) in raw.ports.optional("ports")?.unwrap_or_default().into_iter().enumerate() {
            match port.required("the port").and_then(RawPort::read_slice_port) {
                Ok(port) => ports.extend(port),
                Err(error) => warn(format!("ports[{i}]: {error}")),
            }
        }
        ports.shrink_to_fit();
        Ok(Self { object, version, service, endpoints: endpoints.into_iter().collect(), ports })
    }
}

fn read_endpoint(raw: RawEndpoint, is_v4: bool) -> Result<Endpoint<'static>, String> {
    let first = raw.addresses.required("addresses")?.into_iter().next().unwrap_or_default();
    let text = first.required("addresses[0]")?;
    let address: IpAddr = text.parse().map_err(|_| format!("{text:?} is not an IP address"))?;
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
    let name = target.name.optional("targetRef.name")?.unwrap_or_default();
    let pod = uid.as_deref().and_then(Uid::parse).map(|uid| PodRef { uid, name: name.into() });
    Ok(Endpoint { address, hostname, ready, pod })
}
