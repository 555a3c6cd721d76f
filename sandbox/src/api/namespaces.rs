//! The namespaces that every cluster has from the start.

use serde_json::json;

use crate::admit::FieldValidation;
use crate::kind::Kind;
use crate::status::ApiError;
use crate::store::Store;

use super::write::Writer;

const INITIAL: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Creates the initial namespaces.
///
/// # Errors
/// None in an empty store.
pub fn create_initial_namespaces(store: &Store) -> Result<(), ApiError> {
    let writer = Writer { store, validation: FieldValidation::Strict, dry_run: false };
    for name in INITIAL {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        writer.create(Kind::Namespace, "", namespace)?;
    }
    Ok(())
}
