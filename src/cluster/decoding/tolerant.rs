//! Decoding that survives malformed fields: a type error becomes a value, and never fails the list or the watch that the
//! object came in.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// A field of an object as received.
///
/// `T` must be a type that either consumes its input whole or rejects it at the first token: a number, a string, a `Vec` of
/// `Field`s, a struct whose fields are all `Field`s with a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Field<T> {
    /// Missing or null.
    #[default]
    Absent,
    Value(T),
    /// Not a `T`, but this.
    Malformed(&'static str),
}

impl<T> Field<T> {
    /// The value, if it is present and well-formed.
    pub fn value(&self) -> Option<&T> {
        if let Self::Value(value) = self { Some(value) } else { None }
    }

    /// Converts the value.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Value(value) => Field::Value(convert(value)),
            Self::Malformed(found) => Field::Malformed(found),
        }
    }

    /// The value, if it is present.
    ///
    /// # Errors
    /// It is malformed; the message names the `field`.
    pub fn optional(self, field: impl fmt::Display) -> Result<Option<T>, String> {
        match self {
            Self::Absent => Ok(None),
            Self::Value(value) => Ok(Some(value)),
            Self::Malformed(found) => Err(format!("{field} is {found}")),
        }
    }

    /// The value.
    ///
    /// # Errors
    /// It is malformed or absent.
    pub fn required(self, field: impl fmt::Display) -> Result<T, String> {
        self.optional(&field)?.ok_or_else(|| format!("{field} is missing"))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

/// What a string is that is no `T`.
pub(super) const FOUND_STRING: &str = "a string, or not one that is allowed";

struct FieldVisitor<T>(PhantomData<T>);

/// Scalars are consumed as they are passed, so nothing is left to skip after an error.
macro_rules! scalar {
    ($method:ident, $type:ty, $found:expr) => {
        fn $method<E: Error>(self, value: $type) -> Result<Self::Value, E> {
            let value: Result<T, serde::de::value::Error> = T::deserialize(value.into_deserializer());
            Ok(value.map_or(Field::Malformed($found), Field::Value))
        }
    };
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalar!(visit_bool, bool, "a boolean, or not one that is allowed");
    scalar!(visit_u64, u64, "a number, or not one that is allowed");
    scalar!(visit_i64, i64, "a number, or not one that is allowed");
    scalar!(visit_f64, f64, "a fraction");
    scalar!(visit_str, &str, FOUND_STRING);

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        let value = T::deserialize(BorrowedStrDeserializer::<serde::de::value::Error>::new(value));
        Ok(value.map_or(Field::Malformed(FOUND_STRING), Field::Value))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if let Ok(value) = T::deserialize(Elements(&mut seq)) {
            return Ok(Field::Value(value));
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Malformed("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        if let Ok(value) = T::deserialize(MapAccessDeserializer::new(&mut map)) {
            return Ok(Field::Value(value));
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Malformed("an object"))
    }
}

/// Deserializes into a type that asks for a list, and into no other: a struct would accept a list as its fields in order.
struct Elements<A>(A);

impl<'de, A: SeqAccess<'de>> Deserializer<'de> for Elements<A> {
    type Error = A::Error;

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_seq(self.0)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("a list"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Outer {
        number: Field<u16>,
        text: Field<String>,
        list: Field<Vec<Field<Inner>>>,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(default)]
    struct Inner {
        flag: Field<bool>,
    }

    fn read(json: &str) -> Field<Outer> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_malformed_field_leaves_the_others_intact() {
        let Field::Value(outer) =
            read(r#"{"number": "x", "text": "kept", "list": [{"flag": true}, 7, {"flag": {"a": [1]}}]}"#)
        else {
            panic!("the object is one")
        };
        assert!(matches!(outer.number, Field::Malformed(_)));
        assert_eq!(outer.text, Field::Value("kept".to_owned()));
        let Field::Value(list) = outer.list else { panic!("the list is one") };
        assert_eq!(list[0], Field::Value(Inner { flag: Field::Value(true) }));
        assert!(matches!(list[1], Field::Malformed(_)));
        assert!(matches!(list[2], Field::Value(Inner { flag: Field::Malformed("an object") })));
    }

    #[test]
    fn nulls_numbers_out_of_range_and_malformed_objects_do_not_fail() {
        let Field::Value(outer) =
            read(r#"{"number": 70000, "text": null, "list": {"x": {"y": [1, {"z": 2}]}}, "more": 1}"#)
        else {
            panic!("the object is one")
        };
        assert!(matches!(outer.number, Field::Malformed(_)));
        assert_eq!(outer.text, Field::Absent);
        assert_eq!(outer.list, Field::Malformed("an object"));
        assert!(matches!(read("[1, [2], {}]"), Field::Malformed("a list")));
        assert!(matches!(read("\"text\""), Field::Malformed(_)));
    }
}
