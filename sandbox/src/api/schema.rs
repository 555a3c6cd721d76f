//! The schemas of the kinds, for `kubectl explain`.
//!
//! They are read off the Rust types: a deserializer that has no input tells each type that all of its fields are there, and
//! writes down what the type asks for. So there are the fields and their types, and no descriptions.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Expected, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::kind_type::{WithType, with_type};

/// What is said in the place of a description.
const NO_DESCRIPTION: &str = "The sandbox knows the names and types of the fields; the API reference says what they mean: \
     https://kubernetes.io/docs/reference/kubernetes-api/";

/// A text that the types of times accept.
const SOME_TIME: &str = "2000-01-01T00:00:00Z";

/// The schemas of these kinds, and of everything in them, by the name of the type.
pub fn of(kinds: impl Iterator<Item = Kind>) -> Map<String, Value> {
    let mut schemas = Map::new();
    for kind in kinds {
        // A type that refuses what it is given has fewer fields here; a test holds that none does.
        let _ = with_type(kind, Read(&mut schemas));
        let group_version_kind = json!({ "group": kind.group(), "version": kind.version(), "kind": kind.name() });
        if let Some(schema) = schemas.get_mut(kind.name()) {
            schema["x-kubernetes-group-version-kind"] = json!([group_version_kind]);
        }
    }
    schemas
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// A text, or something of this type.
fn either(kind: &str) -> Value {
    json!({ "oneOf": [{ "type": "string" }, { "type": kind }] })
}

struct Read<'a>(&'a mut Map<String, Value>);

impl WithType for Read<'_> {
    type Output = Result<(), Error>;

    fn with<T: DeserializeOwned + Serialize>(self) -> Self::Output {
        T::deserialize(Reader { schemas: self.0, schema: &mut Value::Null, text: String::new() }).map(drop)
    }
}

/// A deserializer of one value.
struct Reader<'a> {
    schemas: &'a mut Map<String, Value>,
    /// Where the schema of the value is written to.
    schema: &'a mut Value,
    /// The value, if it is a text.
    text: String,
}

impl Reader<'_> {
    /// A type of its own that is no structure.
    fn named(&mut self, name: &str, schema: Value) {
        *self.schema = reference(name);
        self.schemas.insert(name.to_owned(), schema);
    }
}

/// Visits a plain value after its schema is written.
macro_rules! plain {
    ($($method:ident: $schema:tt => $visit:ident($value:expr);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            *self.schema = json!($schema);
            visitor.$visit($value)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    plain! {
        deserialize_bool: { "type": "boolean" } => visit_bool(false);
        deserialize_i32: { "type": "integer", "format": "int32" } => visit_i32(0);
        deserialize_i64: { "type": "integer", "format": "int64" } => visit_i64(0);
        deserialize_f64: { "type": "number", "format": "double" } => visit_f64(0.0);
    }

    /// Only types that are no plain text ask for whatever there is.
    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        match (&visitor as &dyn Expected).to_string().as_str() {
            "IntOrString" => self.named("IntOrString", either("integer")),
            "Quantity" => self.named("Quantity", either("number")),
            _ => *self.schema = json!({ "type": "object" }),
        }
        visitor.visit_string(self.text)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = json!({ "type": "string" });
        visitor.visit_string(self.text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        let text = if matches!(name, "Time" | "MicroTime") { SOME_TIME.to_owned() } else { self.text };
        visitor.visit_newtype_struct(Self { text, ..self })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = json!({ "type": "array", "items": {} });
        let one = Reader { schemas: self.schemas, schema: &mut self.schema["items"], text: String::new() };
        visitor.visit_seq(One(Some(one)))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        *self.schema = json!({ "type": "object", "additionalProperties": {} });
        let one =
            Reader { schemas: self.schemas, schema: &mut self.schema["additionalProperties"], text: String::new() };
        visitor.visit_map(One(Some(one)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.schema = reference(name);
        // What is known has been read, or is being read.
        let is_known = self.schemas.contains_key(name);
        let fields = if is_known { &[] } else { fields };
        if !is_known {
            let schema = json!({ "type": "object", "description": NO_DESCRIPTION, "properties": {} });
            self.schemas.insert(name.to_owned(), schema);
        }
        visitor.visit_map(Structure { name, fields: fields.iter(), field: "", schemas: self.schemas })
    }

    forward_to_deserialize_any! {
        ignored_any i8 i16 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }
}

/// The name of a field, or of an entry of a map.
fn key(text: &'static str) -> StrDeserializer<'static, Error> {
    text.into_deserializer()
}

/// A list of one value, or a map with one entry.
struct One<'a>(Option<Reader<'a>>);

impl<'de> SeqAccess<'de> for One<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|reader| seed.deserialize(reader)).transpose()
    }
}

impl<'de> MapAccess<'de> for One<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.0.as_ref().map(|_| seed.deserialize(key("key"))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let reader = self.0.take().ok_or_else(|| <Error as serde::de::Error>::custom("a value before its key"))?;
        seed.deserialize(reader)
    }
}

/// The fields of a structure, one after the other.
struct Structure<'a> {
    name: &'static str,
    fields: std::slice::Iter<'static, &'static str>,
    field: &'static str,
    schemas: &'a mut Map<String, Value>,
}

impl<'de> MapAccess<'de> for Structure<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.next() else { return Ok(None) };
        self.field = field;
        seed.deserialize(key(field)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        // An object within another one, as in `volumeClaimTemplates`, looks at these two.
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == self.name);
        let text = match self.field {
            "kind" => self.name.to_owned(),
            "apiVersion" => kind.map(Kind::api_version).unwrap_or_default(),
            _ => String::new(),
        };
        let mut schema = Value::Null;
        let read = seed.deserialize(Reader { schemas: &mut *self.schemas, schema: &mut schema, text });
        if let Some(own) = self.schemas.get_mut(self.name) {
            own["properties"][self.field] = schema;
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_read_as_a_whole() {
        for kind in Kind::ALL {
            let mut schemas = Map::new();
            with_type(kind, Read(&mut schemas)).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        }
    }

    #[test]
    fn a_schema_has_the_fields_and_their_types() {
        let schemas = of([Kind::Pod, Kind::Service].into_iter());
        let field = |name: &str, field: &str| schemas[name]["properties"][field].clone();
        assert_eq!(field("Pod", "spec"), reference("PodSpec"));
        assert_eq!(field("PodSpec", "containers"), json!({ "type": "array", "items": reference("Container") }));
        assert_eq!(field("PodSpec", "hostNetwork"), json!({ "type": "boolean" }));
        let text = json!({ "type": "string" });
        assert_eq!(field("ObjectMeta", "labels"), json!({ "type": "object", "additionalProperties": text }));
        assert_eq!(field("ObjectMeta", "deletionTimestamp"), text);
        assert_eq!(field("ServicePort", "targetPort"), reference("IntOrString"));
        assert_eq!(schemas["Service"]["x-kubernetes-group-version-kind"][0]["kind"], "Service");
    }
}
