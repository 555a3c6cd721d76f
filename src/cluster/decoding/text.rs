//! Text and times as received: borrowed from the frame wherever it has them as they are.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use super::protobuf::{Fields, FromValue, Value};
use super::tolerant::Field;

/// A text. Only JSON with escapes has to be copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(Cow<'a, str>);

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }

        deserializer.deserialize_str(TextVisitor).map(Self)
    }
}

impl<'a> FromValue<'a> for Text<'a> {
    /// Kubernetes writes every text that is not optional, so an empty one is the same as none.
    fn read(_: Field<Self>, value: Value<'a>) -> Field<Self> {
        match value.text() {
            Some("") => Field::Absent,
            Some(text) => Field::Value(Self(Cow::Borrowed(text))),
            None => Field::Malformed("not text"),
        }
    }
}

/// A time: RFC 3339 in JSON, seconds since 1970 in Protobuf. None inside if it cannot be read: times are used for measurements
/// only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTime(Option<Timestamp>);

impl RawTime {
    pub fn as_second(self) -> Option<i64> {
        self.0.map(Timestamp::as_second)
    }
}

impl Text<'_> {
    pub fn into_owned(self) -> String {
        self.0.into_owned()
    }

    /// The time that it is, RFC 3339. None if it is none.
    pub fn time(&self) -> Option<SystemTime> {
        self.parse::<Timestamp>().ok().map(SystemTime::from)
    }
}

impl Field<Text<'_>> {
    /// Empty if it is absent or malformed.
    pub fn text(&self) -> &str {
        self.value().map_or("", AsRef::as_ref)
    }
}

impl Field<RawTime> {
    /// None if it is absent or cannot be read.
    pub fn time(&self) -> Option<SystemTime> {
        self.value()?.0.map(SystemTime::from)
    }
}

impl<'de> Deserialize<'de> for RawTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(|text| Self(text.parse().ok()))
    }
}

impl<'a> FromValue<'a> for RawTime {
    /// `Time` in `apimachinery/pkg/apis/meta/v1`. An empty message is no time.
    fn read(_: Field<Self>, value: Value<'a>) -> Field<Self> {
        match value {
            Value::Octets([]) => Field::Absent,
            Value::Octets(octets) => {
                let second = Fields::new(octets).find_map(|field| match field {
                    Ok((1, Value::Number(second))) => Some(second.cast_signed()),
                    _ => None,
                });
                Field::Value(Self(Timestamp::from_second(second.unwrap_or_default()).ok()))
            }
            Value::Number(_) | Value::Fixed => Field::Malformed("a number"),
        }
    }
}
