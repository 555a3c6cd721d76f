//! Which nodes a Pod may run on, as far as scheduler and DaemonSet controller of the sandbox look: the node selector, the required
//! node affinity, taints and cordons. Resources are not counted.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::types::{Meta, NodeSelectorTerm, PodSpec, Toleration, null_as_default, selects};

/// The taint of a cordoned node.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The field of a node that an affinity may name.
pub const NODE_NAME: &str = "metadata.name";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub metadata: Meta,
    #[serde(deserialize_with = "null_as_default")]
    spec: NodeSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    #[serde(deserialize_with = "null_as_default")]
    unschedulable: bool,
    #[serde(deserialize_with = "null_as_default")]
    taints: Vec<Taint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Taint {
    key: String,
    value: Option<String>,
    effect: String,
}

/// Whether the Pod's selector and affinity name the node.
pub fn is_meant_for(pod: &PodSpec, node: &Node) -> bool {
    let required = pod.affinity.node_affinity.required.as_ref();
    selects(&pod.node_selector, &node.metadata.labels)
        && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| names(term, node)))
}

/// Whether a new Pod of this kind may come to the node in spite of its taints.
pub fn tolerates(pod: &PodSpec, node: &Node) -> bool {
    tolerates_effects(pod, node, &["NoSchedule", "NoExecute"])
}

/// Whether a Pod that is there may stay.
pub fn may_stay(pod: &PodSpec, node: &Node) -> bool {
    tolerates_effects(pod, node, &["NoExecute"])
}

fn tolerates_effects(pod: &PodSpec, node: &Node, effects: &[&str]) -> bool {
    let cordon = Taint { key: UNSCHEDULABLE.to_owned(), value: None, effect: "NoSchedule".to_owned() };
    let cordon = node.spec.unschedulable.then_some(&cordon);
    let mut taints = node.spec.taints.iter().chain(cordon).filter(|taint| effects.contains(&taint.effect.as_str()));
    taints.all(|taint| pod.tolerations.iter().any(|toleration| tolerates_taint(toleration, taint)))
}

fn names(term: &NodeSelectorTerm, node: &Node) -> bool {
    let fields = BTreeMap::from([(NODE_NAME.to_owned(), node.metadata.name.clone())]);
    let is_empty = term.match_expressions.is_empty() && term.match_fields.is_empty();
    !is_empty
        && term.match_expressions.iter().all(|expression| expression.matches(&node.metadata.labels))
        && term.match_fields.iter().all(|field| field.matches(&fields))
}

fn tolerates_taint(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    let has_value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => text(&toleration.value) == text(&taint.value),
    };
    (key.is_empty() || key == taint.key) && (effect.is_empty() || effect == taint.effect) && has_value
}

/// The only node that a Pod may run on, as a DaemonSet makes its Pods.
pub fn only_node(pod: &PodSpec) -> Option<&str> {
    let terms = &pod.affinity.node_affinity.required.as_ref()?.node_selector_terms;
    let fields = terms.iter().flat_map(|term| &term.match_fields);
    let mut named = fields.filter(|field| field.key == NODE_NAME && field.operator == "In");
    named.find_map(|field| field.values.first()).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::controllers::testing::object;

    use super::*;

    fn node(spec: Value) -> Node {
        object(&json!({"metadata": {"name": "node-a", "labels": {"disk": "ssd"}}, "spec": spec}))
    }

    #[track_caller]
    fn check(pod: Value, spec: Value, meant_for: bool, tolerated: bool) {
        let (pod, node): (PodSpec, Node) = (object(&pod), node(spec));
        assert_eq!((is_meant_for(&pod, &node), tolerates(&pod, &node)), (meant_for, tolerated));
    }

    #[test]
    fn a_pod_goes_where_its_selector_its_affinity_and_the_taints_let_it() {
        check(json!({}), json!({}), true, true);
        check(json!({"nodeSelector": {"disk": "ssd"}}), json!({}), true, true);
        check(json!({"nodeSelector": {"disk": "hdd"}}), json!({}), false, true);
        let affinity = |terms: Value| json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let by_name = |name: &str| json!({"matchFields": [{"key": NODE_NAME, "operator": "In", "values": [name]}]});
        let by_label = json!({"matchExpressions": [{"key": "disk", "operator": "Exists"}]});
        check(affinity(json!([by_name("node-b")])), json!({}), false, true);
        check(affinity(json!([by_name("node-b"), by_label])), json!({}), true, true);
        check(json!({}), json!({"unschedulable": true}), true, false);
        let taints = json!({"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]});
        check(json!({}), taints.clone(), true, false);
        check(json!({"tolerations": [{"key": "k", "value": "v"}]}), taints.clone(), true, true);
        check(json!({"tolerations": [{"key": "k", "value": "w"}]}), taints.clone(), true, false);
        check(json!({"tolerations": [{"operator": "Exists"}]}), taints, true, true);
        check(json!({}), json!({"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}), true, true);
    }
}
