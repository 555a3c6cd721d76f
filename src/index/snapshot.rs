//! What an index knows at one moment, to be kept for the next start, and an index that knows it again.

use std::sync::Arc;

use super::{Index, Objects};
use crate::cluster::{Pod, Scope, Service, Slice, Uid};

/// What an index knew at one moment. The objects are shared with the index, which goes on meanwhile: to take it is to count
/// references, not to copy the cluster.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub services: Objects<Arc<Service>>,
    pub slices: Objects<Arc<Slice>>,
    pub pods: Objects<Pod>,
    /// Pods that are gone while slices may repeat them still, each with whether it was about to go.
    pub gone: Vec<(Uid, bool)>,
    /// The scopes whose Pods are known and kept up with.
    pub heard_pods: Vec<Scope>,
}

impl Index {
    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        let heard = self.pods.heard();
        Snapshot {
            services: self.services.objects().clone(),
            slices: self.slices.objects().clone(),
            pods: self.pods.store.objects().clone(),
            gone: self.pods.gone().collect(),
            heard_pods: heard.cloned().collect(),
        }
    }

    /// Takes in a Pod that was gone when a snapshot was taken.
    pub fn restore_gone_pod(&mut self, uid: Uid, was_terminating: bool) {
        self.pods.restore_gone(uid, was_terminating);
    }

    /// Takes in that the Pods of a scope were known when a snapshot was taken.
    pub fn restore_heard_pods(&mut self, scope: Scope) {
        self.touch_services_of_pods(&scope);
        self.pods.restore_listed(scope);
    }

    /// Relies on slices, and not on Pods that a snapshot alone told of, until a watch tells of the Pods.
    pub fn distrust_restored_pods(&mut self) {
        for scope in self.pods.distrust_restored() {
            self.touch_services_of_pods(&scope);
        }
    }
}
