//! The Deployment controller: keeps one ReplicaSet per template and moves the Pods from the old ones to the new one.
//!
//! ```text
//! Deployment, its ReplicaSets, their Pods ──plan──▶ create / scale / delete ReplicaSets, write revision and status
//! ```

mod status;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::controllers::actions::{Action, Target};
use crate::controllers::pod_template::{adopt, controller_reference};
use crate::controllers::types::Pod;
use crate::controllers::workloads::{Bounds, Deployment, ReplicaSet};
use crate::controllers::world::World;
use crate::generate_name;
use crate::kind::Kind;

/// Label that distinguishes the Pods of a Deployment's ReplicaSets.
const TEMPLATE_HASH_LABEL: &str = "pod-template-hash";

/// Annotation of Deployments and ReplicaSets with the number of the revision.
const REVISION_ANNOTATION: &str = "deployment.kubernetes.io/revision";

/// The state that a decision about one Deployment depends on.
pub struct Observed<'a> {
    pub deployment: &'a Deployment,
    /// The ReplicaSets that the Deployment controls, oldest first.
    pub sets: Vec<Arc<ReplicaSet>>,
    /// ReplicaSets that the selector matches and that have no controller.
    pub orphans: Vec<Arc<ReplicaSet>>,
    /// The Pods of all its ReplicaSets.
    pub pods: Vec<Arc<Pod>>,
}

impl<'a> Observed<'a> {
    pub fn gather(world: &World, deployment: &'a Deployment) -> Self {
        let metadata = &deployment.metadata;
        let mut sets = world.replica_sets_of(&metadata.uid);
        sets.sort_by_key(|set| (revision(set), set.metadata.creation_timestamp.clone(), set.metadata.name.clone()));
        let pods = sets.iter().flat_map(|set| world.pods_of(&set.metadata.uid)).collect();
        let orphans = world.orphan_replica_sets(&metadata.namespace);
        let orphans = orphans.filter(|set| is_orphan_of(deployment, set)).cloned().collect();
        Self { deployment, sets, orphans, pods }
    }
}

/// The actions for a Deployment.
pub fn plan(observed: &Observed<'_>) -> Vec<Action> {
    let deployment = observed.deployment;
    if deployment.metadata.is_terminating() {
        return Vec::new();
    }
    if !observed.orphans.is_empty() {
        let adopted = observed.orphans.iter();
        let adopted = adopted.map(|set| adopt(Kind::Deployment, &deployment.metadata, Kind::ReplicaSet, &set.metadata));
        return adopted.collect();
    }
    let (new, old): (Vec<&ReplicaSet>, Vec<&ReplicaSet>) =
        observed.sets.iter().map(|set| &**set).partition(|set| is_of_template(set, &deployment.spec.template));
    let new = new.last().copied();
    let mut actions = Vec::new();
    match new {
        Some(new) => {
            actions.extend(number_revision(deployment, new, &old));
            if deployment.spec.paused {
                // A paused Deployment is scaled, but not rolled out.
                let is_settled = old.iter().all(|set| set.replicas() == 0);
                actions.extend(scale(new, deployment.spec.replicas()).filter(|_| is_settled));
            } else {
                actions.extend(roll(deployment, new, &old, &observed.pods));
            }
        }
        None if deployment.spec.paused => {}
        None => actions.extend(create(deployment, &old, &observed.pods)),
    }
    actions.extend(trim_history(deployment, new, &old));
    actions.push(status::plan(deployment, new, &old));
    actions
}

/// Moves Pods from the old ReplicaSets to the new one, as far as the strategy allows.
fn roll(deployment: &Deployment, new: &ReplicaSet, old: &[&ReplicaSet], pods: &[Arc<Pod>]) -> Vec<Action> {
    let Some(bounds) = deployment.spec.rolling_update() else {
        return recreate(deployment, new, old, pods);
    };
    let wanted = new_replicas(deployment, bounds, Some(new), old);
    match scale(new, wanted) {
        Some(action) => vec![action],
        None => shrink_old(deployment, bounds, new, old),
    }
}

/// The number of replicas that the new ReplicaSet may have within the surge.
fn new_replicas(deployment: &Deployment, bounds: Bounds, new: Option<&ReplicaSet>, old: &[&ReplicaSet]) -> i64 {
    let present = new.map_or(0, ReplicaSet::replicas);
    let wanted = deployment.spec.replicas();
    if present >= wanted {
        return wanted;
    }
    let total = present + total_replicas(old);
    let room = (wanted + bounds.max_surge - total).max(0);
    present + room.min(wanted - present)
}

/// Scales the old ReplicaSets down: unhealthy Pods first, then healthy ones while enough are available.
fn shrink_old(deployment: &Deployment, bounds: Bounds, new: &ReplicaSet, old: &[&ReplicaSet]) -> Vec<Action> {
    let min_available = deployment.spec.replicas() - bounds.max_unavailable;
    let new_unavailable = (new.replicas() - new.status.available_replicas).max(0);
    let total = new.replicas() + total_replicas(old);
    let mut unhealthy_budget = (total - min_available - new_unavailable).max(0);
    let available = new.status.available_replicas + old.iter().map(|set| set.status.available_replicas).sum::<i64>();
    let mut healthy_budget = (available - min_available).max(0).min(unhealthy_budget);

    let mut actions = Vec::new();
    for set in old {
        let unhealthy = (set.replicas() - set.status.available_replicas).clamp(0, unhealthy_budget);
        unhealthy_budget -= unhealthy;
        let healthy = (set.replicas() - unhealthy).min(healthy_budget).min(unhealthy_budget);
        healthy_budget -= healthy;
        unhealthy_budget -= healthy;
        actions.extend(scale(set, set.replicas() - unhealthy - healthy));
    }
    actions
}

/// Waits until all old Pods are gone before the first new one is created.
fn recreate(deployment: &Deployment, new: &ReplicaSet, old: &[&ReplicaSet], pods: &[Arc<Pod>]) -> Vec<Action> {
    if has_running_pods(old, pods) {
        return old.iter().filter_map(|set| scale(set, 0)).collect();
    }
    scale(new, deployment.spec.replicas()).into_iter().collect()
}

fn has_running_pods(sets: &[&ReplicaSet], pods: &[Arc<Pod>]) -> bool {
    let is_theirs = |pod: &Pod| sets.iter().any(|set| pod.metadata.is_controlled_by(&set.metadata.uid));
    total_replicas(sets) > 0 || pods.iter().any(|pod| !pod.is_finished() && is_theirs(pod))
}

/// Creates the ReplicaSet of the current template, once the strategy allows it.
fn create(deployment: &Deployment, old: &[&ReplicaSet], pods: &[Arc<Pod>]) -> Vec<Action> {
    let metadata = &deployment.metadata;
    let replicas = match deployment.spec.rolling_update() {
        Some(bounds) => new_replicas(deployment, bounds, None, old),
        None if has_running_pods(old, pods) => return old.iter().filter_map(|set| scale(set, 0)).collect(),
        None => deployment.spec.replicas(),
    };
    let hash = generate_name::hash(&deployment.spec.template.to_string());
    let mut template = deployment.spec.template.clone();
    template["metadata"]["labels"][TEMPLATE_HASH_LABEL] = json!(hash);
    let mut match_labels = deployment.spec.selector.match_labels.clone();
    match_labels.insert(TEMPLATE_HASH_LABEL.to_owned(), hash.clone());
    let mut selector = json!({"matchLabels": match_labels});
    if !deployment.spec.selector.match_expressions.is_empty() {
        selector["matchExpressions"] = json!(deployment.spec.selector.match_expressions);
    }
    let set = json!({
        "metadata": {
            "namespace": metadata.namespace,
            "name": format!("{}-{hash}", metadata.name),
            "labels": template["metadata"]["labels"],
            "annotations": {REVISION_ANNOTATION: (newest_revision(old) + 1).to_string()},
            "ownerReferences": [controller_reference(Kind::Deployment, metadata)],
        },
        "spec": {
            "replicas": replicas,
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": selector,
            "template": template,
        },
        "status": {"replicas": 0},
    });
    vec![Action::Ensure(Kind::ReplicaSet, set)]
}

/// Gives the new ReplicaSet the highest revision, also after a rollback, and copies it to the Deployment.
fn number_revision(deployment: &Deployment, new: &ReplicaSet, old: &[&ReplicaSet]) -> Vec<Action> {
    let number = revision(new).max(newest_revision(old) + 1);
    let wanted = number.to_string();
    let annotate = |kind, metadata| {
        let patch = json!({"metadata": {"annotations": {REVISION_ANNOTATION: wanted}}});
        Action::Merge(Target::new(kind, metadata), patch)
    };
    let set = (revision(new) != number).then(|| annotate(Kind::ReplicaSet, &new.metadata));
    let is_current = deployment.metadata.annotations.get(REVISION_ANNOTATION) == Some(&wanted);
    set.into_iter().chain((!is_current).then(|| annotate(Kind::Deployment, &deployment.metadata))).collect()
}

/// Deletes the oldest empty ReplicaSets beyond the history limit, once the rollout is complete.
fn trim_history(deployment: &Deployment, new: Option<&ReplicaSet>, old: &[&ReplicaSet]) -> Vec<Action> {
    if !new.is_some_and(|new| status::is_complete(deployment, new, old)) {
        return Vec::new();
    }
    let surplus = old.len().saturating_sub(deployment.spec.history_limit());
    let empty = old[..surplus].iter().filter(|set| set.replicas() == 0 && set.status.replicas == 0);
    empty.map(|set| Action::Delete(Target::new(Kind::ReplicaSet, &set.metadata))).collect()
}

fn scale(set: &ReplicaSet, replicas: i64) -> Option<Action> {
    let patch = json!({"spec": {"replicas": replicas}});
    (set.replicas() != replicas).then(|| Action::Merge(Target::new(Kind::ReplicaSet, &set.metadata), patch))
}

fn total_replicas(sets: &[&ReplicaSet]) -> i64 {
    sets.iter().map(|set| set.replicas()).sum()
}

fn revision(set: &ReplicaSet) -> i64 {
    set.metadata.annotations.get(REVISION_ANNOTATION).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn newest_revision(sets: &[&ReplicaSet]) -> i64 {
    sets.iter().map(|set| revision(set)).max().unwrap_or(0)
}

/// Whether `set` has this template, ignoring the hash label.
fn is_of_template(set: &ReplicaSet, template: &Value) -> bool {
    let mut own = set.spec.template.clone();
    if let Some(labels) = own["metadata"]["labels"].as_object_mut() {
        labels.remove(TEMPLATE_HASH_LABEL);
    }
    own == *template
}

/// Whether `set` has no controller and the Deployment's selector matches it.
pub fn is_orphan_of(deployment: &Deployment, set: &ReplicaSet) -> bool {
    let is_orphan = set.metadata.controller().is_none() && !set.metadata.is_terminating();
    is_orphan && deployment.spec.selector.matches(&set.metadata.labels)
}

#[cfg(test)]
mod tests;
