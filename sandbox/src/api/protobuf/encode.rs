//! Encoding of objects from JSON. As the API server does, fields that are not optional are written even if they are empty. A value
//! that is not of its field's type, which only injected objects have, is written as what it is.

use axum::body::Bytes;
use http::HeaderMap;
use http::header::ACCEPT;
use k8s_openapi::ByteString;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::schema::{self, Field, Type};
use super::{LENGTH_DELIMITED, MAGIC, MEDIA_TYPE, VARINT, VARINT_BITS, WIRE_BITS};
use crate::kind::Kind;

/// In which form a response is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Protobuf,
}

impl Encoding {
    /// The first one in `Accept` in which objects of the kind are sent. JSON if there is none.
    pub fn negotiate(headers: &HeaderMap, kind: Kind) -> Self {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let first = accept.split(',').next().unwrap_or_default();
        let is_protobuf = first.split(';').next().unwrap_or_default().trim() == MEDIA_TYPE;
        if is_protobuf && schema::sent(kind).is_some() { Self::Protobuf } else { Self::Json }
    }

    /// `Content-Type` of an object.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => MEDIA_TYPE,
        }
    }

    /// `Content-Type` of a watch.
    pub const fn stream_media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
        }
    }
}

/// An object, a list of objects of `kind`, or a status, with its envelope.
pub fn object(kind: Kind, value: &Value) -> Vec<u8> {
    let fields = schema::sent(kind).unwrap_or_default();
    let raw = if value["kind"] == "Status" {
        message(schema::STATUS, value)
    } else if let Some(items) = value["items"].as_array() {
        let mut list = message(schema::LIST, value);
        for item in items {
            write_octets(&mut list, 2, &message(fields, item));
        }
        list
    } else {
        message(fields, value)
    };
    let mut type_meta = Vec::new();
    write_octets(&mut type_meta, 1, value["apiVersion"].as_str().unwrap_or_default().as_bytes());
    write_octets(&mut type_meta, 2, value["kind"].as_str().unwrap_or_default().as_bytes());
    let mut unknown = MAGIC.to_vec();
    write_octets(&mut unknown, 1, &type_meta);
    write_octets(&mut unknown, 2, &raw);
    write_octets(&mut unknown, 3, b"");
    write_octets(&mut unknown, 4, b"");
    unknown
}

/// A Service, an EndpointSlice or a Pod as a message, without its envelope. Empty for other kinds.
pub fn encode_message(kind: Kind, object: &Value) -> Vec<u8> {
    message(schema::sent(kind).unwrap_or_default(), object)
}

/// An event of a watch, behind its length.
pub fn event(kind: Kind, event_type: &str, value: &Value) -> Bytes {
    let mut extension = Vec::new();
    write_octets(&mut extension, 1, &object(kind, value));
    let mut event = Vec::new();
    write_octets(&mut event, 1, event_type.as_bytes());
    write_octets(&mut event, 2, &extension);
    let length = u32::try_from(event.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &event].concat().into()
}

fn message(fields: &[Field], value: &Value) -> Vec<u8> {
    let mut octets = Vec::new();
    for Field(number, name, of_type) in fields {
        match of_type {
            Type::Inline(inner) => write_octets(&mut octets, *number, &message(inner, value)),
            _ => write(&mut octets, *number, of_type, &value[*name]),
        }
    }
    octets
}

/// Writes one field.
fn write(octets: &mut Vec<u8>, number: u8, of_type: &Type, value: &Value) {
    match (of_type, value) {
        (Type::Skipped | Type::Inline(_), _) => {}
        (Type::Text | Type::Bytes | Type::Time | Type::Message(_), Value::Null) => write_octets(octets, number, b""),
        (Type::Number | Type::Flag, Value::Null) => write_number(octets, number, 0),
        (Type::Quantity | Type::IntOrString, Value::Null) => write_octets(octets, number, b""),
        (_, Value::Null) => {}
        (Type::List(item), Value::Array(items)) => items.iter().for_each(|value| write(octets, number, item, value)),
        (Type::Map(of_value), Value::Object(entries)) => {
            for (key, value) in entries {
                let mut entry = Vec::new();
                write_octets(&mut entry, 1, key.as_bytes());
                write(&mut entry, 2, of_value, value);
                write_octets(octets, number, &entry);
            }
        }
        (Type::Message(fields) | Type::OptionalMessage(fields), Value::Object(_)) => {
            write_octets(octets, number, &message(fields, value));
        }
        (Type::IntOrString, _) => write_octets(octets, number, &message(schema::INT_OR_STRING, &int_or_string(value))),
        (Type::Quantity | Type::OptionalQuantity, _) => {
            write_octets(octets, number, &message(schema::QUANTITY, &serde_json::json!({ "string": value })))
        }
        (Type::Time | Type::OptionalTime, Value::String(text)) => {
            let time = text.parse::<Timestamp>();
            // A time that is none is a text, which is no message.
            write_octets(octets, number, &time.map_or_else(|_| text.as_bytes().to_vec(), encode_time));
        }
        (Type::Json, _) => {
            let mut fields = Vec::new();
            write_octets(&mut fields, 1, value.to_string().as_bytes());
            write_octets(octets, number, &fields);
        }
        (Type::Bytes, _) => {
            let bytes: ByteString = serde_json::from_value(value.clone()).unwrap_or_default();
            write_octets(octets, number, &bytes.0);
        }
        (_, Value::String(text)) => write_octets(octets, number, text.as_bytes()),
        (_, Value::Bool(flag)) => write_number(octets, number, u64::from(*flag)),
        (_, Value::Number(value)) => {
            let value = value.as_i64().map_or_else(|| value.as_u64().unwrap_or_default(), i64::cast_unsigned);
            write_number(octets, number, value);
        }
        (_, Value::Array(_) | Value::Object(_)) => write_octets(octets, number, value.to_string().as_bytes()),
    }
}

/// `IntOrString`: type 0 is a number, 1 a text.
fn int_or_string(value: &Value) -> Value {
    match value {
        Value::String(text) => serde_json::json!({ "type": 1, "strVal": text }),
        other => serde_json::json!({ "type": 0, "intVal": other }),
    }
}

/// `Time`: seconds and nanoseconds.
fn encode_time(time: Timestamp) -> Vec<u8> {
    let mut octets = Vec::new();
    write_number(&mut octets, 1, time.as_second().cast_unsigned());
    write_number(&mut octets, 2, 0);
    octets
}

fn write_octets(octets: &mut Vec<u8>, number: u8, value: &[u8]) {
    write_varint(octets, u64::from(number) << WIRE_BITS | LENGTH_DELIMITED);
    write_varint(octets, value.len() as u64);
    octets.extend_from_slice(value);
}

fn write_number(octets: &mut Vec<u8>, number: u8, value: u64) {
    write_varint(octets, u64::from(number) << WIRE_BITS | VARINT);
    write_varint(octets, value);
}

fn write_varint(octets: &mut Vec<u8>, mut number: u64) {
    const MORE: u64 = 1 << VARINT_BITS;
    while number >= MORE {
        octets.push((number | MORE) as u8);
        number >>= VARINT_BITS;
    }
    octets.push(number as u8);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::parse;
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_to_the_same_object() {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {
                "name": "pg", "namespace": "db", "resourceVersion": "300", "labels": { "a": "", "b": "1" },
                "deletionGracePeriodSeconds": 0,
            },
            "spec": {
                "clusterIP": "None", "clusterIPs": ["None"], "publishNotReadyAddresses": true,
                "ports": [{ "port": 5432, "targetPort": "sql" }, { "port": 80, "targetPort": 8080 }],
            },
            "status": { "loadBalancer": {} },
        });
        assert_eq!(parse(&object(Kind::Service, &service)).expect("an object"), service);
        let probe = json!({ "httpGet": { "path": "/", "port": "http", "scheme": "HTTP" }, "periodSeconds": 10 });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" },
            "spec": {
                "nodeName": "node-a", "priorityClassName": "system-node-critical", "hostNetwork": true,
                "volumes": [
                    { "name": "files", "configMap": { "name": "web", "defaultMode": 420 } },
                    { "name": "scratch", "emptyDir": {} },
                ],
                "containers": [{
                    "name": "web", "image": "web:1", "readinessProbe": probe,
                    "env": [{ "name": "IP", "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": "status.podIP" } } }],
                    "resources": { "limits": { "memory": "16Mi" } },
                    "volumeMounts": [{ "name": "files", "mountPath": "/etc/web", "readOnly": true }],
                }],
                "tolerations": [{ "key": "k", "operator": "Exists", "tolerationSeconds": 30 }],
                "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [
                    { "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["node-a"] }] },
                ] } } },
            },
            "status": { "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }] },
        });
        assert_eq!(parse(&object(Kind::Pod, &pod)).expect("an object"), pod);
    }

    #[test]
    fn protobuf_is_sent_to_whoever_prefers_it_of_kinds_that_have_it() {
        for (accept, kind, expected) in [
            ("application/vnd.kubernetes.protobuf, application/json", Kind::Pod, Encoding::Protobuf),
            ("application/vnd.kubernetes.protobuf", Kind::Secret, Encoding::Json),
            ("application/json, application/vnd.kubernetes.protobuf", Kind::Pod, Encoding::Json),
            ("*/*", Kind::Pod, Encoding::Json),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().expect("a header"))]);
            assert_eq!(Encoding::negotiate(&headers, kind), expected, "{accept}");
        }
    }
}
