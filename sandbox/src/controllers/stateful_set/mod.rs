//! The StatefulSet controller: Pods with an identity per ordinal, created and deleted in order.
//!
//! ```text
//! set, its Pods, revisions and claims ──plan──▶ create / delete Pods, maintain claims and revisions, write status
//! ```
//!
//! `OrderedReady` takes one step at a time and waits while a Pod is missing, terminating or not available; `Parallel` takes all
//! steps at once, in bursts. A rolling update replaces one Pod at a time with both.

mod claims;
mod replicas;
mod revisions;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::controllers::actions::{Action, BURST_REPLICAS, Target};
use crate::controllers::pod_template::{adopt, pod_from_template};
use crate::controllers::revisions::{REVISION_LABEL, revision_of};
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::controllers::world::World;
use crate::kind::Kind;
use crate::store::Object;

use claims::Claims;
use replicas::{Replicas, ordinal};
use revisions::History;

/// Label with the Pod's name, so that a Service can select one Pod.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// Label with the ordinal.
const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The state that a decision about one StatefulSet depends on.
pub struct Observed<'a> {
    pub set: &'a StatefulSet,
    /// The Pods that the set controls.
    pub pods: Vec<Arc<Pod>>,
    /// Pods that the selector matches and that have no controller.
    pub orphans: Vec<Arc<Pod>>,
    pub revisions: Vec<Object>,
    /// The claims of the namespace by name, if the retention policy of the set may delete claims.
    pub claims: BTreeMap<String, Object>,
}

impl<'a> Observed<'a> {
    pub fn gather(world: &World, set: &'a StatefulSet) -> Self {
        let metadata = &set.metadata;
        let orphans = world.pods_selected(&metadata.namespace, &set.spec.selector.match_labels);
        let claims = world.in_namespace(Kind::PersistentVolumeClaim, &metadata.namespace);
        let claims = Claims::of(set).is_managed().then_some(claims).into_iter().flatten();
        Self {
            set,
            pods: world.pods_of(&metadata.uid),
            orphans: orphans.into_iter().filter(|pod| is_orphan_of(set, pod)).collect(),
            revisions: world.revisions_of(&metadata.uid),
            claims: claims.map(|(id, claim)| (id.name.clone(), Arc::clone(claim))).collect(),
        }
    }
}

/// The actions for a StatefulSet.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Vec<Action> {
    let set = observed.set;
    if set.metadata.is_terminating() {
        return Vec::new();
    }
    let (history, mut actions) = revisions::resolve(set, &observed.revisions, &observed.pods);
    let adopted = observed.orphans.iter();
    actions.extend(adopted.map(|pod| adopt(Kind::StatefulSet, &set.metadata, Kind::Pod, &pod.metadata)));
    let replicas = Replicas::of(set, &observed.pods);
    actions.extend(Claims::of(set).update_owners(&replicas, &observed.claims));
    let is_adopting = !observed.orphans.is_empty();
    if !is_adopting {
        actions.extend(steps(set, &history, &replicas, now));
    }
    actions.push(status::plan(set, &history, &observed.pods, now));
    actions.extend(next_availability(set, &observed.pods, now).map(Action::WakeAfter));
    actions
}

/// The next steps: wanted Pods from the lowest ordinal up, then condemned Pods from the highest down, then the update.
fn steps(set: &StatefulSet, history: &History, replicas: &Replicas<'_>, now: Timestamp) -> Vec<Action> {
    let is_ordered = !set.spec.is_parallel();
    let is_available = |pod: &Pod| pod.is_available(set.spec.min_ready_seconds, now);
    let mut actions = Vec::new();

    for (ordinal, pod) in replicas.from(0) {
        let blocks = match pod {
            // A finished Pod is replaced, also one that succeeded, as in the real controller.
            Some(pod) if pod.is_finished() => {
                actions.extend(delete_unless_terminating(pod));
                true
            }
            Some(pod) => pod.metadata.is_terminating() || !is_available(pod),
            None => {
                actions.extend(create(set, history, ordinal));
                true
            }
        };
        if (blocks && is_ordered) || actions.len() >= BURST_REPLICAS {
            return actions;
        }
    }

    // An unhealthy condemned Pod blocks the deletion of those below it, unless it is the lowest unhealthy one.
    let first_unhealthy = replicas.condemned().find(|pod| !is_healthy(pod)).map(|pod| &pod.metadata.uid);
    for pod in replicas.condemned().rev() {
        if is_ordered {
            let is_deletable = is_available(pod) || first_unhealthy == Some(&pod.metadata.uid);
            actions.extend(delete_unless_terminating(pod).filter(|_| is_deletable));
            return actions;
        }
        actions.extend(delete_unless_terminating(pod));
        if actions.len() >= BURST_REPLICAS {
            return actions;
        }
    }

    if actions.is_empty() {
        actions.extend(update_step(set, history, replicas));
    }
    actions
}

/// The next Pod to replace in a rolling update: the highest outdated ordinal, once all above it are healthy.
fn update_step(set: &StatefulSet, history: &History, replicas: &Replicas<'_>) -> Option<Action> {
    for (_, pod) in replicas.from(set.spec.partition()?).rev() {
        let pod = pod?;
        if revision_of(pod) != Some(&history.update.name) && !pod.metadata.is_terminating() {
            return Some(Action::Delete(Target::new(Kind::Pod, &pod.metadata)));
        }
        if !is_healthy(pod) {
            return None;
        }
    }
    None
}

/// Creates the Pod of an ordinal and its claims. Below the partition of a rolling update, it has the current revision.
fn create(set: &StatefulSet, history: &History, ordinal: i64) -> Vec<Action> {
    let is_below_partition =
        set.spec.partition().is_some_and(|partition| ordinal < set.spec.ordinals().start.saturating_add(partition));
    let revision = if is_below_partition { &history.current } else { &history.update };
    let name = format!("{}-{ordinal}", set.metadata.name);
    let mut pod = pod_from_template(&revision.template, Kind::StatefulSet, &set.metadata);
    pod["metadata"]["name"] = json!(name);
    pod["metadata"]["labels"][POD_NAME_LABEL] = json!(name);
    pod["metadata"]["labels"][POD_INDEX_LABEL] = json!(ordinal.to_string());
    pod["metadata"]["labels"][REVISION_LABEL] = json!(revision.name);
    pod["spec"]["hostname"] = json!(name);
    if let Some(service) = set.spec.service_name.as_deref().filter(|service| !service.is_empty()) {
        pod["spec"]["subdomain"] = json!(service);
    }
    let claims = Claims::of(set);
    claims.mount(&mut pod, &name);
    let ensured = claims.for_pod(&name).map(|claim| Action::Ensure(Kind::PersistentVolumeClaim, claim));
    ensured.chain([Action::Create(Kind::Pod, pod)]).collect()
}

fn delete_unless_terminating(pod: &Pod) -> Option<Action> {
    (!pod.metadata.is_terminating()).then(|| Action::Delete(Target::new(Kind::Pod, &pod.metadata)))
}

fn is_healthy(pod: &Pod) -> bool {
    pod.is_running_and_ready() && !pod.metadata.is_terminating()
}

/// Whether `pod` has no controller, and a name and labels of this set.
pub fn is_orphan_of(set: &StatefulSet, pod: &Pod) -> bool {
    let is_orphan = pod.metadata.controller().is_none() && !pod.metadata.is_terminating();
    is_orphan && ordinal(set, &pod.metadata.name).is_some() && set.spec.selector.matches(&pod.metadata.labels)
}

/// Time until the next Ready Pod becomes available.
fn next_availability(set: &StatefulSet, pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let times = pods.iter().filter_map(|pod| pod.time_to_available(set.spec.min_ready_seconds, now));
    times.filter(|time| !time.is_zero()).min()
}

#[cfg(test)]
mod tests;
