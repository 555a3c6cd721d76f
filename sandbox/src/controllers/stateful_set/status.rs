//! The status of a StatefulSet, which `kubectl rollout status` reads.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;

use crate::controllers::actions::{Action, Target, set_nonzero};
use crate::controllers::revisions::revision_of;
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::kind::Kind;

use super::revisions::History;

/// The action that writes the status. A rolling update that has reached all Pods makes its revision the current one.
pub fn plan(set: &StatefulSet, history: &History, pods: &[Arc<Pod>], now: Timestamp) -> Action {
    let count = |counts: &dyn Fn(&Pod) -> bool| pods.iter().filter(|pod| counts(pod)).count() as i64;
    let of_revision = |name: &str| {
        count(&|pod| !pod.metadata.is_terminating() && revision_of(pod).is_some_and(|revision| revision == name))
    };
    let replicas = pods.len() as i64;
    let ready = count(&Pod::is_running_and_ready);
    let updated = of_revision(&history.update.name);
    let wanted = set.spec.replicas();
    let is_complete = set.spec.partition().is_some() && [updated, ready, replicas] == [wanted; 3];
    let current = if is_complete { &history.update.name } else { &history.current.name };

    let mut status = json!({
        "observedGeneration": set.metadata.generation,
        "replicas": replicas,
        "availableReplicas": count(&|pod| pod.is_available(set.spec.min_ready_seconds, now)),
        "currentRevision": current,
        "updateRevision": history.update.name,
        "collisionCount": 0,
    });
    let of_current = of_revision(current);
    let counts = [("readyReplicas", ready), ("currentReplicas", of_current), ("updatedReplicas", updated)];
    set_nonzero(&mut status, counts);
    Action::Status(Target::new(Kind::StatefulSet, &set.metadata), status)
}
