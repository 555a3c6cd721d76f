//! The DaemonSet controller: a Pod on each node that takes it.
//!
//! ```text
//! set, its Pods and revisions, nodes ──plan──▶ create / delete Pods, maintain revisions, write status
//! ```
//!
//! A rolling update deletes old Pods while at most `maxUnavailable` nodes lack one, or with `maxSurge` creates new ones beside them first.

mod nodes;
mod status;
mod template;

use std::sync::Arc;

use jiff::Timestamp;

use crate::controllers::actions::{Action, Target};
use crate::controllers::placement::Node;
use crate::controllers::pod_template::adopt;
use crate::controllers::revisions::{Owner, REVISION_LABEL, Revision, revision_of, sorted};
use crate::controllers::types::Pod;
use crate::controllers::workloads::DaemonSet;
use crate::controllers::world::World;
use crate::kind::Kind;
use crate::store::Object;

use nodes::OnNode;
use template::Template;

/// The state that a decision about one DaemonSet depends on.
pub struct Observed<'a> {
    pub set: &'a DaemonSet,
    /// The Pods that the set controls.
    pub pods: Vec<Arc<Pod>>,
    /// Pods that the selector matches and that have no controller.
    pub orphans: Vec<Arc<Pod>>,
    pub revisions: Vec<Object>,
    /// By name.
    pub nodes: Vec<Arc<Node>>,
}

impl<'a> Observed<'a> {
    pub fn gather(world: &World, set: &'a DaemonSet) -> Self {
        let metadata = &set.metadata;
        let orphans = world.pods_selected(&metadata.namespace, &set.spec.selector.match_labels);
        Self {
            set,
            pods: world.pods_of(&metadata.uid),
            orphans: orphans.into_iter().filter(|pod| is_orphan_of(set, pod)).collect(),
            revisions: world.revisions_of(&metadata.uid),
            nodes: world.nodes.values().cloned().collect(),
        }
    }
}

/// The actions for a DaemonSet.
pub fn plan(observed: &Observed<'_>, now: Timestamp) -> Vec<Action> {
    let set = observed.set;
    if set.metadata.is_terminating() {
        return Vec::new();
    }
    let owner = Owner {
        kind: Kind::DaemonSet,
        metadata: &set.metadata,
        template: &set.spec.template,
        history_limit: set.spec.history_limit(),
        hash_label: REVISION_LABEL,
    };
    let known = sorted(&observed.revisions);
    let (revision, mut actions) = owner.record(&known);
    let is_live = |hash: &str| hash == revision.hash || observed.pods.iter().any(|pod| is_of(pod, hash));
    actions.extend(owner.trim(&known, |known| is_live(&owner.read(known).hash)));
    let adopted = observed.orphans.iter();
    actions.extend(adopted.map(|pod| adopt(Kind::DaemonSet, &set.metadata, Kind::Pod, &pod.metadata)));
    let template = Template::of(set, &revision);
    let (nodes, homeless) = nodes::sort(observed, &template);
    if observed.orphans.is_empty() {
        let mut steps: Vec<Action> = homeless.into_iter().filter_map(delete).collect();
        steps.extend(nodes.iter().flat_map(|node| tidy(set, &revision, &template, node, now)));
        // A rollout goes on from what is settled.
        if steps.is_empty() {
            steps = roll(set, &revision, &template, &nodes, now);
        }
        actions.extend(steps);
    }
    actions.push(status::plan(set, &revision, &nodes, now));
    let waits = observed.pods.iter().filter_map(|pod| pod.time_to_available(set.spec.min_ready_seconds, now));
    actions.extend(waits.filter(|wait| !wait.is_zero()).min().map(Action::WakeAfter));
    actions
}

/// Gives a node its Pod, and takes away those that are too many, have ended or may not be there.
fn tidy(set: &DaemonSet, revision: &Revision, template: &Template, node: &OnNode<'_>, now: Timestamp) -> Vec<Action> {
    if !node.may_stay {
        return node.pods.iter().copied().filter_map(delete).collect();
    }
    if node.pods.is_empty() {
        return if node.wants_pod { vec![template.create(node.name)] } else { Vec::new() };
    }
    let (ended, alive): (Vec<&Pod>, Vec<&Pod>) =
        node.pods.iter().filter(|pod| !pod.metadata.is_terminating()).partition(|pod| pod.is_finished());
    let mut surplus = ended;
    if set.spec.surge(1) == 0 {
        surplus.extend(alive.iter().skip(1));
    } else if alive.len() > 1 {
        let (new, old): (Vec<&Pod>, Vec<&Pod>) = alive.into_iter().partition(|pod| is_of(pod, &revision.hash));
        // The old one goes as soon as it is of no use, or the new one is.
        let is_replaced = |old: &Pod| {
            new.first().is_some_and(|new| !old.is_ready() || new.is_available(set.spec.min_ready_seconds, now))
        };
        surplus.extend(old.first().filter(|old| is_replaced(old)));
        surplus.extend(new.iter().skip(1).chain(old.iter().skip(1)));
    }
    surplus.into_iter().filter_map(delete).collect()
}

/// The next steps of a rolling update.
fn roll(
    set: &DaemonSet,
    revision: &Revision,
    template: &Template,
    nodes: &[OnNode<'_>],
    now: Timestamp,
) -> Vec<Action> {
    let wanted = nodes.iter().filter(|node| node.wants_pod).count() as i64;
    let Some(bounds) = set.spec.rolling_update(wanted) else { return Vec::new() };
    let is_available = |pod: &Pod| pod.is_available(set.spec.min_ready_seconds, now);
    let mut steps = Vec::new();
    let mut candidates = Vec::new();
    // Nodes that lack an available Pod, or have a new one that is not yet.
    let mut in_progress = 0;
    for node in nodes.iter().filter(|node| node.wants_pod || !node.pods.is_empty()) {
        let alive = node.pods.iter().copied().filter(|pod| !pod.metadata.is_terminating());
        let (new, old): (Vec<&Pod>, Vec<&Pod>) = alive.partition(|pod| is_of(pod, &revision.hash));
        match (new.first(), old.first()) {
            (None, Some(old)) if !is_available(old) => {
                steps.extend(if bounds.max_surge > 0 { Some(template.create(node.name)) } else { delete(old) });
                in_progress += 1;
            }
            (None, Some(old)) => candidates.push((node.name, *old)),
            (Some(new), None) if is_available(new) => {}
            _ => in_progress += 1,
        }
    }
    let (limit, surges) = if bounds.max_surge > 0 { (bounds.max_surge, true) } else { (bounds.max_unavailable, false) };
    let room = usize::try_from(limit - in_progress).unwrap_or(0);
    let next = candidates.into_iter().take(room);
    steps.extend(next.filter_map(|(name, old)| if surges { Some(template.create(name)) } else { delete(old) }));
    steps
}

fn delete(pod: &Pod) -> Option<Action> {
    (!pod.metadata.is_terminating()).then(|| Action::Delete(Target::new(Kind::Pod, &pod.metadata)))
}

/// Whether a Pod was made from the revision with this hash.
fn is_of(pod: &Pod, hash: &str) -> bool {
    revision_of(pod).is_some_and(|own| own == hash)
}

/// Whether `pod` has no controller and the set's selector matches it.
pub fn is_orphan_of(set: &DaemonSet, pod: &Pod) -> bool {
    let is_orphan = pod.metadata.controller().is_none() && !pod.metadata.is_terminating();
    is_orphan && set.spec.selector.matches(&pod.metadata.labels)
}

#[cfg(test)]
mod tests;
