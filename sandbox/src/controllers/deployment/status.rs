//! The status of a Deployment, which `kubectl rollout status` reads.

use serde_json::{Value, json};

use crate::controllers::actions::{Action, Target, set_nonzero};
use crate::controllers::workloads::{Deployment, ReplicaSet};
use crate::kind::Kind;
use crate::time::now;

/// Whether all Pods belong to the new ReplicaSet and are available.
pub fn is_complete(deployment: &Deployment, new: &ReplicaSet, old: &[&ReplicaSet]) -> bool {
    let wanted = deployment.spec.replicas();
    let is_gone = old.iter().all(|set| set.status.replicas == 0);
    is_gone && new.status.replicas == wanted && new.status.available_replicas == wanted
}

/// The action that writes the status.
pub fn plan(deployment: &Deployment, new: Option<&ReplicaSet>, old: &[&ReplicaSet]) -> Action {
    let sum = |field: &dyn Fn(&ReplicaSet) -> i64| old.iter().copied().chain(new).map(field).sum::<i64>();
    let available = sum(&|set| set.status.available_replicas);
    let wanted = sum(&ReplicaSet::replicas);
    let mut status = json!({
        "observedGeneration": deployment.metadata.generation,
        "conditions": [availability(deployment, available), progress(deployment, new, old)],
    });
    let counts = [
        ("replicas", sum(&|set| set.status.replicas)),
        ("updatedReplicas", new.map_or(0, |new| new.status.replicas)),
        ("readyReplicas", sum(&|set| set.status.ready_replicas)),
        ("availableReplicas", available),
        ("unavailableReplicas", (wanted - available).max(0)),
    ];
    set_nonzero(&mut status, counts);
    Action::Status(Target::new(Kind::Deployment, &deployment.metadata), status)
}

fn availability(deployment: &Deployment, available: i64) -> Value {
    let may_be_missing = deployment.spec.rolling_update().map_or(0, |bounds| bounds.max_unavailable);
    if available >= deployment.spec.replicas() - may_be_missing {
        let message = "Deployment has minimum availability.";
        condition(deployment, "Available", "True", "MinimumReplicasAvailable", message)
    } else {
        let message = "Deployment does not have minimum availability.";
        condition(deployment, "Available", "False", "MinimumReplicasUnavailable", message)
    }
}

fn progress(deployment: &Deployment, new: Option<&ReplicaSet>, old: &[&ReplicaSet]) -> Value {
    if deployment.spec.paused {
        return condition(deployment, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
    }
    let (reason, message) = match new {
        None => {
            ("NewReplicaSetCreated", format!("Deployment \"{}\" creates its ReplicaSet.", deployment.metadata.name))
        }
        Some(new) if is_complete(deployment, new, old) => {
            ("NewReplicaSetAvailable", format!("ReplicaSet \"{}\" has successfully progressed.", new.metadata.name))
        }
        Some(new) => ("ReplicaSetUpdated", format!("ReplicaSet \"{}\" is progressing.", new.metadata.name)),
    };
    condition(deployment, "Progressing", "True", reason, &message)
}

/// A condition. Its times are kept while it does not change.
fn condition(deployment: &Deployment, kind: &str, status: &str, reason: &str, message: &str) -> Value {
    let before = deployment.status.conditions.iter().find(|condition| condition.kind == kind);
    let same = before.filter(|before| before.status == status);
    let transition = same.and_then(|before| before.last_transition_time.clone()).unwrap_or_else(now);
    let is_unchanged = same.is_some_and(|before| before.reason.as_deref() == Some(reason));
    let update = before.filter(|_| is_unchanged).and_then(|before| before.last_update_time.clone()).unwrap_or_else(now);
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": transition,
        "lastUpdateTime": update,
    })
}
