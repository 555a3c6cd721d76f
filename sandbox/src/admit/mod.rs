//! Admission of every object that is written over HTTP or from manifests.
//!
//! ```text
//! JSON ──decode──▶ typed object, unknown fields ──defaults──▶ complete object ──validate──▶ store
//! ```
//!
//! [`decode`] deserializes the object into the type of its kind and back, which drops and reports unknown fields;
//! [`defaults`] sets the API server's defaults; [`validate`] checks the object, and for an update the change.

mod decode;
mod defaults;
mod names;
mod validate;

use serde_json::{Value, json};

use crate::fields::{self, remove};
use crate::kind::Kind;
use crate::status::{ApiError, FieldError};
use crate::store::Store;
use crate::{deletion, generate_name};

pub use decode::{Admitted, FieldValidation};

/// The kind and namespace of an object. The namespace is empty for a cluster-scoped kind.
#[derive(Clone, Copy, Debug)]
pub struct Collection<'a> {
    pub kind: Kind,
    pub namespace: &'a str,
}

/// Admits a new object into the collection that the request names.
///
/// # Errors
/// 400 if it cannot be decoded, 404 if its namespace does not exist, 403 if the namespace is terminating, 422 if it is invalid.
pub fn create(
    store: &Store,
    collection: Collection<'_>,
    object: Value,
    validation: FieldValidation,
) -> Result<Admitted, ApiError> {
    let Collection { kind, namespace } = collection;
    let Admitted { mut object, warnings } = decode::decode(kind, object, validation)?;
    place_in_namespace(kind, namespace, &mut object)?;
    let metadata = &mut object["metadata"];
    for field in ["uid", "creationTimestamp", "resourceVersion", "generation", "deletionTimestamp", "selfLink"] {
        remove(metadata, field);
    }
    if metadata["name"].is_null()
        && let Some(prefix) = metadata["generateName"].as_str()
    {
        let name = generate_name::generate(prefix, store.revision(), |name| store.get(kind, namespace, name).is_some());
        metadata["name"] = json!(name);
    }
    let name = fields::metadata(&object, "name").to_owned();
    if kind.is_namespaced() {
        let parent =
            store.get(Kind::Namespace, "", namespace).ok_or_else(|| ApiError::not_found(Kind::Namespace, namespace))?;
        if deletion::is_terminating(&parent) {
            let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
            return Err(ApiError::forbidden(kind, &name, &why));
        }
    }
    // Unlike in a real cluster, a Pod may be created with a status, to describe one that no kubelet runs.
    if kind.has_status() && kind != Kind::Pod {
        remove(&mut object, "status");
    }
    defaults::fill(kind, &mut object);
    defaults::initial_status(kind, &mut object);
    defaults::count_template(kind, None, &mut object);
    check(kind, &name, &validate::object(kind, &object))?;
    Ok(Admitted { object, warnings })
}

/// Admits the new state of an object except its status.
///
/// # Errors
/// 400 if it cannot be decoded or is another object, 409 if its uid differs, 422 if the object or the change is invalid.
pub fn update(kind: Kind, current: &Value, object: Value, validation: FieldValidation) -> Result<Admitted, ApiError> {
    let Admitted { mut object, warnings } = decode::decode(kind, object, validation)?;
    let name = fields::metadata(current, "name");
    keep_identity(kind, current, &mut object)?;
    defaults::keep_allocated(kind, current, &mut object);
    if kind.has_status() && !(is_bare_pod(kind, current) && object.get("status").is_some()) {
        replace(&mut object, "status", current.get("status"));
    }
    defaults::fill(kind, &mut object);
    defaults::count_template(kind, Some(&as_read(kind, current)), &mut object);
    let mut errors = validate::object(kind, &object);
    errors.extend(validate::change(kind, &as_read(kind, current), &object));
    check(kind, name, &errors)?;
    Ok(Admitted { object, warnings })
}

/// Admits a new `status`; all other fields are ignored.
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

/// Completes an object that a controller makes with what the API server sets on the way in.
pub fn complete(kind: Kind, object: &mut Value) {
    defaults::fill(kind, object);
    defaults::initial_status(kind, object);
}

/// A stored object as the API server reads it, normalized and with defaults. One that came to the store without admission lacks
/// them, and an update that has them would look like a change of what may not change.
fn as_read(kind: Kind, stored: &Value) -> Value {
    match decode::decode(kind, stored.clone(), FieldValidation::Ignore) {
        Ok(Admitted { mut object, .. }) => {
            defaults::fill(kind, &mut object);
            object
        }
        Err(_) => stored.clone(),
    }
}

/// Whether the object is a Pod without a controller.
fn is_bare_pod(kind: Kind, object: &Value) -> bool {
    kind == Kind::Pod && fields::controller(object).is_none()
}

/// Checks that an update is for this object, and keeps the metadata that an update cannot change.
fn keep_identity(kind: Kind, current: &Value, object: &mut Value) -> Result<(), ApiError> {
    let name = fields::metadata(current, "name");
    place_in_namespace(kind, fields::metadata(current, "namespace"), object)?;
    let given = fields::metadata(object, "name");
    if given != name {
        let why = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(ApiError::bad_request(why));
    }
    if let Some(uid) = object["metadata"]["uid"].as_str()
        && current["metadata"]["uid"] != uid
    {
        let why = format!(
            "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
            fields::metadata(current, "uid")
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

fn check(kind: Kind, name: &str, errors: &[FieldError]) -> Result<(), ApiError> {
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(kind, name, errors)) }
}

/// Sets a field, or removes it if the value is None.
fn replace(object: &mut Value, field: &str, value: Option<&Value>) {
    match value {
        Some(value) => object[field] = value.clone(),
        None => remove(object, field),
    }
}

#[cfg(test)]
mod tests;
