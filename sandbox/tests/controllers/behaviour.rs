//! The behaviour of each controller.

use std::collections::BTreeSet;
use std::time::Duration;

use kube_sandbox::controllers::{
    MANAGED_BY_LABEL, MANAGER, Options, POD_IP_ANNOTATION, READY_ANNOTATION, START_DELAY_ANNOTATION,
};
use kube_sandbox::kind::Kind;
use kube_sandbox::store::{EventType, Object};
use serde_json::{Value, json};

use super::harness::{NAMESPACE, Sandbox, headless, is_ready, is_terminating, quick, start, stateful_set, text};

#[tokio::test(start_paused = true)]
async fn slices_have_the_labels_owner_and_conditions_of_the_real_controller() {
    let sandbox = start(Options { pod_stop_delay: Duration::from_secs(60), ..quick() });
    let service = sandbox.create(Kind::Service, headless("db", "db", json!([{"name": "pg", "port": 5432}])));
    let empty = sandbox.until("a placeholder", |sandbox| sandbox.slices("db").pop()).await;
    assert_eq!((&empty["endpoints"], &empty["ports"]), (&Value::Null, &Value::Null));
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox.until_published("db", &["db-0", "db-1"]).await;
    let slices = sandbox.slices("db");
    let [slice] = &slices[..] else { panic!("one slice, not {slices:?}") };
    assert_eq!(slice["metadata"]["uid"], empty["metadata"]["uid"]);
    assert!(text(&slice["metadata"]["name"]).starts_with("db-"));
    assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], service["metadata"]["uid"]);
    let labels = &slice["metadata"]["labels"];
    let expected = json!({
        "kubernetes.io/service-name": "db", "service.kubernetes.io/headless": "", "tier": "data", MANAGED_BY_LABEL: MANAGER,
    });
    assert_eq!(labels, &expected);
    assert_eq!(slice["ports"], json!([{"name": "pg", "port": 5432, "protocol": "TCP"}]));

    // A terminating Pod is serving but not ready.
    sandbox.delete_pod("db-1");
    let endpoint = sandbox
        .until("a terminating endpoint", |sandbox| {
            let slices = sandbox.slices("db");
            let mut endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
            endpoints.find(|endpoint| endpoint["conditions"]["terminating"] == true).cloned()
        })
        .await;
    assert_eq!(endpoint["conditions"], json!({"ready": false, "serving": true, "terminating": true}));
    assert_eq!(endpoint["targetRef"]["name"], "db-1");

    sandbox.store.delete(Kind::Service, NAMESPACE, "db", None).expect("a Service to delete");
    sandbox
        .until("deletion of the slices with their Service", |sandbox| sandbox.slices("db").is_empty().then_some(()))
        .await;
}

#[tokio::test(start_paused = true)]
async fn annotations_control_readiness_address_and_start_delay() {
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("web", "web", json!([])));
    let pod = |name: &str, annotations: Value| {
        json!({
            "metadata": {"namespace": NAMESPACE, "name": name, "labels": {"app": "web"}, "annotations": annotations},
            "spec": {"containers": [{"name": "main"}], "hostname": name, "subdomain": "web"},
        })
    };
    sandbox.create(Kind::Pod, pod("slow", json!({START_DELAY_ANNOTATION: "10m"})));
    sandbox.create(Kind::Pod, pod("pinned", json!({POD_IP_ANNOTATION: "192.0.2.9"})));
    sandbox.create(Kind::Pod, pod("unready", json!({READY_ANNOTATION: "false"})));
    sandbox.until_published("web", &["pinned"]).await;
    sandbox.until("an unready Pod with an address", |sandbox| sandbox.ip("unready")).await;
    assert_eq!(sandbox.ip("pinned").as_deref(), Some("192.0.2.9"));
    assert_eq!(sandbox.ip("slow"), None);
    sandbox.edit(Kind::Pod, "unready", |pod| pod["metadata"]["annotations"] = json!({}));
    sandbox.until_published("web", &["pinned", "unready"]).await;
    sandbox.edit(Kind::Pod, "pinned", |pod| pod["metadata"]["annotations"][READY_ANNOTATION] = json!("false"));
    sandbox.until_published("web", &["unready"]).await;
}

#[tokio::test(start_paused = true)]
async fn external_pods_and_slices_are_not_changed() {
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("web", "web", json!([])));
    let slice = json!({
        "metadata": {"namespace": NAMESPACE, "name": "web-by-hand", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.1"]}],
    });
    let slice = sandbox.create(Kind::EndpointSlice, slice);
    let status = json!({"phase": "Running", "podIP": "192.0.2.2", "conditions": [{"type": "Ready", "status": "True"}]});
    let pod = json!({
        "metadata": {"namespace": NAMESPACE, "name": "by-hand", "labels": {"app": "web"}},
        "spec": {"containers": [], "hostname": "by-hand", "subdomain": "web"},
        "status": status,
    });
    sandbox.create(Kind::Pod, pod);
    sandbox.until_published("web", &["by-hand"]).await;
    assert_eq!(sandbox.get(Kind::Pod, "by-hand").expect("the Pod")["status"], status);
    assert_eq!(sandbox.get(Kind::EndpointSlice, "web-by-hand"), Some(slice));
}

#[tokio::test(start_paused = true)]
async fn a_deployment_replaces_its_pods_within_its_bounds_and_reports_progress() {
    let sandbox = start(quick());
    let deployment = json!({
        "metadata": {"namespace": NAMESPACE, "name": "web"},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "main", "image": "example/web:1"}]}},
        },
    });
    sandbox.create(Kind::Deployment, deployment);
    let rolled_out = |revision: &'static str| {
        move |sandbox: &Sandbox| {
            let deployment = sandbox.get(Kind::Deployment, "web")?;
            let status = &deployment["status"];
            let mut conditions = status["conditions"].as_array()?.iter();
            let is_done = status["updatedReplicas"] == 4
                && status["replicas"] == 4
                && status["availableReplicas"] == 4
                && conditions.any(|condition| condition["reason"] == "NewReplicaSetAvailable");
            let annotation = &deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            (is_done && *annotation == revision).then_some(())
        }
    };
    sandbox.until("the first rollout", rolled_out("1")).await;
    let since = sandbox.store.revision();
    sandbox.edit(Kind::Deployment, "web", |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example/web:2");
    });
    sandbox.until("the second rollout", rolled_out("2")).await;
    let events = sandbox.pod_events(since);
    let mut ready: BTreeSet<String> = BTreeSet::new();
    let mut fewest = usize::MAX;
    for event in sandbox.pod_events(1) {
        let name = text(&event.object["metadata"]["name"]);
        let serves =
            event.event_type != EventType::Deleted && is_ready(&event.object) && !is_terminating(&event.object);
        if serves {
            ready.insert(name)
        } else {
            ready.remove(&name)
        };
        if events.first().is_some_and(|first| event.revision >= first.revision) {
            fewest = fewest.min(ready.len());
        }
    }
    assert!(fewest >= 3, "maxUnavailable is 25% of 4, yet only {fewest} Pods were available");
    let images: BTreeSet<String> = sandbox
        .pods()
        .values()
        .filter(|pod| !is_terminating(pod))
        .map(|pod| text(&pod["spec"]["containers"][0]["image"]))
        .collect();
    assert_eq!(images, BTreeSet::from(["example/web:2".to_owned()]));

    sandbox.store.delete(Kind::Deployment, NAMESPACE, "web", None).expect("a Deployment to delete");
    sandbox
        .until("deletion of the Deployment's dependents", |sandbox| {
            let sets = sandbox.store.list(Kind::ReplicaSet, Some(NAMESPACE)).1;
            (sandbox.pods().is_empty() && sets.is_empty()).then_some(())
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn dual_stack_services_have_slices_and_addresses_of_both_families() {
    let sandbox = start(Options { dual_stack: true, ..quick() });
    let mut service = headless("db", "db", json!([]));
    service["spec"]["ipFamilyPolicy"] = json!("RequireDualStack");
    sandbox.create(Kind::Service, service);
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 1));
    sandbox
        .until("an endpoint in each family", |sandbox| {
            let slices = sandbox.slices("db");
            let families: BTreeSet<String> = slices
                .iter()
                .filter(|slice| slice["endpoints"].is_array())
                .map(|slice| text(&slice["addressType"]))
                .collect();
            (families == BTreeSet::from(["IPv4".to_owned(), "IPv6".to_owned()])).then_some(())
        })
        .await;
    sandbox.create(
        Kind::Service,
        json!({"metadata": {"namespace": NAMESPACE, "name": "vip"}, "spec": {"ipFamilyPolicy": "PreferDualStack"}}),
    );
    let addresses = sandbox
        .until("cluster addresses", |sandbox| {
            sandbox.get(Kind::Service, "vip")?["spec"]["clusterIPs"].as_array().cloned()
        })
        .await;
    assert_eq!(addresses, [json!("10.96.0.1"), json!("fd00:10:96::1")]);
}

#[tokio::test(start_paused = true)]
async fn a_change_causes_only_the_writes_that_it_requires() {
    let sandbox = start(Options { events: false, ..quick() });
    for name in ["db", "web"] {
        sandbox.create(Kind::Service, headless(name, name, json!([])));
        sandbox.create(Kind::StatefulSet, stateful_set(name, name, 2));
    }
    let deployment = json!({
        "metadata": {"namespace": NAMESPACE, "name": "proxy"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "proxy"}}, "template": {"metadata": {"labels": {"app": "proxy"}}, "spec": {}}},
    });
    sandbox.create(Kind::Deployment, deployment);
    sandbox.until_published("db", &["db-0", "db-1"]).await;
    sandbox.until_published("web", &["web-0", "web-1"]).await;
    sandbox
        .until("the workloads' final status", |sandbox| {
            let available = |kind, name: &str| {
                sandbox.get(kind, name).is_some_and(|object| object["status"]["availableReplicas"] == 2)
            };
            let sets = ["db", "web"].into_iter().all(|name| available(Kind::StatefulSet, name));
            (sets && available(Kind::Deployment, "proxy")).then_some(())
        })
        .await;
    let since = sandbox.store.revision();
    sandbox.edit(Kind::Pod, "db-1", |pod| pod["metadata"]["annotations"] = json!({READY_ANNOTATION: "false"}));
    sandbox.until_published("db", &["db-0"]).await;
    sandbox
        .until("the set's count of ready Pods", |sandbox| {
            (sandbox.get(Kind::StatefulSet, "db")?["status"]["readyReplicas"] == 1).then_some(())
        })
        .await;
    let events = sandbox.store.events_after(since, usize::MAX).expect("an uncompacted log");
    let mut written: Vec<(Kind, String)> = events
        .iter()
        .map(|event| {
            let name = if event.kind == Kind::EndpointSlice {
                &event.object["metadata"]["labels"]["kubernetes.io/service-name"]
            } else {
                &event.object["metadata"]["name"]
            };
            (event.kind, text(name))
        })
        .collect();
    written.sort();
    let expected = [
        (Kind::Endpoints, "db"),
        (Kind::EndpointSlice, "db"),
        (Kind::StatefulSet, "db"),
        (Kind::Pod, "db-1"),
        (Kind::Pod, "db-1"),
    ];
    assert_eq!(written, expected.map(|(kind, name)| (kind, name.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn the_controllers_continue_from_a_restored_state() {
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("db", "db", json!([])));
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 2));
    sandbox.until_published("db", &["db-0", "db-1"]).await;
    let (backup, before) = (sandbox.store.snapshot(), sandbox.pods());
    sandbox.edit(Kind::StatefulSet, "db", |set| set["spec"]["replicas"] = json!(0));
    sandbox.until_ready(&[]).await;
    sandbox.store.restore(&backup);
    sandbox.until_published("db", &["db-0", "db-1"]).await;
    assert_eq!(sandbox.ip("db-1").as_deref(), before["db-1"]["status"]["podIP"].as_str());
    // The kubelet manages the restored Pods.
    let unready = json!({READY_ANNOTATION: "false"});
    sandbox.edit(Kind::Pod, "db-1", |pod| pod["metadata"]["annotations"] = unready.clone());
    sandbox.until_published("db", &["db-0"]).await;
}

#[tokio::test]
async fn five_thousand_parallel_pods_become_ready_and_are_published_in_full_slices() {
    const REPLICAS: i64 = 5_000;
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("big", "big", json!([])));
    let mut set = stateful_set("big", "big", REPLICAS);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    sandbox.create(Kind::StatefulSet, set);
    sandbox
        .until("all Pods ready", |sandbox| {
            let set = sandbox.get(Kind::StatefulSet, "big")?;
            (set["status"]["readyReplicas"] == REPLICAS).then_some(())
        })
        .await;
    let count = |sandbox: &Sandbox| -> usize {
        let endpoints = |slice: &Object| slice["endpoints"].as_array().map_or(0, Vec::len);
        sandbox.slices("big").iter().map(endpoints).sum()
    };
    sandbox.until("all Pods in slices", |sandbox| (count(sandbox) == 5_000).then_some(())).await;
    assert!(sandbox.slices("big").len() <= 51);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_decoded_is_ignored_and_others_are_reconciled() {
    let sandbox = start(quick());
    let broken = |name: &str| json!({"metadata": {"namespace": NAMESPACE, "name": name, "labels": 5}, "spec": {"replicas": "x"}});
    for kind in [Kind::Service, Kind::Pod, Kind::StatefulSet, Kind::ReplicaSet, Kind::Deployment, Kind::EndpointSlice] {
        sandbox.create(kind, broken("broken"));
    }
    sandbox.create(Kind::Service, headless("db", "db", json!([])));
    let set = json!({"metadata": {"namespace": NAMESPACE, "name": "db"}, "spec": {"replicas": "two"}});
    sandbox.create(Kind::StatefulSet, set);
    sandbox.edit(Kind::StatefulSet, "db", |set| set["spec"] = stateful_set("db", "db", 2)["spec"].take());
    sandbox.until_published("db", &["db-0", "db-1"]).await;
    sandbox.store.delete(Kind::Pod, NAMESPACE, "broken", None).expect("the invalid Pod");
}

#[tokio::test(start_paused = true)]
async fn slices_are_written_after_the_configured_delay() {
    const DELAY: Duration = Duration::from_millis(150);
    let sandbox = start(Options { endpoint_slice_delay: DELAY, ..quick() });
    sandbox.create(Kind::Service, headless("db", "db", json!([])));
    sandbox.until("a placeholder", |sandbox| sandbox.slices("db").pop()).await;
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 1));
    sandbox.until("creation of the Pod", |sandbox| sandbox.get(Kind::Pod, "db-0")).await;
    let seen = tokio::time::Instant::now();
    sandbox.until_published("db", &["db-0"]).await;
    assert!(seen.elapsed() >= DELAY, "{:?}", seen.elapsed());
}
