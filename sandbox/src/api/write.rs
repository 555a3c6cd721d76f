//! Creating and changing objects: admission, then the store, over and over if someone else was faster.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::request::Subresource;
use super::scale;
use super::status::ApiError;
use crate::admit::{self, Admitted, FieldValidation};
use crate::kind::Kind;
use crate::store::{Object, Store, StoreError};

/// How a write is meant.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    pub validation: FieldValidation,
    /// Say what would become of the object, and write nothing.
    pub dry_run: bool,
}

/// What came of a write.
#[derive(Debug)]
pub struct Written {
    pub code: StatusCode,
    pub object: Object,
    pub warnings: Vec<String>,
}

/// Adds an object. `namespace` is empty for a cluster-wide kind.
///
/// # Errors
/// Those of [`admit::create`], and 409 if there is one of that name.
pub fn create(store: &Store, kind: Kind, namespace: &str, object: Value, mode: Mode) -> Result<Written, ApiError> {
    let Admitted { mut object, warnings } = admit::create(store, kind, namespace, object, mode.validation)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let created = if mode.dry_run {
        if store.get(kind, namespace, &name).is_some() {
            return Err(ApiError::already_exists(kind, &name));
        }
        object["metadata"]["creationTimestamp"] = json!(crate::now());
        object["metadata"]["generation"] = json!(1);
        Arc::new(object)
    } else {
        store.create(kind, object).map_err(|error| refusal(kind, &name, &error))?
    };
    Ok(Written { code: StatusCode::CREATED, object: created, warnings })
}

/// Changes an object, or one part of it. `edit` makes the new state from the present one; it is called again if the object
/// was changed in between, unless the new state names the resourceVersion that it was made from.
///
/// # Errors
/// 404 if there is no such object, 409 if the new state names a resourceVersion that is past, and those of `edit` and of
/// admission.
pub fn change(
    store: &Store,
    kind: Kind,
    namespace: &str,
    name: &str,
    part: Option<Subresource>,
    mode: Mode,
    edit: impl Fn(&Value) -> Result<Value, ApiError>,
) -> Result<Written, ApiError> {
    loop {
        let current = store.get(kind, namespace, name).ok_or_else(|| ApiError::not_found(kind, name))?;
        let edited = match part {
            Some(Subresource::Scale) => edit(&scale::of(kind, &current))?,
            _ => edit(&current)?,
        };
        if let Some(version) = edited["metadata"]["resourceVersion"].as_str().filter(|version| !version.is_empty())
            && current["metadata"]["resourceVersion"] != version
        {
            return Err(refusal(kind, name, &StoreError::Conflict));
        }
        let Admitted { mut object, warnings } = match part {
            None | Some(Subresource::Eviction) => admit::update(kind, &current, edited, mode.validation)?,
            Some(Subresource::Status) => admit::update_status(kind, &current, edited, mode.validation)?,
            Some(Subresource::Scale) => {
                admit::update(kind, &current, scale::applied(kind, &current, &edited)?, mode.validation)?
            }
        };
        object["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
        let object = if mode.dry_run {
            Arc::new(object)
        } else {
            match store.update(kind, object) {
                Ok(object) => object,
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(refusal(kind, name, &error)),
            }
        };
        if !mode.dry_run && is_released(kind, &object) {
            // Whoever else removed it in the meantime did what was to be done.
            let _ = store.delete(kind, namespace, name, object["metadata"]["uid"].as_str());
        }
        return Ok(Written { code: StatusCode::OK, object, warnings });
    }
}

/// Whether an object was to be deleted and the last finalizer has let it go. A Pod with a grace period is the kubelet's to
/// remove, a Namespace goes when it is empty.
fn is_released(kind: Kind, object: &Value) -> bool {
    let metadata = &object["metadata"];
    kind != Kind::Namespace
        && metadata["deletionTimestamp"].is_string()
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && metadata["finalizers"].as_array().is_none_or(Vec::is_empty)
}

/// The store's refusal in the API's words.
pub fn refusal(kind: Kind, name: &str, error: &StoreError) -> ApiError {
    match error {
        StoreError::AlreadyExists => ApiError::already_exists(kind, name),
        StoreError::NotFound => ApiError::not_found(kind, name),
        StoreError::Conflict => ApiError::conflict(kind, name, &error.to_string()),
    }
}
