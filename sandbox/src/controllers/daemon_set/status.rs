//! The status of a DaemonSet, which `kubectl rollout status` reads.

use jiff::Timestamp;
use serde_json::json;

use crate::controllers::actions::{Action, Target, set_nonzero};
use crate::controllers::revisions::Revision;
use crate::controllers::types::Pod;
use crate::controllers::workloads::DaemonSet;
use crate::kind::Kind;

use super::is_of;
use super::nodes::OnNode;

/// The action that writes the status. A node counts by its oldest Pod.
pub fn plan(set: &DaemonSet, revision: &Revision, nodes: &[OnNode<'_>], now: Timestamp) -> Action {
    let wanted = || nodes.iter().filter(|node| node.wants_pod);
    let count = |counts: &dyn Fn(&Pod) -> bool| {
        wanted().filter_map(|node| node.pods.first()).filter(|pod| counts(pod)).count() as i64
    };
    let desired = wanted().count() as i64;
    let available = count(&|pod| pod.is_available(set.spec.min_ready_seconds, now));
    let mut status = json!({
        "observedGeneration": set.metadata.generation,
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": count(&|_| true),
        "numberMisscheduled": nodes.iter().filter(|node| !node.wants_pod && !node.pods.is_empty()).count(),
        "numberReady": count(&Pod::is_ready),
    });
    let counts = [
        ("updatedNumberScheduled", count(&|pod| is_of(pod, &revision.hash))),
        ("numberAvailable", available),
        ("numberUnavailable", desired - available),
    ];
    set_nonzero(&mut status, counts);
    Action::Status(Target::new(Kind::DaemonSet, &set.metadata), status)
}
