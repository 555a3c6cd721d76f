//! The contents of an index at one moment, to be saved for the next start.

use std::sync::Arc;

use super::store::Objects;
use super::tombstones::Tombstone;
use crate::cluster::{Pod, Scope, Service, Slice};

/// The contents of an index at one moment. Objects are shared with the index, which goes on meanwhile: taking a snapshot
/// counts references and does not copy the cluster.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub services: Objects<Arc<Service>>,
    pub slices: Objects<Arc<Slice>>,
    pub pods: Objects<Pod>,
    pub tombstones: Vec<Tombstone>,
    /// The scopes whose Pods are listed completely and up to date.
    pub trusted_pod_scopes: Vec<Scope>,
}
