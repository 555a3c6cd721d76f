//! The history of a StatefulSet's template: one ControllerRevision per template.
//!
//! `update` is the revision of the current template, `current` the one of Pods below the partition. They are the same unless
//! an update is in progress.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::controllers::actions::{Action, Target};
use crate::controllers::pod_template::controller_reference;
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::kind::Kind;
use crate::store::Object;
use crate::{fields, generate_name};

/// Label of a Pod with the name of its revision.
pub const REVISION_LABEL: &str = "controller-revision-hash";

/// Label of a ControllerRevision with the hash of its template.
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

/// Determines the revisions of a set, records the current template as the newest one, and deletes revisions beyond the
/// history limit. Revisions in use by a Pod or the status do not count.
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
    let dead = known.iter().filter(|revision| !live.contains(fields::metadata(revision, "name")));
    let dead: Vec<_> = dead.collect();
    let surplus = dead.len().saturating_sub(set.spec.history_limit());
    actions.extend(dead[..surplus].iter().map(|dead| Action::Delete(Target::of(Kind::ControllerRevision, dead))));
    (History { current, update }, actions)
}

/// The revision of the current template: an existing one, which gets the highest number after a rollback, or a new one.
fn record(set: &StatefulSet, known: &[&Object], newest: i64) -> (Revision, Vec<Action>) {
    let template = &set.spec.template;
    if let Some(same) = known.iter().rev().find(|revision| revision["data"]["spec"]["template"] == stored(template)) {
        let renumbered = (number(same) < newest)
            .then(|| Action::Merge(Target::of(Kind::ControllerRevision, same), json!({"revision": newest + 1})));
        return (read(same), renumbered.into_iter().collect());
    }
    let hash = generate_name::hash(&template.to_string());
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

/// A template as a revision stores it: as a patch that restores it.
fn stored(template: &Value) -> Value {
    let mut stored = template.clone();
    stored["$patch"] = json!("replace");
    stored
}

fn read(revision: &Value) -> Revision {
    let mut template = revision["data"]["spec"]["template"].clone();
    fields::remove(&mut template, "$patch");
    Revision { name: fields::metadata(revision, "name").to_owned(), template }
}

/// The name of the revision that a Pod was made from.
pub fn revision_of(pod: &Pod) -> Option<&String> {
    pod.metadata.labels.get(REVISION_LABEL)
}

fn number(revision: &Value) -> i64 {
    revision["revision"].as_i64().unwrap_or(0)
}
