//! The four kinds of patch, distinguished by media type.

use serde_json::Value;

use crate::fields;
use crate::kind::Kind;
use crate::status::{ApiError, FieldError};

use super::lists::{Place, Rules};
use super::request::Params;
use super::{apply, strategic};

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
    /// Server-side apply by a field manager, see [`apply`].
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
            Self::Strategic(patch) => {
                strategic::merge(Place::root(kind, Rules::StrategicMerge), &mut patched, patch);
            }
            Self::Apply { wanted, manager } => apply::apply(kind, &mut patched, wanted, manager),
        }
        Ok(patched)
    }

    /// The object to create if there is none to patch, for an apply.
    pub fn to_create(&self, kind: Kind) -> Option<Value> {
        let Self::Apply { wanted, manager } = self else { return None };
        let mut object = wanted.clone();
        apply::apply(kind, &mut object, wanted, manager);
        Some(object)
    }
}
