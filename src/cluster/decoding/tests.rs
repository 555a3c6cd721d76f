//! Both encodings give the same object, the same change and the same warnings. The sandbox encodes, by tables of its own.

use kube_sandbox::encode_message;
use kube_sandbox::kind::Kind as SandboxKind;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::envelope::{Page, WireEvent};
use super::incoming::Encoding;
use super::{DecodeError, read_object};
use crate::cluster::objects::{Scope, Service};
use crate::cluster::update::{Change, ClusterEvent};
use crate::telemetry::metrics::Resource;

const KINDS: [(Resource, SandboxKind); 3] = [
    (Resource::Services, SandboxKind::Service),
    (Resource::EndpointSlices, SandboxKind::EndpointSlice),
    (Resource::Pods, SandboxKind::Pod),
];

/// The object of each kind, with every field that is read.
fn objects() -> [Value; 3] {
    let uid = "0b0f4f6e-7c2c-4f0e-9d0a-2f8f3a1f8a01";
    let metadata = |name: &str, labels: Value, annotations: Value| {
        json!({
            "namespace": "db", "name": name, "uid": uid, "resourceVersion": "300", "creationTimestamp": "2026-11-20T10:00:00Z",
            "labels": labels, "annotations": annotations, "generateName": "unread",
        })
    };
    let service = json!({
        "metadata": metadata("pg", json!({}), json!({
            "service.alpha.kubernetes.io/tolerate-unready-endpoints": "true", "headless-dns/not-ready-ordinals": "false",
            "headless-dns/public": "true", "unread": "unread",
        })),
        "spec": {
            "type": "ClusterIP", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
            "publishNotReadyAddresses": true, "selector": { "app": "pg", "empty": "" },
            "ports": [
                { "name": "sql", "protocol": "TCP", "port": 5432, "targetPort": "named" },
                { "port": 80, "targetPort": 8080, "protocol": "SCTP", "name": "other" },
            ],
        },
    });
    let slice = json!({
        "metadata": metadata("pg-x7", json!({
            "kubernetes.io/service-name": "pg", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }), json!({ "endpoints.kubernetes.io/last-change-trigger-time": "2026-11-20T10:00:00Z" })),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": ["10.1.0.10", "10.1.0.11"], "hostname": "pg-0", "nodeName": "unread", "zone": "unread",
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "targetRef": { "kind": "Pod", "namespace": "db", "name": "pg-0", "uid": uid },
            },
            { "addresses": ["10.1.0.12"], "conditions": { "ready": false } },
            { "addresses": ["10.1.0.13"] },
        ],
        "ports": [{ "name": "sql", "protocol": "UDP", "port": 5432, "appProtocol": "unread" }, { "name": "all" }, { "port": 1 }],
    });
    let pod = json!({
        "metadata": {
            "namespace": "db", "name": "pg-0", "uid": uid, "resourceVersion": "300",
            "deletionTimestamp": "2026-11-20T10:00:30Z", "deletionGracePeriodSeconds": 30,
            "labels": { "app": "pg", "statefulset.kubernetes.io/pod-name": "pg-0" },
            "ownerReferences": [{ "kind": "StatefulSet", "name": "pg", "controller": true }, { "kind": "x", "name": "y" }],
        },
        "spec": {
            "hostname": "pg-0", "subdomain": "pg",
            "containers": [{ "name": "a", "ports": [{ "name": "sql", "containerPort": 5432 }, { "containerPort": 80 }] }],
            "initContainers": [
                { "restartPolicy": "Always", "ports": [{ "name": "m", "containerPort": 9100, "protocol": "UDP" }] },
                { "ports": [{ "name": "unread", "containerPort": 1 }] },
            ],
        },
        "status": {
            "phase": "Running", "podIP": "10.1.0.10", "podIPs": [{ "ip": "10.1.0.10" }, { "ip": "fd00::a" }],
            "conditions": [
                { "type": "Initialized", "status": "True" },
                { "type": "Ready", "status": "True", "lastTransitionTime": "2026-11-20T10:00:00Z" },
            ],
        },
    });
    [service, slice, pod]
}

type Read = (ClusterEvent, Vec<String>);

/// The object read from JSON, and from Protobuf.
fn read(place: usize, object: &Value) -> (Read, Read) {
    let (resource, kind) = KINDS[place];
    let json = read_object(Encoding::Json, resource, Scope::All, object.to_string().as_bytes()).expect("JSON");
    let protobuf =
        read_object(Encoding::Protobuf, resource, Scope::All, &encode_message(kind, object)).expect("no JSON");
    (json, protobuf)
}

/// All places in a value, as JSON pointers.
fn places(value: &Value) -> Vec<String> {
    let below = |key: String, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        std::iter::once(format!("/{key}"))
            .chain(places(value).into_iter().map(|place| format!("/{key}{place}")))
            .collect::<Vec<_>>()
    };
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key.clone(), value)).collect(),
        Value::Array(items) => items.iter().enumerate().flat_map(|(i, item)| below(i.to_string(), item)).collect(),
        _ => Vec::new(),
    }
}

fn remove(object: &mut Value, place: &str) {
    let (parent, key) = place.rsplit_once('/').expect("a pointer");
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => _ = fields.remove(&key.replace("~1", "/").replace("~0", "~")),
        Some(Value::Array(items)) => _ = items.remove(key.parse().expect("a number")),
        _ => {}
    }
}

/// Fields that API servers always write, empty or zero if they are unset, in Protobuf. Without them an object is told to be malformed
/// in other words, if at all.
const ALWAYS_WRITTEN: [&str; 11] =
    ["metadata", "spec", "status", "name", "namespace", "port", "containerPort", "kind", "type", "ip", "addressType"];

#[test]
fn both_encodings_give_the_same_object_whatever_of_it_is_missing() {
    for (place, object) in objects().iter().enumerate() {
        let (json, protobuf) = read(place, object);
        assert_eq!(json, protobuf);
        assert_eq!(json.1, [""; 0], "{object}");
        for missing in places(object) {
            let mut object = object.clone();
            remove(&mut object, &missing);
            let (json, protobuf) = read(place, &object);
            if !ALWAYS_WRITTEN.iter().any(|field| missing.ends_with(&format!("/{field}"))) {
                assert_eq!(json, protobuf, "without {missing}");
            }
        }
    }
}

/// S1, S2. An address of the other family would be answered to a question of its type by a Service that has none of that family.
#[test]
fn an_endpoint_that_cannot_be_served_costs_itself_alone_and_a_warning() {
    for (address_type, addresses, expected) in [
        ("IPv4", ["10.1.0.10", "fd00::1", "10.1.0.300"], "10.1.0.10"),
        ("IPv6", ["10.1.0.10", "fd00::1", "10.1.0.300"], "fd00::1"),
    ] {
        let mut slice = objects()[1].clone();
        slice["addressType"] = json!(address_type);
        slice["endpoints"] = addresses.iter().map(|address| json!({ "addresses": [address] })).collect();
        let (json, protobuf) = read(1, &slice);
        assert_eq!(json, protobuf);
        let (event, problems) = json;
        let ClusterEvent::Slice(_, Change::Apply(slice)) = event else { panic!("{event:?}") };
        let served: Vec<_> = slice.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
        assert_eq!(served, [expected]);
        let other = addresses[..2].iter().position(|address| *address != expected).expect("one of two");
        let wanted = [
            format!("endpoints[{other}]: {} is not of the slice's addressType", addresses[other]),
            "endpoints[2]: \"10.1.0.300\" is not an IP address".to_owned(),
        ];
        assert_eq!(problems, wanted);
    }
}

/// T6. An endpoint that names a mirrored Pod is that Pod, and then not what the slice says counts but what the Pod says. Somebody who
/// writes a slice by hand means what it says.
#[test]
fn an_endpoint_is_a_pod_where_the_controller_says_so_and_the_target_is_one() {
    let manager = "endpointslice.kubernetes.io/managed-by";
    for (managed_by, target, is_pod) in [
        ("endpointslice-controller.k8s.io", "Pod", true),
        ("endpointslice-controller.k8s.io", "Node", false),
        ("me", "Pod", false),
        ("", "Pod", false),
    ] {
        let mut slice = objects()[1].clone();
        slice["metadata"]["labels"][manager] = json!(managed_by);
        slice["endpoints"][0]["targetRef"]["kind"] = json!(target);
        let (json, protobuf) = read(1, &slice);
        assert_eq!(json, protobuf);
        let ClusterEvent::Slice(_, Change::Apply(slice)) = json.0 else { panic!("{json:?}") };
        let pods: Vec<_> = slice.endpoints.iter().map(|endpoint| endpoint.pod.is_some()).collect();
        assert_eq!(pods, [is_pod, false, false], "{managed_by} {target}");
    }
}

/// S19. In DNS it would be the name of another Service too.
#[test]
fn a_service_whose_name_has_upper_case_letters_is_not_served() {
    for (name, is_served) in [("pg", true), ("Pg", false)] {
        let mut service = objects()[0].clone();
        service["metadata"]["name"] = json!(name);
        let (json, protobuf) = read(0, &service);
        assert_eq!(json, protobuf);
        let (event, problems) = json;
        assert_eq!(matches!(event, ClusterEvent::Service(_, Change::Apply(_))), is_served, "{event:?}");
        assert_eq!(problems.iter().any(|problem| problem.ends_with("\"Pg\" has upper-case letters")), !is_served);
    }
}

/// X8.
#[test]
fn an_annotation_makes_a_service_public_and_one_that_is_not_understood_keeps_it_inside_with_a_warning() {
    let [mut service, ..] = objects();
    for (annotation, public, warnings) in [
        (json!("true"), Some(true), 0),
        (json!("false"), Some(false), 0),
        (json!("yes"), Some(false), 1),
        (Value::Null, None, 0),
    ] {
        service["metadata"]["annotations"]["headless-dns/public"] = annotation.clone();
        let (read, problems) = read(0, &service).0;
        let ClusterEvent::Service(_, Change::Apply(read)) = read else { panic!("{read:?}") };
        assert_eq!((read.public, problems.len()), (public, warnings), "{annotation}: {problems:?}");
    }
}

/// A value that is not what the field should have, of the same type.
fn other_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!("None")),
        Just(json!("IPv4")),
        Just(json!("FQDN")),
        Just(json!("ExternalName")),
        Just(json!("false")),
        Just(json!("10.1.0.300")),
        Just(json!("fd00::7")),
        "[a-zA-Z0-9._-]{1,70}".prop_map(|text| json!(text)),
        Just(json!(0)),
        Just(json!(65535)),
        Just(json!(65536)),
        Just(json!(-1)),
        Just(json!(true)),
        Just(json!(false)),
        Just(json!([])),
        Just(json!({})),
        Just(json!("")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_encodings_give_the_same_warnings_of_the_same_malformed_objects(
        kind in 0_usize..3,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), other_value()), 1..4),
    ) {
        let mut object = objects()[kind].clone();
        let mut has_types = true;
        for (index, value) in changes {
            let places = places(&object);
            let place = index.get(&places);
            let before = object.pointer(place).cloned().unwrap_or_default();
            // A targetPort may be either.
            has_types &= std::mem::discriminant(&before) == std::mem::discriminant(&value);
            // An empty text is none in Protobuf, and what is missing from an object may be always written.
            has_types &= !(value == json!("") || value == json!({}));
            *object.pointer_mut(place).expect("a place") = value;
        }
        let (json, protobuf) = read(kind, &object);
        // What has the wrong type is told by different words, and is a problem in both.
        if has_types {
            prop_assert_eq!(json, protobuf, "{}", object);
        }
    }

    #[test]
    fn no_octets_end_the_process(kind in 0_usize..3, octets in proptest::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>()) {
        let (resource, sandbox_kind) = KINDS[kind];
        let mut message = encode_message(sandbox_kind, &objects()[kind]);
        let at = at.index(message.len());
        let end = message.len().min(at + octets.len());
        message.splice(at..end, octets.iter().copied());
        for message in [&octets, &message, &message[..at].to_vec()] {
            let _ = read_object(Encoding::Protobuf, resource, Scope::All, message);
            let _ = WireEvent::<Service>::decode(Encoding::Protobuf, message);
            let _ = Page::<Service>::decode(Encoding::Protobuf, message);
        }
    }
}

#[test]
fn an_event_whose_object_comes_first_is_read_too() {
    let event = |json: &str| WireEvent::<Service>::decode(Encoding::Json, json.as_bytes());
    let object = r#"{"metadata":{"namespace":"db","name":"pg","resourceVersion":"7"}}"#;
    for json in [
        format!(r#"{{"type":"ADDED","object":{object}}}"#),
        format!(r#"{{"object":{object},"type":"MODIFIED","more":[1]}}"#),
    ] {
        let Ok(WireEvent::Apply(service)) = event(&json) else { panic!("{json}") };
        assert_eq!((service.key.to_string(), &*service.resource_version), ("db/pg".to_owned(), "7"));
    }
    assert!(matches!(event(r#"{"type":"ADDED"}"#), Err(DecodeError::Json(_))));
    assert!(matches!(event(&format!(r#"{{"type":"OTHER","object":{object}}}"#)), Err(DecodeError::Json(_))));
}
