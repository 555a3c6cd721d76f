//! EndpointSlices as the API sends them.

use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::SystemTime;

use super::incoming::{Kind, Raw};
use super::metadata::{RawMetadata, name_label, read_version};
use super::port::RawPort;
use super::protobuf::message;
use super::text::Text;
use super::tolerant::Field;
use crate::cluster::objects::{Endpoint, Endpoints, ObjectKey, PodRef, Scope, Slice, Uid};
use crate::cluster::update::{Change, ClusterEvent};
use crate::dns::name::Label;
use crate::records::ServiceKey;
use crate::telemetry::metrics::Resource;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

message! {
    /// `EndpointSlice`, discovery.k8s.io/v1.
    pub struct RawSlice<'a> {
        metadata: RawMetadata<'a> = 1 "metadata",
        endpoints: Vec<Field<RawEndpoint<'a>>> = 2 "endpoints",
        ports: Vec<Field<RawPort<'a>>> = 3 "ports",
        address_type: Text<'a> = 4 "addressType",
    }
}

message! {
    /// `Endpoint`.
    struct RawEndpoint<'a> {
        addresses: Vec<Field<Text<'a>>> = 1 "addresses",
        conditions: RawConditions = 2 "conditions",
        hostname: Text<'a> = 3 "hostname",
        target_ref: RawTarget<'a> = 4 "targetRef",
    }
}

message! {
    /// `EndpointConditions`.
    struct RawConditions {
        ready: bool = 1 "ready",
    }
}

message! {
    /// `ObjectReference`, core/v1.
    struct RawTarget<'a> {
        kind: Text<'a> = 1 "kind",
        name: Text<'a> = 3 "name",
        uid: Text<'a> = 4 "uid",
    }
}

impl<'a> Raw<'a> for RawSlice<'a> {
    fn metadata(&self) -> &Field<RawMetadata<'a>> {
        &self.metadata
    }
}

impl Kind for Slice {
    const RESOURCE: Resource = Resource::EndpointSlices;
    type Raw<'a> = RawSlice<'a>;

    fn event(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Slice(scope, change)
    }

    fn changed_at(raw: &RawSlice<'_>) -> Option<SystemTime> {
        raw.metadata.value()?.annotations.value()?.last_change_trigger_time.value()?.time()
    }

    fn read(object: ObjectKey, raw: RawSlice<'_>, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let triggered = Self::changed_at(&raw).and_then(nanoseconds);
        let metadata = raw.metadata.required("metadata")?;
        let version = read_version(&metadata);
        let mut labels = metadata.labels.optional("metadata.labels")?.unwrap_or_default();
        let mut label = |key: &str| labels.take(key).optional(format_args!("metadata.labels[{key}]"));
        let service = match label(SERVICE_NAME)?.filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => {
                let namespace = name_label(&object.namespace, "metadata.namespace")?;
                Some(ServiceKey::new(&namespace, &name_label(&name, &format!("metadata.labels[{SERVICE_NAME}]"))?))
            }
        };
        let is_by_controller = label(MANAGED_BY)?.as_deref() == Some(CONTROLLER);
        let is_v4 = match raw.address_type.required("addressType")?.as_ref() {
            "IPv4" => true,
            "IPv6" => false,
            "FQDN" => {
                // Deprecated, and without meaning in the DNS specification.
                warn("addressType FQDN is not served".to_owned());
                let endpoints = Endpoints::default();
                return Ok(Self { object, version, triggered, service, endpoints, ports: Vec::new() });
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
        Ok(Self { object, version, triggered, service, endpoints: endpoints.into_iter().collect(), ports })
    }
}

/// Nanoseconds since 1970. None if the time is not later, or as late as no object is.
fn nanoseconds(time: SystemTime) -> Option<NonZeroU64> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    since.as_nanos().try_into().ok().and_then(NonZeroU64::new)
}

fn read_endpoint(raw: RawEndpoint<'_>, is_v4: bool) -> Result<Endpoint<'static>, String> {
    // A list without an element is none in Protobuf.
    let first = raw.addresses.optional("addresses")?.unwrap_or_default().into_iter().next().unwrap_or_default();
    let text = first.required("addresses[0]")?;
    let address: IpAddr = text.parse().map_err(|_| format!("{:?} is not an IP address", &*text))?;
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
    let pod = uid.as_deref().and_then(Uid::parse).map(|uid| PodRef { uid, name: name.into_owned().into() });
    Ok(Endpoint { address, hostname, ready, pod })
}
