//! Steps of a DaemonSet, as tables of nodes with their Pods and the actions for them; the status.

use serde_json::{Value, json};

use crate::controllers::testing::{PodBuilder, daemon_pod, edited, object, status_of};

use super::*;

const OLD: &str = "old";

/// A set; `edit` changes its spec.
fn set(edit: Value) -> DaemonSet {
    let spec = json!({
        "selector": {"matchLabels": {"app": "agent"}},
        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "main", "image": "agent:2"}]}},
    });
    let generation = json!({"deprecated.daemonset.template.generation": "2"});
    object(&json!({
        "metadata": {"namespace": "default", "name": "agent", "uid": "set", "generation": 1, "annotations": generation},
        "spec": edited(spec, edit),
    }))
}

fn surge() -> Value {
    json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 0}}})
}

fn node(name: &str, spec: Value) -> Arc<Node> {
    Arc::new(object(&json!({"metadata": {"name": name}, "spec": spec})))
}

/// The hash of the current template.
fn new_hash() -> String {
    let created = planned(json!({}), vec![], &[json!({})]);
    let created = created.iter().find_map(|action| match action {
        Action::Create(Kind::Pod, pod) => pod["metadata"]["labels"][REVISION_LABEL].as_str(),
        _ => None,
    });
    created.expect("a Pod").to_owned()
}

/// A Pod of the current template on a node: `a`, `b`, `c`.
fn pod(node: &str) -> PodBuilder {
    daemon_pod(&format!("new-{node}"), node).label(REVISION_LABEL, &new_hash())
}

fn old(node: &str) -> PodBuilder {
    daemon_pod(&format!("old-{node}"), node).label(REVISION_LABEL, OLD)
}

fn planned(edit: Value, pods: Vec<PodBuilder>, nodes: &[Value]) -> Vec<Action> {
    let set = set(edit);
    let nodes = nodes.iter().zip(["a", "b", "c"]).map(|(spec, name)| node(name, spec.clone())).collect();
    let pods = pods.into_iter().map(|pod| Arc::new(pod.build())).collect();
    let observed = Observed { set: &set, pods, orphans: Vec::new(), revisions: Vec::new(), nodes };
    plan(&observed, "2026-01-01T00:01:00Z".parse().expect("a time"))
}

/// The actions on Pods in words.
fn steps(edit: Value, pods: Vec<PodBuilder>) -> Vec<String> {
    let planned = planned(edit, pods, &[json!({}), json!({}), json!({})]);
    let steps = planned.into_iter().filter_map(|action| match action {
        Action::Create(Kind::Pod, pod) => {
            let pod: Pod = object(&pod);
            Some(format!("create on {}", crate::controllers::placement::only_node(&pod.spec).unwrap_or("?")))
        }
        Action::Delete(target) if target.kind == Kind::Pod => Some(format!("delete {}", target.id.name)),
        _ => None,
    });
    steps.collect()
}

#[test]
fn every_node_gets_a_pod_with_the_labels_and_tolerations_of_a_real_one() {
    assert_eq!(steps(json!({}), vec![]), ["create on a", "create on b", "create on c"]);
    assert_eq!(steps(json!({}), vec![pod("a").ready(), pod("c")]), ["create on b"]);
    let actions = planned(json!({}), vec![], &[json!({"unschedulable": true})]);
    let pod = actions.iter().find_map(|action| match action {
        Action::Create(Kind::Pod, pod) => Some(pod),
        _ => None,
    });
    let pod = pod.expect("a Pod on a cordoned node");
    assert_eq!(pod["metadata"]["generateName"], "agent-");
    assert_eq!(pod["metadata"]["labels"]["pod-template-generation"], "2");
    assert_eq!(pod["spec"]["tolerations"].as_array().expect("tolerations").len(), 6);
    let taint = json!({"taints": [{"key": "special", "effect": "NoSchedule"}]});
    let status = status_of(planned(json!({}), vec![], &[taint]));
    assert_eq!(status["desiredNumberScheduled"], 0);
}

#[test]
fn a_pod_that_has_ended_or_is_too_much_or_has_no_node_any_more_goes() {
    assert_eq!(steps(json!({}), vec![pod("a").phase("Failed"), pod("b").ready(), pod("c").ready()]), ["delete new-a"]);
    assert!(steps(json!({}), vec![pod("a").terminating(), pod("b").ready(), pod("c").ready()]).is_empty());
    let pods = vec![pod("a").ready(), pod("b").ready(), pod("c").ready(), pod("gone").ready()];
    assert_eq!(steps(json!({}), pods), ["delete new-gone"]);
    let pods = vec![
        pod("a").ready(),
        daemon_pod("z", "a").label(REVISION_LABEL, &new_hash()),
        pod("b").ready(),
        pod("c").ready(),
    ];
    assert_eq!(steps(json!({}), pods), ["delete z"]);
}

#[test]
fn a_rolling_update_replaces_one_pod_at_a_time() {
    let all = || vec![old("a").ready(), old("b").ready(), old("c").ready()];
    assert_eq!(steps(json!({}), all()), ["delete old-a"]);
    assert!(steps(json!({}), vec![old("a").ready().terminating(), old("b").ready(), old("c").ready()]).is_empty());
    assert!(steps(json!({}), vec![pod("a"), old("b").ready(), old("c").ready()]).is_empty(), "not available yet");
    assert_eq!(steps(json!({}), vec![pod("a").ready(), old("b").ready(), old("c").ready()]), ["delete old-b"]);
    assert_eq!(steps(json!({}), vec![pod("a"), old("b"), old("c").ready()]), ["delete old-b"], "it is of no use");
    let two = json!({"updateStrategy": {"rollingUpdate": {"maxUnavailable": "50%"}}});
    assert_eq!(steps(two, all()), ["delete old-a", "delete old-b"]);
    assert!(steps(json!({"updateStrategy": {"type": "OnDelete"}}), all()).is_empty());
}

#[test]
fn a_surge_makes_the_new_pod_first() {
    assert_eq!(steps(surge(), vec![old("a").ready(), old("b").ready(), old("c").ready()]), ["create on a"]);
    assert!(steps(surge(), vec![old("a").ready(), pod("a"), old("b").ready(), old("c").ready()]).is_empty());
    let available = vec![old("a").ready(), pod("a").ready(), old("b").ready(), old("c").ready()];
    assert_eq!(steps(surge(), available), ["delete old-a"]);
    assert_eq!(steps(surge(), vec![pod("a").ready(), old("b").ready(), old("c").ready()]), ["create on b"]);
}

#[test]
fn the_status_counts_nodes() {
    let pods = vec![pod("a").ready(), old("b").ready(), pod("c")];
    let status = status_of(planned(json!({}), pods, &[json!({}), json!({}), json!({})]));
    assert_eq!(
        status,
        json!({
            "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberMisscheduled": 0,
            "numberReady": 2, "numberAvailable": 2, "numberUnavailable": 1, "updatedNumberScheduled": 2,
        })
    );
}
