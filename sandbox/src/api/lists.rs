//! How lists merge: which fields tell two items apart.
//!
//! Kubernetes declares it beside each field, once for each of the two patches that merge lists: `patchMergeKey` for strategic merge,
//! `listType` and `listMapKey` for server-side apply. A list that has neither is replaced as a whole.

use serde_json::{Value, json};

use crate::kind::Kind;

/// The patch whose declarations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    StrategicMerge,
    Apply,
}

/// The position of a merge within an object.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub kind: Kind,
    pub rules: Rules,
    /// The field that holds the target; for an item of a list, the list's field.
    pub parent: &'a str,
}

impl<'a> Place<'a> {
    /// The whole object.
    pub fn root(kind: Kind, rules: Rules) -> Self {
        Self { kind, rules, parent: "" }
    }

    /// What this field holds.
    pub fn field(self, field: &'a str) -> Self {
        Self { parent: field, ..self }
    }
}

/// How a list merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListStrategy {
    /// The patch replaces the list.
    Replace,
    /// Items are objects, identified by these fields.
    Keyed(&'static [&'static str]),
    /// Items are plain values without repetition.
    Set,
}

impl ListStrategy {
    /// The values that identify an item, for a list with keys. A protocol that is not given is TCP, which is its default.
    pub fn key_of(keys: &[&'static str], item: &Value) -> Value {
        let value = |key: &str| match item.get(key) {
            None if key == "protocol" => json!("TCP"),
            value => value.cloned().unwrap_or_default(),
        };
        keys.iter().map(|key| ((*key).to_owned(), value(key))).collect::<serde_json::Map<_, _>>().into()
    }

    /// Whether two items are the same one.
    pub fn is_same(self, one: &Value, other: &Value) -> bool {
        match self {
            Self::Keyed(keys) => Self::key_of(keys, one) == Self::key_of(keys, other),
            Self::Replace | Self::Set => one == other,
        }
    }
}

/// How the list in this field merges. The fields that hold it are looked at where its name alone is ambiguous.
pub fn list_strategy(place: Place<'_>, field: &str) -> ListStrategy {
    use ListStrategy::{Keyed, Replace, Set};
    // Server-side apply tells apart what strategic merge takes for the same.
    let keys = |keys: &'static [&'static str]| match place.rules {
        Rules::Apply => Keyed(keys),
        Rules::StrategicMerge => Keyed(&keys[..1]),
    };
    match (field, place.parent) {
        ("ports", "containers" | "initContainers" | "ephemeralContainers") => keys(&["containerPort", "protocol"]),
        ("ports", _) if place.kind == Kind::Service => keys(&["port", "protocol"]),
        ("topologySpreadConstraints", _) => keys(&["topologyKey", "whenUnsatisfiable"]),
        ("imagePullSecrets", _) if place.kind == Kind::ServiceAccount => Replace,
        ("containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets", _)
        | ("schedulingGates" | "resourceClaims", _) => Keyed(&["name"]),
        ("claims", "resources") if place.rules == Rules::Apply => Keyed(&["name"]),
        ("secrets", _) if place.kind == Kind::ServiceAccount => Keyed(&["name"]),
        ("volumeMounts", _) => Keyed(&["mountPath"]),
        ("volumeDevices", _) => Keyed(&["devicePath"]),
        ("hostAliases" | "podIPs", _) => Keyed(&["ip"]),
        ("addresses", "status") if place.kind == Kind::Node => Keyed(&["type"]),
        ("podCIDRs", "spec") if place.kind == Kind::Node => Set,
        ("conditions", "status") if place.kind == Kind::Job && place.rules == Rules::Apply => Replace,
        ("conditions", "status") => Keyed(&["type"]),
        ("ownerReferences", "metadata") => Keyed(&["uid"]),
        ("finalizers", "metadata") => Set,
        _ => Replace,
    }
}

/// Whether server-side apply replaces the object in this field as a whole: what Kubernetes declares as `mapType` or `structType`
/// `atomic`.
pub fn is_atomic(place: Place<'_>, field: &str) -> bool {
    let is_reference = field.ends_with("KeyRef") || field.ends_with("FieldRef") || field == "fieldRef";
    match (field, place.parent) {
        ("selector", "spec") | ("nodeSelector" | "scopeSelector" | "labelSelector", _) => true,
        ("podSelector" | "namespaceSelector" | "requiredDuringSchedulingIgnoredDuringExecution", _) => true,
        ("roleRef", "") | ("targetRef" | "involvedObject" | "claimRef", _) => true,
        _ => is_reference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apply_tells_items_apart_by_every_key_and_strategic_merge_by_the_first() {
        let one = json!({"port": 53, "protocol": "UDP"});
        let place = |rules| Place::root(Kind::Service, rules).field("spec");
        for (rules, is_same) in [(Rules::Apply, false), (Rules::StrategicMerge, true)] {
            let strategy = list_strategy(place(rules), "ports");
            assert_eq!(strategy.is_same(&one, &json!({"port": 53, "protocol": "TCP"})), is_same, "{rules:?}");
        }
        let strategy = list_strategy(place(Rules::Apply), "ports");
        assert!(strategy.is_same(&json!({"port": 53}), &json!({"port": 53, "protocol": "TCP"})));
        assert_eq!(
            list_strategy(Place::root(Kind::Node, Rules::StrategicMerge).field("spec"), "taints"),
            ListStrategy::Replace
        );
    }
}
