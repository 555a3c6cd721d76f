//! A store with running controllers, and waits for their results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube_sandbox::controllers::{Options, mark_deleted, run};
use kube_sandbox::kind::Kind;
use kube_sandbox::store::{Event, EventType, Object, Store};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Bound on every wait. With paused time, which advances only while all tasks are idle, a state that is never reached fails the
/// test immediately.
const TIMEOUT: Duration = Duration::from_secs(60);

pub const NAMESPACE: &str = "default";

/// A store with controllers, which are stopped when it is dropped.
pub struct Sandbox {
    pub store: Arc<Store>,
    _shutdown: DropGuard,
}

pub fn start(options: Options) -> Sandbox {
    let (store, shutdown) = (Arc::new(Store::default()), CancellationToken::new());
    tokio::spawn(run(Arc::clone(&store), options, shutdown.clone()));
    Sandbox { store, _shutdown: shutdown.drop_guard() }
}

pub fn quick() -> Options {
    Options {
        pod_start_delay: Duration::from_millis(1),
        pod_stop_delay: Duration::from_millis(1),
        ..Options::default()
    }
}

impl Sandbox {
    pub fn create(&self, kind: Kind, object: Value) -> Object {
        self.store.create(kind, object).expect("a new object")
    }

    pub fn get(&self, kind: Kind, name: &str) -> Option<Object> {
        self.store.get(kind, NAMESPACE, name)
    }

    pub fn edit(&self, kind: Kind, name: &str, edit: impl Fn(&mut Value)) {
        self.store.modify(kind, NAMESPACE, name, edit).expect("an object to edit");
    }

    /// Deletes a Pod like `kubectl delete pod`.
    pub fn delete_pod(&self, name: &str) {
        self.edit(Kind::Pod, name, |pod| mark_deleted(Kind::Pod, pod, Timestamp::now()));
    }

    /// Waits until `condition` gives a value. It is evaluated after every event of the store.
    pub async fn until<T>(&self, what: &str, condition: impl Fn(&Self) -> Option<T>) -> T {
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
        match tokio::time::timeout(TIMEOUT, wait).await {
            Ok(found) => found,
            Err(_) => panic!("{what} was not reached; Pods: {:?}; slices: {:?}", self.pods(), self.published("")),
        }
    }

    pub async fn until_ready(&self, names: &[&str]) {
        let wanted: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.until(&format!("Pods {names:?} ready and alone"), |sandbox| {
            let pods = sandbox.pods();
            let is_settled = pods.values().all(|pod| is_ready(pod) && !is_terminating(pod));
            (is_settled && pods.keys().cloned().collect::<BTreeSet<_>>() == wanted).then_some(())
        })
        .await;
    }

    pub fn pods(&self) -> BTreeMap<String, Object> {
        let (_, pods) = self.store.list(Kind::Pod, Some(NAMESPACE));
        pods.into_iter().map(|pod| (text(&pod["metadata"]["name"]), pod)).collect()
    }

    pub fn ip(&self, pod: &str) -> Option<String> {
        self.get(Kind::Pod, pod)?["status"]["podIP"].as_str().map(str::to_owned)
    }

    pub fn slices(&self, service: &str) -> Vec<Object> {
        let (_, slices) = self.store.list(Kind::EndpointSlice, Some(NAMESPACE));
        slices
            .into_iter()
            .filter(|slice| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service)
            .collect()
    }

    /// Hostnames and addresses of the ready endpoints of a Service.
    pub fn published(&self, service: &str) -> BTreeSet<(String, String)> {
        let slices = self.slices(service);
        let endpoints = slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] == true);
        ready.map(|endpoint| (text(&endpoint["hostname"]), text(&endpoint["addresses"][0]))).collect()
    }

    /// Waits until the slices of the Service have exactly these Pods as ready endpoints, with their names and addresses.
    pub async fn until_published(&self, service: &str, pods: &[&str]) {
        self.until(&format!("{service} publishing {pods:?}"), |sandbox| {
            let wanted: Option<BTreeSet<_>> =
                pods.iter().map(|pod| Some(((*pod).to_owned(), sandbox.ip(pod)?))).collect();
            (wanted? == sandbox.published(service)).then_some(())
        })
        .await;
    }

    /// The events of Pods after the resourceVersion.
    pub fn pod_events(&self, since: u64) -> Vec<Event> {
        let events = self.store.events_after(since, usize::MAX).expect("an uncompacted log");
        events.into_iter().filter(|event| event.kind == Kind::Pod).collect()
    }

    /// The names of the Pods with events of this type, in order.
    pub fn pod_history(&self, since: u64, event_type: EventType) -> Vec<String> {
        let events = self.pod_events(since).into_iter().filter(|event| event.event_type == event_type);
        events.map(|event| text(&event.object["metadata"]["name"])).collect()
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

pub fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

pub fn headless(name: &str, app: &str, ports: Value) -> Value {
    json!({
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": {"tier": "data"}},
        "spec": {"clusterIP": "None", "selector": {"app": app}, "ports": ports},
    })
}

pub fn stateful_set(name: &str, service: &str, replicas: i64) -> Value {
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
