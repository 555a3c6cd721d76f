//! Steps of a rollout, as tables of ReplicaSets and the actions for them.

use crate::controllers::testing::{deployment_pod, edited, object, status_of};

use super::*;

/// A Deployment of four with template `web:2`; `edit` changes its spec.
fn deployment(edit: Value) -> Deployment {
    let spec = json!({
        "replicas": 4, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": 2}},
    });
    let metadata = json!({"namespace": "default", "name": "web", "uid": "d", "generation": 1});
    object(&json!({"metadata": metadata, "spec": edited(spec, edit)}))
}

/// A ReplicaSet of template `web:<image>` with these numbers of wanted and available replicas.
fn replica_set(image: i64, replicas: i64, available: i64) -> Arc<ReplicaSet> {
    Arc::new(object(&json!({
        "metadata": {
            "namespace": "default", "name": format!("web-{image}"), "uid": format!("rs-{image}"),
            "annotations": {REVISION_ANNOTATION: image.to_string()},
            "ownerReferences": [{"kind": "Deployment", "name": "web", "uid": "d", "controller": true}],
        },
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {"labels": {"app": "web", TEMPLATE_HASH_LABEL: "x"}}, "spec": {"image": image}},
        },
        "status": {"replicas": replicas, "readyReplicas": available, "availableReplicas": available},
    })))
}

fn planned(deployment: &Deployment, sets: Vec<Arc<ReplicaSet>>, pods: Vec<Arc<Pod>>) -> Vec<Action> {
    plan(&Observed { deployment, sets, orphans: Vec::new(), pods })
}

/// The actions on ReplicaSets in words.
fn steps_of(edit: Value, sets: Vec<Arc<ReplicaSet>>) -> Vec<String> {
    let steps = planned(&deployment(edit), sets, Vec::new()).into_iter().filter_map(|action| match action {
        Action::Ensure(Kind::ReplicaSet, set) => Some(format!("create with {}", set["spec"]["replicas"])),
        Action::Merge(target, patch) if patch["spec"]["replicas"].is_i64() => {
            Some(format!("scale {} to {}", target.id.name, patch["spec"]["replicas"]))
        }
        Action::Delete(target) => Some(format!("delete {}", target.id.name)),
        _ => None,
    });
    steps.collect()
}

fn bounds(surge: i64, unavailable: i64) -> Value {
    json!({"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}})
}

#[test]
fn a_rolling_update_steps_within_its_bounds() {
    assert_eq!(steps_of(bounds(1, 1), vec![]), ["create with 4"]);
    assert_eq!(steps_of(bounds(1, 1), vec![replica_set(1, 4, 4)]), ["create with 1"]);
    assert_eq!(steps_of(bounds(1, 1), vec![replica_set(1, 4, 4), replica_set(2, 1, 0)]), ["scale web-1 to 3"]);
    assert_eq!(steps_of(bounds(1, 1), vec![replica_set(1, 3, 3), replica_set(2, 1, 0)]), ["scale web-2 to 2"]);
    assert!(steps_of(bounds(1, 1), vec![replica_set(1, 3, 3), replica_set(2, 2, 0)]).is_empty());
    assert_eq!(steps_of(bounds(1, 0), vec![replica_set(1, 4, 4), replica_set(2, 1, 1)]), ["scale web-1 to 3"]);
    assert!(steps_of(bounds(1, 0), vec![replica_set(1, 4, 4), replica_set(2, 1, 0)]).is_empty());
    assert_eq!(steps_of(bounds(0, 1), vec![replica_set(1, 4, 4), replica_set(2, 0, 0)]), ["scale web-1 to 3"]);
}

#[test]
fn unhealthy_old_pods_are_removed_first() {
    let sets = vec![replica_set(1, 4, 0), replica_set(2, 1, 0)];
    assert_eq!(steps_of(bounds(1, 1), sets), ["scale web-1 to 3"]);
    let sets = vec![replica_set(1, 4, 1), replica_set(2, 1, 1)];
    assert_eq!(steps_of(bounds(1, 1), sets), ["scale web-1 to 2"]);
}

#[test]
fn recreate_waits_for_all_old_pods_to_end() {
    let recreate = || json!({"strategy": {"type": "Recreate"}});
    assert_eq!(steps_of(recreate(), vec![replica_set(1, 4, 4)]), ["scale web-1 to 0"]);
    assert_eq!(steps_of(recreate(), vec![replica_set(1, 0, 0)]), ["create with 4"]);
    let mut pod = deployment_pod("web-1-a").ready().terminating().build();
    pod.metadata.owner_references[0].uid = "rs-1".to_owned();
    let waiting = planned(&deployment(recreate()), vec![replica_set(1, 0, 0)], vec![Arc::new(pod)]);
    assert!(!waiting.iter().any(|action| matches!(action, Action::Ensure(..))));
}

#[test]
fn a_paused_deployment_is_scaled_but_not_rolled() {
    let paused = || json!({"paused": true, "replicas": 6});
    assert!(steps_of(paused(), vec![replica_set(1, 4, 4)]).is_empty());
    assert_eq!(steps_of(paused(), vec![replica_set(2, 4, 4)]), ["scale web-2 to 6"]);
}

#[test]
fn a_rollback_gives_its_replica_set_the_highest_revision() {
    let deployment = deployment(json!({"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": 1}}}));
    let actions = planned(&deployment, vec![replica_set(1, 0, 0), replica_set(2, 4, 4)], Vec::new());
    let patch = json!({"metadata": {"annotations": {REVISION_ANNOTATION: "3"}}});
    let numbered: Vec<&Kind> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Merge(target, merged) if *merged == patch => Some(&target.kind),
            _ => None,
        })
        .collect();
    assert_eq!(numbered, [&Kind::ReplicaSet, &Kind::Deployment]);
}

#[test]
fn history_beyond_the_limit_is_deleted_oldest_first_once_the_rollout_is_complete() {
    let sets = |new_available| vec![replica_set(0, 0, 0), replica_set(1, 0, 0), replica_set(2, 4, new_available)];
    assert_eq!(steps_of(json!({"revisionHistoryLimit": 1}), sets(4)), ["delete web-0"]);
    assert!(steps_of(json!({"revisionHistoryLimit": 1}), sets(3)).is_empty());
    assert!(steps_of(json!({}), sets(4)).is_empty());
}

#[test]
fn the_status_distinguishes_a_rollout_in_progress_from_a_complete_one() {
    let status = |sets| status_of(planned(&deployment(bounds(1, 1)), sets, Vec::new()));
    let numbers = |status: &Value| {
        ["replicas", "updatedReplicas", "availableReplicas", "unavailableReplicas"]
            .map(|field| status[field].as_i64().unwrap_or(0))
    };
    let reasons = |status: &Value| {
        [0, 1].map(|index| status["conditions"][index]["reason"].as_str().unwrap_or_default().to_owned())
    };

    let midway = status(vec![replica_set(1, 3, 2), replica_set(2, 2, 0)]);
    assert_eq!(numbers(&midway), [5, 2, 2, 3]);
    assert_eq!(reasons(&midway), ["MinimumReplicasUnavailable", "ReplicaSetUpdated"]);
    let done = status(vec![replica_set(1, 0, 0), replica_set(2, 4, 4)]);
    assert_eq!(numbers(&done), [4, 4, 4, 0]);
    assert_eq!(reasons(&done), ["MinimumReplicasAvailable", "NewReplicaSetAvailable"]);
}
