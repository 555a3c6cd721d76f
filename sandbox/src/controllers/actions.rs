//! The actions of controllers as data, and the code that performs them on the store.
//!
//! A controller may decide on state that is slightly behind the store. That is harmless: every action has the uid of its
//! target, and the change that it missed queues the controller again.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::deletion::DEFAULT_GRACE_SECONDS;
use crate::kind::Kind;
use crate::store::{Store, StoreError};
use crate::{admit, deletion, fields, generate_name};

use super::types::{Id, Meta};

/// Pods that one decision creates or deletes at most, as in the ReplicaSet controller.
pub const BURST_REPLICAS: usize = 500;

/// Delay before a controller retries after a name was taken.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// One object by name and uid, so that a successor with the same name is not affected.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub kind: Kind,
    pub id: Id,
    pub uid: String,
}

impl Target {
    pub fn new(kind: Kind, metadata: &Meta) -> Self {
        Self { kind, id: metadata.id(), uid: metadata.uid.clone() }
    }

    pub fn of(kind: Kind, object: &Value) -> Self {
        Self { kind, id: Id::of(object), uid: fields::metadata(object, "uid").to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates an object; without a name, one is generated from `generateName`.
    Create(Kind, Value),
    /// Creates an object unless there is one with its name.
    Ensure(Kind, Value),
    /// Applies a JSON merge patch (RFC 7396).
    Merge(Target, Value),
    /// Replaces the status.
    Status(Target, Value),
    /// Replaces labels, annotations and all fields outside `metadata`.
    Replace(Target, Value),
    /// Deletes like the API: Pods get a grace period, objects with finalizers are only marked.
    Delete(Target),
    /// Removes the object from the store.
    Remove(Target),
    /// Queues the controller again after this time.
    WakeAfter(Duration),
}

/// Performs the actions in order. Returns the time after which the controller is to be queued again.
pub fn perform_all(store: &Store, actions: Vec<Action>) -> Option<Duration> {
    let mut wake: Option<Duration> = None;
    for action in actions {
        wake = wake.into_iter().chain(perform(store, action)).min();
    }
    wake
}

fn perform(store: &Store, action: Action) -> Option<Duration> {
    let result = match action {
        Action::Create(kind, object) => match create(store, kind, object) {
            Err(StoreError::AlreadyExists) => return Some(RETRY_AFTER),
            result => result,
        },
        Action::Ensure(kind, object) => create(store, kind, object),
        Action::Merge(target, patch) => change(store, &target, |object| json_patch::merge(object, &patch)),
        Action::Status(target, status) => change(store, &target, |object| object["status"] = status.clone()),
        Action::Replace(target, wanted) => change(store, &target, |object| replace(object, &wanted)),
        Action::Delete(target) => delete(store, &target),
        Action::Remove(target) => {
            store.delete(target.kind, &target.id.namespace, &target.id.name, Some(&target.uid)).map(drop)
        }
        Action::WakeAfter(duration) => return Some(duration),
    };
    if let Err(error) = result {
        tracing::trace!("action on outdated state skipped: {error}");
    }
    None
}

fn create(store: &Store, kind: Kind, mut object: Value) -> Result<(), StoreError> {
    // Everything else is made from objects that have their defaults.
    if kind == Kind::Pod {
        admit::complete(kind, &mut object);
    }
    if object["metadata"]["name"].is_string() {
        return store.create(kind, object).map(drop);
    }
    let (namespace, prefix) = (fields::metadata(&object, "namespace"), fields::metadata(&object, "generateName"));
    let is_taken = |name: &str| store.get(kind, namespace, name).is_some();
    let name = generate_name::generate(prefix, store.revision(), is_taken);
    object["metadata"]["name"] = json!(name);
    store.create(kind, object).map(drop)
}

fn change(store: &Store, target: &Target, edit: impl Fn(&mut Value)) -> Result<(), StoreError> {
    let edit = |object: &mut Value| {
        if object["metadata"]["uid"].as_str() == Some(&target.uid) {
            edit(object);
        }
    };
    store.modify(target.kind, &target.id.namespace, &target.id.name, edit).map(drop)
}

fn delete(store: &Store, target: &Target) -> Result<(), StoreError> {
    let object = store.get(target.kind, &target.id.namespace, &target.id.name).ok_or(StoreError::NotFound)?;
    let has_finalizers = !fields::list(&object["metadata"]["finalizers"]).is_empty();
    if target.kind != Kind::Pod && !has_finalizers {
        return store.delete(target.kind, &target.id.namespace, &target.id.name, Some(&target.uid)).map(drop);
    }
    change(store, target, |object| mark_deleted(target.kind, object, Timestamp::now()))
}

/// Marks an object for deletion as the API does, a Pod with its own grace period. An object that is already marked is not
/// changed.
pub fn mark_deleted(kind: Kind, object: &mut Value, now: Timestamp) {
    if deletion::is_terminating(object) {
        return;
    }
    let grace = match kind {
        Kind::Pod => object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE_SECONDS).max(0),
        _ => 0,
    };
    deletion::schedule(object, grace, now);
}

fn replace(object: &mut Value, wanted: &Value) {
    for field in ["labels", "annotations"] {
        match wanted["metadata"].get(field) {
            Some(value) => object["metadata"][field] = value.clone(),
            None => drop(object["metadata"].as_object_mut().and_then(|metadata| metadata.remove(field))),
        }
    }
    for (field, value) in wanted.as_object().into_iter().flatten() {
        if field != "metadata" {
            object[field.as_str()] = value.clone();
        }
    }
}

/// Sets the counts of a status that are not zero; the API omits zeros.
pub fn set_nonzero<const N: usize>(status: &mut Value, counts: [(&str, i64); N]) {
    for (field, number) in counts {
        if number > 0 {
            status[field] = json!(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_never_touches_a_successor_under_the_same_name() {
        let store = Store::default();
        let pod = json!({"metadata": {"namespace": "default", "name": "db-0"}});
        let first = store.create(Kind::Pod, pod.clone()).expect("a first Pod");
        store.delete(Kind::Pod, "default", "db-0", None).expect("its removal");
        let second = store.create(Kind::Pod, pod).expect("its successor");
        let target = Target::of(Kind::Pod, &first);
        perform_all(&store, vec![Action::Delete(target.clone()), Action::Remove(target)]);
        assert_eq!(store.get(Kind::Pod, "default", "db-0"), Some(second));
    }

    #[test]
    fn a_deleted_pod_keeps_its_grace_period_and_the_first_deletion_counts() {
        let store = Store::default();
        let pod =
            json!({"metadata": {"namespace": "default", "name": "db-0"}, "spec": {"terminationGracePeriodSeconds": 7}});
        let target = Target::of(Kind::Pod, &store.create(Kind::Pod, pod).expect("a Pod"));
        perform_all(&store, vec![Action::Delete(target.clone())]);
        let marked = store.get(Kind::Pod, "default", "db-0").expect("a terminating Pod");
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 7);
        perform_all(&store, vec![Action::Delete(target)]);
        assert_eq!(store.get(Kind::Pod, "default", "db-0"), Some(marked));
    }
}
