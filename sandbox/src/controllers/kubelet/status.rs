//! What the kubelet and the scheduler write into a Pod's status.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::wants_ready;
use crate::controllers::types::Pod;
use crate::now;

/// Condition that says a Pod has a node.
pub const SCHEDULED: &str = "PodScheduled";

/// Its reason, by which the kubelet knows the Pods whose status it keeps.
pub const PLACED: &str = "PlacedBySandbox";

/// The status of a Pod that has a node and whose containers are yet to start.
pub fn bound(host: Option<IpAddr>, now: &str) -> Value {
    let scheduled = json!([{"type": SCHEDULED, "status": "True", "reason": PLACED, "lastTransitionTime": now}]);
    let mut status = json!({"phase": "Pending", "startTime": now, "conditions": scheduled});
    if let Some(host) = host {
        status["hostIP"] = json!(host);
        status["hostIPs"] = json!([{"ip": host}]);
    }
    status
}

/// The status of a Pod whose containers have just started.
pub fn started(pod: &Pod, addresses: &[IpAddr]) -> Value {
    let mut status = readiness(pod, wants_ready(pod));
    status["phase"] = json!("Running");
    status["podIP"] = json!(addresses.first());
    status["podIPs"] = addresses.iter().map(|address| json!({"ip": address})).collect();
    status
}

/// Conditions and container statuses of a running Pod. A condition that says what it said keeps its time.
pub fn readiness(pod: &Pod, ready: bool) -> Value {
    const OWN: [&str; 4] = [SCHEDULED, "Initialized", "ContainersReady", "Ready"];
    let now = now();
    let own = OWN.map(|kind| {
        let holds = ready || matches!(kind, SCHEDULED | "Initialized");
        let status = if holds { "True" } else { "False" };
        let before = pod.condition(kind).filter(|before| before.status == status);
        let since = before.and_then(|before| before.last_transition_time.as_deref()).unwrap_or(&now);
        let mut condition = json!({"type": kind, "status": status, "lastTransitionTime": since});
        if kind == SCHEDULED {
            condition["reason"] = json!(PLACED);
        }
        if !holds {
            condition["reason"] = json!("ContainersNotReady");
            condition["message"] = json!("the containers are not ready");
        }
        condition
    });
    let foreign = pod.status.conditions.iter().filter(|condition| !OWN.contains(&condition.kind.as_str()));
    let conditions: Vec<Value> = own.into_iter().chain(foreign.map(|condition| json!(condition))).collect();
    let containers = pod.spec.containers.iter().map(|container| {
        json!({
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": ready,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
            "lastState": {},
        })
    });
    json!({"conditions": conditions, "containerStatuses": containers.collect::<Vec<_>>()})
}
