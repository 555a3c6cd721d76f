//! What a controller's decision asks of the store, as data, and the one place that carries it out.
//!
//! A decision is made on what the controllers know, which may be behind the store by a moment. That is harmless: every
//! action names the uid that it means, and whatever contradicts it has made an event that wakes the controller again.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::pod_template::suffix;
use super::types::{DEFAULT_GRACE_PERIOD, Id, Meta};
use crate::kind::Kind;
use crate::store::{Store, StoreError};

/// How long a controller waits after its object could not be created because the name is taken by another.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Longest `generateName` that a random end fits behind: the API cuts it so that the name stays a DNS label.
const MAX_GENERATE_NAME: usize = 58;

/// Names tried for one object with a random name.
const GENERATE_ATTEMPTS: u64 = 16;

/// One particular object: a successor under the same name is another one.
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
        Self { kind, id: Id::of(object), uid: object["metadata"]["uid"].as_str().unwrap_or_default().to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Creates an object; one without a name gets a random one after its `generateName`.
    Create(Kind, Value),
    /// Creates an object unless one of its name exists.
    Ensure(Kind, Value),
    /// Applies a JSON merge patch (RFC 7386).
    Merge(Target, Value),
    /// Replaces the status.
    Status(Target, Value),
    /// Replaces the fields beside `metadata` and, within it, labels and annotations.
    Replace(Target, Value),
    /// Deletes as the API does: Pods get their grace period, objects with finalizers wait for them.
    Delete(Target),
    /// Takes the object out of the store.
    Remove(Target),
    /// Asks to be woken again after a while.
    WakeAfter(Duration),
}

/// Carries out the actions in order, and says when the controller wants to be woken, if it does.
pub fn carry_out(store: &Store, actions: Vec<Action>) -> Option<Duration> {
    let mut wake: Option<Duration> = None;
    for action in actions {
        let asked = match action {
            Action::WakeAfter(duration) => Some(duration),
            action => perform(store, action),
        };
        wake = wake.into_iter().chain(asked).min();
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
        Action::Merge(target, patch) => change(store, &target, |object| merge(object, &patch)),
        Action::Status(target, status) => change(store, &target, |object| object["status"] = status.clone()),
        Action::Replace(target, wanted) => change(store, &target, |object| replace(object, &wanted)),
        Action::Delete(target) => delete(store, &target),
        Action::Remove(target) => {
            store.delete(target.kind, &target.id.namespace, &target.id.name, Some(&target.uid)).map(drop)
        }
        Action::WakeAfter(duration) => return Some(duration),
    };
    if let Err(error) = result {
        tracing::trace!("a decision was overtaken by a change and is made again: {error}");
    }
    None
}

fn create(store: &Store, kind: Kind, mut object: Value) -> Result<(), StoreError> {
    if object["metadata"]["name"].is_string() {
        return store.create(kind, object).map(drop);
    }
    let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
    let prefix: String = prefix.chars().take(MAX_GENERATE_NAME).collect();
    for attempt in 0..GENERATE_ATTEMPTS {
        object["metadata"]["name"] = json!(format!("{prefix}{}", suffix(store.revision().wrapping_add(attempt << 32))));
        match store.create(kind, object.clone()) {
            Err(StoreError::AlreadyExists) => {}
            result => return result.map(drop),
        }
    }
    Err(StoreError::AlreadyExists)
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
    let has_finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
    if target.kind != Kind::Pod && !has_finalizers {
        return store.delete(target.kind, &target.id.namespace, &target.id.name, Some(&target.uid)).map(drop);
    }
    change(store, target, |object| mark_deleted(target.kind, object, Timestamp::now()))
}

/// Marks an object as being deleted, as the API does for a graceful deletion: `deletionTimestamp` is the moment at which the
/// grace period ends. An object that is already marked stays as it is.
pub fn mark_deleted(kind: Kind, object: &mut Value, now: Timestamp) {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let grace = match kind {
        Kind::Pod => object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE_PERIOD).max(0),
        _ => 0,
    };
    let end = now.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(now);
    object["metadata"]["deletionTimestamp"] = json!(end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
}

/// JSON merge patch, RFC 7386: objects merge, null removes, everything else replaces.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        match (target.as_object_mut(), value) {
            (Some(target), Value::Null) => drop(target.remove(key)),
            (Some(target), value) => merge(target.entry(key).or_insert(Value::Null), value),
            (None, _) => {}
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_merges_objects_removes_nulls_and_replaces_the_rest() {
        let mut object = json!({"a": {"b": 1, "c": 2}, "list": [1, 2], "gone": true});
        merge(&mut object, &json!({"a": {"b": 3}, "list": [4], "gone": null, "new": {"x": {"y": null, "z": 1}}}));
        assert_eq!(object, json!({"a": {"b": 3, "c": 2}, "list": [4], "new": {"x": {"z": 1}}}));
    }

    #[test]
    fn an_action_never_touches_a_successor_under_the_same_name() {
        let store = Store::default();
        let pod = json!({"metadata": {"namespace": "default", "name": "db-0"}});
        let first = store.create(Kind::Pod, pod.clone()).expect("a first Pod");
        store.delete(Kind::Pod, "default", "db-0", None).expect("its removal");
        let second = store.create(Kind::Pod, pod).expect("its successor");
        let target = Target::of(Kind::Pod, &first);
        carry_out(&store, vec![Action::Delete(target.clone()), Action::Remove(target)]);
        assert_eq!(store.get(Kind::Pod, "default", "db-0"), Some(second));
    }

    #[test]
    fn a_deleted_pod_keeps_its_grace_period_and_the_first_deletion_counts() {
        let store = Store::default();
        let pod =
            json!({"metadata": {"namespace": "default", "name": "db-0"}, "spec": {"terminationGracePeriodSeconds": 7}});
        let target = Target::of(Kind::Pod, &store.create(Kind::Pod, pod).expect("a Pod"));
        carry_out(&store, vec![Action::Delete(target.clone())]);
        let marked = store.get(Kind::Pod, "default", "db-0").expect("a terminating Pod");
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 7);
        carry_out(&store, vec![Action::Delete(target)]);
        assert_eq!(store.get(Kind::Pod, "default", "db-0"), Some(marked));
    }
}
