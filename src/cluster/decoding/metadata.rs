//! Object metadata as the API sends it, and readers that several kinds share.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::protobuf::{Fields, FromValue, Value, message};
use super::text::{RawTime, Text};
use super::tolerant::Field;
use crate::cluster::objects::{Labels, Version};
use crate::dns::name::Label;

message! {
    /// Metadata of any watched kind, with the annotations that are read of at least one of them. `ObjectMeta`.
    pub struct RawMetadata<'a> {
        pub name: Text<'a> = 1 "name",
        pub namespace: Text<'a> = 3 "namespace",
        pub uid: Text<'a> = 5 "uid",
        pub resource_version: Text<'a> = 6 "resourceVersion",
        pub creation_timestamp: RawTime = 8 "creationTimestamp",
        pub deletion_timestamp: RawTime = 9 "deletionTimestamp",
        pub deletion_grace_period_seconds: u32 = 10 "deletionGracePeriodSeconds",
        pub labels: RawMap<'a> = 11 "labels",
        pub annotations: RawAnnotations<'a> = 12 "annotations",
        pub owner_references: Vec<Field<RawOwner<'a>>> = 13 "ownerReferences",
    }
}

/// The annotation that preceded the field `publishNotReadyAddresses` of a Service.
pub const TOLERATE_UNREADY: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
/// The annotation that overrides the option `not_ready_ordinals` for one Service.
pub const NOT_READY_ORDINALS: &str = "headless-dns/not-ready-ordinals";
/// The annotation that overrides the option `public_namespaces` for one Service.
pub const PUBLIC: &str = "headless-dns/public";
/// When the change was made for which the controller last wrote an EndpointSlice.
const LAST_CHANGE_TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// The annotation of the bookmark that ends a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Labels, or a label selector.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent, bound(deserialize = "'de: 'a"))]
pub struct RawMap<'a>(BTreeMap<Text<'a>, Field<Text<'a>>>);

impl<'a> RawMap<'a> {
    /// Takes the value of a key out of it.
    pub fn take(&mut self, key: &str) -> Field<Text<'a>> {
        self.0.remove(key).unwrap_or_default()
    }
}

impl<'a> FromValue<'a> for RawMap<'a> {
    fn read(before: Field<Self>, value: Value<'a>) -> Field<Self> {
        let mut map = if let Field::Value(map) = before { map } else { Self::default() };
        let (key, value) = entry(value);
        let Field::Value(key) = key else { return Field::Malformed("a map without keys") };
        map.0.insert(key, value);
        Field::Value(map)
    }
}

/// Key and value of an entry of a map: fields 1 and 2 of a message, either empty if it is missing.
fn entry<'a>(entry: Value<'a>) -> (Field<Text<'a>>, Field<Text<'a>>) {
    let (mut key, mut value) = (Field::Value(Text::default()), Field::Value(Text::default()));
    let Value::Octets(octets) = entry else { return (Field::Malformed("a number"), value) };
    for field in Fields::new(octets) {
        match field {
            Ok((1, Value::Octets([])) | (2, Value::Octets([]))) => {}
            Ok((1, text)) => key.merge(text),
            Ok((2, text)) => value.merge(text),
            Ok(_) => {}
            Err(_) => return (Field::Malformed("not a message"), value),
        }
    }
    (key, value)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct RawAnnotations<'a> {
    #[serde(rename = "service.alpha.kubernetes.io/tolerate-unready-endpoints")]
    pub tolerate_unready_endpoints: Field<Text<'a>>,
    #[serde(rename = "headless-dns/not-ready-ordinals")]
    pub not_ready_ordinals: Field<Text<'a>>,
    #[serde(rename = "headless-dns/public")]
    pub public: Field<Text<'a>>,
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    pub last_change_trigger_time: Field<Text<'a>>,
    #[serde(rename = "k8s.io/initial-events-end")]
    pub initial_events_end: Field<Text<'a>>,
}

impl<'a> FromValue<'a> for RawAnnotations<'a> {
    fn read(before: Field<Self>, value: Value<'a>) -> Field<Self> {
        let mut annotations = if let Field::Value(annotations) = before { annotations } else { Self::default() };
        let (key, value) = entry(value);
        let Field::Value(key) = key else { return Field::Malformed("a map without keys") };
        match &*key {
            TOLERATE_UNREADY => annotations.tolerate_unready_endpoints = value,
            NOT_READY_ORDINALS => annotations.not_ready_ordinals = value,
            PUBLIC => annotations.public = value,
            LAST_CHANGE_TRIGGER_TIME => annotations.last_change_trigger_time = value,
            INITIAL_EVENTS_END => annotations.initial_events_end = value,
            _ => {}
        }
        Field::Value(annotations)
    }
}

message! {
    /// A reference to an owner of an object. `OwnerReference`.
    pub struct RawOwner<'a> {
        pub kind: Text<'a> = 1 "kind",
        pub name: Text<'a> = 3 "name",
        pub controller: bool = 6 "controller",
    }
}

pub(super) fn read_version(metadata: &RawMetadata<'_>) -> Version {
    metadata.resource_version.value().map_or_else(Version::default, |text| Version::parse(text))
}

/// # Errors
/// It is not a map of strings; the message names the `field`.
pub(super) fn read_labels(raw: Field<RawMap<'_>>, field: &str) -> Result<Labels, String> {
    let pairs = raw.optional(field)?.unwrap_or_default().0.into_iter();
    let pairs = pairs.map(|(key, value)| match value {
        Field::Value(value) => Ok((key, value)),
        other => other.required(format_args!("{field}[{}]", &*key)).map(|value| (key, value)),
    });
    pairs.collect()
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
