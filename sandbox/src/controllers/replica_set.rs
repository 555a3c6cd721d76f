//! The ReplicaSet controller: as many Pods of one template as asked for, whichever they are.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::BURST_REPLICAS;
use super::actions::{Action, Target};
use super::pod_template::{adopt, pod_from_template};
use super::types::{Pod, selects};
use super::workloads::ReplicaSet;
use super::world::World;
use crate::kind::Kind;

/// Annotation by which a Pod says how much it costs to delete it; the cheapest goes first.
const DELETION_COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// Everything that a decision about one ReplicaSet rests on.
pub struct Observed<'a> {
    pub set: &'a ReplicaSet,
    /// The Pods that the set controls.
    pub pods: Vec<Arc<Pod>>,
    /// Pods that the set's selector matches and nobody controls.
    pub orphans: Vec<Arc<Pod>>,
}

impl<'a> Observed<'a> {
    pub fn gather(world: &World, set: &'a ReplicaSet) -> Self {
        let orphans = world.pods_selected(&set.metadata.namespace, &set.spec.selector.match_labels);
        let orphans = orphans.into_iter().filter(|pod| is_orphan_of(set, pod)).collect();
        Self { set, pods: world.pods_of(&set.metadata.uid), orphans }
    }
}

/// What to do about a ReplicaSet now.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Vec<Action> {
    let set = observed.set;
    if set.metadata.is_terminating() {
        return Vec::new();
    }
    let mut actions: Vec<Action> =
        observed.orphans.iter().map(|pod| adopt(Kind::ReplicaSet, &set.metadata, Kind::Pod, &pod.metadata)).collect();
    let active: Vec<&Pod> = observed.pods.iter().map(|pod| &**pod).filter(|pod| is_active(pod)).collect();
    let missing = set.replicas() - (active.len() + observed.orphans.len()) as i64;
    if missing > 0 {
        let burst = usize::try_from(missing).unwrap_or(usize::MAX).min(BURST_REPLICAS);
        let pod = pod_from_template(&set.spec.template, Kind::ReplicaSet, &set.metadata);
        actions.extend(std::iter::repeat_n(Action::Create(Kind::Pod, pod), burst));
    } else {
        let surplus = usize::try_from(-missing).unwrap_or(0).min(BURST_REPLICAS);
        let doomed = least_wanted_first(active.clone()).into_iter().take(surplus);
        actions.extend(doomed.map(|pod| Action::Delete(Target::new(Kind::Pod, &pod.metadata))));
    }
    actions.push(status(set, &active, now));
    let waits = active.iter().filter_map(|pod| pod.time_to_available(set.spec.min_ready_seconds, now));
    actions.extend(waits.filter(|wait: &Duration| !wait.is_zero()).min().map(Action::WakeAfter));
    actions
}

/// Whether `pod` is nobody's and the set's selector matches it.
pub fn is_orphan_of(set: &ReplicaSet, pod: &Pod) -> bool {
    pod.metadata.controller().is_none() && is_active(pod) && set.spec.selector.matches(&pod.metadata.labels)
}

fn is_active(pod: &Pod) -> bool {
    !pod.metadata.is_terminating() && !pod.is_finished()
}

/// The order in which Pods are given up: without a node, not running, not Ready, cheap, Ready for a short time, young.
fn least_wanted_first(mut pods: Vec<&Pod>) -> Vec<&Pod> {
    let phase_rank = |pod: &Pod| match pod.phase() {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    let cost = |pod: &Pod| -> i64 {
        pod.metadata.annotations.get(DELETION_COST_ANNOTATION).and_then(|cost| cost.parse().ok()).unwrap_or(0)
    };
    pods.sort_by_cached_key(|pod| {
        let ready_since = pod.condition("Ready").and_then(|condition| condition.last_transition_time.clone());
        (
            pod.spec.node_name.is_some(),
            phase_rank(pod),
            pod.is_ready(),
            cost(pod),
            Reverse(ready_since),
            Reverse(pod.metadata.creation_timestamp.clone()),
            pod.metadata.name.clone(),
        )
    });
    pods
}

fn status(set: &ReplicaSet, active: &[&Pod], now: Timestamp) -> Action {
    let count = |counts: &dyn Fn(&Pod) -> bool| active.iter().filter(|pod| counts(pod)).count() as i64;
    let template: std::collections::BTreeMap<String, String> =
        serde_json::from_value(set.spec.template["metadata"]["labels"].clone()).unwrap_or_default();
    let mut status = json!({"observedGeneration": set.metadata.generation, "replicas": active.len()});
    // The API leaves these out where they are zero.
    for (field, number) in [
        ("fullyLabeledReplicas", count(&|pod| selects(&template, &pod.metadata.labels))),
        ("readyReplicas", count(&Pod::is_ready)),
        ("availableReplicas", count(&|pod| pod.is_available(set.spec.min_ready_seconds, now))),
    ] {
        if number > 0 {
            status[field] = Value::from(number);
        }
    }
    Action::Status(Target::new(Kind::ReplicaSet, &set.metadata), status)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{deployment_pod, object};
    use super::*;

    fn set(replicas: i64) -> ReplicaSet {
        object(&json!({
            "metadata": {"namespace": "default", "name": "web-x", "uid": "rs", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {}}},
        }))
    }

    fn planned(set: &ReplicaSet, pods: Vec<Pod>) -> Vec<Action> {
        let pods = pods.into_iter().map(Arc::new).collect();
        plan(&Observed { set, pods, orphans: Vec::new() }, Timestamp::UNIX_EPOCH)
    }

    fn deleted(actions: &[Action]) -> Vec<&str> {
        let names = actions.iter().filter_map(|action| match action {
            Action::Delete(target) => Some(target.id.name.as_str()),
            _ => None,
        });
        names.collect()
    }

    #[test]
    fn missing_pods_are_made_all_at_once_without_a_name_of_their_own() {
        let actions = planned(&set(3), vec![deployment_pod("web-x-a").ready().build()]);
        let created = actions.iter().filter(|action| matches!(action, Action::Create(Kind::Pod, pod) if pod["metadata"]["generateName"] == "web-x-" && pod["metadata"]["name"].is_null()));
        assert_eq!(created.count(), 2);
    }

    #[test]
    fn surplus_pods_go_from_the_least_useful_up() {
        let pods = vec![
            deployment_pod("old-ready").ready_since("2026-01-01T00:00:00Z").build(),
            deployment_pod("new-ready").ready_since("2026-01-02T00:00:00Z").build(),
            deployment_pod("not-ready").running().build(),
            deployment_pod("unscheduled").build(),
            deployment_pod("cheap")
                .ready_since("2026-01-01T00:00:00Z")
                .annotation(DELETION_COST_ANNOTATION, "-1")
                .build(),
        ];
        assert_eq!(deleted(&planned(&set(1), pods)), ["unscheduled", "not-ready", "cheap", "new-ready"]);
    }

    #[test]
    fn pods_that_are_terminating_or_have_ended_are_replaced_and_not_counted() {
        let pods = vec![
            deployment_pod("going").ready().terminating().build(),
            deployment_pod("failed").phase("Failed").build(),
            deployment_pod("fine").ready().build(),
        ];
        let actions = planned(&set(2), pods);
        assert_eq!(actions.iter().filter(|action| matches!(action, Action::Create(..))).count(), 1);
        let status = actions.iter().find_map(|action| match action {
            Action::Status(_, status) => Some(status),
            _ => None,
        });
        assert_eq!(status.map(|status| &status["replicas"]), Some(&json!(1)));
    }
}
