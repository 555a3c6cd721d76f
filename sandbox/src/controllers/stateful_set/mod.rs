//! The StatefulSet controller: an identity per ordinal, made and unmade in order.
//!
//! ```text
//! set, its Pods, its revisions, its claims ──plan──▶ create / delete Pods, keep claims and history, write status
//! ```
//!
//! `OrderedReady` makes at most one step at a time and none while a Pod is missing, terminating or not available;
//! `Parallel` takes all steps at once, in bursts. A rolling update is one at a time under both.

mod claims;
mod revisions;
mod status;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use self::claims::Claims;
use self::revisions::History;
use super::BURST_REPLICAS;
use super::actions::{Action, Target};
use super::pod_template::{REVISION_LABEL, adopt, pod_from_template};
use super::types::Pod;
use super::workloads::StatefulSet;
use super::world::World;
use crate::kind::Kind;
use crate::store::Object;

/// Label that carries the Pod's own name, so that a Service can select one Pod.
const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";

/// Label that carries the ordinal.
const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// Everything that a decision about one StatefulSet rests on.
pub struct Observed<'a> {
    pub set: &'a StatefulSet,
    /// The Pods that the set controls.
    pub pods: Vec<Arc<Pod>>,
    /// Pods that the set's selector matches and nobody controls.
    pub orphans: Vec<Arc<Pod>>,
    pub revisions: Vec<Object>,
    /// The claims of the set's Pods by name, where the set has a say in when they go.
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

/// What to do about a StatefulSet now.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Vec<Action> {
    let set = observed.set;
    if set.metadata.is_terminating() {
        return Vec::new();
    }
    let (history, mut actions) = revisions::resolve(set, &observed.revisions, &observed.pods);
    let adopted = observed.orphans.iter();
    actions.extend(adopted.map(|pod| adopt(Kind::StatefulSet, &set.metadata, Kind::Pod, &pod.metadata)));
    let crew = Crew::muster(set, &observed.pods);
    actions.extend(Claims::of(set).settle(&crew, &observed.claims));
    let is_adopting = !observed.orphans.is_empty();
    if !is_adopting {
        actions.extend(steps(set, &history, &crew, now));
    }
    actions.extend(status::plan(set, &history, &observed.pods, now));
    actions.extend(next_availability(set, &observed.pods, now).map(Action::WakeAfter));
    actions
}

/// The Pods of a set by the place they have in it.
struct Crew<'a> {
    wanted: Range<i64>,
    by_ordinal: BTreeMap<i64, &'a Pod>,
}

impl<'a> Crew<'a> {
    fn muster(set: &StatefulSet, pods: &'a [Arc<Pod>]) -> Self {
        let by_ordinal = pods.iter().filter_map(|pod| Some((ordinal(set, &pod.metadata.name)?, &**pod)));
        Self { wanted: set.spec.ordinals(), by_ordinal: by_ordinal.collect() }
    }

    /// The wanted ordinals from the given position on, with their Pods. Lazy: a set may ask for more than it ever gets.
    fn replicas(&self, position: i64) -> impl DoubleEndedIterator<Item = (i64, Option<&'a Pod>)> {
        let from = self.wanted.start.saturating_add(position);
        (from..self.wanted.end).map(|ordinal| (ordinal, self.by_ordinal.get(&ordinal).copied()))
    }

    /// Pods beyond the wanted ordinals, lowest first.
    fn condemned(&self) -> impl DoubleEndedIterator<Item = &'a Pod> {
        self.by_ordinal.iter().filter(|(ordinal, _)| !self.wanted.contains(ordinal)).map(|(_, pod)| *pod)
    }
}

/// The steps to take now: replicas from the lowest ordinal up, then the condemned from the highest down, then the update.
fn steps(set: &StatefulSet, history: &History, crew: &Crew<'_>, now: Timestamp) -> Vec<Action> {
    let is_ordered = !set.spec.is_parallel();
    let is_available = |pod: &Pod| pod.is_available(set.spec.min_ready_seconds, now);
    let mut actions = Vec::new();

    for (ordinal, pod) in crew.replicas(0) {
        let blocks = match pod {
            // A Pod that ended is replaced whatever its exit code: evicted and forcibly stopped Pods look the same.
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

    // A condemned Pod that is broken blocks the removal of those below it, unless it is the first that is broken.
    let first_unhealthy = crew.condemned().find(|pod| !is_healthy(pod)).map(|pod| &pod.metadata.uid);
    for pod in crew.condemned().rev() {
        if is_ordered {
            let may_go = is_available(pod) || first_unhealthy == Some(&pod.metadata.uid);
            actions.extend(delete_unless_terminating(pod).filter(|_| may_go));
            return actions;
        }
        actions.extend(delete_unless_terminating(pod));
        if actions.len() >= BURST_REPLICAS {
            return actions;
        }
    }

    if actions.is_empty() {
        actions.extend(update_step(set, history, crew));
    }
    actions
}

/// The next Pod to replace in a rolling update: the highest ordinal that is out of date, once all above it are healthy.
fn update_step(set: &StatefulSet, history: &History, crew: &Crew<'_>) -> Option<Action> {
    for (_, pod) in crew.replicas(set.spec.partition()?).rev() {
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

/// The Pod for an ordinal, and the claims it mounts. Below the partition of a rolling update, it is of the current revision.
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
    let ensured = claims.make(&name).map(|claim| Action::Ensure(Kind::PersistentVolumeClaim, claim));
    ensured.chain([Action::Create(Kind::Pod, pod)]).collect()
}

fn delete_unless_terminating(pod: &Pod) -> Option<Action> {
    (!pod.metadata.is_terminating()).then(|| Action::Delete(Target::new(Kind::Pod, &pod.metadata)))
}

fn is_healthy(pod: &Pod) -> bool {
    pod.is_running_and_ready() && !pod.metadata.is_terminating()
}

fn revision_of(pod: &Pod) -> Option<&String> {
    pod.metadata.labels.get(REVISION_LABEL)
}

/// The ordinal in a Pod's name, if it is a name that this set gives.
fn ordinal(set: &StatefulSet, pod_name: &str) -> Option<i64> {
    let digits = pod_name.strip_prefix(&set.metadata.name)?.strip_prefix('-')?;
    let ordinal: u32 = digits.parse().ok()?;
    (ordinal.to_string() == digits).then_some(i64::from(ordinal))
}

/// Whether `pod` is nobody's, and has a name and labels of this set.
pub fn is_orphan_of(set: &StatefulSet, pod: &Pod) -> bool {
    let is_free = pod.metadata.controller().is_none() && !pod.metadata.is_terminating();
    is_free && ordinal(set, &pod.metadata.name).is_some() && set.spec.selector.matches(&pod.metadata.labels)
}

/// When the next Pod that is Ready will have been so for long enough.
fn next_availability(set: &StatefulSet, pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let times = pods.iter().filter_map(|pod| pod.time_to_available(set.spec.min_ready_seconds, now));
    times.filter(|time| !time.is_zero()).min()
}

#[cfg(test)]
mod tests;
