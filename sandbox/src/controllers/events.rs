//! Events: what scheduler, kubelet and controllers tell people about objects, for `kubectl get events` and `kubectl describe`.
//!
//! They follow from the changes in the store, so that no controller has to know of them. The newest [`KEPT`] are kept; a real
//! API server keeps those of an hour.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::store::{Event, EventType, Store};
use crate::{deletion, fields, time};

use super::kubelet::READY_ANNOTATION;
use super::types::Id;
use super::world::World;

/// Events that are kept.
const KEPT: usize = 1_000;

/// Writes Events, and removes the oldest.
#[derive(Default)]
pub struct Recorder {
    written: VecDeque<Id>,
}

/// An Event, and what it is about.
#[derive(Debug, PartialEq)]
struct Told {
    involved: Value,
    /// `Normal` or `Warning`.
    kind: &'static str,
    reason: &'static str,
    message: String,
    component: &'static str,
}

impl Recorder {
    /// Records what a change of the store means to people.
    pub fn record(&mut self, store: &Store, world: &World, change: &Event) {
        let namespace = fields::metadata(&change.object, "namespace");
        // Nothing new may come into a namespace that is being deleted.
        let is_going =
            world.get(Kind::Namespace, &Id::new("", namespace)).is_some_and(|it| deletion::is_terminating(it));
        if is_going {
            return;
        }
        for (number, told) in told(change).into_iter().enumerate() {
            let name =
                format!("{}.{:08x}{number:x}", told.involved["name"].as_str().unwrap_or_default(), change.revision);
            let now = time::now();
            let event = json!({
                "metadata": {"namespace": namespace, "name": name},
                "involvedObject": told.involved,
                "type": told.kind,
                "reason": told.reason,
                "message": told.message,
                "source": {"component": told.component},
                "reportingComponent": told.component,
                "reportingInstance": "",
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
            });
            // Revisions repeat in a restored store, and with them the names.
            if store.create(Kind::Event, event).is_ok() {
                self.written.push_back(Id::new(namespace, name));
            }
        }
        while self.written.len() > KEPT
            && let Some(Id { namespace, name }) = self.written.pop_front()
        {
            // An error means that somebody else has removed it.
            let _ = store.delete(Kind::Event, &namespace, &name, None);
        }
    }
}

fn told(change: &Event) -> Vec<Told> {
    match change.kind {
        Kind::Pod if change.event_type != EventType::Deleted => of_pod(change.previous.as_deref(), &change.object),
        Kind::ReplicaSet => of_replica_set(change.previous.as_deref(), &change.object).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What happens to a Pod: it is created, gets a node, starts, stops being Ready, is deleted.
fn of_pod(before: Option<&Value>, pod: &Value) -> Vec<Told> {
    let tell =
        |kind, reason, message: String, component| Told { involved: reference(pod), kind, reason, message, component };
    let containers = || fields::list(&pod["spec"]["containers"]).iter().filter_map(|one| one["name"].as_str());
    let name = fields::metadata(pod, "name");
    let Some(before) = before else { return created(pod).into_iter().collect() };
    let mut told = Vec::new();
    if let (None, Some(node)) = (before["spec"]["nodeName"].as_str(), pod["spec"]["nodeName"].as_str()) {
        let message = format!("Successfully assigned {}/{name} to {node}", fields::metadata(pod, "namespace"));
        told.push(tell("Normal", "Scheduled", message, "default-scheduler"));
    }
    let is_running = |pod: &Value| pod["status"]["phase"] == "Running";
    if is_running(pod) && !is_running(before) {
        let started = |container| format!("Started container {container} (which the sandbox does not run)");
        told.extend(containers().map(|container| tell("Normal", "Started", started(container), "kubelet")));
    }
    let is_held = |pod: &Value| pod["metadata"]["annotations"][READY_ANNOTATION] == "false";
    if is_held(pod) && !is_held(before) {
        let message = format!("Readiness probe failed: the annotation {READY_ANNOTATION} is false");
        told.push(tell("Warning", "Unhealthy", message, "kubelet"));
    }
    if deletion::is_terminating(pod) && !deletion::is_terminating(before) {
        let stopping = |container| format!("Stopping container {container}");
        told.extend(containers().map(|container| tell("Normal", "Killing", stopping(container), "kubelet")));
    }
    told
}

/// What the controller of a new Pod tells of it.
fn created(pod: &Value) -> Option<Told> {
    let (name, namespace) = (fields::metadata(pod, "name"), fields::metadata(pod, "namespace"));
    let owner = fields::controller(pod)?;
    let (message, component) = match owner["kind"].as_str()? {
        "StatefulSet" => {
            let set = owner["name"].as_str()?;
            (format!("create Pod {name} in StatefulSet {set} successful"), "statefulset-controller")
        }
        "ReplicaSet" => (format!("Created pod: {name}"), "replicaset-controller"),
        "DaemonSet" => (format!("Created pod: {name}"), "daemonset-controller"),
        _ => return None,
    };
    let involved = reference_to_owner(owner, namespace);
    Some(Told { involved, kind: "Normal", reason: "SuccessfulCreate", message, component })
}

/// What a Deployment does with a ReplicaSet.
fn of_replica_set(before: Option<&Value>, set: &Value) -> Option<Told> {
    let replicas = |set: &Value| set["spec"]["replicas"].as_i64().unwrap_or(0);
    let (from, to) = (before.map_or(0, replicas), replicas(set));
    let direction = if to > from { "up" } else { "down" };
    let owner = fields::controller(set).filter(|owner| owner["kind"] == "Deployment" && from != to)?;
    Some(Told {
        involved: reference_to_owner(owner, fields::metadata(set, "namespace")),
        kind: "Normal",
        reason: "ScalingReplicaSet",
        message: format!("Scaled {direction} replica set {} from {from} to {to}", fields::metadata(set, "name")),
        component: "deployment-controller",
    })
}

fn reference(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "apiVersion": object["apiVersion"],
        "kind": object["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    })
}

fn reference_to_owner(owner: &Value, namespace: &str) -> Value {
    json!({
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "namespace": namespace,
        "name": owner["name"],
        "uid": owner["uid"],
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pod(fields: Value) -> Value {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"namespace": "default", "name": "db-0", "uid": "u"},
            "spec": {"containers": [{"name": "db"}]},
        });
        json_patch::merge(&mut pod, &fields);
        pod
    }

    #[track_caller]
    fn check(before: Value, after: Value, expected: &[&str]) {
        let told = of_pod(Some(&pod(before)), &pod(after));
        assert_eq!(told.iter().map(|told| told.reason).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_step_of_a_pod_is_told_once() {
        let placed = || json!({"spec": {"nodeName": "node-a"}});
        let running = || json!({"spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}});
        let held = || json!({"metadata": {"annotations": {READY_ANNOTATION: "false"}}});
        let going = || json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        check(json!({}), placed(), &["Scheduled"]);
        check(placed(), running(), &["Started"]);
        check(running(), running(), &[]);
        check(json!({}), held(), &["Unhealthy"]);
        check(held(), held(), &[]);
        check(json!({}), going(), &["Killing"]);
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true});
        let told = of_pod(None, &pod(json!({"metadata": {"ownerReferences": [owner]}})));
        assert_eq!(told[0].message, "create Pod db-0 in StatefulSet db successful");
        assert_eq!(told[0].involved["name"], "db");
    }

    #[test]
    fn only_the_newest_events_are_kept() {
        let (store, world) = (Store::default(), World::default());
        let mut recorder = Recorder::default();
        for revision in 0..KEPT as u64 + 3 {
            let (previous, object) = (Arc::new(pod(json!({}))), Arc::new(pod(json!({"spec": {"nodeName": "node-a"}}))));
            let change =
                Event { revision, kind: Kind::Pod, event_type: EventType::Modified, object, previous: Some(previous) };
            recorder.record(&store, &world, &change);
        }
        let (_, events) = store.list(Kind::Event, None);
        assert_eq!(events.len(), KEPT);
        assert_eq!(events[0]["metadata"]["name"], "db-0.000000030");
    }
}
