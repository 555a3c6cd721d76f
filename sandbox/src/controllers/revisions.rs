//! The history of a workload's template: one ControllerRevision per template, which `kubectl rollout` shows and goes back to.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::store::Object;
use crate::{fields, generate_name};

use super::actions::{Action, Target};
use super::pod_template::controller_reference;
use super::types::{Meta, Pod};

/// Label of a Pod that says which revision it was made from.
pub const REVISION_LABEL: &str = "controller-revision-hash";

/// A workload whose templates are kept.
pub struct Owner<'a> {
    pub kind: Kind,
    pub metadata: &'a Meta,
    pub template: &'a Value,
    /// How many revisions are kept that no Pod has.
    pub history_limit: usize,
    /// The label of a revision with the hash of its template.
    pub hash_label: &'static str,
}

#[derive(Clone)]
pub struct Revision {
    pub name: String,
    pub hash: String,
    pub template: Value,
}

/// Revisions from the oldest to the newest.
pub fn sorted(revisions: &[Object]) -> Vec<&Object> {
    let mut known: Vec<&Object> = revisions.iter().collect();
    known.sort_by_key(|revision| number(revision));
    known
}

impl Owner<'_> {
    /// The revision of the current template: an existing one, which gets the highest number after a rollback, or a new one. `known` is
    /// [`sorted`].
    pub fn record(&self, known: &[&Object]) -> (Revision, Vec<Action>) {
        let newest = known.last().map_or(0, |revision| number(revision));
        let template = self.template;
        if let Some(same) = known.iter().rev().find(|revision| revision["data"]["spec"]["template"] == stored(template))
        {
            let renumbered = (number(same) < newest)
                .then(|| Action::Merge(Target::of(Kind::ControllerRevision, same), json!({"revision": newest + 1})));
            return (self.read(same), renumbered.into_iter().collect());
        }
        let hash = generate_name::hash(&template.to_string());
        let name = format!("{}-{hash}", self.metadata.name);
        let mut labels = template["metadata"]["labels"].as_object().cloned().unwrap_or_default();
        labels.insert(self.hash_label.to_owned(), json!(hash));
        let object = json!({
            "metadata": {
                "namespace": self.metadata.namespace,
                "name": name,
                "labels": labels,
                "annotations": self.metadata.annotations,
                "ownerReferences": [controller_reference(self.kind, self.metadata)],
            },
            "data": {"spec": {"template": stored(template)}},
            "revision": newest + 1,
        });
        let revision = Revision { name, hash, template: template.clone() };
        (revision, vec![Action::Ensure(Kind::ControllerRevision, object)])
    }

    /// Deletes the oldest revisions beyond the limit, of those that are not in use.
    pub fn trim(&self, known: &[&Object], is_live: impl Fn(&Value) -> bool) -> Vec<Action> {
        let dead: Vec<_> = known.iter().filter(|revision| !is_live(revision)).collect();
        let surplus = dead.len().saturating_sub(self.history_limit);
        dead[..surplus].iter().map(|dead| Action::Delete(Target::of(Kind::ControllerRevision, dead))).collect()
    }

    pub fn read(&self, revision: &Value) -> Revision {
        let mut template = revision["data"]["spec"]["template"].clone();
        fields::remove(&mut template, "$patch");
        let hash = revision["metadata"]["labels"][self.hash_label].as_str().unwrap_or_default().to_owned();
        Revision { name: fields::metadata(revision, "name").to_owned(), hash, template }
    }
}

/// A template as a revision stores it: as a patch that restores it.
fn stored(template: &Value) -> Value {
    let mut stored = template.clone();
    stored["$patch"] = json!("replace");
    stored
}

/// What a Pod says of the revision that it was made from.
pub fn revision_of(pod: &Pod) -> Option<&String> {
    pod.metadata.labels.get(REVISION_LABEL)
}

fn number(revision: &Value) -> i64 {
    revision["revision"].as_i64().unwrap_or(0)
}
