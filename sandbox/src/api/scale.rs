//! The `scale` subresource: a workload's size as an `autoscaling/v1` Scale.

use serde_json::{Value, json};

use super::status::{ApiError, FieldError};
use super::table;
use crate::kind::Kind;

/// The Scale of a StatefulSet, Deployment or ReplicaSet.
pub fn of(kind: Kind, object: &Value) -> Value {
    debug_assert!(super::request::Subresource::Scale.is_of(kind), "{kind:?} has no scale");
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

/// The workload with the size that a Scale asks for.
///
/// # Errors
/// 400 if it is not a Scale, 422 if it asks for no size.
pub fn applied(kind: Kind, object: &Value, scale: &Value) -> Result<Value, ApiError> {
    if scale["kind"] != "Scale" {
        return Err(ApiError::bad_request(format!("expected a Scale of autoscaling/v1, found kind {}", scale["kind"])));
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    // Go leaves out a zero, so no size at all means none.
    let replicas = scale["spec"].get("replicas").cloned().unwrap_or(json!(0));
    if !replicas.is_u64() {
        let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        return Err(ApiError::invalid(kind, name, &[error]));
    }
    let mut object = object.clone();
    object["spec"]["replicas"] = replicas;
    Ok(object)
}
