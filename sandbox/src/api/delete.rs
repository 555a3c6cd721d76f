//! Deletion: which objects are removed immediately, which are only marked, and who removes those.
//!
//! | object | effect | removed by |
//! |---|---|---|
//! | a scheduled Pod with a grace period | marked | the kubelet |
//! | an object with finalizers | marked | the request that removes the last finalizer |
//! | `propagationPolicy: Foreground` | marked, finalizer `foregroundDeletion` | the garbage collector |
//! | a Namespace | marked, phase `Terminating` | the namespace controller |
//! | another Pod | marked, then removed | |
//! | any other | removed | |

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::deletion::{self, FOREGROUND};
use crate::fields;
use crate::kind::Kind;
use crate::status::{ApiError, FieldError};
use crate::store::{Object, Store, StoreError};

use super::object_name::ObjectName;
use super::request::Params;
use super::write::store_error;

/// Namespaces that nobody can delete, as in the admission plugin `NamespaceLifecycle`.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// `metav1.DeleteOptions`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    pub grace_period_seconds: Option<i64>,
    pub preconditions: Option<Preconditions>,
    pub propagation_policy: Option<String>,
    pub dry_run: Vec<String>,
}

/// Conditions under which the object is deleted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Preconditions {
    pub uid: Option<String>,
    pub resource_version: Option<String>,
}

impl Options {
    /// The options of the body, completed by those of the query string.
    ///
    /// # Errors
    /// 400 for an invalid body, 422 for an unknown propagation policy.
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

    fn check_preconditions(&self, kind: Kind, name: &str, object: &Value) -> Result<(), ApiError> {
        let Some(wanted) = &self.preconditions else { return Ok(()) };
        for (what, field, wanted) in
            [("UID", "uid", &wanted.uid), ("ResourceVersion", "resourceVersion", &wanted.resource_version)]
        {
            let present = fields::metadata(object, field);
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

/// The result of a deletion.
#[derive(Debug)]
pub enum Outcome {
    /// The last state of the removed object.
    Deleted(Object),
    /// The object, marked for deletion.
    Marked(Object),
}

/// Removes an object or marks it for deletion.
///
/// # Errors
/// 404 if there is no such object, 403 if it may not be deleted, 409 if a precondition fails.
pub fn delete(store: &Store, target: ObjectName<'_>, options: &Options) -> Result<Outcome, ApiError> {
    let ObjectName { kind, namespace, name } = target;
    loop {
        let current = store.get(kind, namespace, name).ok_or_else(|| ApiError::not_found(kind, name))?;
        if kind == Kind::Namespace && IMMORTAL.contains(&name) {
            return Err(ApiError::forbidden(kind, name, "this namespace may not be deleted"));
        }
        options.check_preconditions(kind, name, &current)?;
        if !options.dry_run.is_empty() {
            return Ok(Outcome::Deleted(current));
        }
        if options.propagation_policy.as_deref() == Some("Orphan") {
            orphan_dependents(store, &current["metadata"]["uid"]);
        }
        let mut marked = Value::clone(&current);
        mark(kind, &mut marked, options);
        let metadata = &marked["metadata"];
        let waits = metadata["deletionGracePeriodSeconds"] != 0
            || !fields::list(&metadata["finalizers"]).is_empty()
            || kind == Kind::Namespace;
        let result = if waits {
            store.update(kind, marked).map(Outcome::Marked)
        } else if kind == Kind::Pod && !deletion::is_terminating(&current) {
            // The API server writes the mark of every Pod before it removes it, of one without a grace period too.
            store.update(kind, marked).and_then(|marked| {
                store.delete(kind, namespace, name, marked["metadata"]["uid"].as_str()).map(Outcome::Deleted)
            })
        } else {
            store.delete(kind, namespace, name, current["metadata"]["uid"].as_str()).map(Outcome::Deleted)
        };
        match result {
            Ok(outcome) => return Ok(outcome),
            Err(StoreError::Conflict) => continue,
            Err(error) => return Err(store_error(kind, name, &error)),
        }
    }
}

/// Marks an object for deletion. The grace period of one that is already marked can only be shortened.
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
    let present = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
    if !deletion::is_terminating(object) || present.is_some_and(|present| grace < present) {
        deletion::schedule(object, grace, Timestamp::now());
    }
    if kind == Kind::Namespace {
        object["status"] = json!({ "phase": "Terminating" });
    }
}

/// The grace period. Only a Pod that is scheduled and not finished has one.
fn grace_seconds(kind: Kind, object: &Value, options: &Options) -> i64 {
    let bound = object["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if kind != Kind::Pod || !bound || finished {
        return 0;
    }
    let own = || object["spec"]["terminationGracePeriodSeconds"].as_i64();
    options.grace_period_seconds.or_else(own).unwrap_or(0).max(0)
}

/// Removes the owner `uid` from the owner references of all its dependents, so that they are not garbage collected.
fn orphan_dependents(store: &Store, uid: &Value) {
    let is_dependent =
        |object: &Value| fields::list(&object["metadata"]["ownerReferences"]).iter().any(|owner| owner["uid"] == *uid);
    for kind in Kind::ALL {
        let (_, objects) = store.list(kind, None);
        for dependent in objects.iter().filter(|object| is_dependent(object)) {
            let orphan = |object: &mut Value| {
                if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
                    owners.retain(|owner| owner["uid"] != *uid);
                }
            };
            let (namespace, name) = (fields::metadata(dependent, "namespace"), fields::metadata(dependent, "name"));
            // An error means that the dependent was removed in the meantime.
            let _ = store.modify(kind, namespace, name, orphan);
        }
    }
}

/// Deletes these objects; those that were removed in the meantime are skipped.
pub fn delete_all(store: &Store, kind: Kind, objects: &[Object], options: &Options) -> Result<(), ApiError> {
    for object in objects {
        let (namespace, name) = (fields::metadata(object, "namespace"), fields::metadata(object, "name"));
        match delete(store, ObjectName { kind, namespace, name }, options) {
            Err(error) if error.code() != StatusCode::NOT_FOUND => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
