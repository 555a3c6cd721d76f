//! Namespaces: the ones that a cluster starts with, and the end of those that are deleted.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::delete::{Options, delete_all};
use super::status::ApiError;
use super::write::{self, Mode};
use crate::sandbox::admit::FieldValidation;
use crate::sandbox::kind::Kind;
use crate::sandbox::store::{Object, Store};

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

/// Empties namespaces that are to go, and removes them when nothing is left in them. Runs until `shutdown`.
pub async fn run(store: Arc<Store>, shutdown: CancellationToken) {
    let mut latest = store.subscribe();
    loop {
        latest.mark_unchanged();
        for namespace in store.list(Kind::Namespace, None).1 {
            if namespace["metadata"]["deletionTimestamp"].is_string() {
                finish(&store, &namespace);
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = latest.changed() => if changed.is_err() { return },
        }
    }
}

/// Deletes what is in the namespace, or the namespace itself if that is nothing.
fn finish(store: &Store, namespace: &Object) {
    let name = namespace["metadata"]["name"].as_str().unwrap_or_default();
    let mut empty = true;
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_namespaced()) {
        let (_, mut objects) = store.list(kind, Some(name));
        empty &= objects.is_empty();
        objects.retain(|object| !object["metadata"]["deletionTimestamp"].is_string());
        // Without preconditions there is nothing to refuse.
        let _ = delete_all(store, kind, objects, &Options::default());
    }
    if empty {
        // Gone already is as good.
        let _ = store.delete(Kind::Namespace, "", name, namespace["metadata"]["uid"].as_str());
    }
}
