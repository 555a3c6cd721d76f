//! Steps of a StatefulSet, as tables of Pods and the actions for them; revisions, claims and status.

use serde_json::Value;

use crate::controllers::testing::{PodBuilder, edited, object, stateful_pod, status_of};

use super::*;

const OLD: &str = "db-old";

/// A set with three replicas; `edit` changes its spec.
fn set(edit: Value) -> StatefulSet {
    let spec = json!({
        "replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "main", "image": "db:2"}]}},
    });
    object(&json!({
        "metadata": {"namespace": "default", "name": "db", "uid": "set", "generation": 1},
        "spec": edited(spec, edit), "status": {"currentRevision": OLD},
    }))
}

/// The revision `db-old` of an earlier template, and the one of the current template.
fn revisions(set: &StatefulSet) -> Vec<Object> {
    let old = json!({
        "metadata": {"namespace": "default", "name": OLD, "uid": "old"}, "revision": 1,
        "data": {"spec": {"template": {"$patch": "replace", "metadata": {"labels": {"app": "db"}},
            "spec": {"containers": [{"name": "main", "image": "db:1"}]}}}},
    });
    let created = revisions::resolve(set, &[], &[]).1;
    let new = created.into_iter().find_map(|action| match action {
        Action::Ensure(Kind::ControllerRevision, mut revision) => {
            revision["revision"] = json!(2);
            Some(Arc::new(revision))
        }
        _ => None,
    });
    [Arc::new(old)].into_iter().chain(new).collect()
}

fn planned(set: &StatefulSet, pods: Vec<PodBuilder>) -> Vec<Action> {
    let pods = pods.into_iter().map(|pod| Arc::new(pod.build())).collect();
    let revisions = revisions(set);
    let observed = Observed { set, pods, orphans: Vec::new(), revisions, claims: BTreeMap::new() };
    plan(&observed, "2026-01-01T00:01:00Z".parse().expect("a time"))
}

/// The actions on Pods in words.
fn steps_of(set: Value, pods: Vec<PodBuilder>) -> Vec<String> {
    let steps = planned(&self::set(set), pods).into_iter().filter_map(|action| match action {
        Action::Create(Kind::Pod, pod) => {
            let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
            Some(format!("create {} {image}", pod["metadata"]["name"].as_str().unwrap_or_default()))
        }
        Action::Delete(target) if target.kind == Kind::Pod => Some(format!("delete {}", target.id.name)),
        _ => None,
    });
    steps.collect()
}

fn new_revision() -> String {
    let revisions = revisions(&set(json!({})));
    revisions[1]["metadata"]["name"].as_str().expect("a name").to_owned()
}

fn pod(ordinal: i64) -> PodBuilder {
    stateful_pod("db", ordinal).label(REVISION_LABEL, &new_revision())
}

fn old_pod(ordinal: i64) -> PodBuilder {
    stateful_pod("db", ordinal).label(REVISION_LABEL, OLD)
}

fn ready(ordinals: std::ops::Range<i64>) -> Vec<PodBuilder> {
    ordinals.map(|ordinal| pod(ordinal).ready()).collect()
}

fn parallel() -> Value {
    json!({"podManagementPolicy": "Parallel"})
}

#[test]
fn ordered_pods_are_created_one_at_a_time_after_their_predecessor_is_available() {
    assert_eq!(steps_of(json!({}), vec![]), ["create db-0 db:2"]);
    assert!(steps_of(json!({}), vec![pod(0)]).is_empty());
    assert!(steps_of(json!({}), vec![pod(0).running()]).is_empty());
    assert!(steps_of(json!({}), vec![pod(0).ready().terminating()]).is_empty());
    assert_eq!(steps_of(json!({}), ready(0..1)), ["create db-1 db:2"]);
    assert!(steps_of(json!({"minReadySeconds": 61}), ready(0..1)).is_empty());
    assert_eq!(steps_of(json!({"minReadySeconds": 60}), ready(0..1)), ["create db-1 db:2"]);
    assert!(steps_of(json!({}), ready(0..3)).is_empty());
}

#[test]
fn parallel_pods_are_created_at_once_and_gaps_are_filled() {
    assert_eq!(steps_of(parallel(), vec![]), ["create db-0 db:2", "create db-1 db:2", "create db-2 db:2"]);
    assert_eq!(steps_of(parallel(), vec![pod(0), pod(2)]), ["create db-1 db:2"]);
    assert_eq!(steps_of(json!({}), vec![pod(0).ready(), pod(2).ready()]), ["create db-1 db:2"]);
}

#[test]
fn a_huge_set_is_created_in_bursts() {
    let huge = json!({"replicas": i32::MAX, "podManagementPolicy": "Parallel"});
    assert_eq!(steps_of(huge, vec![]).len(), BURST_REPLICAS);
}

#[test]
fn ordinals_start_at_the_configured_number_and_lower_ones_are_condemned() {
    let shifted = || json!({"ordinals": {"start": 5}, "podManagementPolicy": "Parallel"});
    assert_eq!(steps_of(shifted(), vec![]), ["create db-5 db:2", "create db-6 db:2", "create db-7 db:2"]);
    let pods = (5..8).map(|ordinal| pod(ordinal).ready()).chain([pod(0).ready()]).collect();
    assert_eq!(steps_of(shifted(), pods), ["delete db-0"]);
}

#[test]
fn ordered_pods_are_deleted_from_the_highest_ordinal_one_at_a_time_while_all_others_are_healthy() {
    let one = || json!({"replicas": 1});
    assert_eq!(steps_of(one(), ready(0..4)), ["delete db-3"]);
    let terminating = || ready(0..3).into_iter().chain([pod(3).ready().terminating()]).collect();
    assert!(steps_of(one(), terminating()).is_empty());
    let broken_replica = vec![pod(0).running(), pod(1).ready()];
    assert!(steps_of(one(), broken_replica).is_empty());
    // The lowest unhealthy condemned Pod may be deleted; an unhealthy one above it waits.
    assert_eq!(steps_of(one(), vec![pod(0).ready(), pod(1).ready(), pod(2).running()]), ["delete db-2"]);
    assert!(steps_of(one(), vec![pod(0).ready(), pod(1).running(), pod(2).running()]).is_empty());
}

#[test]
fn parallel_pods_are_deleted_at_once() {
    let one = json!({"replicas": 1, "podManagementPolicy": "Parallel"});
    assert_eq!(steps_of(one, ready(0..4)), ["delete db-3", "delete db-2", "delete db-1"]);
}

#[test]
fn a_finished_pod_is_deleted_to_be_created_again() {
    for phase in ["Failed", "Succeeded"] {
        let pods = vec![pod(0).ready(), pod(1).phase(phase), pod(2).ready()];
        assert_eq!(steps_of(json!({}), pods), ["delete db-1"]);
    }
}

#[test]
fn a_rolling_update_replaces_the_highest_outdated_pod_once_all_above_it_are_healthy() {
    let old = || (0..3).map(|ordinal| old_pod(ordinal).ready());
    assert_eq!(steps_of(json!({}), old().collect()), ["delete db-2"]);
    assert_eq!(steps_of(parallel(), old().collect()), ["delete db-2"]);
    assert!(steps_of(parallel(), old().take(2).chain([pod(2).running()]).collect()).is_empty());
    assert_eq!(steps_of(json!({}), old().take(2).chain([pod(2).ready()]).collect()), ["delete db-1"]);
}

#[test]
fn ordinals_below_a_partition_keep_the_current_revision_even_when_recreated() {
    let partition = || json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}});
    let old = |range: std::ops::Range<i64>| range.map(|ordinal| old_pod(ordinal).ready());
    assert_eq!(steps_of(partition(), old(0..3).collect()), ["delete db-2"]);
    assert!(steps_of(partition(), old(0..2).chain([pod(2).ready()]).collect()).is_empty());
    assert_eq!(steps_of(partition(), old(0..1).chain([pod(2).ready()]).collect()), ["create db-1 db:1"]);
    assert_eq!(steps_of(partition(), old(0..2).collect()), ["create db-2 db:2"]);
}

#[test]
fn on_delete_replaces_no_pods_and_recreates_them_with_the_new_revision() {
    let on_delete = || json!({"updateStrategy": {"type": "OnDelete"}});
    assert!(steps_of(on_delete(), (0..3).map(|ordinal| old_pod(ordinal).ready()).collect()).is_empty());
    assert_eq!(steps_of(on_delete(), (0..2).map(|ordinal| old_pod(ordinal).ready()).collect()), ["create db-2 db:2"]);
}

#[test]
fn a_terminating_set_is_not_reconciled() {
    let mut set = set(json!({}));
    set.metadata.deletion_timestamp = Some("2026-01-01T00:00:00Z".to_owned());
    assert!(planned(&set, vec![]).is_empty());
}

#[test]
fn the_status_counts_pods_by_revision_and_a_complete_update_becomes_current() {
    let (set, new) = (set(json!({})), new_revision());
    let midway = status_of(planned(&set, vec![old_pod(0).ready(), old_pod(1).ready().terminating(), pod(2).ready()]));
    let expected = json!({
        "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "currentReplicas": 1,
        "updatedReplicas": 1, "currentRevision": OLD, "updateRevision": new, "collisionCount": 0,
    });
    assert_eq!(midway, expected);
    let done = status_of(planned(&set, ready(0..3)));
    assert_eq!((&done["currentRevision"], &done["currentReplicas"]), (&json!(new), &json!(3)));
    let partitioned = self::set(json!({"updateStrategy": {"rollingUpdate": {"partition": 2}}}));
    let parked = status_of(planned(&partitioned, vec![old_pod(0).ready(), old_pod(1).ready(), pod(2).ready()]));
    assert_eq!((&parked["currentRevision"], &parked["currentReplicas"]), (&json!(OLD), &json!(2)));
}

#[test]
fn a_rollback_renumbers_the_old_revision() {
    let mut set = set(json!({}));
    let known = revisions(&set);
    set.spec.template["spec"]["containers"][0]["image"] = json!("db:1");
    let (history, actions) = revisions::resolve(&set, &known, &[]);
    assert_eq!(history.update.name, OLD);
    let target = Target::of(Kind::ControllerRevision, &known[0]);
    assert_eq!(actions, [Action::Merge(target, json!({"revision": 3}))]);
}

#[test]
fn revisions_beyond_the_history_limit_are_deleted_unless_in_use() {
    let mut set = set(json!({"revisionHistoryLimit": 0}));
    let known = revisions(&set);
    let deleted = |set: &StatefulSet, pods: &[Arc<Pod>]| {
        let actions = revisions::resolve(set, &known, pods).1;
        actions.iter().any(|action| matches!(action, Action::Delete(target) if target.id.name == OLD))
    };
    assert!(!deleted(&set, &[]), "the status names it");
    set.status.current_revision = Some(new_revision());
    assert!(!deleted(&set, &[Arc::new(old_pod(0).build())]), "a Pod names it");
    assert!(deleted(&set, &[]));
}

#[test]
fn claims_are_created_with_their_pod_and_replace_volumes_of_the_same_name() {
    let mut set = set(
        json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}),
    );
    set.spec.template["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]);
    let actions = planned(&set, vec![]);
    let claim = actions.iter().find_map(|action| match action {
        Action::Ensure(Kind::PersistentVolumeClaim, claim) => Some(claim),
        _ => None,
    });
    let claim = claim.expect("a claim");
    assert_eq!(claim["metadata"], json!({"namespace": "default", "name": "data-db-0", "labels": {"app": "db"}}));
    let pod = actions.iter().find_map(|action| match action {
        Action::Create(Kind::Pod, pod) => Some(pod),
        _ => None,
    });
    let volumes =
        json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-0"}}, {"name": "tmp", "emptyDir": {}}]);
    assert_eq!(pod.expect("a Pod")["spec"]["volumes"], volumes);
}

#[test]
fn the_retention_policy_determines_the_owner_of_a_claim() {
    let owners = |deleted: &str, scaled: &str, ordinal: i64| -> Vec<String> {
        let set = set(json!({
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
        }));
        let pods = [Arc::new(pod(ordinal).ready().build())];
        let name = format!("data-db-{ordinal}");
        let claim = Arc::new(json!({"metadata": {"namespace": "default", "name": name, "uid": "claim"}}));
        let actions = Claims::of(&set).update_owners(&Replicas::of(&set, &pods), &BTreeMap::from([(name, claim)]));
        let patches = actions.iter().filter_map(|action| match action {
            Action::Merge(_, patch) => patch["metadata"]["ownerReferences"].as_array().cloned(),
            _ => None,
        });
        patches.flatten().map(|owner| owner["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    const CONDEMNED: i64 = 3;
    for ordinal in [0, CONDEMNED] {
        assert!(owners("Retain", "Retain", ordinal).is_empty());
        assert_eq!(owners("Delete", "Retain", ordinal), ["StatefulSet"]);
    }
    assert!(owners("Retain", "Delete", 0).is_empty());
    assert_eq!(owners("Retain", "Delete", CONDEMNED), ["Pod"]);
    assert_eq!(owners("Delete", "Delete", 0), ["StatefulSet"]);
    assert_eq!(owners("Delete", "Delete", CONDEMNED), ["Pod"]);
}

#[test]
fn only_names_of_the_set_have_an_ordinal() {
    let set = set(json!({}));
    let ordinals = ["db-0", "db-12", "db-012", "db-", "db", "dbx-1", "db-x-1", "db--1"].map(|name| ordinal(&set, name));
    assert_eq!(ordinals, [Some(0), Some(12), None, None, None, None, None, None]);
}
