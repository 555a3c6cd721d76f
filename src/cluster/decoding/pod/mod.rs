//! Pods as the API sends them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use smol_str::SmolStr;

use super::incoming::{Kind, Raw};
use super::metadata::{RawMetadata, RawOwner, read_labels, read_version};
use super::port::RawProtocol;
use super::protobuf::message;
use super::text::{RawTime, Text};
use super::tolerant::Field;
use crate::cluster::objects::{
    ContainerPort, Hostname, ObjectKey, OwnLabels, POD_INDEX, POD_NAME, Pod, Scope, Template, Uid, ordinal,
};
use crate::cluster::update::{Change, ClusterEvent};
use crate::dns::name::Label;
use crate::telemetry::metrics::Resource;

/// The condition that makes a Pod an endpoint.
const READY: &str = "Ready";

message! {
    /// `Pod`, core/v1.
    pub struct RawPod<'a> {
        metadata: RawMetadata<'a> = 1 "metadata",
        spec: RawSpec<'a> = 2 "spec",
        status: RawStatus<'a> = 3 "status",
    }
}

message! {
    /// `PodSpec`.
    struct RawSpec<'a> {
        containers: Vec<Field<RawContainer<'a>>> = 2 "containers",
        hostname: Text<'a> = 16 "hostname",
        subdomain: Text<'a> = 17 "subdomain",
        init_containers: Vec<Field<RawContainer<'a>>> = 20 "initContainers",
    }
}

message! {
    /// `Container`.
    struct RawContainer<'a> {
        ports: Vec<Field<RawContainerPort<'a>>> = 6 "ports",
        restart_policy: Text<'a> = 24 "restartPolicy",
    }
}

message! {
    /// `ContainerPort`.
    struct RawContainerPort<'a> {
        name: Text<'a> = 1 "name",
        container_port: u16 = 3 "containerPort",
        protocol: RawProtocol = 4 "protocol",
    }
}

message! {
    /// `PodStatus`.
    struct RawStatus<'a> {
        phase: Text<'a> = 1 "phase",
        conditions: Vec<Field<RawCondition<'a>>> = 2 "conditions",
        pod_ip: Text<'a> = 6 "podIP",
        pod_ips: Vec<Field<RawPodIp<'a>>> = 12 "podIPs",
    }
}

message! {
    /// `PodIP`.
    struct RawPodIp<'a> {
        ip: Text<'a> = 1 "ip",
    }
}

message! {
    /// `PodCondition`.
    struct RawCondition<'a> {
        r#type: Text<'a> = 1 "type",
        status: Text<'a> = 2 "status",
        last_transition_time: RawTime = 4 "lastTransitionTime",
    }
}

impl<'a> Raw<'a> for RawPod<'a> {
    fn metadata(&self) -> &Field<RawMetadata<'a>> {
        &self.metadata
    }
}

impl Kind for Pod {
    const RESOURCE: Resource = Resource::Pods;
    type Raw<'a> = RawPod<'a>;

    fn event(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Pod(scope, change)
    }

    fn changed_at(raw: &RawPod<'_>) -> Option<SystemTime> {
        let metadata = raw.metadata.value()?;
        if let Some(deadline) = metadata.deletion_timestamp.time() {
            // This is when it has to be gone. It was deleted a grace period before.
            let grace = metadata.deletion_grace_period_seconds.value().copied().unwrap_or_default();
            return deadline.checked_sub(Duration::from_secs(grace.into()));
        }
        let mut conditions = raw.status.value()?.conditions.value()?.iter().filter_map(Field::value);
        let ready = conditions.find(|condition| condition.r#type.value().is_some_and(|name| **name == *READY))?;
        ready.last_transition_time.time()
    }

    fn read(object: ObjectKey, raw: RawPod<'_>, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let metadata = raw.metadata.required("metadata")?;
        let version = read_version(&metadata);
        let spec = raw.spec.required("spec")?;
        let status = raw.status.optional("status")?.unwrap_or_default();

        let labels = read_labels(metadata.labels, "metadata.labels")?;
        let own_labels = OwnLabels {
            name: labels.get(POD_NAME) == Some(&*object.name),
            index: labels.get(POD_INDEX).is_some_and(|index| ordinal(&object.name) == Some(index)),
        };
        let is_own = |key: &str| (key == POD_NAME && own_labels.name) || (key == POD_INDEX && own_labels.index);
        let hostname = match spec.hostname.optional("spec.hostname")?.filter(|hostname| !hostname.is_empty()) {
            None => Hostname::None,
            Some(hostname) => {
                let label = Label::parse(&hostname).map_err(|error| format!("spec.hostname: {error}"))?;
                if label.as_text() == object.name { Hostname::Own } else { Hostname::Other(label) }
            }
        };
        let subdomain = spec.subdomain.optional("spec.subdomain")?.filter(|subdomain| !subdomain.is_empty());
        let template = Template {
            namespace: Arc::clone(&object.namespace),
            labels: labels.iter().filter(|(key, _)| !is_own(key)).collect(),
            own_labels,
            hostname,
            subdomain: subdomain.as_deref().map(Into::into),
            ports: named_ports(spec.containers, spec.init_containers, warn)?,
            owner: owner(metadata.owner_references, warn),
        };
        let (v4, v6) = addresses(status.pod_ips, status.pod_ip)?;
        let phase = status.phase.optional("status.phase")?;
        let (is_ready, ready_changed) = readiness(status.conditions, warn);
        Ok(Self {
            name: object.name,
            template: Arc::new(template),
            uid: metadata.uid.optional("metadata.uid")?.as_deref().and_then(Uid::parse),
            version,
            v4,
            v6: v6.map(Box::new),
            ready_changed,
            is_ready,
            is_terminating: metadata.deletion_timestamp.optional("metadata.deletionTimestamp")?.is_some(),
            is_finished: matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
        })
    }
}

/// The named ports, in the order in which a Service's `targetPort` is looked up: those of the containers, then those of
/// sidecars, which are init containers that are restarted.
fn named_ports(
    containers: Field<Vec<Field<RawContainer<'_>>>>,
    init_containers: Field<Vec<Field<RawContainer<'_>>>>,
    warn: &mut dyn FnMut(String),
) -> Result<Box<[ContainerPort]>, String> {
    let mut ports = Vec::new();
    for (field, containers, is_init) in
        [("spec.containers", containers, false), ("spec.initContainers", init_containers, true)]
    {
        for (i, container) in containers.optional(field)?.unwrap_or_default().into_iter().enumerate() {
            let container = container.required(format_args!("{field}[{i}]"))?;
            let restarts = container.restart_policy.optional(format_args!("{field}[{i}].restartPolicy"))?;
            if is_init && restarts.as_deref() != Some("Always") {
                continue;
            }
            let listed = container.ports.optional(format_args!("{field}[{i}].ports"))?.unwrap_or_default();
            for (j, port) in listed.into_iter().enumerate() {
                match port.required("the port").and_then(read_port) {
                    Ok(port) => ports.extend(port),
                    Err(error) => warn(format!("{field}[{i}].ports[{j}]: {error}")),
                }
            }
        }
    }
    Ok(ports.into())
}

/// None for an unnamed port, which no Service can refer to.
fn read_port(raw: RawContainerPort<'_>) -> Result<Option<ContainerPort>, String> {
    let Some(name) = raw.name.optional("name")?.filter(|name| !name.is_empty()) else { return Ok(None) };
    let port = raw.container_port.required("containerPort")?;
    Ok(Some(ContainerPort { name: name.as_ref().into(), protocol: raw.protocol.or_tcp()?, port }))
}

/// Kind and name of the controller of the Pod. Used only in messages, so one that cannot be read is left out.
fn owner(owners: Field<Vec<Field<RawOwner<'_>>>>, warn: &mut dyn FnMut(String)) -> Option<(SmolStr, SmolStr)> {
    let read = || {
        for owner in owners.optional("metadata.ownerReferences")?.unwrap_or_default() {
            let owner = owner.required("an entry of metadata.ownerReferences")?;
            if owner.controller.optional("metadata.ownerReferences.controller")? == Some(true) {
                let kind = owner.kind.required("metadata.ownerReferences.kind")?;
                let name = owner.name.required("metadata.ownerReferences.name")?;
                return Ok(Some((kind.as_ref().into(), name.as_ref().into())));
            }
        }
        Ok(None)
    };
    read().unwrap_or_else(|problem: String| {
        warn(problem);
        None
    })
}

/// The first address of each family.
fn addresses(
    all: Field<Vec<Field<RawPodIp<'_>>>>,
    one: Field<Text<'_>>,
) -> Result<(Option<Ipv4Addr>, Option<Ipv6Addr>), String> {
    let mut texts = Vec::new();
    for entry in all.optional("status.podIPs")?.unwrap_or_default() {
        texts.push(entry.required("an entry of status.podIPs")?.ip.required("status.podIPs.ip")?);
    }
    if texts.is_empty() {
        texts.extend(one.optional("status.podIP")?.filter(|text| !text.is_empty()));
    }
    let (mut v4, mut v6) = (None, None);
    for text in texts {
        match text.parse().map_err(|_| format!("status.podIPs: {:?} is not an IP address", &*text))? {
            IpAddr::V4(address) => v4 = v4.or(Some(address)),
            IpAddr::V6(address) => v6 = v6.or(Some(address)),
        }
    }
    Ok((v4, v6))
}

/// Whether the condition `Ready` is true, and when that last changed.
fn readiness(
    conditions: Field<Vec<Field<RawCondition<'_>>>>,
    warn: &mut dyn FnMut(String),
) -> (bool, Option<NonZeroU32>) {
    let read = || {
        for condition in conditions.optional("status.conditions")?.unwrap_or_default() {
            let condition = condition.required("an entry of status.conditions")?;
            if condition.r#type.required("status.conditions.type")?.as_ref() == READY {
                let status = condition.status.required("status.conditions.status")?;
                let changed = condition.last_transition_time.optional("status.conditions.lastTransitionTime")?;
                let changed =
                    changed.and_then(RawTime::as_second).and_then(|second| NonZeroU32::new(second.try_into().ok()?));
                return Ok((status.as_ref() == "True", changed));
            }
        }
        Ok((false, None))
    };
    read().unwrap_or_else(|problem: String| {
        // Not ready, the same as without the condition.
        warn(problem);
        (false, None)
    })
}

#[cfg(test)]
mod tests;
