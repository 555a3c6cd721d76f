//! The namespaces that a cluster starts with.

use serde_json::json;

use super::status::ApiError;
use super::write::{self, Mode};
use crate::admit::FieldValidation;
use crate::kind::Kind;
use crate::store::Store;

/// What every cluster has from the start.
const INITIAL: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Creates the initial namespaces.
///
/// # Errors
/// None that can happen in an empty store.
pub fn create_initial(store: &Store) -> Result<(), ApiError> {
    let mode = Mode { validation: FieldValidation::Strict, dry_run: false };
    for name in INITIAL {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        write::create(store, Kind::Namespace, "", namespace, mode)?;
    }
    Ok(())
}
