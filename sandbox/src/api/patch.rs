//! The four kinds of patch, distinguished by media type.

use serde_json::{Value, json};

use crate::kind::Kind;
use crate::status::{ApiError, FieldError};
use crate::{fields, time};

use super::request::Params;
use super::strategic;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A decoded patch.
pub enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7396.
    Merge(Value),
    /// Strategic merge patch, see [`strategic`].
    Strategic(Value),
    /// Server-side apply by a field manager. Merged like a strategic merge patch.
    Apply { wanted: Value, manager: String },
}

impl Patch {
    /// # Errors
    /// 415 for other media types, 400 for an invalid body, 422 for an apply without a field manager.
    pub fn parse(media_type: &str, body: &[u8], params: &Params) -> Result<Self, ApiError> {
        let invalid = |error: &dyn std::fmt::Display| ApiError::bad_request(format!("error decoding patch: {error}"));
        let value = || serde_json::from_slice::<Value>(body).map_err(|error| invalid(&error));
        match media_type {
            JSON => Ok(Self::Json(serde_json::from_slice(body).map_err(|error| invalid(&error))?)),
            MERGE => Ok(Self::Merge(value()?)),
            STRATEGIC => Ok(Self::Strategic(value()?)),
            APPLY => {
                if params.field_manager.is_empty() {
                    let error = FieldError::required("fieldManager", "is required for apply patch");
                    return Err(ApiError::invalid_list_options(&error));
                }
                let wanted = serde_yaml_ng::from_slice(body).map_err(|error| invalid(&error))?;
                Ok(Self::Apply { wanted, manager: params.field_manager.clone() })
            }
            _ => Err(ApiError::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY])),
        }
    }

    /// Returns the patched object.
    ///
    /// # Errors
    /// 422 if the patch cannot be applied to the object.
    pub fn apply(&self, kind: Kind, object: &Value) -> Result<Value, ApiError> {
        let mut patched = object.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut patched, patch).map_err(|error| {
                let problem = FieldError::invalid("patch", error.path.to_string(), error.to_string());
                ApiError::invalid(kind, fields::metadata(object, "name"), &[problem])
            })?,
            Self::Merge(patch) => json_patch::merge(&mut patched, patch),
            Self::Strategic(patch) => strategic::merge(kind, &mut patched, patch),
            Self::Apply { wanted, manager } => {
                strategic::merge(kind, &mut patched, wanted);
                record_manager(&mut patched, manager);
            }
        }
        Ok(patched)
    }

    /// The object to create if there is none to patch, for an apply.
    pub fn to_create(&self) -> Option<Value> {
        let Self::Apply { wanted, manager } = self else { return None };
        let mut object = wanted.clone();
        record_manager(&mut object, manager);
        Some(object)
    }
}

/// Adds the manager to `managedFields`. Field ownership is not tracked, so there are no conflicts between managers.
fn record_manager(object: &mut Value, manager: &str) {
    let entry = json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": object["apiVersion"],
        "time": time::now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    });
    // An object without metadata is rejected by admission.
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let managers = metadata.entry("managedFields").or_insert_with(|| json!([]));
    if let Some(list) = managers.as_array_mut()
        && !list.iter().any(|known| known["manager"] == manager && known["operation"] == "Apply")
    {
        list.push(entry);
    }
}
