//! Creating and changing objects: admission, then the store, repeated if the object was modified in between.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::admit::{self, Admitted, Collection, FieldValidation};
use crate::kind::Kind;
use crate::status::ApiError;
use crate::store::{Object, Store, StoreError};
use crate::{deletion, fields, time};

use super::object_name::ObjectName;
use super::request::Subresource;
use super::scale;

/// Writes to a store through admission.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    pub store: &'a Store,
    pub validation: FieldValidation,
    /// Respond as if the object were written, without writing it.
    pub dry_run: bool,
}

/// The result of a write.
#[derive(Debug)]
pub struct Written {
    pub code: StatusCode,
    pub object: Object,
    pub warnings: Vec<String>,
}

impl Writer<'_> {
    /// Creates an object. `namespace` is empty for a cluster-scoped kind.
    ///
    /// # Errors
    /// Those of [`admit::create`], and 409 if there is already an object with this name.
    pub fn create(&self, kind: Kind, namespace: &str, object: Value) -> Result<Written, ApiError> {
        let Self { store, validation, dry_run } = *self;
        let Admitted { mut object, warnings } =
            admit::create(store, Collection { kind, namespace }, object, validation)?;
        let name = fields::metadata(&object, "name").to_owned();
        let created = if dry_run {
            if store.get(kind, namespace, &name).is_some() {
                return Err(ApiError::already_exists(kind, &name));
            }
            object["metadata"]["creationTimestamp"] = json!(time::now());
            object["metadata"]["generation"] = json!(1);
            Arc::new(object)
        } else {
            store.create(kind, object).map_err(|error| store_error(kind, &name, &error))?
        };
        Ok(Written { code: StatusCode::CREATED, object: created, warnings })
    }

    /// Changes an object or one of its subresources. `edit` makes the new state from the current one; it is called again if
    /// the object was modified in between, unless the new state has the resourceVersion that it was made from.
    ///
    /// # Errors
    /// 404 if there is no such object, 409 if the new state has an outdated resourceVersion, and those of `edit` and of
    /// admission.
    pub fn change(
        &self,
        target: ObjectName<'_>,
        subresource: Option<Subresource>,
        edit: impl Fn(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        let Self { store, validation, dry_run } = *self;
        let ObjectName { kind, namespace, name } = target;
        loop {
            let current = store.get(kind, namespace, name).ok_or_else(|| ApiError::not_found(kind, name))?;
            let edited = match subresource {
                Some(Subresource::Scale) => edit(&scale::of(&current))?,
                _ => edit(&current)?,
            };
            let version = fields::metadata(&edited, "resourceVersion");
            if !version.is_empty() && current["metadata"]["resourceVersion"] != version {
                return Err(store_error(kind, name, &StoreError::Conflict));
            }
            let Admitted { mut object, warnings } = match subresource {
                Some(Subresource::Status) => admit::update_status(kind, &current, edited, validation)?,
                Some(Subresource::Scale) => {
                    admit::update(kind, &current, scale::applied(kind, &current, &edited)?, validation)?
                }
                _ => admit::update(kind, &current, edited, validation)?,
            };
            object["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"].clone();
            if dry_run {
                return Ok(Written { code: StatusCode::OK, object: Arc::new(object), warnings });
            }
            let object = match store.update(kind, object) {
                Ok(object) => object,
                Err(StoreError::Conflict) => continue,
                Err(error) => return Err(store_error(kind, name, &error)),
            };
            if is_released(kind, &object) {
                // An error means that the object was removed in the meantime.
                let _ = store.delete(kind, namespace, name, object["metadata"]["uid"].as_str());
            }
            return Ok(Written { code: StatusCode::OK, object, warnings });
        }
    }
}

/// Whether an object is being deleted and has no finalizers left. Pods with a grace period are removed by the kubelet,
/// Namespaces by the namespace controller.
fn is_released(kind: Kind, object: &Value) -> bool {
    let metadata = &object["metadata"];
    kind != Kind::Namespace
        && deletion::is_terminating(object)
        && metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && fields::list(&metadata["finalizers"]).is_empty()
}

/// The store's error as a response.
pub fn store_error(kind: Kind, name: &str, error: &StoreError) -> ApiError {
    match error {
        StoreError::AlreadyExists => ApiError::already_exists(kind, name),
        StoreError::NotFound => ApiError::not_found(kind, name),
        StoreError::Conflict => ApiError::conflict(kind, name, &error.to_string()),
    }
}
