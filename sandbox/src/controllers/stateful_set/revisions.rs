//! The revisions of a StatefulSet.
//!
//! `update` is the revision of the current template, `current` the one of Pods below the partition. They are the same unless
//! an update is in progress.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::controllers::actions::Action;
use crate::controllers::revisions::{Owner, Revision, revision_of, sorted};
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::fields;
use crate::kind::Kind;
use crate::store::Object;

/// Label of a ControllerRevision with the hash of its template.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

pub struct History {
    pub current: Revision,
    pub update: Revision,
}

/// Determines the revisions of a set, records the current template as the newest one, and deletes revisions beyond the
/// history limit. Revisions in use by a Pod or the status do not count.
pub fn resolve(set: &StatefulSet, revisions: &[Object], pods: &[Arc<Pod>]) -> (History, Vec<Action>) {
    let owner = Owner {
        kind: Kind::StatefulSet,
        metadata: &set.metadata,
        template: &set.spec.template,
        history_limit: set.spec.history_limit(),
        hash_label: HASH_LABEL,
    };
    let known = sorted(revisions);
    let (update, mut actions) = owner.record(&known);
    let named = set.status.current_revision.as_deref();
    let current = known.iter().find(|revision| revision["metadata"]["name"].as_str() == named && named.is_some());
    let current = current.map_or_else(|| update.clone(), |revision| owner.read(revision));
    let live: BTreeSet<&str> = pods
        .iter()
        .filter_map(|pod| revision_of(pod))
        .chain([&current.name, &update.name])
        .map(String::as_str)
        .collect();
    actions.extend(owner.trim(&known, |revision| live.contains(fields::metadata(revision, "name"))));
    (History { current, update }, actions)
}
