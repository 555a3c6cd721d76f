//! The status that scheduler and kubelet give a Pod.

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::controllers::types::Pod;
use crate::time::now;

use super::annotations::wants_ready;

/// Condition of a Pod that has a node.
pub const SCHEDULED: &str = "PodScheduled";

/// Its reason, by which the kubelet recognizes the Pods that it manages.
pub const PLACED: &str = "PlacedBySandbox";

/// The status of a Pod that has a node and no running containers yet.
pub fn bound(host: Option<IpAddr>, now: &str) -> Value {
    let scheduled = json!([{"type": SCHEDULED, "status": "True", "reason": PLACED, "lastTransitionTime": now}]);
    let mut status = json!({"phase": "Pending", "startTime": now, "conditions": scheduled});
    if let Some(host) = host {
        status["hostIP"] = json!(host);
        status["hostIPs"] = json!([{"ip": host}]);
    }
    status
}

/// The status of a Pod that has just started.
pub fn started(pod: &Pod, addresses: &[IpAddr]) -> Value {
    let mut status = readiness(pod, wants_ready(pod));
    status["phase"] = json!("Running");
    status["podIP"] = json!(addresses.first());
    status["podIPs"] = addresses.iter().map(|address| json!({"ip": address})).collect();
    status
}

/// Conditions and container statuses of a running Pod. An unchanged condition keeps its time.
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
