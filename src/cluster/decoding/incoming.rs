//! An object on its way in: decoded tolerantly for us, with the little metadata that kube's watcher needs. Every other field
//! is skipped while parsing, `managedFields` above all.

use std::borrow::Cow;
use std::fmt::Debug;
use std::time::SystemTime;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as KubeResource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::metadata::RawMetadata;
use super::tolerant::Field;
use crate::cluster::objects::{ObjectKey, Pod, Scope, Service, Slice, Uid};
use crate::cluster::update::{Change, ClusterEvent};
use crate::telemetry::metrics::Resource;

/// A watched kind of object, in the form that the index works with.
pub trait Kind: Clone + Debug + Send + 'static {
    const RESOURCE: Resource;
    type Raw: Raw;

    /// Reads the API's form of an object. Parts that are malformed but not essential are left out and reported to `warn`.
    ///
    /// # Errors
    /// The object cannot be served; the message names the malformed field.
    fn read(key: ObjectKey, raw: Self::Raw, warn: &mut dyn FnMut(String)) -> Result<Self, String>;

    fn event(scope: Scope, change: Change<Self>) -> ClusterEvent;

    /// When the object last changed, if it has a readable time of that. Used for measurements only.
    fn changed_at(raw: &Self::Raw) -> Option<SystemTime>;
}

/// The API's form of an object, with only the fields that are read.
pub trait Raw: DeserializeOwned + Clone + Debug + Send + 'static {
    fn metadata(&self) -> &Field<RawMetadata>;
}

/// An object of kind `K` as received.
#[derive(Debug)]
pub struct Incoming<K: Kind> {
    pub meta: ObjectMeta,
    pub raw: Field<K::Raw>,
}

impl<K: Kind> Clone for Incoming<K> {
    fn clone(&self) -> Self {
        Self { meta: self.meta.clone(), raw: self.raw.clone() }
    }
}

impl<K: Kind> Incoming<K> {
    /// When the object last changed, if known.
    pub fn changed_at(&self) -> Option<SystemTime> {
        self.raw.value().and_then(K::changed_at)
    }

    /// Whether the object has been marked for deletion.
    pub fn is_terminating(&self) -> bool {
        let metadata = self.raw.value().and_then(|raw| raw.metadata().value());
        metadata.is_some_and(|metadata| !matches!(metadata.deletion_timestamp, Field::Absent))
    }

    pub fn key(&self) -> ObjectKey {
        let ObjectMeta { namespace, name, .. } = &self.meta;
        ObjectKey::new(namespace.as_deref().unwrap_or_default(), name.as_deref().unwrap_or_default())
    }

    /// None if it is absent or not a UUID.
    pub fn uid(&self) -> Option<Uid> {
        self.raw.value()?.metadata().value()?.uid.value().and_then(|uid| Uid::parse(uid))
    }

    /// Reads the object, which has this key. Also returns the parts that cannot be served.
    pub fn read(self, key: ObjectKey) -> (Change<K>, Vec<String>) {
        let mut problems = Vec::new();
        let object = match self.raw {
            Field::Value(raw) => K::read(key.clone(), raw, &mut |problem| problems.push(problem)),
            Field::Malformed(found) => Err(format!("it is {found}")),
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
        K::RESOURCE.kind().into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::RESOURCE.group().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::RESOURCE.plural().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Reads one object from JSON as the watch would. Returns the change in `scope`, and the parts that cannot be served.
///
/// # Errors
/// The text is not JSON.
pub fn read_json(
    resource: Resource,
    scope: Scope,
    json: &[u8],
) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
    fn read<K: Kind>(scope: Scope, json: &[u8]) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
        let incoming = serde_json::from_slice::<Incoming<K>>(json)?;
        let key = incoming.key();
        let (change, problems) = incoming.read(key);
        Ok((K::event(scope, change), problems))
    }
    match resource {
        Resource::Services => read::<Service>(scope, json),
        Resource::EndpointSlices => read::<Slice>(scope, json),
        Resource::Pods => read::<Pod>(scope, json),
    }
}
