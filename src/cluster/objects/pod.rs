//! Pods.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::identity::{Uid, Version};
use super::labels::Labels;
use super::service::Protocol;
use crate::dns::name::Label;

/// The label of a StatefulSet's Pod that holds the Pod's name.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// The label of a StatefulSet's Pod that holds its ordinal.
pub const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

/// The served fields of a Pod. There may be hundreds of thousands, so fields that the Pods of a workload share are in the
/// [`Template`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    pub name: SmolStr,
    /// Saved once, before the Pods that share it.
    #[serde(skip)]
    pub template: Arc<Template>,
    pub uid: Option<Uid>,
    pub version: Version,
    /// The first address of each family, as in an EndpointSlice.
    pub v4: Option<Ipv4Addr>,
    pub v6: Option<Box<Ipv6Addr>>,
    /// When `is_ready` last changed, in seconds since 1970.
    pub ready_changed: Option<NonZeroU32>,
    pub is_ready: bool,
    /// It has been deleted and is shutting down.
    pub is_terminating: bool,
    /// Its phase is `Succeeded` or `Failed`: it will not run again.
    pub is_finished: bool,
}

/// The hostname in the spec of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hostname {
    #[default]
    None,
    /// The name of the Pod, as in every StatefulSet.
    Own,
    Other(Label),
}

/// The fields that the Pods of one workload share, stored once for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Template {
    pub namespace: Arc<str>,
    /// All labels but those in `own_labels`.
    pub labels: Labels,
    /// The labels that follow from a Pod's name, and are left out of `labels` for that reason.
    pub own_labels: OwnLabels,
    pub hostname: Hostname,
    pub subdomain: Option<SmolStr>,
    pub ports: Box<[ContainerPort]>,
    /// Kind and name of the controller.
    pub owner: Option<(SmolStr, SmolStr)>,
}

/// A named port of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ContainerPort {
    pub name: SmolStr,
    pub protocol: Protocol,
    pub port: u16,
}

/// The labels whose values differ between the Pods of a StatefulSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnLabels {
    /// The value of [`POD_NAME`] is the Pod's name.
    pub name: bool,
    /// The value of [`POD_INDEX`] is the last part of the Pod's name.
    pub index: bool,
}

impl OwnLabels {
    pub fn is_key(key: &str) -> bool {
        matches!(key, POD_NAME | POD_INDEX)
    }

    /// Splits a selector into the labels that differ from Pod to Pod and those that the Pods of a workload share.
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

    /// Whether it has all labels of the selector.
    pub fn is_selected_by(&self, selector: &Labels) -> bool {
        let (mut own, shared) = OwnLabels::part(selector);
        own.all(|(key, value)| self.label(key) == Some(value)) && self.template.labels.have_all(shared)
    }

    pub fn has_hostname(&self) -> bool {
        self.template.hostname != Hostname::None
    }

    /// The hostname in its spec.
    pub fn hostname(&self) -> Option<Label> {
        match &self.template.hostname {
            Hostname::None => None,
            Hostname::Own => Label::parse(&self.name).ok(),
            Hostname::Other(label) => Some(label.clone()),
        }
    }

    /// Whether another state of the Pod has the same served fields, so that only its version may differ.
    pub fn is_same_but_for_version(&self, other: &Self) -> bool {
        *self == Self { version: self.version, ..other.clone() }
    }

    /// The first address of each family.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.as_deref().map(|v6| IpAddr::V6(*v6)))
    }

    /// Whether it has been assigned an address yet.
    pub fn has_address(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }
}

/// The part of a Pod's name after the last dash.
pub(in crate::cluster) fn ordinal(name: &str) -> Option<&str> {
    name.rsplit_once('-').map(|(_, ordinal)| ordinal)
}
