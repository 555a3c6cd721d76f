//! `metav1.PartialObjectMetadata`: objects reduced to their metadata.

use serde_json::{Value, json};

use crate::store::Object;

/// One object.
pub fn object(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

/// A list with its own metadata.
pub fn list(metadata: &Value, objects: &[Object]) -> Value {
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": objects.iter().map(|one| object(one)).collect::<Vec<_>>(),
    })
}
