//! Cascading deletion: background, foreground and orphan, Namespaces and volume claims.

use jiff::Timestamp;
use kube_sandbox::controllers::mark_deleted;
use kube_sandbox::kind::Kind;
use kube_sandbox::store::{EventType, Object};
use serde_json::{Value, json};

use super::harness::{NAMESPACE, Sandbox, headless, is_ready, is_terminating, quick, start, stateful_set, text};

#[tokio::test(start_paused = true)]
async fn a_set_that_is_deleted_and_recreated_gets_new_pods() {
    let sandbox = start(quick());
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox.until_ready(&["db-0", "db-1"]).await;
    sandbox.store.delete(Kind::StatefulSet, NAMESPACE, "db", None).expect("a set to delete");
    let second = sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox
        .until("Pods of the second set", |sandbox| {
            let pods = sandbox.pods();
            let is_its_own = |pod: &Object| pod["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"];
            (pods.len() == 2 && pods.values().all(|pod| is_its_own(pod) && is_ready(pod))).then_some(())
        })
        .await;
    sandbox
        .until("the second set's own revision", |sandbox| {
            let (_, revisions) = sandbox.store.list(Kind::ControllerRevision, Some(NAMESPACE));
            let [revision] = &revisions[..] else { return None };
            (revision["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"]).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn orphaned_pods_are_adopted_by_the_next_set_with_the_same_name() {
    let sandbox = start(quick());
    let first = sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox.until_ready(&["db-0", "db-1"]).await;
    // As with `kubectl delete --cascade=orphan`.
    sandbox.edit(Kind::StatefulSet, "db", |set| {
        set["metadata"]["finalizers"] = json!(["orphan"]);
        mark_deleted(Kind::StatefulSet, set, Timestamp::now());
    });
    sandbox.until("deletion of the set", |sandbox| sandbox.get(Kind::StatefulSet, "db").is_none().then_some(())).await;
    let pods = sandbox.pods();
    assert!(pods.values().all(|pod| !is_terminating(pod)));

    let second = sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
    sandbox
        .until("adoption", |sandbox| {
            let adopted = |pod: &Object| pod["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"];
            sandbox.pods().values().all(adopted).then_some(())
        })
        .await;
    let uids = |pods: &std::collections::BTreeMap<String, Object>| -> Vec<Value> {
        pods.values().map(|pod| pod["metadata"]["uid"].clone()).collect()
    };
    assert_eq!(uids(&sandbox.pods()), uids(&pods));
}

#[tokio::test(start_paused = true)]
async fn foreground_deletion_removes_the_owner_after_its_pods() {
    let sandbox = start(quick());
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox.until_ready(&["db-0", "db-1"]).await;
    let since = sandbox.store.revision();
    sandbox.edit(Kind::StatefulSet, "db", |set| {
        set["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        mark_deleted(Kind::StatefulSet, set, Timestamp::now());
    });
    sandbox.until("deletion of the set", |sandbox| sandbox.get(Kind::StatefulSet, "db").is_none().then_some(())).await;
    assert!(sandbox.pods().is_empty());
    assert_eq!(sandbox.pod_history(since, EventType::Added), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_namespace_is_emptied_first() {
    let sandbox = start(quick());
    sandbox.store.create(Kind::Namespace, json!({"metadata": {"name": NAMESPACE}})).expect("a namespace");
    let phase = |sandbox: &Sandbox| Some(text(&sandbox.store.get(Kind::Namespace, "", NAMESPACE)?["status"]["phase"]));
    sandbox.until("an active namespace", |sandbox| (phase(sandbox)? == "Active").then_some(())).await;
    sandbox.create(Kind::Service, headless("db", "db", json!([])));
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox.until_published("db", &["db-0", "db-1"]).await;
    let mark = |namespace: &mut Value| mark_deleted(Kind::Namespace, namespace, Timestamp::now());
    sandbox.store.modify(Kind::Namespace, "", NAMESPACE, mark).expect("a namespace to delete");
    sandbox.until("deletion of the namespace", |sandbox| phase(sandbox).is_none().then_some(())).await;
    for kind in Kind::ALL {
        assert!(sandbox.store.list(kind, Some(NAMESPACE)).1.is_empty(), "{}", kind.plural());
    }
}

#[tokio::test(start_paused = true)]
async fn claims_are_deleted_with_their_ordinal_or_set_by_the_retention_policy() {
    let sandbox = start(quick());
    let mut set = stateful_set("db", "db", 2);
    set["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": {}}]);
    set["spec"]["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Delete", "whenScaled": "Delete"});
    sandbox.create(Kind::StatefulSet, set);
    sandbox.until_ready(&["db-0", "db-1"]).await;
    sandbox.edit(Kind::StatefulSet, "db", |set| set["spec"]["replicas"] = json!(1));
    let is_gone = |name: &'static str| {
        move |sandbox: &Sandbox| sandbox.get(Kind::PersistentVolumeClaim, name).is_none().then_some(())
    };
    sandbox.until("deletion of the claim of db-1", is_gone("data-db-1")).await;
    assert!(sandbox.get(Kind::PersistentVolumeClaim, "data-db-0").is_some());
    sandbox.store.delete(Kind::StatefulSet, NAMESPACE, "db", None).expect("a set to delete");
    sandbox.until("deletion of the claim of db-0", is_gone("data-db-0")).await;
}
