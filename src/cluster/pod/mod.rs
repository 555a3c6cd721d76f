//! Pods, cut down to what makes endpoints of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::incoming::{Kind, Raw, RawMetadata, RawOwner, moment};
use super::labels::Labels;
use super::service::Protocol;
use super::tolerant::Field;
use super::{Change, ClusterEvent, ObjectKey, Resource, Scope, Uid};
use crate::dns::name::Label;

/// The label by which a StatefulSet's Pod carries its own name.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The condition that says whether it may be sent requests.
const READY: &str = "Ready";
/// The label by which it carries its ordinal.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// What is served of a Pod. There may be hundreds of thousands: what the Pods of a workload have in common is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub name: SmolStr,
    /// It is written beside the Pods that have it, once, where they are.
    #[serde(skip)]
    pub template: Arc<Template>,
    pub uid: Option<Uid>,
    /// The first address of each family, as in an EndpointSlice.
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Box<Ipv6Addr>>,
    /// When it became what `is_ready` says, in seconds since 1970.
    pub ready_changed: Option<NonZeroU32>,
    pub is_ready: bool,
    /// Somebody has deleted it, and it is about to go.
    pub is_terminating: bool,
    /// It has come to its end, in success or not, and will not run again.
    pub is_finished: bool,
}

/// The name that a Pod asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hostname {
    #[default]
    None,
    /// Its own, as every Pod of a StatefulSet does.
    Own,
    Other(Label),
}

/// What the Pods of one workload have in common. Kept once for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Template {
    pub namespace: Arc<str>,
    /// All labels but those of [`OwnLabels`].
    pub labels: Labels,
    /// Which labels follow from a Pod's name, and stand in no template for that reason.
    pub own_labels: OwnLabels,
    pub hostname: Hostname,
    pub subdomain: Option<SmolStr>,
    pub ports: Box<[ContainerPort]>,
    /// Kind and name of the controller.
    pub owner: Option<(SmolStr, SmolStr)>,
}

/// A port that a container gives a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerPort {
    pub name: SmolStr,
    pub protocol: Protocol,
    pub port: u16,
}

/// The labels in which each Pod of a StatefulSet differs from the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnLabels {
    /// [`POD_NAME`] is the Pod's name.
    pub name: bool,
    /// [`POD_INDEX`] is the last part of it.
    pub index: bool,
}

impl OwnLabels {
    pub fn is_key(key: &str) -> bool {
        matches!(key, POD_NAME | POD_INDEX)
    }

    /// The labels that a selector asks each Pod for, and those that Pods may share.
    pub fn part(
        selector: &Labels,
    ) -> (impl Iterator<Item = (&str, &str)> + Clone, impl Iterator<Item = (&str, &str)> + Clone) {
        let labels = selector.iter();
        (labels.clone().filter(|(key, _)| Self::is_key(key)), labels.filter(|(key, _)| !Self::is_key(key)))
    }
}

impl Pod {
    pub fn namespace(&self) -> &str {
        &self.template.namespace
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        let OwnLabels { name, index } = self.template.own_labels;
        match key {
            POD_NAME if name => Some(&self.name),
            POD_INDEX if index => ordinal(&self.name),
            _ => self.template.labels.get(key),
        }
    }

    /// Whether it has all of the labels.
    pub fn is_selected_by(&self, selector: &Labels) -> bool {
        let (mut own, shared) = OwnLabels::part(selector);
        own.all(|(key, value)| self.label(key) == Some(value)) && self.template.labels.have_all(shared)
    }

    pub fn has_hostname(&self) -> bool {
        self.template.hostname != Hostname::None
    }

    /// The name that it asks for.
    pub fn hostname(&self) -> Option<Label> {
        match &self.template.hostname {
            Hostname::None => None,
            Hostname::Own => Label::parse(&self.name).ok(),
            Hostname::Other(label) => Some(label.clone()),
        }
    }

    /// Whether it has been given an address yet.
    pub fn has_address(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }
}

/// What stands behind the last dash of a Pod's name.
fn ordinal(name: &str) -> Option<&str> {
    name.rsplit_once('-').map(|(_, ordinal)| ordinal)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPod {
    metadata: Field<RawMetadata>,
    spec: Field<RawSpec>,
    status: Field<RawStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawSpec {
    hostname: Field<String>,
    subdomain: Field<String>,
    containers: Field<Vec<Field<RawContainer>>>,
    init_containers: Field<Vec<Field<RawContainer>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainer {
    restart_policy: Field<String>,
    ports: Field<Vec<Field<RawContainerPort>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainerPort {
    name: Field<String>,
    protocol: Field<Protocol>,
    container_port: Field<u16>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawStatus {
    phase: Field<String>,
    #[serde(rename = "podIP")]
    pod_ip: Field<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Field<Vec<Field<RawPodIp>>>,
    conditions: Field<Vec<Field<RawCondition>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct RawPodIp {
    ip: Field<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawCondition {
    r#type: Field<String>,
    status: Field<String>,
    last_transition_time: Field<String>,
}

impl Raw for RawPod {
    fn metadata(&self) -> &Field<RawMetadata> {
        &self.metadata
    }
}

impl Kind for Pod {
    const WATCHED: Resource = Resource::Pods;
    type Raw = RawPod;

    fn update(scope: Scope, change: Change<Self>) -> ClusterEvent {
        ClusterEvent::Pod(scope, change)
    }

    fn happened(raw: &RawPod) -> Option<SystemTime> {
        let metadata = raw.metadata.value()?;
        if let Some(deadline) = moment(&metadata.deletion_timestamp) {
            // By then it has to be gone; it was deleted as much earlier as it was given time.
            let grace = metadata.deletion_grace_period_seconds.value().copied().unwrap_or_default();
            return deadline.checked_sub(Duration::from_secs(grace.into()));
        }
        let mut conditions = raw.status.value()?.conditions.value()?.iter().filter_map(Field::value);
        let ready = conditions.find(|condition| condition.r#type.value().is_some_and(|name| name == READY))?;
        moment(&ready.last_transition_time)
    }

    fn read(object: ObjectKey, raw: RawPod, warn: &mut dyn FnMut(String)) -> Result<Self, String> {
        let metadata = raw.metadata.required("metadata")?;
        let spec = raw.spec.required("spec")?;
        let status = raw.status.optional("status")?.unwrap_or_default();

        let labels = Labels::read(metadata.labels, "metadata.labels")?;
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
            subdomain: subdomain.map(Into::into),
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
            v4,
            v6: v6.map(Box::new),
            ready_changed,
            is_ready,
            is_terminating: metadata.deletion_timestamp.optional("metadata.deletionTimestamp")?.is_some(),
            is_finished: matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
        })
    }
}

/// The ports that have names, in the order in which a Service's `targetPort` looks for one: those of the containers, then
/// those of sidecars, which are init containers that go on.
fn named_ports(
    containers: Field<Vec<Field<RawContainer>>>,
    init_containers: Field<Vec<Field<RawContainer>>>,
    warn: &mut dyn FnMut(String),
) -> Result<Box<[ContainerPort]>, String> {
    let mut ports = Vec::new();
    for (field, containers, is_init) in
        [("spec.containers", containers, false), ("spec.initContainers", init_containers, true)]
    {
        for (i, container) in containers.optional(field)?.unwrap_or_default().into_iter().enumerate() {
            let container = container.required(&format!("{field}[{i}]"))?;
            let restarts = container.restart_policy.optional(&format!("{field}[{i}].restartPolicy"))?;
            if is_init && restarts.as_deref() != Some("Always") {
                continue;
            }
            let listed = container.ports.optional(&format!("{field}[{i}].ports"))?.unwrap_or_default();
            for (j, port) in listed.into_iter().enumerate() {
                match port.required("the port").and_then(ContainerPort::read) {
                    Ok(port) => ports.extend(port),
                    Err(error) => warn(format!("{field}[{i}].ports[{j}]: {error}")),
                }
            }
        }
    }
    Ok(ports.into())
}

impl ContainerPort {
    /// None for a port without a name, which nothing asks for.
    fn read(raw: RawContainerPort) -> Result<Option<Self>, String> {
        let Some(name) = raw.name.optional("name")?.filter(|name| !name.is_empty()) else { return Ok(None) };
        let protocol = raw.protocol.optional("protocol")?.unwrap_or_default();
        Ok(Some(Self { name: name.into(), protocol, port: raw.container_port.required("containerPort")? }))
    }
}

/// Kind and name of the owner that manages the Pod. It is told to people alone, so one that cannot be read is none.
fn owner(owners: Field<Vec<Field<RawOwner>>>, warn: &mut dyn FnMut(String)) -> Option<(SmolStr, SmolStr)> {
    let read = || {
        for owner in owners.optional("metadata.ownerReferences")?.unwrap_or_default() {
            let owner = owner.required("an entry of metadata.ownerReferences")?;
            if owner.controller.optional("metadata.ownerReferences.controller")? == Some(true) {
                let kind = owner.kind.required("metadata.ownerReferences.kind")?;
                return Ok(Some((kind.into(), owner.name.required("metadata.ownerReferences.name")?.into())));
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
    all: Field<Vec<Field<RawPodIp>>>,
    one: Field<String>,
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
        match text.parse().map_err(|_| format!("status.podIPs: {text:?} is no IP address"))? {
            IpAddr::V4(address) => v4 = v4.or(Some(address)),
            IpAddr::V6(address) => v6 = v6.or(Some(address)),
        }
    }
    Ok((v4, v6))
}

/// Whether the condition `Ready` is true, and since when it is what it is.
fn readiness(conditions: Field<Vec<Field<RawCondition>>>, warn: &mut dyn FnMut(String)) -> (bool, Option<NonZeroU32>) {
    let read = || {
        for condition in conditions.optional("status.conditions")?.unwrap_or_default() {
            let condition = condition.required("an entry of status.conditions")?;
            if condition.r#type.required("status.conditions.type")? == READY {
                let status = condition.status.required("status.conditions.status")?;
                let changed = condition.last_transition_time.optional("status.conditions.lastTransitionTime")?;
                let second = changed.and_then(|time| time.parse::<Timestamp>().ok()).map(Timestamp::as_second);
                let changed = second.and_then(|second| NonZeroU32::new(second.try_into().ok()?));
                return Ok((status == "True", changed));
            }
        }
        Ok((false, None))
    };
    read().unwrap_or_else(|problem: String| {
        // Not ready, as a Pod is that says nothing.
        warn(problem);
        (false, None)
    })
}

#[cfg(test)]
mod tests;
