//! An object as the API sends it, before it is read: the fields that are served, each tolerant, and what kube's watcher
//! needs. Everything else is skipped while it is parsed, managed fields above all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::SystemTime;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Resource as KubeResource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::tolerant::Field;
use super::{Change, ClusterEvent, ObjectKey, Pod, Resource, Scope, Service, Slice};

/// A kind of object that the index is told of.
pub(super) trait Kind: Clone + Debug + Send + 'static {
    const WATCHED: Resource;
    type Raw: Raw;

    /// # Errors
    /// The object cannot be served; the message says which field is wrong. A part that is wrong by itself is left out
    /// and told to `warn`.
    fn read(key: ObjectKey, raw: Self::Raw, warn: &mut dyn FnMut(String)) -> Result<Self, String>;

    fn update(scope: Scope, change: Change<Self>) -> ClusterEvent;

    /// When the change happened that the object tells of, if it says so. What cannot be read is not there: this is for
    /// measurements alone.
    fn happened(raw: &Self::Raw) -> Option<SystemTime>;
}

/// The fields of an object that are read.
pub(super) trait Raw: DeserializeOwned + Clone + Debug + Send + 'static {
    fn metadata(&self) -> &Field<RawMetadata>;
}

/// Metadata of any watched kind, with the annotations that mean something to one of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawMetadata {
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

/// Labels, or what selects them.
pub(super) type RawMap = BTreeMap<String, Field<String>>;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawAnnotations {
    #[serde(rename = "service.alpha.kubernetes.io/tolerate-unready-endpoints")]
    pub tolerate_unready_endpoints: Field<String>,
    #[serde(rename = "headless-dns/not-ready-ordinals")]
    pub not_ready_ordinals: Field<String>,
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    pub last_change_trigger_time: Field<String>,
}

/// Who manages an object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawOwner {
    pub kind: Field<String>,
    pub name: Field<String>,
    pub controller: Field<bool>,
}

/// A time as the API writes it.
pub(super) fn moment(text: &Field<String>) -> Option<SystemTime> {
    text.value()?.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// An object of kind `K` on its way in.
#[derive(Debug)]
pub(super) struct Incoming<K: Kind> {
    pub meta: ObjectMeta,
    pub raw: Field<K::Raw>,
}

impl<K: Kind> Clone for Incoming<K> {
    fn clone(&self) -> Self {
        Self { meta: self.meta.clone(), raw: self.raw.clone() }
    }
}

impl<K: Kind> Incoming<K> {
    /// When the change happened that the object tells of, if it says so.
    pub fn happened(&self) -> Option<SystemTime> {
        self.raw.value().and_then(K::happened)
    }

    pub fn key(&self) -> ObjectKey {
        let ObjectMeta { namespace, name, .. } = &self.meta;
        ObjectKey::new(namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default())
    }

    /// What the object of this key says, and what of it cannot be served.
    pub fn read(self, key: ObjectKey) -> (Change<K>, Vec<String>) {
        let mut problems = Vec::new();
        let object = match self.raw {
            Field::Value(raw) => K::read(key.clone(), raw, &mut |problem| problems.push(problem)),
            Field::Wrong(found) => Err(format!("it is {found}")),
            Field::Absent => Err("it is empty".to_owned()),
        };
        match object {
            Ok(object) => (Change::Apply(object), problems),
            Err(problem) => {
                problems.push(problem);
                (Change::Unreadable(key), problems)
            }
        }
    }
}

impl<'de, K: Kind> Deserialize<'de> for Incoming<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Field::<K::Raw>::deserialize(deserializer)?;
        let mut meta = ObjectMeta::default();
        if let Field::Value(raw) = &raw
            && let Field::Value(metadata) = raw.metadata()
        {
            let text = |field: &Field<String>| field.clone().optional("").unwrap_or_default();
            meta.name = text(&metadata.name);
            meta.namespace = text(&metadata.namespace);
            meta.resource_version = text(&metadata.resource_version);
        }
        Ok(Self { meta, raw })
    }
}

impl<K: Kind> KubeResource for Incoming<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::WATCHED.kind().into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::WATCHED.group().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::WATCHED.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Reads one object from JSON as the watch would: the change in `scope`, and what of the object cannot be served.
///
/// # Errors
/// The text is no JSON.
pub fn read_json(
    watched: Resource,
    scope: Scope,
    json: &[u8],
) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
    fn read<K: Kind>(scope: Scope, json: &[u8]) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
        let incoming = serde_json::from_slice::<Incoming<K>>(json)?;
        let key = incoming.key();
        let (change, problems) = incoming.read(key);
        Ok((K::update(scope, change), problems))
    }
    match watched {
        Resource::Services => read::<Service>(scope, json),
        Resource::EndpointSlices => read::<Slice>(scope, json),
        Resource::Pods => read::<Pod>(scope, json),
    }
}
