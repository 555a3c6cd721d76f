//! The sandbox's controllers on a store of their own, without the HTTP API: what a walkthrough sees step by step.
#![cfg(feature = "sandbox")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use headless_dns::sandbox::controllers::{
    MANAGED_BY_LABEL, MANAGER, Options, POD_IP_ANNOTATION, READY_ANNOTATION, START_DELAY_ANNOTATION, ServiceAddresses,
    mark_deleted, run,
};
use headless_dns::sandbox::kind::Kind;
use headless_dns::sandbox::store::{Event, EventType, Object, Store};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long a state may take to come about before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

const NAMESPACE: &str = "default";

/// A store with controllers on it, which end with it.
struct Sandbox {
    store: Arc<Store>,
    _shutdown: DropGuard,
}

fn start(options: Options) -> Sandbox {
    let (store, shutdown) = (Arc::new(Store::default()), CancellationToken::new());
    let addresses = Arc::new(ServiceAddresses::new(&options));
    tokio::spawn(run(Arc::clone(&store), options, addresses, shutdown.clone()));
    Sandbox { store, _shutdown: shutdown.drop_guard() }
}

fn quick() -> Options {
    Options {
        pod_start_delay: Duration::from_millis(1),
        pod_stop_delay: Duration::from_millis(1),
        ..Options::default()
    }
}

impl Sandbox {
    fn create(&self, kind: Kind, object: Value) -> Object {
        self.store.create(kind, object).expect("a new object")
    }

    fn get(&self, kind: Kind, name: &str) -> Option<Object> {
        self.store.get(kind, NAMESPACE, name)
    }

    fn edit(&self, kind: Kind, name: &str, edit: impl Fn(&mut Value)) {
        self.store.modify(kind, NAMESPACE, name, edit).expect("an object to edit");
    }

    /// What `kubectl delete pod` does.
    fn delete_pod(&self, name: &str) {
        self.edit(Kind::Pod, name, |pod| mark_deleted(Kind::Pod, pod, Timestamp::now()));
    }

    /// Waits for the state in which `condition` gives a value, looking at the store after each of its events.
    async fn until<T>(&self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> T {
        let mut latest = self.store.subscribe();
        let wait = async {
            loop {
                latest.mark_unchanged();
                if let Some(found) = condition(self) {
                    return found;
                }
                latest.changed().await.expect("the store outlives the test");
            }
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come about; Pods: {:?}; slices: {:?}", self.pods(), self.published("")),
        }
    }

    async fn until_ready(&self, names: &[&str]) {
        let wanted: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.until(&format!("Pods {names:?} ready and alone"), |sandbox| {
            let pods = sandbox.pods();
            let is_settled = pods.values().all(|pod| is_ready(pod) && !is_terminating(pod));
            (is_settled && pods.keys().cloned().collect::<BTreeSet<_>>() == wanted).then_some(())
        })
        .await;
    }

    fn pods(&self) -> BTreeMap<String, Object> {
        let (_, pods) = self.store.list(Kind::Pod, Some(NAMESPACE));
        pods.into_iter().map(|pod| (text(&pod["metadata"]["name"]), pod)).collect()
    }

    fn ip(&self, pod: &str) -> Option<String> {
        self.get(Kind::Pod, pod)?["status"]["podIP"].as_str().map(str::to_owned)
    }

    fn slices(&self, service: &str) -> Vec<Object> {
        let (_, slices) = self.store.list(Kind::EndpointSlice, Some(NAMESPACE));
        slices
            .into_iter()
            .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service)
            .collect()
    }

    /// Hostname and address of every ready endpoint of a Service.
    fn published(&self, service: &str) -> BTreeSet<(String, String)> {
        let slices = self.slices(service);
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
        ready.map(|endpoint| (text(&endpoint["hostname"]), text(&endpoint["addresses"][0]))).collect()
    }

    /// Waits until the Service publishes exactly these Pods, each under its name with its present address.
    async fn until_published(&self, service: &str, pods: &[&str]) {
        self.until(&format!("{service} publishing {pods:?}"), |sandbox| {
            let wanted: Option<BTreeSet<_>> =
                pods.iter().map(|pod| Some(((*pod).to_owned(), sandbox.ip(pod)?))).collect();
            (wanted? == sandbox.published(service)).then_some(())
        })
        .await;
    }

    /// Every event on Pods since the resourceVersion.
    fn pod_events(&self, since: u64) -> Vec<Event> {
        let events = self.store.events_after(since, usize::MAX).expect("an uncompacted log");
        events.into_iter().filter(|event| event.kind == Kind::Pod).collect()
    }

    /// Names of the Pods that were added (or deleted) since, in order.
    fn pod_history(&self, since: u64, event_type: EventType) -> Vec<String> {
        let events = self.pod_events(since).into_iter().filter(|event| event.event_type == event_type);
        events.map(|event| text(&event.object["metadata"]["name"])).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn headless(name: &str, app: &str, ports: Value) -> Value {
    json!({
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": {"tier": "data"}},
        "spec": {"clusterIP": "None", "selector": {"app": app}, "ports": ports},
    })
}

fn stateful_set(name: &str, service: &str, replicas: i64) -> Value {
    json!({
        "metadata": {"namespace": NAMESPACE, "name": name},
        "spec": {
            "replicas": replicas,
            "serviceName": service,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": "example/main:1"}]},
            },
        },
    })
}

#[tokio::test]
async fn ordered_identity_each_pod_waits_for_its_predecessor_and_comes_back_under_its_name_with_a_new_address() {
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

#[tokio::test]
async fn all_members_are_added_and_removed_one_by_one_and_their_claims_stay() {
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

#[tokio::test]
async fn one_or_all_a_rolling_update_goes_from_the_highest_ordinal_down_and_stops_at_the_partition() {
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
    // A Pod below the partition that is lost comes back as it was.
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

#[tokio::test]
async fn quorum_names_need_no_ports_and_a_service_name_that_names_no_service_publishes_nothing() {
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

#[tokio::test]
async fn slices_carry_the_labels_owner_and_conditions_that_the_real_controller_gives() {
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

    // While its containers stop, a Pod still serves but is not ready.
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
    sandbox.until("the slices gone with their Service", |sandbox| sandbox.slices("db").is_empty().then_some(())).await;
}

#[tokio::test]
async fn annotations_decide_readiness_address_and_start_delay() {
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

#[tokio::test]
async fn hand_made_pods_and_slices_are_taken_as_they_are() {
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

#[tokio::test]
async fn a_deployment_rolls_its_pods_over_and_reports_it() {
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
        .until("everything gone with the Deployment", |sandbox| {
            let sets = sandbox.store.list(Kind::ReplicaSet, Some(NAMESPACE)).1;
            (sandbox.pods().is_empty() && sets.is_empty()).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_set_that_is_deleted_and_made_again_gets_pods_of_its_own() {
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

#[tokio::test]
async fn dual_stack_services_have_slices_of_both_families_and_addresses_of_both() {
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

#[tokio::test]
async fn a_settled_cluster_is_quiet_and_a_change_costs_only_what_it_touches() {
    let sandbox = start(quick());
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
    let expected = [(Kind::EndpointSlice, "db"), (Kind::StatefulSet, "db"), (Kind::Pod, "db-1"), (Kind::Pod, "db-1")];
    assert_eq!(written, expected.map(|(kind, name)| (kind, name.to_owned())));
}

#[tokio::test]
async fn five_thousand_parallel_pods_are_ready_and_published_in_seconds() {
    const REPLICAS: i64 = 5_000;
    let sandbox = start(quick());
    sandbox.create(Kind::Service, headless("big", "big", json!([])));
    let mut set = stateful_set("big", "big", REPLICAS);
    set["spec"]["podManagementPolicy"] = json!("Parallel");
    let begin = std::time::Instant::now();
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
    eprintln!("{REPLICAS} Pods ready and published after {:?}", begin.elapsed());
}

/// One thing that a person or a program does to the cluster. Small name spaces, so that things meet.
#[derive(Clone, Debug)]
enum Step {
    ApplyService { name: usize, app: usize, publish_not_ready: bool, named_port: bool },
    DeleteService(usize),
    CreatePod { name: usize, app: usize, subdomain: usize, port: u16, ready: bool },
    DeletePod(usize),
    RemovePod(usize),
    LabelPod { name: usize, app: usize },
    AnnotatePod { name: usize, ready: bool },
    DeleteSlice(usize),
    ScribbleSlice(usize),
    ForgetHistory,
    LetRun,
}

fn step() -> impl Strategy<Value = Step> {
    let (services, pods, apps) = (0..3_usize, 0..8_usize, 0..2_usize);
    prop_oneof![
        3 => (services.clone(), apps.clone(), any::<bool>(), any::<bool>()).prop_map(|(name, app, publish_not_ready, named_port)| {
            Step::ApplyService { name, app, publish_not_ready, named_port }
        }),
        1 => services.clone().prop_map(Step::DeleteService),
        6 => (pods.clone(), apps.clone(), services, 80..82_u16, any::<bool>()).prop_map(|(name, app, subdomain, port, ready)| {
            Step::CreatePod { name, app, subdomain, port, ready }
        }),
        2 => pods.clone().prop_map(Step::DeletePod),
        1 => pods.clone().prop_map(Step::RemovePod),
        2 => (pods.clone(), apps).prop_map(|(name, app)| Step::LabelPod { name, app }),
        2 => (pods, any::<bool>()).prop_map(|(name, ready)| Step::AnnotatePod { name, ready }),
        1 => (0..4_usize).prop_map(Step::DeleteSlice),
        1 => (0..4_usize).prop_map(Step::ScribbleSlice),
        1 => Just(Step::ForgetHistory),
        4 => Just(Step::LetRun),
    ]
}

/// Does the step; what it is about may be missing or there already, and then nothing happens.
async fn take(step: &Step, store: &Store) {
    const APPS: [&str; 2] = ["a", "b"];
    let nth_slice = |index: usize| store.list(Kind::EndpointSlice, Some(NAMESPACE)).1.get(index).cloned();
    match *step {
        Step::ApplyService { name, app, publish_not_ready, named_port } => {
            let name = format!("service-{name}");
            let target = if named_port { json!("main") } else { json!(9000) };
            let mut service = headless(&name, APPS[app], json!([{"name": "main", "port": 80, "targetPort": target}]));
            service["spec"]["publishNotReadyAddresses"] = json!(publish_not_ready);
            let spec = service["spec"].clone();
            if store.create(Kind::Service, service).is_err() {
                let _ = store.modify(Kind::Service, NAMESPACE, &name, |service| service["spec"] = spec.clone());
            }
        }
        Step::DeleteService(name) => {
            let _ = store.delete(Kind::Service, NAMESPACE, &format!("service-{name}"), None);
        }
        Step::CreatePod { name, app, subdomain, port, ready } => {
            let name = format!("pod-{name}");
            let pod = json!({
                "metadata": {
                    "namespace": NAMESPACE, "name": name, "labels": {"app": APPS[app]},
                    "annotations": {READY_ANNOTATION: ready.to_string()},
                },
                "spec": {
                    "hostname": name, "subdomain": format!("service-{subdomain}"),
                    "containers": [{"name": "main", "ports": [{"name": "main", "containerPort": port}]}],
                },
            });
            let _ = store.create(Kind::Pod, pod);
        }
        Step::DeletePod(name) => {
            let mark = |pod: &mut Value| mark_deleted(Kind::Pod, pod, Timestamp::now());
            let _ = store.modify(Kind::Pod, NAMESPACE, &format!("pod-{name}"), mark);
        }
        Step::RemovePod(name) => {
            let _ = store.delete(Kind::Pod, NAMESPACE, &format!("pod-{name}"), None);
        }
        Step::LabelPod { name, app } => {
            let label = |pod: &mut Value| pod["metadata"]["labels"]["app"] = json!(APPS[app]);
            let _ = store.modify(Kind::Pod, NAMESPACE, &format!("pod-{name}"), label);
        }
        Step::AnnotatePod { name, ready } => {
            let annotate =
                |pod: &mut Value| pod["metadata"]["annotations"][READY_ANNOTATION] = json!(ready.to_string());
            let _ = store.modify(Kind::Pod, NAMESPACE, &format!("pod-{name}"), annotate);
        }
        Step::DeleteSlice(index) => {
            if let Some(slice) = nth_slice(index) {
                let _ = store.delete(Kind::EndpointSlice, NAMESPACE, &text(&slice["metadata"]["name"]), None);
            }
        }
        Step::ScribbleSlice(index) => {
            if let Some(slice) = nth_slice(index) {
                let scribble = |slice: &mut Value| slice["endpoints"] = json!([{"addresses": ["192.0.2.66"]}]);
                let _ = store.modify(Kind::EndpointSlice, NAMESPACE, &text(&slice["metadata"]["name"]), scribble);
            }
        }
        Step::ForgetHistory => store.compact(),
        Step::LetRun => {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// An endpoint as a line of text, with its Service and port.
type Line = String;

/// What the slices should hold, by the definition of a Service's endpoints and nothing else.
fn expected_endpoints(store: &Store) -> Vec<Line> {
    let mut lines = Vec::new();
    for service in store.list(Kind::Service, Some(NAMESPACE)).1 {
        let spec = &service["spec"];
        for pod in store.list(Kind::Pod, Some(NAMESPACE)).1 {
            let Some(ip) = pod["status"]["podIP"].as_str() else { continue };
            if pod["metadata"]["labels"]["app"] != spec["selector"]["app"] {
                continue;
            }
            let (serving, terminating) = (is_ready(&pod), is_terminating(&pod));
            let ready = spec["publishNotReadyAddresses"] == true || (serving && !terminating);
            let is_named = pod["spec"]["subdomain"] == service["metadata"]["name"];
            let hostname = if is_named { &pod["spec"]["hostname"] } else { &Value::Null };
            let is_by_name = spec["ports"][0]["targetPort"] == "main";
            let port =
                if is_by_name { &pod["spec"]["containers"][0]["ports"][0]["containerPort"] } else { &json!(9000) };
            let (service, uid) = (&service["metadata"]["name"], &pod["metadata"]["uid"]);
            lines.push(format!("{service} {port} {hostname} \"{ip}\" {uid} {ready} {serving} {terminating}"));
        }
    }
    lines.sort();
    lines
}

/// What the slices hold.
fn present_endpoints(store: &Store) -> Vec<Line> {
    let mut lines = Vec::new();
    for slice in store.list(Kind::EndpointSlice, Some(NAMESPACE)).1 {
        let service = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let (port, hostname, ip) = (&slice["ports"][0]["port"], &endpoint["hostname"], &endpoint["addresses"][0]);
            let [ready, serving, terminating] =
                ["ready", "serving", "terminating"].map(|name| &endpoint["conditions"][name]);
            let uid = &endpoint["targetRef"]["uid"];
            lines.push(format!("{service} {port} {hostname} {ip} {uid} {ready} {serving} {terminating}"));
        }
    }
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_the_slices_are_a_plain_function_of_services_and_pods(steps in prop::collection::vec(step(), 1..60)) {
        const MAX_ENDPOINTS: usize = 2;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let sandbox = start(Options { max_endpoints_per_slice: MAX_ENDPOINTS, ..quick() });
            for step in &steps {
                take(step, &sandbox.store).await;
            }
            sandbox.until("agreement of slices with Services and Pods", |sandbox| {
                let is_settled = sandbox.pods().values().all(|pod| pod["status"]["podIP"].is_string() && !is_terminating(pod));
                let annotations_hold = sandbox.pods().values().all(|pod| {
                    is_ready(pod) == (pod["metadata"]["annotations"][READY_ANNOTATION] != "false")
                });
                let agrees = expected_endpoints(&sandbox.store) == present_endpoints(&sandbox.store);
                let services = sandbox.store.list(Kind::Service, Some(NAMESPACE)).1;
                let mut slices = services.iter().map(|service| sandbox.slices(&text(&service["metadata"]["name"])));
                let all_have_slices = slices.all(|slices| !slices.is_empty());
                (is_settled && annotations_hold && agrees && all_have_slices).then_some(())
            }).await;
            for slice in sandbox.store.list(Kind::EndpointSlice, Some(NAMESPACE)).1 {
                prop_assert!(slice["endpoints"].as_array().map_or(0, Vec::len) <= MAX_ENDPOINTS);
            }
            Ok(())
        })?;
    }
}
