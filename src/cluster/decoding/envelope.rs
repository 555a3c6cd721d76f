//! What objects come in: lists, the frames of a watch, and the status that an error has.
//!
//! | | JSON | Protobuf |
//! |---|---|---|
//! | list | one object with `metadata` and `items` | `k8s\0`, then `runtime.Unknown`, in it the list |
//! | watch | a line for each `WatchEvent` | a length of four octets, then a `WatchEvent`, in it `k8s\0`, `runtime.Unknown`, the object |
//! | status | one object | `k8s\0`, then `runtime.Unknown`, in it the status |
//!
//! Numbers of fields are those of `apimachinery/pkg/runtime/generated.proto` and `apimachinery/pkg/apis/meta/v1/generated.proto`.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::incoming::{Encoding, Incoming, Kind};
use super::metadata::RawMetadata;
use super::protobuf::{self, Fields, FromValue, Value, message};
use super::text::Text;
use super::tolerant::Field;

/// What was received is not what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Protobuf(#[from] protobuf::Malformed),
    #[error("it does not begin with the four octets of Kubernetes' Protobuf")]
    Envelope,
    #[error("{0:?} is no type of event")]
    EventType(String),
}

/// A list, or a page of one.
#[derive(Clone, Debug)]
pub struct Page<K> {
    /// Empty if the server does not say.
    pub resource_version: SmolStr,
    /// From where the next page goes on. Empty if there is none.
    pub continue_token: String,
    pub items: Vec<Incoming<K>>,
}

/// An event of a watch.
#[derive(Clone, Debug)]
pub enum WireEvent<K> {
    /// Added or modified.
    Apply(Incoming<K>),
    Delete(Incoming<K>),
    Bookmark(Bookmark),
    /// The watch has failed.
    Error(Status),
}

/// Up to where the watch has told everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// Empty if it is absent.
    pub resource_version: SmolStr,
    /// It ends a streaming list.
    pub ends_list: bool,
}

/// Why the server refuses a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    /// In one word, such as `Forbidden`.
    pub reason: String,
    pub message: String,
    /// After how many seconds to ask again; 0 if it does not say.
    pub retry_after_seconds: u32,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&*self.message, &*self.reason) {
            ("", "") => write!(f, "HTTP status {}", self.code),
            ("", reason) => write!(f, "{reason} ({})", self.code),
            (message, _) => write!(f, "{message} ({})", self.code),
        }
    }
}

message! {
    /// `ListMeta`.
    struct RawListMeta<'a> {
        resource_version: Text<'a> = 2 "resourceVersion",
        r#continue: Text<'a> = 3 "continue",
    }
}

message! {
    /// Any object, of which only the metadata is read.
    struct RawBookmark<'a> {
        metadata: RawMetadata<'a> = 1 "metadata",
    }
}

message! {
    /// `Status`.
    struct RawStatus<'a> {
        message: Text<'a> = 3 "message",
        reason: Text<'a> = 4 "reason",
        details: RawDetails = 5 "details",
        code: u16 = 6 "code",
    }
}

message! {
    /// `StatusDetails`.
    struct RawDetails {
        retry_after_seconds: u32 = 5 "retryAfterSeconds",
    }
}

impl From<Field<RawBookmark<'_>>> for Bookmark {
    fn from(raw: Field<RawBookmark<'_>>) -> Self {
        let metadata = raw.value().and_then(|raw| raw.metadata.value());
        let ends_list = metadata.and_then(|metadata| metadata.annotations.value());
        Self {
            resource_version: metadata.map_or("", |metadata| metadata.resource_version.text()).into(),
            ends_list: ends_list.is_some_and(|annotations| annotations.initial_events_end.text() == "true"),
        }
    }
}

impl From<Field<RawStatus<'_>>> for Status {
    fn from(raw: Field<RawStatus<'_>>) -> Self {
        let Field::Value(raw) = raw else { return Self::default() };
        let retry_after = raw.details.value().and_then(|details| details.retry_after_seconds.value());
        Self {
            code: raw.code.value().copied().unwrap_or_default(),
            reason: raw.reason.text().to_owned(),
            message: raw.message.text().to_owned(),
            retry_after_seconds: retry_after.copied().unwrap_or_default(),
        }
    }
}

impl<K: Kind> Page<K> {
    /// # Errors
    /// It is no list.
    pub fn decode(encoding: Encoding, body: &[u8]) -> Result<Self, DecodeError> {
        let (metadata, items) = match encoding {
            Encoding::Json => {
                let JsonList { metadata, items } = serde_json::from_slice(body)?;
                (metadata, items.unwrap_or_default())
            }
            Encoding::Protobuf => {
                let (mut metadata, mut items) = (Field::Absent, Vec::new());
                for field in Fields::new(unwrap(body)?) {
                    match field? {
                        (1, value) => metadata.merge(value),
                        (2, Value::Octets(octets)) => items.push(Incoming::from_protobuf(octets)),
                        _ => {}
                    }
                }
                (metadata, items)
            }
        };
        let metadata: RawListMeta<'_> = metadata.optional("").ok().flatten().unwrap_or_default();
        Ok(Self {
            resource_version: metadata.resource_version.text().into(),
            continue_token: metadata.r#continue.text().to_owned(),
            items,
        })
    }
}

#[derive(serde::Deserialize)]
#[serde(bound(deserialize = "'de: 'a, K: Kind"))]
struct JsonList<'a, K> {
    #[serde(default)]
    metadata: Field<RawListMeta<'a>>,
    /// Null in an empty list.
    items: Option<Vec<Incoming<K>>>,
}

impl<K: Kind> WireEvent<K> {
    /// # Errors
    /// It is no event of a watch.
    pub fn decode(encoding: Encoding, frame: &[u8]) -> Result<Self, DecodeError> {
        match encoding {
            Encoding::Json => Ok(serde_json::from_slice(frame)?),
            Encoding::Protobuf => {
                let (mut r#type, mut object) = (Field::<Text<'_>>::Absent, &[][..]);
                for field in Fields::new(frame) {
                    match field? {
                        (1, value) => r#type.merge(value),
                        (2, Value::Octets(extension)) => object = octets_of(extension, 1)?,
                        _ => {}
                    }
                }
                let message = unwrap(object)?;
                match EventType::parse(r#type.text())? {
                    EventType::Apply => Ok(Self::Apply(Incoming::from_protobuf(message))),
                    EventType::Delete => Ok(Self::Delete(Incoming::from_protobuf(message))),
                    EventType::Bookmark => Ok(Self::Bookmark(read(message).into())),
                    EventType::Error => Ok(Self::Error(read(message).into())),
                }
            }
        }
    }

    fn decode_object<'de, D: Deserializer<'de>>(r#type: EventType, deserializer: D) -> Result<Self, D::Error> {
        match r#type {
            EventType::Apply => Incoming::deserialize(deserializer).map(Self::Apply),
            EventType::Delete => Incoming::deserialize(deserializer).map(Self::Delete),
            EventType::Bookmark => {
                Field::<RawBookmark<'de>>::deserialize(deserializer).map(|raw| Self::Bookmark(raw.into()))
            }
            EventType::Error => Field::<RawStatus<'de>>::deserialize(deserializer).map(|raw| Self::Error(raw.into())),
        }
    }
}

impl Status {
    /// None if it is no status.
    pub fn decode(encoding: Encoding, body: &[u8]) -> Option<Self> {
        let status: Self = match encoding {
            Encoding::Json => serde_json::from_slice::<Field<RawStatus<'_>>>(body).ok()?.into(),
            Encoding::Protobuf => read::<RawStatus<'_>>(unwrap(body).ok()?).into(),
        };
        (status != Self::default()).then_some(status)
    }
}

/// `type` of a `WatchEvent`.
#[derive(Clone, Copy, Debug)]
enum EventType {
    Apply,
    Delete,
    Bookmark,
    Error,
}

impl EventType {
    fn parse(text: &str) -> Result<Self, DecodeError> {
        match text {
            "ADDED" | "MODIFIED" => Ok(Self::Apply),
            "DELETED" => Ok(Self::Delete),
            "BOOKMARK" => Ok(Self::Bookmark),
            "ERROR" => Ok(Self::Error),
            other => Err(DecodeError::EventType(other.to_owned())),
        }
    }
}

/// Reads an event in one pass, because the API server writes its `type` first (`WatchEvent` in
/// `apimachinery/pkg/apis/meta/v1`). One whose object comes first is read in two.
impl<'de, K: Kind> Deserialize<'de> for WireEvent<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventVisitor<K>(PhantomData<K>);

        impl<'de, K: Kind> Visitor<'de> for EventVisitor<K> {
            type Value = WireEvent<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event of a watch")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WireEvent<K>, A::Error> {
                let (mut r#type, mut object, mut event) = (None, None, None);
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match (&*key, r#type) {
                        ("type", _) => {
                            let text = map.next_value::<Text<'de>>()?;
                            r#type = Some(EventType::parse(&text).map_err(A::Error::custom)?);
                        }
                        ("object", Some(r#type)) => event = Some(map.next_value_seed(ObjectOf(r#type, PhantomData))?),
                        ("object", None) => object = Some(map.next_value::<&'de RawValue>()?),
                        _ => _ = map.next_value::<IgnoredAny>()?,
                    }
                }
                match (event, r#type, object) {
                    (Some(event), ..) => Ok(event),
                    (None, Some(r#type), Some(object)) => {
                        WireEvent::decode_object(r#type, object).map_err(A::Error::custom)
                    }
                    _ => Err(A::Error::custom("an event without type or object")),
                }
            }
        }

        deserializer.deserialize_map(EventVisitor(PhantomData))
    }
}

/// Reads the object of an event of this type.
struct ObjectOf<K>(EventType, PhantomData<K>);

impl<'de, K: Kind> serde::de::DeserializeSeed<'de> for ObjectOf<K> {
    type Value = WireEvent<K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<WireEvent<K>, D::Error> {
        WireEvent::decode_object(self.0, deserializer)
    }
}

/// The first octets of an object in Protobuf that stands by itself (`apimachinery/pkg/runtime/serializer/protobuf`).
const MAGIC: &[u8] = b"k8s\0";

/// The message in its envelope, `runtime.Unknown`: field 2.
fn unwrap(octets: &[u8]) -> Result<&[u8], DecodeError> {
    Ok(octets_of(octets.strip_prefix(MAGIC).ok_or(DecodeError::Envelope)?, 2)?)
}

/// The octets of the last field of this number. Empty if there is none.
fn octets_of(message: &[u8], wanted: u32) -> Result<&[u8], protobuf::Malformed> {
    let mut found = &[][..];
    for field in Fields::new(message) {
        if let (number, Value::Octets(octets)) = field?
            && number == wanted
        {
            found = octets;
        }
    }
    Ok(found)
}

fn read<'a, T: FromValue<'a>>(message: &'a [u8]) -> Field<T> {
    T::read(Field::Absent, Value::Octets(message))
}
