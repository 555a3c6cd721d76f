//! Helpers of the controllers' unit tests.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::actions::Action;
use super::kubelet::{PLACED, SCHEDULED};
use super::types::Pod;

/// Decodes an object as the controllers see it.
pub fn object<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).expect("a valid object")
}

/// Replaces fields of a spec.
pub fn edited(mut spec: Value, edit: Value) -> Value {
    for (field, value) in edit.as_object().expect("fields of a spec") {
        spec[field] = value.clone();
    }
    spec
}

/// The status that the actions write.
pub fn status_of(actions: Vec<Action>) -> Value {
    let status = actions.into_iter().find_map(|action| match action {
        Action::Status(_, status) => Some(status),
        _ => None,
    });
    status.expect("a status")
}

pub struct PodBuilder(Value);

/// An unscheduled Pod of the StatefulSet `set`.
pub fn stateful_pod(set: &str, ordinal: i64) -> PodBuilder {
    let name = format!("{set}-{ordinal}");
    PodBuilder(json!({
        "metadata": {
            "namespace": "default", "name": name, "uid": format!("uid-{name}"), "labels": {"app": set},
            "ownerReferences": [{"kind": "StatefulSet", "name": set, "uid": "set", "controller": true}],
        },
        "spec": {"hostname": name, "subdomain": set, "containers": [{"name": "main"}]},
        "status": {"phase": "Pending"},
    }))
}

/// An unscheduled Pod of a Deployment's ReplicaSet.
pub fn deployment_pod(name: &str) -> PodBuilder {
    PodBuilder(json!({
        "metadata": {
            "namespace": "default", "name": name, "uid": format!("uid-{name}"), "labels": {"app": "web"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-x", "uid": "rs", "controller": true}],
        },
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Pending"},
    }))
}

/// A Pod of the DaemonSet `agent` that has its node and no containers yet.
pub fn daemon_pod(name: &str, node: &str) -> PodBuilder {
    let pod = PodBuilder(json!({
        "metadata": {
            "namespace": "default", "name": name, "uid": format!("uid-{name}"), "labels": {"app": "agent"},
            "ownerReferences": [{"kind": "DaemonSet", "name": "agent", "uid": "set", "controller": true}],
        },
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Pending"},
    }));
    pod.scheduled().with(|pod| pod["spec"]["nodeName"] = json!(node))
}

impl PodBuilder {
    fn with(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        edit(&mut self.0);
        self
    }

    pub fn scheduled(self) -> Self {
        self.with(|pod| {
            if pod["spec"]["nodeName"].is_null() {
                pod["spec"]["nodeName"] = json!("node-a");
            }
            pod["status"]["conditions"] = json!([{"type": SCHEDULED, "status": "True", "reason": PLACED}]);
        })
    }

    pub fn running(self) -> Self {
        self.scheduled().phase("Running")
    }

    pub fn ready(self) -> Self {
        self.ready_since("2026-01-01T00:00:00Z")
    }

    pub fn ready_since(self, time: &str) -> Self {
        self.running().with(|pod| {
            let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": time});
            pod["status"]["conditions"].as_array_mut().expect("conditions").push(ready);
        })
    }

    pub fn phase(self, phase: &str) -> Self {
        self.with(|pod| pod["status"]["phase"] = json!(phase))
    }

    pub fn ip(self, ip: &str) -> Self {
        self.with(|pod| {
            pod["status"]["podIP"] = json!(ip);
            pod["status"]["podIPs"] = json!([{"ip": ip}]);
        })
    }

    pub fn ips(self, ips: [&str; 2]) -> Self {
        self.ip(ips[0]).with(|pod| pod["status"]["podIPs"] = json!([{"ip": ips[0]}, {"ip": ips[1]}]))
    }

    pub fn label(self, key: &str, value: &str) -> Self {
        self.with(|pod| pod["metadata"]["labels"][key] = json!(value))
    }

    pub fn annotation(self, key: &str, value: &str) -> Self {
        self.with(|pod| pod["metadata"]["annotations"][key] = json!(value))
    }

    pub fn port(self, name: &str, number: u16) -> Self {
        self.with(|pod| pod["spec"]["containers"][0]["ports"] = json!([{"name": name, "containerPort": number}]))
    }

    pub fn finalizer(self, finalizer: &str) -> Self {
        self.with(|pod| pod["metadata"]["finalizers"] = json!([finalizer]))
    }

    pub fn terminating(self) -> Self {
        self.with(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:30Z"))
    }

    pub fn grace(self, seconds: i64) -> Self {
        self.with(|pod| pod["metadata"]["deletionGracePeriodSeconds"] = json!(seconds))
    }

    pub fn build(self) -> Pod {
        object(&self.0)
    }
}
