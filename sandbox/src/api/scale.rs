//! The `scale` subresource: a workload's size as an `autoscaling/v1` Scale.

use serde_json::{Value, json};

use crate::fields;
use crate::kind::Kind;
use crate::status::{ApiError, FieldError};

use super::table;

/// The Scale of a StatefulSet, Deployment or ReplicaSet.
pub fn of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": object["spec"]["replicas"] },
        "status": {
            "replicas": object["status"]["replicas"].as_i64().unwrap_or(0),
            "selector": table::selector_text(&object["spec"]["selector"]),
        },
    })
}

/// The workload with the number of replicas of a Scale.
///
/// # Errors
/// 400 if it is not a Scale, 422 if the number is invalid.
pub fn applied(kind: Kind, object: &Value, scale: &Value) -> Result<Value, ApiError> {
    if scale["kind"] != "Scale" {
        return Err(ApiError::bad_request(format!("expected a Scale of autoscaling/v1, found kind {}", scale["kind"])));
    }
    // Go omits a zero.
    let replicas = scale["spec"].get("replicas").cloned().unwrap_or(json!(0));
    if !replicas.is_u64() {
        let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        return Err(ApiError::invalid(kind, fields::metadata(object, "name"), &[error]));
    }
    let mut object = object.clone();
    object["spec"]["replicas"] = replicas;
    Ok(object)
}
