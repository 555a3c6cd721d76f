//! Deleting: what goes at once, what is only marked, and who finishes the job.
//!
//! | what | becomes | finished by |
//! |---|---|---|
//! | a Pod on a node, with a grace period | marked | the kubelet |
//! | anything with finalizers | marked | whoever takes the last finalizer away |
//! | anything, `propagationPolicy: Foreground` | marked, finalizer `foregroundDeletion` | the garbage collector |
//! | a Namespace | marked, phase `Terminating` | the namespace controller |
//! | everything else | gone | |

use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::Params;
use super::status::{ApiError, FieldError};
use super::write::refusal;
use crate::kind::Kind;
use crate::store::{Object, Store, StoreError};

/// The finalizer that keeps an object until its dependents are gone.
pub const FOREGROUND: &str = "foregroundDeletion";

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Option<Preconditions>,
    pub propagation_policy: Option<String>,
    pub dry_run: Vec<String>,
}

/// What must be true of the object for it to be deleted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl Options {
    /// The options in the body, if there is one, else those of the query string.
    ///
    /// # Errors
    /// 400 for a body that is something else, 422 for an unknown propagation policy.
    pub fn parse(body: Option<Value>, params: &Params) -> Result<Self, ApiError> {
        let mut options: Self = match body {
            Some(body) => serde_json::from_value(body)
                .map_err(|error| ApiError::bad_request(format!("the body is not DeleteOptions: {error}")))?,
            None => Self::default(),
        };
        if options.grace_period_seconds.is_none() {
            options.grace_period_seconds = Params::number("gracePeriodSeconds", &params.grace_period_seconds)?;
        }
        if options.propagation_policy.is_none() && !params.propagation_policy.is_empty() {
            options.propagation_policy = Some(params.propagation_policy.clone());
        }
        if params.dry_run() {
            options.dry_run.push(params.dry_run.clone());
        }
        match options.propagation_policy.as_deref() {
            None | Some("Background" | "Foreground" | "Orphan") => Ok(options),
            Some(other) => {
                let supported = &["Foreground", "Background", "Orphan", "nil"];
                let error = FieldError::not_supported("propagationPolicy", &json!(other), supported);
                Err(ApiError::invalid_list_options(&error))
            }
        }
    }

    fn check(&self, kind: Kind, name: &str, object: &Value) -> Result<(), ApiError> {
        let Some(wanted) = &self.preconditions else { return Ok(()) };
        for (what, field, wanted) in
            [("UID", "uid", &wanted.uid), ("ResourceVersion", "resourceVersion", &wanted.resource_version)]
        {
            let present = object["metadata"][field].as_str().unwrap_or_default();
            if let Some(wanted) = wanted.as_deref()
                && wanted != present
            {
                let why =
                    format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {present}");
                return Err(ApiError::conflict(kind, name, &why));
            }
        }
        Ok(())
    }
}

/// What came of a deletion.
#[derive(Debug)]
pub enum Outcome {
    /// The object as it last was.
    Gone(Object),
    /// The object with its deletion marked.
    Marked(Object),
}

/// Deletes an object, or begins to.
///
/// # Errors
/// 404 if there is no such object, 409 if it is not the one that the preconditions mean.
pub fn delete(store: &Store, kind: Kind, namespace: &str, name: &str, options: &Options) -> Result<Outcome, ApiError> {
    loop {
        let current = store.get(kind, namespace, name).ok_or_else(|| ApiError::not_found(kind, name))?;
        options.check(kind, name, &current)?;
        if !options.dry_run.is_empty() {
            return Ok(Outcome::Gone(current));
        }
        if options.propagation_policy.as_deref() == Some("Orphan") {
            orphan_dependents(store, &current["metadata"]["uid"]);
        }
        let mut marked = Value::clone(&current);
        mark(kind, &mut marked, options);
        let metadata = &marked["metadata"];
        let waits = metadata["deletionGracePeriodSeconds"] != 0
            || metadata["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
            || kind == Kind::Namespace;
        let result = if waits {
            store.update(kind, marked).map(Outcome::Marked)
        } else {
            store.delete(kind, namespace, name, current["metadata"]["uid"].as_str()).map(Outcome::Gone)
        };
        match result {
            Ok(outcome) => return Ok(outcome),
            Err(StoreError::Conflict) => continue,
            Err(error) => return Err(refusal(kind, name, &error)),
        }
    }
}

/// Writes into an object that it is to go, and when. One that was marked before may only be hurried.
fn mark(kind: Kind, object: &mut Value, options: &Options) {
    let grace = grace_seconds(kind, object, options);
    if options.propagation_policy.as_deref() == Some("Foreground") {
        let finalizers = &mut object["metadata"]["finalizers"];
        match finalizers.as_array_mut() {
            Some(list) if list.iter().any(|finalizer| finalizer == FOREGROUND) => {}
            Some(list) => list.push(json!(FOREGROUND)),
            None => *finalizers = json!([FOREGROUND]),
        }
    }
    let metadata = &mut object["metadata"];
    let marked_before = metadata["deletionTimestamp"].is_string();
    if !marked_before || metadata["deletionGracePeriodSeconds"].as_i64().is_some_and(|present| grace < present) {
        metadata["deletionGracePeriodSeconds"] = json!(grace);
        metadata["deletionTimestamp"] = json!(seconds_from_now(grace));
    }
    if kind == Kind::Namespace {
        object["status"] = json!({ "phase": "Terminating" });
    }
}

/// Only a Pod that runs somewhere has something to end in its own time.
fn grace_seconds(kind: Kind, object: &Value, options: &Options) -> i64 {
    let bound = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if kind != Kind::Pod || !bound || finished {
        return 0;
    }
    let own = || object["spec"]["terminationGracePeriodSeconds"].as_i64();
    options.grace_period_seconds.or_else(own).unwrap_or(0).max(0)
}

fn seconds_from_now(seconds: i64) -> String {
    let now = Timestamp::now();
    let then = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Takes the owner `uid` away from everything that names it, so that nothing is collected after it.
fn orphan_dependents(store: &Store, uid: &Value) {
    let names_owner = |object: &Value| {
        let owners = object["metadata"]["ownerReferences"].as_array();
        owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == *uid))
    };
    for kind in Kind::ALL {
        let (_, objects) = store.list(kind, None);
        for dependent in objects.iter().filter(|object| names_owner(object)) {
            let field = |name: &str| dependent["metadata"][name].as_str().unwrap_or_default();
            let orphan = |object: &mut Value| {
                if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                    owners.retain(|owner| owner["uid"] != *uid);
                }
            };
            // A dependent that went in the meantime needs no orphaning.
            let _ = store.modify(kind, field("namespace"), field("name"), orphan);
        }
    }
}

/// Deletes what matches; what is already gone is passed over. Returns what was there.
pub fn delete_all(store: &Store, kind: Kind, objects: Vec<Object>, options: &Options) -> Result<Vec<Object>, ApiError> {
    for object in &objects {
        let field = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        match delete(store, kind, field("namespace"), field("name"), options) {
            Ok(_) => {}
            Err(error) if error.code() == http::StatusCode::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
    }
    Ok(objects.iter().map(Arc::clone).collect())
}
