//! The contents of an index at one moment, to be saved for the next start.

use std::sync::Arc;

use super::store::Objects;
use super::tombstones::Tombstone;
use crate::cluster::{Pod, Positions, Scope, Service, Slice};

/// The contents of an index at one moment. Objects are shared with the index, which goes on meanwhile: taking a snapshot
/// counts references and does not copy the cluster.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub services: Objects<Arc<Service>>,
    pub slices: Objects<Arc<Slice>>,
    pub pods: Objects<Pod>,
    pub tombstones: Vec<Tombstone>,
    pub listed_pods: Vec<ListedPods>,
    /// How far the watches had come with these objects.
    pub positions: Positions,
}

/// A scope whose Pods are listed completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPods {
    pub scope: Scope,
    /// They are up to date, as far as is known.
    pub are_trusted: bool,
}
