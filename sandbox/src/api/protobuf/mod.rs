//! Objects in Protobuf: decoding of requests to JSON, and encoding of responses from it ([`encode`]).
//!
//! The generators of kubectl since 1.32 (`kubectl create namespace`, `create deployment`, …) and the typed clients of client-go send
//! Protobuf, options of deletions and reviews included. The tables in [`schema`] cover the kinds that those generators make, and what
//! people, controllers and DNS servers read of Services, EndpointSlices and Pods. In requests, other fields are rejected by number
//! instead of being dropped silently; manifests arrive as JSON and may use every field. In responses other fields are left out.

mod encode;
mod schema;

pub use encode::{Encoding, encode_message, event, object};

use k8s_openapi::ByteString;
use serde_json::{Map, Value, json};

use schema::{Field, Type};

/// The media type of these bodies.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// The first octets of the envelope.
const MAGIC: &[u8] = b"k8s\0";

/// Wire types, <https://protobuf.dev/programming-guides/encoding/>.
const VARINT: u64 = 0;
const LENGTH_DELIMITED: u64 = 2;

/// Bits of a key that hold the wire type; the field number is above them.
const WIRE_BITS: u32 = 3;

/// Payload bits of a byte of a varint; the bit above them is set if another byte follows.
const VARINT_BITS: u32 = 7;

/// Decodes an object in its envelope, `runtime.Unknown`.
///
/// # Errors
/// A description of what is invalid or unsupported.
pub fn parse(body: &[u8]) -> Result<Value, String> {
    let body = body.strip_prefix(MAGIC).ok_or("it does not start with the magic number of Kubernetes")?;
    let envelope = message(schema::ENVELOPE, body)?;
    let fields = schema::of(&envelope["type"]).ok_or_else(|| {
        let kind = &envelope["type"]["kind"];
        format!("{kind} is not supported in protobuf; send JSON or YAML, as kubectl create -f does")
    })?;
    let raw: ByteString = serde_json::from_value(envelope["raw"].clone()).unwrap_or_default();
    let mut object = message(fields, &raw.0)?;
    for field in ["apiVersion", "kind"] {
        object[field] = envelope["type"][field].clone();
    }
    Ok(object)
}

/// Decodes the fields of one message.
fn message(fields: &[Field], mut bytes: &[u8]) -> Result<Value, String> {
    let mut object = Map::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let (number, wire) = (key >> WIRE_BITS, key & ((1 << WIRE_BITS) - 1));
        let data = match wire {
            VARINT => Data::Number(varint(&mut bytes)?),
            LENGTH_DELIMITED => Data::Bytes(delimited(&mut bytes)?),
            other => return Err(format!("field {number} has wire type {other}, which no Kubernetes object uses")),
        };
        let Some(Field(_, name, of_type)) = fields.iter().find(|field| u64::from(field.0) == number) else {
            if data.is_empty() {
                continue;
            }
            let known: Vec<&str> = fields.iter().map(|field| field.1).collect();
            let known = known.join(", ");
            return Err(format!("field {number} is not supported in protobuf, only {known} are; send JSON or YAML"));
        };
        add(&mut object, name, of_type, data).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(Value::Object(object))
}

/// The encoded value of a field.
enum Data<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Data<'a> {
    /// Go encodes unset fields as zero or empty.
    fn is_empty(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Bytes(bytes) => bytes.is_empty(),
        }
    }

    fn bytes(&self) -> Result<&'a [u8], String> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err("expected bytes, found a number".to_owned()),
        }
    }

    fn text(&self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|error| error.to_string())
    }

    fn number(&self) -> Result<i64, String> {
        match self {
            // Negative numbers are written in two's complement.
            Self::Number(number) => Ok(number.cast_signed()),
            Self::Bytes(_) => Err("expected a number, found bytes".to_owned()),
        }
    }
}

/// Adds one field to the object.
fn add(object: &mut Map<String, Value>, name: &str, of_type: &Type, data: Data<'_>) -> Result<(), String> {
    let value = match of_type {
        Type::Skipped | Type::Time | Type::OptionalTime | Type::Json => return Ok(()),
        Type::Text | Type::Number | Type::Flag if data.is_empty() => return Ok(()),
        Type::Text | Type::OptionalText => json!(data.text()?),
        Type::Bytes => json!(ByteString(data.bytes()?.to_vec())),
        Type::Number | Type::OptionalNumber => json!(data.number()?),
        Type::Flag | Type::OptionalFlag => json!(data.number()? != 0),
        Type::Message(fields) | Type::OptionalMessage(fields) => message(fields, data.bytes()?)?,
        Type::IntOrString => {
            let either = message(schema::INT_OR_STRING, data.bytes()?)?;
            if either["type"].is_null() {
                json!(either["intVal"].as_i64().unwrap_or(0))
            } else {
                either["strVal"].clone()
            }
        }
        Type::Quantity | Type::OptionalQuantity => message(schema::QUANTITY, data.bytes()?)?["string"].take(),
        Type::Inline(fields) => {
            if let Value::Object(inner) = message(fields, data.bytes()?)? {
                object.extend(inner);
            }
            return Ok(());
        }
        Type::List(item) => {
            let mut one = Map::new();
            add(&mut one, name, item, data)?;
            // An empty text is a valid item, such as the name of the core API group.
            let item = one.remove(name).unwrap_or_else(|| json!(""));
            if let Some(list) = object.entry(name).or_insert_with(|| json!([])).as_array_mut() {
                list.push(item);
            }
            return Ok(());
        }
        Type::Map(value) => {
            let entry = [Field(1, "key", Type::Text), Field(2, "value", **value)];
            let mut entry = message(&entry, data.bytes()?)?;
            let key = entry["key"].as_str().unwrap_or_default().to_owned();
            let value = if entry["value"].is_null() { json!("") } else { entry["value"].take() };
            object.entry(name).or_insert_with(|| json!({}))[key] = value;
            return Ok(());
        }
    };
    object.insert(name.to_owned(), value);
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(VARINT_BITS as usize) {
        let Some((byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        let more = byte >> VARINT_BITS;
        number |= u64::from(byte ^ more << VARINT_BITS) << shift;
        if more == 0 {
            return Ok(number);
        }
    }
    Err("a number is truncated or too long".to_owned())
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let length = usize::try_from(varint(bytes)?).map_err(|error| error.to_string())?;
    let (data, rest) = bytes.split_at_checked(length).ok_or("a field is truncated")?;
    *bytes = rest;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn enveloped(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC, &field(1, &type_meta), &field(2, raw), &field(3, b""), &field(4, b"")].concat()
    }

    #[test]
    fn a_config_map_is_decoded_with_its_maps() {
        let metadata = field(1, &field(1, b"settings"));
        let entry = |key: &str, value: &str| field(2, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
        let raw = [metadata, entry("a", "1"), entry("b", "")].concat();
        let object = parse(&enveloped("v1", "ConfigMap", &raw)).expect("valid");
        let expected = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": { "a": "1", "b": "" },
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn an_unsupported_field_is_rejected_instead_of_dropped() {
        let error = parse(&enveloped("v1", "ConfigMap", &field(15, b"x"))).expect_err("unknown");
        assert!(error.starts_with("field 15 is not supported in protobuf, only metadata, data"), "{error}");
    }

    #[test]
    fn a_truncated_body_is_never_decoded_as_the_whole() {
        let whole = enveloped("v1", "Namespace", &field(1, &field(1, b"team")));
        let complete = parse(&whole).expect("valid");
        // The two empty fields at the end of the envelope carry no information.
        let significant = whole.len() - [field(3, b""), field(4, b"")].concat().len();
        for length in 0..significant {
            // Some prefixes are valid messages.
            assert_ne!(parse(&whole[..length]).ok(), Some(complete.clone()), "{length}");
        }
    }
}
