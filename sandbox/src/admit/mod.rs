//! Admission: what stands between a manifest and the store. Everything that is written comes through here, over HTTP and
//! from files alike.
//!
//! ```text
//! JSON ──decode──▶ normal form, unknown fields ──defaults──▶ complete object ──validate──▶ store
//! ```
//!
//! [`decode`] reads the object into the kind's Go-shaped type and back, which drops and reports what the kind does not
//! have; [`defaults`] fills in what the API server fills in; [`validate`] says what may not be said, and what may not be
//! changed.

mod decode;
mod defaults;
mod names;
mod validate;

use serde_json::{Value, json};

use super::api::request::has_status;
use super::api::status::{ApiError, FieldError};
use super::kind::Kind;
use super::store::Store;

pub use names::generated as generated_name;

/// What becomes of fields that a kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// They are dropped.
    Ignore,
    /// They are dropped, and the client is told.
    Warn,
    /// The request is refused.
    Strict,
}

impl FieldValidation {
    /// Reads the `fieldValidation` parameter; unset means `Warn`.
    ///
    /// # Errors
    /// 422 for anything else.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "Ignore" => Ok(Self::Ignore),
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            other => {
                let supported = &["Ignore", "Strict", "Warn"];
                let error = FieldError::not_supported("fieldValidation", &json!(other), supported);
                Err(ApiError::invalid_list_options(&error))
            }
        }
    }
}

/// An object that may be written, and what the client should be told about it.
#[derive(Debug)]
pub struct Admitted {
    pub object: Value,
    pub warnings: Vec<String>,
}

/// Admits a new object. `namespace` is the one in the request's path, empty for a cluster-wide kind.
///
/// # Errors
/// 400 if it cannot be read, 404 if its namespace does not exist, 403 if the namespace is on its way out, 422 if it says
/// what may not be said.
pub fn create(
    store: &Store,
    kind: Kind,
    namespace: &str,
    object: Value,
    validation: FieldValidation,
) -> Result<Admitted, ApiError> {
    let Admitted { mut object, warnings } = decode::decode(kind, object, validation)?;
    place_in_namespace(kind, namespace, &mut object)?;
    let metadata = &mut object["metadata"];
    for field in ["uid", "creationTimestamp", "resourceVersion", "generation", "deletionTimestamp", "selfLink"] {
        remove(metadata, field);
    }
    if metadata["name"].is_null()
        && let Some(prefix) = metadata["generateName"].as_str()
    {
        let name = generated_name(prefix, |name| store.get(kind, namespace, name).is_some());
        metadata["name"] = json!(name);
    }
    let name = metadata["name"].as_str().unwrap_or_default().to_owned();
    if kind.is_namespaced() {
        let home =
            store.get(Kind::Namespace, "", namespace).ok_or_else(|| ApiError::not_found(Kind::Namespace, namespace))?;
        if home["metadata"].get("deletionTimestamp").is_some() {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            return Err(ApiError::forbidden(kind, &name, &why));
        }
    }
    // People describe Pods that no kubelet runs, with the addresses they have, so a Pod's status is taken as it is.
    if has_status(kind) && kind != Kind::Pod {
        remove(&mut object, "status");
    }
    defaults::fill(kind, &mut object);
    defaults::initial_status(kind, &mut object);
    refuse(kind, &name, &validate::object(kind, &object))?;
    Ok(Admitted { object, warnings })
}

/// Admits the new state of an object: its main part.
///
/// # Errors
/// 400 if it cannot be read or is another object, 409 if it speaks of a state that is past, 422 if it says or changes what
/// may not be said or changed.
pub fn update(kind: Kind, current: &Value, object: Value, validation: FieldValidation) -> Result<Admitted, ApiError> {
    let Admitted { mut object, warnings } = decode::decode(kind, object, validation)?;
    let name = current["metadata"]["name"].as_str().unwrap_or_default();
    keep_identity(kind, current, &mut object)?;
    defaults::keep_allocated(kind, current, &mut object);
    if has_status(kind) && !(is_hand_made_pod(kind, current) && object.get("status").is_some()) {
        replace(&mut object, "status", current.get("status"));
    }
    defaults::fill(kind, &mut object);
    let mut errors = validate::object(kind, &object);
    errors.extend(validate::change(kind, current, &object));
    refuse(kind, name, &errors)?;
    Ok(Admitted { object, warnings })
}

/// Admits a new `status`; whatever else the object says is ignored.
///
/// # Errors
/// As for [`update`].
pub fn update_status(
    kind: Kind,
    current: &Value,
    object: Value,
    validation: FieldValidation,
) -> Result<Admitted, ApiError> {
    let Admitted { mut object, warnings } = decode::decode(kind, object, validation)?;
    keep_identity(kind, current, &mut object)?;
    let mut updated = current.clone();
    replace(&mut updated, "status", object.get("status"));
    Ok(Admitted { object: updated, warnings })
}

/// A Pod that no controller made.
fn is_hand_made_pod(kind: Kind, object: &Value) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array();
    kind == Kind::Pod && !owners.is_some_and(|owners| owners.iter().any(|owner| owner["controller"] == true))
}

/// What an update cannot change, and what must be the same for it to be an update of this object.
fn keep_identity(kind: Kind, current: &Value, object: &mut Value) -> Result<(), ApiError> {
    let name = current["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = current["metadata"]["namespace"].as_str().unwrap_or_default();
    place_in_namespace(kind, namespace, object)?;
    let given = object["metadata"]["name"].as_str().unwrap_or_default();
    if given != name {
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(why));
    }
    if let Some(uid) = object["metadata"]["uid"].as_str()
        && current["metadata"]["uid"] != uid
    {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            current["metadata"]["uid"].as_str().unwrap_or_default()
        );
        return Err(ApiError::conflict(kind, name, &why));
    }
    for field in ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        replace(&mut object["metadata"], field, current["metadata"].get(field));
    }
    Ok(())
}

fn place_in_namespace(kind: Kind, namespace: &str, object: &mut Value) -> Result<(), ApiError> {
    let metadata = &mut object["metadata"];
    if !kind.is_namespaced() {
        remove(metadata, "namespace");
        return Ok(());
    }
    match metadata["namespace"].as_str() {
        Some(given) if given != namespace => Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        _ => {
            metadata["namespace"] = json!(namespace);
            Ok(())
        }
    }
}

fn refuse(kind: Kind, name: &str, errors: &[FieldError]) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(kind, name, errors)) }
}

fn remove(object: &mut Value, field: &str) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove(field);
    }
}

/// Sets a field, or removes it if there is nothing to set.
fn replace(object: &mut Value, field: &str, value: Option<&Value>) {
    match value {
        Some(value) => object[field] = value.clone(),
        None => remove(object, field),
    }
}

#[cfg(test)]
mod tests;
