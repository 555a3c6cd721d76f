//! Services as the API sends them.

use std::time::SystemTime;

use super::incoming::{Kind, Raw};
use super::metadata::{NOT_READY_ORDINALS, PUBLIC, RawMap, RawMetadata, TOLERATE_UNREADY, name_label, read_labels};
use super::port::RawPort;
use super::protobuf::message;
use super::text::Text;
use super::tolerant::Field;
use crate::cluster::objects::{Families, ObjectKey, Scope, Service, ServiceSpec};
use crate::cluster::update::{Change, ClusterEvent};
use crate::dns::name::Name;
use crate::records::ServiceKey;
use crate::telemetry::metrics::Resource;

const HEADLESS: &str = "None";

message! {
    /// `Service`, core/v1.
    pub struct RawService<'a> {
        metadata: RawMetadata<'a> = 1 "metadata",
        spec: RawSpec<'a> = 2 "spec",
    }
}

message! {
    /// `ServiceSpec`.
    struct RawSpec<'a> {
        ports: Vec<Field<RawPort<'a>>> = 1 "ports",
        selector: RawMap<'a> = 2 "selector",
        cluster_ip: Text<'a> = 3 "clusterIP",
        r#type: Text<'a> = 4 "type",
        external_name: Text<'a> = 10 "externalName",
        publish_not_ready_addresses: bool = 13 "publishNotReadyAddresses",
        cluster_ips: Vec<Field<Text<'a>>> = 18 "clusterIPs",
        ip_families: Vec<Field<Text<'a>>> = 19 "ipFamilies",
    }
}

impl<'a> Raw<'a> for RawService<'a> {
    fn metadata(&self) -> &Field<RawMetadata<'a>> {
        &self.metadata
    }
}

impl Kind for Service {
    const RESOURCE: Resource = Resource::Services;
    type Raw<'a> = RawService<'a>;

    fn event(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Service(scope, change)
    }

    fn changed_at(raw: &RawService<'_>) -> Option<SystemTime> {
        raw.metadata.value()?.creation_timestamp.time()
    }

    fn read(object: ObjectKey, raw: RawService<'_>, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let metadata = raw.metadata.required("metadata")?;
        let annotations = metadata.annotations.optional("metadata.annotations")?.unwrap_or_default();
        let spec = raw.spec.required("spec")?;
        let namespace = name_label(&object.namespace, "metadata.namespace")?;
        let name = name_label(&object.name, "metadata.name")?;
        let tolerate = annotations
            .tolerate_unready_endpoints
            .optional(format_args!("metadata.annotations[{TOLERATE_UNREADY}]"))?;
        let publish = spec.publish_not_ready_addresses.optional("spec.publishNotReadyAddresses")?;
        let not_ready_ordinals = annotations
            .not_ready_ordinals
            .optional(format_args!("metadata.annotations[{NOT_READY_ORDINALS}]"))?
            .and_then(|text| truth(NOT_READY_ORDINALS, &text, warn));
        // What is not understood lets nothing out.
        let public = annotations
            .public
            .optional(format_args!("metadata.annotations[{PUBLIC}]"))?
            .map(|text| truth(PUBLIC, &text, warn) == Some(true));
        let selector = read_labels(spec.selector, "spec.selector")?;
        let families = families(spec.ip_families)?;
        let kind = if spec.r#type.optional("spec.type")?.as_deref() == Some("ExternalName") {
            let target = spec.external_name.required("spec.externalName")?;
            ServiceSpec::ExternalName(Name::parse(&target).map_err(|error| format!("spec.externalName: {error}"))?)
        } else {
            virtual_addresses(spec.cluster_ip, spec.cluster_ips)?
        };
        let mut ports = Vec::new();
        for (i, port) in spec.ports.optional("spec.ports")?.unwrap_or_default().into_iter().enumerate() {
            match port.required("the port").and_then(RawPort::read_service_port) {
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
            public,
            ports,
            selector,
            families,
        })
    }
}

/// The value of an annotation that is true or false; None, with a warning, if it is neither.
fn truth(annotation: &str, text: &str, warn: &mut dyn FnMut(String)) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        other => {
            warn(format!("metadata.annotations[{annotation}]: {other:?} is neither \"true\" nor \"false\""));
            None
        }
    }
}

fn virtual_addresses(one: Field<Text<'_>>, all: Field<Vec<Field<Text<'_>>>>) -> Result<ServiceSpec, String> {
    let mut texts = Vec::new();
    for text in all.optional("spec.clusterIPs")?.unwrap_or_default() {
        texts.push(text.required("an entry of spec.clusterIPs")?);
    }
    if texts.is_empty() {
        texts.extend(one.optional("spec.clusterIP")?.filter(|text| !text.is_empty()));
    }
    if texts.iter().any(|text| **text == *HEADLESS) {
        return Ok(ServiceSpec::Headless);
    }
    let address =
        |text: &Text<'_>| text.parse().map_err(|_| format!("spec.clusterIPs: {:?} is not an IP address", &**text));
    Ok(ServiceSpec::ClusterIp(texts.iter().map(address).collect::<Result<_, _>>()?))
}

/// Both families if the Service names none.
fn families(raw: Field<Vec<Field<Text<'_>>>>) -> Result<Families, String> {
    let mut families = Families { v4: false, v6: false };
    for family in raw.optional("spec.ipFamilies")?.unwrap_or_default() {
        match family.required("an entry of spec.ipFamilies")?.as_ref() {
            "IPv4" => families.v4 = true,
            "IPv6" => families.v6 = true,
            other => return Err(format!("spec.ipFamilies: {other:?} is neither IPv4 nor IPv6")),
        }
    }
    Ok(if families.v4 || families.v6 { families } else { Families::BOTH })
}
