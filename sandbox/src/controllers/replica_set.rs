//! The ReplicaSet controller: keeps the wanted number of interchangeable Pods.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::kind::Kind;

use super::actions::{Action, BURST_REPLICAS, Target, set_nonzero};
use super::pod_template::{adopt, pod_from_template};
use super::types::{Pod, selects};
use super::workloads::ReplicaSet;
use super::world::World;

/// Annotation with the cost of deleting a Pod; the Pods of lowest cost are deleted first.
const DELETION_COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The state that a decision about one ReplicaSet depends on.
pub struct Observed<'a> {
    pub set: &'a ReplicaSet,
    /// The Pods that the set controls.
    pub pods: Vec<Arc<Pod>>,
    /// Pods that the selector matches and that have no controller.
    pub orphans: Vec<Arc<Pod>>,
}

impl<'a> Observed<'a> {
    pub fn gather(world: &World, set: &'a ReplicaSet) -> Self {
        let orphans = world.pods_selected(&set.metadata.namespace, &set.spec.selector.match_labels);
        let orphans = orphans.into_iter().filter(|pod| is_orphan_of(set, pod)).collect();
        Self { set, pods: world.pods_of(&set.metadata.uid), orphans }
    }
}

/// The actions for a ReplicaSet.
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
        let victims = deletion_order(active.clone()).into_iter().take(surplus);
        actions.extend(victims.map(|pod| Action::Delete(Target::new(Kind::Pod, &pod.metadata))));
    }
    actions.push(status(set, &active, now));
    let waits = active.iter().filter_map(|pod| pod.time_to_available(set.spec.min_ready_seconds, now));
    actions.extend(waits.filter(|wait: &Duration| !wait.is_zero()).min().map(Action::WakeAfter));
    actions
}

/// Whether `pod` has no controller and the set's selector matches it.
pub fn is_orphan_of(set: &ReplicaSet, pod: &Pod) -> bool {
    pod.metadata.controller().is_none() && is_active(pod) && set.spec.selector.matches(&pod.metadata.labels)
}

fn is_active(pod: &Pod) -> bool {
    !pod.metadata.is_terminating() && !pod.is_finished()
}

/// Sorts Pods by the order of deletion: unscheduled, not running, not Ready, low deletion cost, recently Ready, recently
/// created.
fn deletion_order(mut pods: Vec<&Pod>) -> Vec<&Pod> {
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
    set_nonzero(
        &mut status,
        [
            ("fullyLabeledReplicas", count(&|pod| selects(&template, &pod.metadata.labels))),
            ("readyReplicas", count(&Pod::is_ready)),
            ("availableReplicas", count(&|pod| pod.is_available(set.spec.min_ready_seconds, now))),
        ],
    );
    Action::Status(Target::new(Kind::ReplicaSet, &set.metadata), status)
}

#[cfg(test)]
mod tests {
    use crate::controllers::testing::{deployment_pod, object, status_of};

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
    fn missing_pods_are_created_at_once_with_generated_names() {
        let actions = planned(&set(3), vec![deployment_pod("web-x-a").ready().build()]);
        let created = actions.iter().filter(|action| matches!(action, Action::Create(Kind::Pod, pod) if pod["metadata"]["generateName"] == "web-x-" && pod["metadata"]["name"].is_null()));
        assert_eq!(created.count(), 2);
    }

    #[test]
    fn surplus_pods_are_deleted_in_the_documented_order() {
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
    fn terminating_and_finished_pods_are_replaced_and_not_counted() {
        let pods = vec![
            deployment_pod("going").ready().terminating().build(),
            deployment_pod("failed").phase("Failed").build(),
            deployment_pod("fine").ready().build(),
        ];
        let actions = planned(&set(2), pods);
        assert_eq!(actions.iter().filter(|action| matches!(action, Action::Create(..))).count(), 1);
        assert_eq!(status_of(actions)["replicas"], 1);
    }
}
