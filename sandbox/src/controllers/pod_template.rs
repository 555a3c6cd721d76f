//! Pods made from a workload's template, and ownership by controllers.

use serde_json::{Value, json};

use crate::kind::Kind;

use super::actions::{Action, Target};
use super::types::Meta;

/// A Pod from `template`, controlled by the workload with the metadata `owner`. It has a `generateName` but no name.
pub fn pod_from_template(template: &Value, owner_kind: Kind, owner: &Meta) -> Value {
    let mut metadata = json!({
        "namespace": owner.namespace,
        "generateName": format!("{}-", owner.name),
        "labels": {},
        "ownerReferences": [controller_reference(owner_kind, owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field).filter(|value| !value.is_null()) {
            metadata[field] = value.clone();
        }
    }
    json!({"metadata": metadata, "spec": template["spec"]})
}

/// The owner reference of a controller.
pub fn controller_reference(kind: Kind, owner: &Meta) -> Value {
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Adopts an object that has no controller. Its other owners are kept.
pub fn adopt(owner_kind: Kind, owner: &Meta, kind: Kind, orphan: &Meta) -> Action {
    let present = orphan.owner_references.iter().map(|reference| json!(reference));
    let owners: Vec<Value> = present.chain([controller_reference(owner_kind, owner)]).collect();
    Action::Merge(Target::new(kind, orphan), json!({"metadata": {"ownerReferences": owners}}))
}
