//! The history of a StatefulSet's template: one ControllerRevision per template it has had.
//!
//! `update` is the revision of the present template, `current` the one that Pods below the partition are made from. They are
//! the same unless an update is under way.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::revision_of;
use crate::controllers::actions::{Action, Target};
use crate::controllers::pod_template::{controller_reference, template_hash};
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::kind::Kind;
use crate::store::Object;

/// Label of a ControllerRevision: the hash of its template.
const HASH_LABEL: &str = "controller.kubernetes.io/hash";

#[derive(Clone)]
pub struct Revision {
    pub name: String,
    pub template: Value,
}

pub struct History {
    pub current: Revision,
    pub update: Revision,
}

/// Finds the set's revisions, records its present template as the newest one, and drops what the history limit allows no
/// more. Revisions that a Pod or the status still names are not counted.
pub fn resolve(set: &StatefulSet, revisions: &[Object], pods: &[Arc<Pod>]) -> (History, Vec<Action>) {
    let mut known: Vec<&Object> = revisions.iter().collect();
    known.sort_by_key(|revision| number(revision));
    let newest = known.last().map_or(0, |revision| number(revision));
    let (update, mut actions) = record(set, &known, newest);
    let named = set.status.current_revision.as_deref();
    let current = known.iter().find(|revision| revision["metadata"]["name"].as_str() == named && named.is_some());
    let current = current.map_or_else(|| update.clone(), |revision| read(revision));

    let live: BTreeSet<&str> = pods
        .iter()
        .filter_map(|pod| revision_of(pod))
        .chain([&current.name, &update.name])
        .map(String::as_str)
        .collect();
    let dead =
        known.iter().filter(|revision| !revision["metadata"]["name"].as_str().is_some_and(|name| live.contains(name)));
    let dead: Vec<_> = dead.collect();
    let surplus = dead.len().saturating_sub(set.spec.history_limit());
    actions.extend(dead[..surplus].iter().map(|dead| Action::Delete(Target::of(Kind::ControllerRevision, dead))));
    (History { current, update }, actions)
}

/// The revision of the present template: a known one, renumbered if the set went back to it, or a new one.
fn record(set: &StatefulSet, known: &[&Object], newest: i64) -> (Revision, Vec<Action>) {
    let template = &set.spec.template;
    if let Some(same) = known.iter().rev().find(|revision| revision["data"]["spec"]["template"] == stored(template)) {
        let renumbered = (number(same) < newest)
            .then(|| Action::Merge(Target::of(Kind::ControllerRevision, same), json!({"revision": newest + 1})));
        return (read(same), renumbered.into_iter().collect());
    }
    let hash = template_hash(template);
    let name = format!("{}-{hash}", set.metadata.name);
    let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(HASH_LABEL.to_owned(), json!(hash));
    let object = json!({
        "metadata": {
            "namespace": set.metadata.namespace,
            "name": name,
            "labels": labels,
            "ownerReferences": [controller_reference(Kind::StatefulSet, &set.metadata)],
        },
        "data": {"spec": {"template": stored(template)}},
        "revision": newest + 1,
    });
    let revision = Revision { name, template: template.clone() };
    (revision, vec![Action::Ensure(Kind::ControllerRevision, object)])
}

/// A template as a revision keeps it: a patch that would put it back in place.
fn stored(template: &Value) -> Value {
    let mut stored = template.clone();
    stored["$patch"] = json!("replace");
    stored
}

fn read(revision: &Value) -> Revision {
    let mut template = revision["data"]["spec"]["template"].clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    Revision { name: revision["metadata"]["name"].as_str().unwrap_or_default().to_owned(), template }
}

fn number(revision: &Value) -> i64 {
    revision["revision"].as_i64().unwrap_or(0)
}
