//! Object metadata as the API sends it, and readers that several kinds share.

use std::collections::BTreeMap;
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::tolerant::Field;
use crate::cluster::objects::{Labels, Version};
use crate::dns::name::Label;

/// Metadata of any watched kind, with the annotations that are read of at least one of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawMetadata {
    pub name: Field<String>,
    pub namespace: Field<String>,
    pub uid: Field<String>,
    pub resource_version: Field<String>,
    pub creation_timestamp: Field<String>,
    pub deletion_timestamp: Field<String>,
    pub deletion_grace_period_seconds: Field<u32>,
    pub labels: Field<RawMap>,
    pub annotations: Field<RawAnnotations>,
    pub owner_references: Field<Vec<Field<RawOwner>>>,
}

/// Labels, or a label selector.
pub type RawMap = BTreeMap<String, Field<String>>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawAnnotations {
    #[serde(rename = "service.alpha.kubernetes.io/tolerate-unready-endpoints")]
    pub tolerate_unready_endpoints: Field<String>,
    #[serde(rename = "headless-dns/not-ready-ordinals")]
    pub not_ready_ordinals: Field<String>,
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    pub last_change_trigger_time: Field<String>,
}

/// A reference to an owner of an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RawOwner {
    pub kind: Field<String>,
    pub name: Field<String>,
    pub controller: Field<bool>,
}

/// Reads a time, RFC 3339. None if it is absent or malformed: times are used for measurements only.
pub(super) fn parse_time(text: &Field<String>) -> Option<SystemTime> {
    text.value()?.parse::<Timestamp>().ok().map(SystemTime::from)
}

pub(super) fn read_version(metadata: &RawMetadata) -> Version {
    metadata.resource_version.value().map_or_else(Version::default, |text| Version::parse(text))
}

/// # Errors
/// It is not a map of strings; the message names the `field`.
pub(super) fn read_labels(raw: Field<RawMap>, field: &str) -> Result<Labels, String> {
    let pairs = raw.optional(field)?.unwrap_or_default().into_iter();
    pairs.map(|(key, value)| Ok((key.clone(), value.required(&format!("{field}[{key}]"))?))).collect()
}

/// Reads the name or the namespace of a Service as a DNS label.
///
/// # Errors
/// It is not a label, or has upper-case letters, which no name in Kubernetes has: two objects whose names differ only in
/// case would have the same name in DNS.
pub(super) fn name_label(text: &str, field: &str) -> Result<Label, String> {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Err(format!("{field}: {text:?} has upper-case letters"));
    }
    Label::parse(text).map_err(|error| format!("{field}: {error}"))
}
