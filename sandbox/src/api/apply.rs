//! Server-side apply: what a manager wants is merged, and what it wanted before and no longer does is taken away.
//!
//! Each manager's fields are kept in `managedFields` in the form of Kubernetes: `f:NAME` for a field, `k:{KEYS}` for an item of a list with
//! keys, `v:VALUE` for an item of a set, `.` for the item itself. Fields that others have applied as well stay. What is written in other
//! ways has no owner here, so there are no conflicts.

use serde_json::{Map, Value, json};

use crate::fields::list;
use crate::kind::Kind;
use crate::time;

use super::lists::{ListStrategy, Place, Rules, is_atomic, list_strategy};
use super::strategic;

/// Fields as a tree.
type Set = Map<String, Value>;

/// Applies what `manager` wants to an object.
pub fn apply(kind: Kind, object: &mut Value, wanted: &Value, manager: &str) {
    let place = Place::root(kind, Rules::Apply);
    let new = set_of(place, wanted);
    let others = applied(object, |name| name != manager).cloned();
    let kept: Vec<Set> = others.chain([new.clone()]).collect();
    let old = applied(object, |name| name == manager).next().cloned();
    if let Some(old) = old {
        take_away(place, object, &old, &kept);
    }
    strategic::merge(place, object, wanted);
    record(object, manager, new);
}

/// Adds the manager with its fields to `managedFields`, or replaces what is there.
fn record(object: &mut Value, manager: &str, fields: Set) {
    let entry = json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": object["apiVersion"],
        "time": time::now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    });
    // An object without metadata is rejected by admission.
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(managers) = metadata.entry("managedFields").or_insert_with(|| json!([])).as_array_mut() else { return };
    let known = managers.iter_mut().find(|known| known["manager"] == manager && known["operation"] == "Apply");
    match known {
        // The time is that of the last change, so that an apply without one changes nothing.
        Some(known) if known["fieldsV1"] == entry["fieldsV1"] => {}
        Some(known) => *known = entry,
        None => managers.push(entry),
    }
}

/// The fields that managers have applied.
fn applied(object: &Value, who: impl Fn(&str) -> bool) -> impl Iterator<Item = &Set> {
    let entries = list(&object["metadata"]["managedFields"]).iter();
    let entries =
        entries.filter(move |entry| entry["operation"] == "Apply" && entry["manager"].as_str().is_some_and(&who));
    entries.filter_map(|entry| entry["fieldsV1"].as_object())
}

/// The fields that an object has, without those that identify it.
fn set_of(place: Place<'_>, object: &Value) -> Set {
    let mut set = fields_of(place, object);
    for identity in ["f:apiVersion", "f:kind"] {
        set.remove(identity);
    }
    if let Some(metadata) = set.get_mut("f:metadata").and_then(Value::as_object_mut) {
        metadata.retain(|field, _| {
            !matches!(field.as_str(), "f:name" | "f:namespace" | "f:creationTimestamp" | "f:managedFields")
        });
    }
    set
}

fn fields_of(place: Place<'_>, object: &Value) -> Set {
    let fields = object.as_object().into_iter().flatten();
    let fields = fields.filter(|(_, value)| !value.is_null());
    fields.map(|(field, value)| (format!("f:{field}"), Value::Object(of_field(place, field, value)))).collect()
}

fn of_field(place: Place<'_>, field: &str, value: &Value) -> Set {
    let inner = place.field(field);
    match value {
        Value::Object(_) if !is_atomic(place, field) => fields_of(inner, value),
        Value::Array(items) => {
            let strategy = list_strategy(place, field);
            items.iter().filter_map(|item| Some((name_of(strategy, item)?, of_item(inner, item)))).collect()
        }
        _ => Set::new(),
    }
}

fn of_item(place: Place<'_>, item: &Value) -> Value {
    let mut set = fields_of(place, item);
    if item.is_object() {
        set.insert(".".to_owned(), json!({}));
    }
    Value::Object(set)
}

/// How an item is called in a set of fields; None in a list that is replaced as a whole.
fn name_of(strategy: ListStrategy, item: &Value) -> Option<String> {
    match strategy {
        ListStrategy::Keyed(keys) => Some(format!("k:{}", ListStrategy::key_of(keys, item))),
        ListStrategy::Set => Some(format!("v:{item}")),
        ListStrategy::Replace => None,
    }
}

/// Takes what is in `old` and in none of the sets of `kept` out of a value.
fn take_away(place: Place<'_>, target: &mut Value, old: &Set, kept: &[Set]) {
    for (name, below) in old {
        let Some(field) = name.strip_prefix("f:") else { continue };
        let Some(value) = target.get_mut(field) else { continue };
        let kept: Vec<Set> = kept.iter().filter_map(|set| set.get(name)?.as_object().cloned()).collect();
        let below = below.as_object().filter(|below| !below.is_empty());
        match (below, value.as_array_mut()) {
            (Some(below), Some(items)) => take_items(place, field, items, below, &kept),
            (Some(below), None) => take_away(place.field(field), value, below, &kept),
            (None, _) => {}
        }
        if kept.is_empty() && (below.is_none() || is_bare(field, value)) {
            crate::fields::remove(target, field);
        }
    }
}

/// Fields that people fill as they like, each of which is of its own.
const MAPS: [&str; 6] = ["labels", "annotations", "data", "binaryData", "limits", "requests"];

/// Whether nothing is left but defaults, such as the mode of the files of a volume that is no longer of a ConfigMap. Kubernetes takes such
/// a structure away with the last of its fields that somebody wanted.
fn is_bare(field: &str, value: &Value) -> bool {
    match value {
        Value::Object(fields) if MAPS.contains(&field) => fields.is_empty(),
        Value::Object(fields) => fields.values().all(|value| !value.is_object() && !value.is_array()),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn take_items(place: Place<'_>, field: &str, items: &mut Vec<Value>, old: &Set, kept: &[Set]) {
    let strategy = list_strategy(place, field);
    items.retain_mut(|item| {
        let Some(name) = name_of(strategy, item) else { return true };
        let Some(below) = old.get(&name).and_then(Value::as_object) else { return true };
        let kept: Vec<Set> = kept.iter().filter_map(|set| set.get(&name)?.as_object().cloned()).collect();
        if !kept.is_empty() {
            take_away(place.field(field), item, below, &kept);
        }
        !kept.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns", "labels": {"a": "b"}}, "spec": spec})
    }

    fn applied_by(manager: &str, object: &mut Value, spec: Value) {
        apply(Kind::Service, object, &service(spec), manager);
    }

    #[test]
    fn ports_of_one_number_and_two_protocols_are_two() {
        let ports = json!([{"name": "udp", "port": 53, "protocol": "UDP"}, {"name": "tcp", "port": 53}]);
        let mut object = json!({});
        applied_by("helm", &mut object, json!({"ports": ports}));
        assert_eq!(object["spec"]["ports"], ports);
        applied_by("helm", &mut object, json!({"ports": ports}));
        assert_eq!(object["spec"]["ports"], ports);
    }

    #[test]
    fn items_have_the_order_in_which_they_are_wanted() {
        let mut object = json!({});
        applied_by("helm", &mut object, json!({"ports": [{"port": 2}]}));
        applied_by("helm", &mut object, json!({"ports": [{"port": 1}, {"port": 2}]}));
        assert_eq!(object["spec"]["ports"], json!([{"port": 1}, {"port": 2}]));
    }

    #[test]
    fn what_is_no_longer_wanted_is_taken_away_unless_another_manager_wants_it() {
        let mut object = json!({});
        let ports = json!([{"port": 53, "protocol": "UDP", "name": "udp"}, {"port": 853, "name": "tls"}]);
        applied_by(
            "helm",
            &mut object,
            json!({"ports": ports, "type": "ClusterIP", "selector": {"app": "dns", "tier": "a"}}),
        );
        applied_by("other", &mut object, json!({"type": "ClusterIP"}));
        object["spec"]["clusterIP"] = json!("10.96.0.7");
        applied_by(
            "helm",
            &mut object,
            json!({"ports": [{"port": 53, "protocol": "UDP"}], "selector": {"app": "dns"}}),
        );
        assert_eq!(
            object["spec"],
            json!({
                "ports": [{"port": 53, "protocol": "UDP"}], "type": "ClusterIP", "selector": {"app": "dns"},
                "clusterIP": "10.96.0.7",
            })
        );
        apply(Kind::Service, &mut object, &json!({"metadata": {"name": "dns"}}), "helm");
        assert_eq!(object["metadata"]["labels"], json!({"a": "b"}), "the other one wants it");
        assert_eq!(object["spec"], json!({"type": "ClusterIP", "clusterIP": "10.96.0.7"}));
    }

    /// The mode is a default, and two sources in one volume are an error.
    #[test]
    fn a_volume_changes_its_source() {
        let pod = |source: Value| {
            let mut volume = json!({"name": "v"});
            json_patch::merge(&mut volume, &source);
            json!({"metadata": {"name": "p"}, "spec": {"volumes": [volume], "containers": [{"name": "c"}]}})
        };
        let mut object = json!({});
        apply(Kind::Pod, &mut object, &pod(json!({"configMap": {"name": "m"}})), "helm");
        object["spec"]["volumes"][0]["configMap"]["defaultMode"] = json!(420);
        apply(Kind::Pod, &mut object, &pod(json!({"emptyDir": {}})), "helm");
        assert_eq!(object["spec"], json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [{"name": "c"}]}));
    }

    #[test]
    fn applying_the_same_again_changes_nothing() {
        let mut object = json!({});
        applied_by("helm", &mut object, json!({"ports": [{"port": 53}]}));
        let before = object.clone();
        applied_by("helm", &mut object, json!({"ports": [{"port": 53}]}));
        assert_eq!(object, before);
    }
}
