//! The walkthroughs of the example manifests, without DNS.

use kube_sandbox::kind::Kind;
use kube_sandbox::store::{Event, EventType};
use serde_json::{Value, json};

use super::harness::{Sandbox, headless, is_ready, quick, start, stateful_set, text};

#[tokio::test(start_paused = true)]
async fn ordered_identity_pods_start_in_order_and_keep_their_names_when_recreated() {
    let sandbox = start(quick());
    sandbox.create(
        Kind::Service,
        headless("cache-service", "redis-cluster", json!([{"name": "redis-port", "port": 6379}])),
    );
    sandbox.create(Kind::StatefulSet, stateful_set("redis-cluster", "cache-service", 3));
    let names = ["redis-cluster-0", "redis-cluster-1", "redis-cluster-2"];
    sandbox.until_published("cache-service", &names).await;

    let events = sandbox.pod_events(1);
    let position = |name: &str, found: &dyn Fn(&Event) -> bool| {
        events.iter().position(|event| event.object["metadata"]["name"] == name && found(event)).expect("an event")
    };
    for pair in names.windows(2) {
        let ready = position(pair[0], &|event| is_ready(&event.object));
        let added = position(pair[1], &|event| event.event_type == EventType::Added);
        assert!(ready < added, "{} was created before {} was ready", pair[1], pair[0]);
    }
    let pod = sandbox.get(Kind::Pod, "redis-cluster-1").expect("a Pod");
    assert_eq!(pod["spec"]["hostname"], "redis-cluster-1");
    assert_eq!(pod["spec"]["subdomain"], "cache-service");
    assert_eq!(pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "redis-cluster-1");
    assert_eq!(pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"], "1");

    let (since, before) = (sandbox.store.revision(), sandbox.pods());
    names.iter().for_each(|name| sandbox.delete_pod(name));
    sandbox
        .until("three new Pods", |sandbox| {
            let is_new = |name: &&str| {
                sandbox
                    .get(Kind::Pod, name)
                    .is_some_and(|pod| is_ready(&pod) && pod["metadata"]["uid"] != before[*name]["metadata"]["uid"])
            };
            names.iter().all(is_new).then_some(())
        })
        .await;
    sandbox.until_published("cache-service", &names).await;
    assert_eq!(sandbox.pod_history(since, EventType::Added), names);
    for name in names {
        assert_ne!(sandbox.ip(name).as_deref(), before[name]["status"]["podIP"].as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn all_members_scaling_goes_one_by_one_and_retains_claims() {
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("redis", "redis", json!([{"port": 6379}])));
    let mut set = stateful_set("redis", "redis", 3);
    set["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "redis-data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }]);
    sandbox.create(Kind::StatefulSet, set);
    sandbox.until_published("redis", &["redis-0", "redis-1", "redis-2"]).await;
    let since = sandbox.store.revision();
    sandbox.edit(Kind::StatefulSet, "redis", |set| set["spec"]["replicas"] = json!(5));
    sandbox.until_published("redis", &["redis-0", "redis-1", "redis-2", "redis-3", "redis-4"]).await;
    assert_eq!(sandbox.pod_history(since, EventType::Added), ["redis-3", "redis-4"]);

    let since = sandbox.store.revision();
    sandbox.edit(Kind::StatefulSet, "redis", |set| set["spec"]["replicas"] = json!(2));
    sandbox.until_ready(&["redis-0", "redis-1"]).await;
    sandbox.until_published("redis", &["redis-0", "redis-1"]).await;
    assert_eq!(sandbox.pod_history(since, EventType::Deleted), ["redis-4", "redis-3", "redis-2"]);
    for ordinal in 0..5 {
        let claim = sandbox.get(Kind::PersistentVolumeClaim, &format!("redis-data-redis-{ordinal}")).expect("a claim");
        assert_eq!(claim["status"]["phase"], "Bound");
    }
    let pod = sandbox.get(Kind::Pod, "redis-1").expect("a Pod");
    assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "redis-data-redis-1");
}

#[tokio::test(start_paused = true)]
async fn one_or_all_a_rolling_update_goes_down_from_the_highest_ordinal_to_the_partition() {
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("db", "db", json!([{"name": "pg", "port": 5432}])));
    sandbox.create(Kind::StatefulSet, stateful_set("db", "db", 3));
    let names = ["db-0", "db-1", "db-2"];
    sandbox.until_published("db", &names).await;
    let set_image = |image: &str, partition: i64| {
        sandbox.edit(Kind::StatefulSet, "db", |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
            set["spec"]["updateStrategy"] = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
        });
    };
    let images = |sandbox: &Sandbox| -> Vec<String> {
        sandbox.pods().values().map(|pod| text(&pod["spec"]["containers"][0]["image"])).collect()
    };

    let since = sandbox.store.revision();
    set_image("example/main:2", 0);
    sandbox
        .until("a finished rollout", |sandbox| {
            let set = sandbox.get(Kind::StatefulSet, "db")?;
            let (status, generation) = (&set["status"], &set["metadata"]["generation"]);
            let is_done = status["currentRevision"] == status["updateRevision"]
                && status["updatedReplicas"] == 3
                && status["observedGeneration"] == *generation;
            (is_done && *generation == json!(2)).then_some(())
        })
        .await;
    assert_eq!(sandbox.pod_history(since, EventType::Deleted), ["db-2", "db-1", "db-0"]);
    assert_eq!(images(&sandbox), ["example/main:2"; 3]);

    set_image("example/main:3", 2);
    sandbox
        .until("an update of db-2 alone", |sandbox| {
            let status = sandbox.get(Kind::StatefulSet, "db")?["status"].clone();
            (status["updatedReplicas"] == 1 && status["readyReplicas"] == 3 && status["currentReplicas"] == 2)
                .then_some(())
        })
        .await;
    let expected = ["example/main:2", "example/main:2", "example/main:3"];
    assert_eq!(images(&sandbox), expected);
    // A Pod below the partition is recreated with its old revision.
    let lost = sandbox.get(Kind::Pod, "db-1").expect("a Pod");
    sandbox.delete_pod("db-1");
    sandbox
        .until("another db-1", |sandbox| {
            let pod = sandbox.get(Kind::Pod, "db-1")?;
            (is_ready(&pod) && pod["metadata"]["uid"] != lost["metadata"]["uid"]).then_some(())
        })
        .await;
    assert_eq!(images(&sandbox), expected);
    sandbox.until_published("db", &names).await;
}

#[tokio::test(start_paused = true)]
async fn quorum_names_work_without_ports_and_a_wrong_service_name_publishes_nothing() {
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("zk-hs", "zookeeper", json!([])));
    sandbox.create(Kind::StatefulSet, stateful_set("zookeeper", "zk-hs", 3));
    sandbox.create(Kind::StatefulSet, stateful_set("lost", "nowhere", 1));
    sandbox.until_published("zk-hs", &["zookeeper-0", "zookeeper-1", "zookeeper-2"]).await;
    sandbox.until_ready(&["lost-0", "zookeeper-0", "zookeeper-1", "zookeeper-2"]).await;
    let slices = sandbox.slices("zk-hs");
    assert_eq!(slices.len(), 1);
    assert_eq!(slices[0]["ports"], Value::Null);
    assert!(sandbox.slices("nowhere").is_empty());
}
