//! Admission of generated objects: every object is admitted or rejected without a panic, and an admitted object is admitted
//! again unchanged.

use proptest::prelude::*;

use super::*;

/// Field names of real objects, so that a good part of the generated objects can be decoded.
const FIELDS: [&str; 22] = [
    "metadata",
    "spec",
    "status",
    "name",
    "labels",
    "annotations",
    "generateName",
    "ports",
    "port",
    "protocol",
    "selector",
    "matchLabels",
    "template",
    "containers",
    "image",
    "clusterIP",
    "type",
    "ipFamilies",
    "endpoints",
    "addresses",
    "updateStrategy",
    "volumeClaimTemplates",
];

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..70_000).prop_map(Value::from),
        prop_oneof![Just("None"), Just("db"), Just("IPv6"), Just("10.0.0.1"), Just("é.B"), Just("")]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 4, |inner| {
        let field = proptest::sample::select(&FIELDS[..]).prop_map(str::to_owned);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(field, inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// An object of this kind with arbitrary content.
fn object(kind: Kind) -> impl Strategy<Value = Value> {
    (json(), json(), json()).prop_map(move |(metadata, spec, more)| {
        let mut object =
            json!({ "apiVersion": kind.api_version(), "kind": kind.name(), "metadata": metadata, "spec": spec });
        for (field, value) in more.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        object
    })
}

fn store() -> Store {
    let store = Store::default();
    store.create(Kind::Namespace, json!({ "metadata": { "name": "default" } })).expect("an empty store");
    store
}

proptest! {
    #[test]
    fn every_object_is_admitted_or_rejected_and_an_admitted_one_is_normalized(
        (kind, object) in proptest::sample::select(&Kind::ALL[..]).prop_flat_map(|kind| (Just(kind), object(kind))),
    ) {
        let store = store();
        let namespace = if kind.is_namespaced() { "default" } else { "" };
        for validation in [FieldValidation::Strict, FieldValidation::Ignore] {
            let Ok(admitted) = create(&store, Collection { kind, namespace }, object.clone(), validation) else { continue };
            let again = update(kind, &admitted.object, admitted.object.clone(), FieldValidation::Strict);
            let again = again.map_err(|error| TestCaseError::fail(format!("{kind:?} is rejected the second time: {error}")))?;
            prop_assert_eq!(again.object, admitted.object);
        }
    }
}

#[test]
fn a_dual_stack_service_keeps_its_families_and_a_single_stack_one_has_one() {
    let store = store();
    let admitted = |spec: Value| {
        let object = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "db" }, "spec": spec });
        let collection = Collection { kind: Kind::Service, namespace: "default" };
        create(&store, collection, object, FieldValidation::Strict).expect("a valid Service").object
    };
    let families = |spec: Value| admitted(spec)["spec"]["ipFamilies"].clone();
    assert_eq!(families(json!({ "clusterIP": "None" })), json!(["IPv4"]));
    assert_eq!(families(json!({ "clusterIP": "None", "ipFamilies": ["IPv6"] })), json!(["IPv6"]));
    assert_eq!(families(json!({ "clusterIP": "None", "ipFamilyPolicy": "PreferDualStack" })), json!(["IPv4", "IPv6"]));
    let both = json!({ "clusterIP": "None", "ipFamilies": ["IPv6", "IPv4"] });
    assert_eq!(families(both.clone()), json!(["IPv6", "IPv4"]));
    assert_eq!(admitted(both)["spec"]["ipFamilyPolicy"], "RequireDualStack");
    let external = json!({ "type": "ExternalName", "externalName": "db.example.com" });
    assert_eq!(families(external), Value::Null);
}
