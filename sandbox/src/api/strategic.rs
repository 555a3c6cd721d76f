//! Strategic merge patch: a merge patch that knows the merge keys of lists.
//!
//! Objects merge field by field and null removes a field. A list is replaced unless [`list_strategy`] has keys for it; then
//! items with the same key merge and new ones are added. Directives: `$patch` (`delete`, `replace`, `merge`), `$retainKeys`,
//! `$setElementOrder/LIST` and `$deleteFromPrimitiveList/LIST`.

use serde_json::{Map, Value};

use crate::fields::list;

use super::lists::{ListStrategy, Place, Rules, is_atomic, list_strategy};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into an object, or into the part of one at this place.
pub fn merge(place: Place<'_>, object: &mut Value, patch: &Value) {
    merge_value(place, object, patch);
}

fn merge_value(place: Place<'_>, target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    match patch.get(PATCH).and_then(Value::as_str) {
        Some("replace") => *target = plain(place, patch),
        Some("delete") => *target = Value::Object(Map::new()),
        _ => match target {
            Value::Object(fields) => merge_fields(place, fields, patch),
            _ => *target = plain(place, patch),
        },
    }
}

fn merge_fields(place: Place<'_>, target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (field, value) in patch {
        if let Some(name) = field.strip_prefix(DELETE_FROM_LIST) {
            if let Some(items) = target.get_mut(name).and_then(Value::as_array_mut) {
                items.retain(|item| !list(value).contains(item));
            }
        } else if !field.starts_with('$') {
            merge_field(place, target, field, value);
        }
    }
    for (field, order) in patch {
        if let Some(name) = field.strip_prefix(ELEMENT_ORDER)
            && let Some(items) = target.get_mut(name).and_then(Value::as_array_mut)
        {
            reorder(list_strategy(place, name), items, list(order));
        }
    }
    if let Some(keys) = patch.get(RETAIN_KEYS) {
        target.retain(|field, _| list(keys).iter().any(|key| key == field));
    }
}

fn merge_field(place: Place<'_>, target: &mut Map<String, Value>, field: &str, value: &Value) {
    match value {
        Value::Null => {
            target.remove(field);
        }
        Value::Object(patch) if patch.get(PATCH).and_then(Value::as_str) == Some("delete") => {
            target.remove(field);
        }
        Value::Array(patch) => {
            let current = target.entry(field).or_insert_with(|| Value::Array(Vec::new()));
            if !current.is_array() {
                *current = Value::Array(Vec::new());
            }
            if let Value::Array(items) = current {
                merge_list(place.field(field), list_strategy(place, field), items, patch);
            }
        }
        Value::Object(_) if place.rules == Rules::StrategicMerge || !is_atomic(place, field) => {
            merge_value(place.field(field), target.entry(field).or_insert(Value::Null), value);
        }
        plain => {
            target.insert(field.to_owned(), plain.clone());
        }
    }
}

fn merge_list(place: Place<'_>, strategy: ListStrategy, items: &mut Vec<Value>, patch: &[Value]) {
    let replaces = patch.iter().any(|item| item[PATCH] == "replace");
    let (ListStrategy::Keyed(_) | ListStrategy::Set, false) = (strategy, replaces) else {
        let kept = patch.iter().filter(|item| item.get(PATCH).is_none());
        *items =
            kept.map(|item| item.as_object().map_or_else(|| item.clone(), |fields| plain(place, fields))).collect();
        return;
    };
    for patch in patch {
        match items.iter().position(|item| strategy.is_same(item, patch)) {
            Some(i) if patch[PATCH] == "delete" => {
                items.remove(i);
            }
            Some(i) => merge_value(place, &mut items[i], patch),
            None if patch[PATCH] == "delete" => {}
            None => {
                let mut added = Value::Null;
                merge_value(place, &mut added, patch);
                items.push(added);
            }
        }
    }
    if place.rules == Rules::Apply {
        reorder(strategy, items, patch);
    }
}

/// Sorts items into the given order; items that it does not name follow.
fn reorder(strategy: ListStrategy, items: &mut [Value], order: &[Value]) {
    let rank = |item: &Value| order.iter().position(|wanted| strategy.is_same(wanted, item)).unwrap_or(order.len());
    items.sort_by_key(rank);
}

/// A patch as an object, without directives and nulls.
fn plain(place: Place<'_>, patch: &Map<String, Value>) -> Value {
    let mut fields = Map::new();
    let patch: Map<String, Value> = patch
        .iter()
        .filter(|(field, _)| *field != PATCH)
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    merge_fields(place, &mut fields, &patch);
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kind::Kind;

    use super::*;

    #[track_caller]
    fn check(kind: Kind, object: Value, patch: Value, expected: Value) {
        let mut merged = object;
        merge(Place::root(kind, Rules::StrategicMerge), &mut merged, &patch);
        assert_eq!(merged, expected);
    }

    #[test]
    fn containers_merge_by_name_and_their_ports_by_number() {
        check(
            Kind::Pod,
            json!({ "spec": { "containers": [{ "name": "a", "image": "x:1", "ports": [{ "containerPort": 80 }] }, { "name": "b" }] } }),
            json!({ "spec": { "containers": [{ "name": "a", "image": "x:2", "ports": [{ "containerPort": 81 }] }, { "name": "c" }] } }),
            json!({ "spec": { "containers": [
                { "name": "a", "image": "x:2", "ports": [{ "containerPort": 80 }, { "containerPort": 81 }] },
                { "name": "b" },
                { "name": "c" },
            ] } }),
        );
    }

    #[test]
    fn lists_without_a_key_are_replaced() {
        check(
            Kind::EndpointSlice,
            json!({ "ports": [{ "port": 1 }, { "port": 2 }], "endpoints": [{ "addresses": ["10.0.0.1"] }] }),
            json!({ "ports": [{ "port": 3 }] }),
            json!({ "ports": [{ "port": 3 }], "endpoints": [{ "addresses": ["10.0.0.1"] }] }),
        );
    }

    #[test]
    fn directives_delete_replace_order_and_retain() {
        check(
            Kind::Service,
            json!({ "metadata": { "finalizers": ["a", "b"], "labels": { "x": "1", "y": "2" } },
                    "spec": { "ports": [{ "port": 1 }, { "port": 2 }], "selector": { "app": "a" } } }),
            json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["a"], "labels": { "x": null } },
                    "spec": { "$setElementOrder/ports": [{ "port": 3 }, { "port": 2 }],
                              "ports": [{ "port": 1, "$patch": "delete" }, { "port": 3, "name": "new" }],
                              "selector": { "$patch": "replace", "role": "b" } } }),
            json!({ "metadata": { "finalizers": ["b"], "labels": { "y": "2" } },
                    "spec": { "ports": [{ "port": 3, "name": "new" }, { "port": 2 }], "selector": { "role": "b" } } }),
        );
        check(
            Kind::Deployment,
            json!({ "spec": { "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } } } }),
            json!({ "spec": { "strategy": { "$retainKeys": ["type"], "type": "Recreate" } } }),
            json!({ "spec": { "strategy": { "type": "Recreate" } } }),
        );
    }

    #[test]
    fn a_patch_into_nothing_leaves_no_directive_behind() {
        check(
            Kind::Pod,
            json!({}),
            json!({ "spec": { "containers": [{ "name": "a", "image": null }, { "name": "b", "$patch": "delete" }], "$setElementOrder/containers": [{ "name": "a" }] } }),
            json!({ "spec": { "containers": [{ "name": "a" }] } }),
        );
    }
}
