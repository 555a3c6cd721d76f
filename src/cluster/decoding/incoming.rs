//! An object as received: reduced to what is served, in one pass over its octets, with the little metadata that the watch needs. Every
//! other field is skipped, `managedFields` above all.

use std::fmt::Debug;
use std::time::SystemTime;

use serde::{Deserialize, Deserializer};
use smol_str::SmolStr;

use super::metadata::RawMetadata;
use super::protobuf::{FromValue, Value};
use super::tolerant::Field;
use crate::cluster::objects::{ObjectKey, Pod, Scope, Service, Slice, Uid};
use crate::cluster::update::{Change, ClusterEvent};
use crate::telemetry::metrics::Resource;

/// A watched kind of object, in the form that the index works with.
pub trait Kind: Clone + Debug + Send + 'static {
    const RESOURCE: Resource;
    type Raw<'a>: Raw<'a>;

    /// Reads the API's form of an object. Parts that are malformed but not essential are left out and reported to `warn`.
    ///
    /// # Errors
    /// The object cannot be served; the message names the malformed field.
    fn read(key: ObjectKey, raw: Self::Raw<'_>, warn: &mut dyn FnMut(String)) -> Result<Self, String>;

    fn event(scope: Scope, change: Change<Self>) -> ClusterEvent;

    /// When the object last changed, if it has a readable time of that. Used for measurements only.
    fn changed_at(raw: &Self::Raw<'_>) -> Option<SystemTime>;
}

/// The API's form of an object, with only the fields that are read, whose texts are borrowed from what was received.
pub trait Raw<'a>: Deserialize<'a> + FromValue<'a> {
    fn metadata(&self) -> &Field<RawMetadata<'a>>;
}

/// An object of kind `K` as received.
#[derive(Clone, Debug)]
pub struct Incoming<K> {
    pub key: ObjectKey,
    /// None if it is absent or not a UUID.
    pub uid: Option<Uid>,
    /// Empty if it is absent or malformed.
    pub resource_version: SmolStr,
    /// When the object last changed, if known.
    pub changed_at: Option<SystemTime>,
    /// Whether the object has been marked for deletion.
    pub is_terminating: bool,
    /// None if it cannot be served.
    object: Option<K>,
    /// The parts that cannot be served.
    problems: Vec<String>,
}

impl<K: Kind> Incoming<K> {
    fn new(raw: Field<K::Raw<'_>>) -> Self {
        let metadata = raw.value().and_then(|raw| raw.metadata().value());
        let key = metadata.map_or_else(
            || ObjectKey::new("", ""),
            |metadata| ObjectKey::new(metadata.namespace.text(), metadata.name.text()),
        );
        let uid = metadata.and_then(|metadata| Uid::parse(metadata.uid.text()));
        let resource_version = metadata.map_or("", |metadata| metadata.resource_version.text()).into();
        let is_terminating = metadata.is_some_and(|metadata| !matches!(metadata.deletion_timestamp, Field::Absent));
        let changed_at = raw.value().and_then(K::changed_at);
        let mut problems = Vec::new();
        let object = match raw {
            Field::Value(raw) => K::read(key.clone(), raw, &mut |problem| problems.push(problem)),
            Field::Malformed(found) => Err(format!("it is {found}")),
            Field::Absent => Err("it is empty".to_owned()),
        };
        let object = object.map_err(|problem| problems.push(problem)).ok();
        Self { key, uid, resource_version, changed_at, is_terminating, object, problems }
    }

    /// Reads the octets of a message.
    pub fn from_protobuf(octets: &[u8]) -> Self {
        Self::new(K::Raw::read(Field::Absent, Value::Octets(octets)))
    }

    /// The resourceVersion as a number. None if it is none.
    pub fn version(&self) -> Option<u64> {
        self.resource_version.parse().ok()
    }

    /// The change that it is, and the parts of it that cannot be served.
    pub fn into_change(self) -> (Change<K>, Vec<String>) {
        (self.object.map_or(Change::Unreadable(self.key), Change::Apply), self.problems)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Incoming<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Field::<K::Raw<'de>>::deserialize(deserializer).map(Self::new)
    }
}

/// In which form objects are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    Json,
    Protobuf,
}

/// Reads one object as the watch would, from JSON or from the message of its kind. Returns the change in `scope`, and the parts that
/// cannot be served.
///
/// # Errors
/// The text is not JSON.
pub fn read_object(
    encoding: Encoding,
    resource: Resource,
    scope: Scope,
    octets: &[u8],
) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
    fn read<K: Kind>(
        encoding: Encoding,
        scope: Scope,
        octets: &[u8],
    ) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
        let incoming: Incoming<K> = match encoding {
            Encoding::Json => serde_json::from_slice(octets)?,
            Encoding::Protobuf => Incoming::from_protobuf(octets),
        };
        let (change, problems) = incoming.into_change();
        Ok((K::event(scope, change), problems))
    }
    match resource {
        Resource::Services => read::<Service>(encoding, scope, octets),
        Resource::EndpointSlices => read::<Slice>(encoding, scope, octets),
        Resource::Pods => read::<Pod>(encoding, scope, octets),
    }
}

/// Reads one object from JSON as the watch would.
///
/// # Errors
/// The text is not JSON.
pub fn read_json(
    resource: Resource,
    scope: Scope,
    json: &[u8],
) -> Result<(ClusterEvent, Vec<String>), serde_json::Error> {
    read_object(Encoding::Json, resource, scope, json)
}
