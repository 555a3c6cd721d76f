//! The four kinds of patch, told apart by their media type.

use serde_json::{Value, json};

use super::request::Params;
use super::status::{ApiError, FieldError};
use super::strategic;
use crate::kind::Kind;

const JSON: &str = "application/json-patch+json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// A patch, read but not yet tried on anything.
pub enum Patch {
    /// RFC 6902.
    Json(json_patch::Patch),
    /// RFC 7396.
    Merge(Value),
    /// Lists of objects are merged by a key, see [`strategic`].
    Strategic(Value),
    /// Server-side apply: what one manager wants to be true. Merged as a strategic patch is.
    Apply { wanted: Value, manager: String },
}

impl Patch {
    /// # Errors
    /// 415 for another media type, 400 for a body that is not such a patch, 422 for an apply without a field manager.
    pub fn parse(media_type: &str, body: &[u8], params: &Params) -> Result<Self, ApiError> {
        let unreadable =
            |error: &dyn std::fmt::Display| ApiError::bad_request(format!("error decoding patch: {error}"));
        let value = || serde_json::from_slice::<Value>(body).map_err(|error| unreadable(&error));
        match media_type {
            JSON => Ok(Self::Json(serde_json::from_slice(body).map_err(|error| unreadable(&error))?)),
            MERGE => Ok(Self::Merge(value()?)),
            STRATEGIC => Ok(Self::Strategic(value()?)),
            APPLY => {
                if params.field_manager.is_empty() {
                    let error = FieldError::required("fieldManager", "is required for apply patch");
                    return Err(ApiError::invalid_list_options(&error));
                }
                let wanted = serde_yaml_ng::from_slice(body).map_err(|error| unreadable(&error))?;
                Ok(Self::Apply { wanted, manager: params.field_manager.clone() })
            }
            _ => Err(ApiError::unsupported_media_type(&[JSON, MERGE, STRATEGIC, APPLY])),
        }
    }

    /// The object after the patch.
    ///
    /// # Errors
    /// 422 if the patch does not fit the object.
    pub fn apply(&self, kind: Kind, object: &Value) -> Result<Value, ApiError> {
        let mut patched = object.clone();
        match self {
            Self::Json(patch) => json_patch::patch(&mut patched, patch).map_err(|error| {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                ApiError::invalid(
                    kind,
                    name,
                    &[FieldError::invalid("patch", error.path.to_string(), error.to_string())],
                )
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

    /// What to create if there is no object to patch, which is something that only an apply does.
    pub fn to_create(&self) -> Option<Value> {
        let Self::Apply { wanted, manager } = self else { return None };
        let mut object = wanted.clone();
        record_manager(&mut object, manager);
        Some(object)
    }
}

/// Notes who applied. Which fields are whose is not kept: the sandbox has no conflicts between managers.
fn record_manager(object: &mut Value, manager: &str) {
    let entry = json!({
        "manager": manager,
        "operation": "Apply",
        "apiVersion": object["apiVersion"],
        "time": crate::now(),
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
    });
    // What is no object with metadata is refused by admission, with a better reason than could be given here.
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let managers = metadata.entry("managedFields").or_insert_with(|| json!([]));
    if let Some(list) = managers.as_array_mut()
        && !list.iter().any(|known| known["manager"] == manager && known["operation"] == "Apply")
    {
        list.push(entry);
    }
}
