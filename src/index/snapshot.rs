//! What an index knows at one moment, to be kept for the next start, and an index that knows it again.

use std::sync::Arc;

use super::Index;
use crate::cluster::{Change, Pod, Scope, Service, Slice, Uid, Update};

/// What an index knew at one moment. The objects are shared with the index, which goes on meanwhile: to take it is to count
/// references, not to copy the cluster.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub services: Vec<Arc<Service>>,
    pub slices: Vec<Arc<Slice>>,
    pub pods: Vec<Arc<Pod>>,
    /// Pods that are gone while slices may repeat them still, each with whether it was about to go.
    pub gone: Vec<(Uid, bool)>,
    /// The scopes whose Pods are known and kept up with.
    pub heard_pods: Vec<Scope>,
}

impl Index {
    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        let heard = self.pods.listed().filter(|scope| !self.deaf_to_pods.contains(*scope));
        Snapshot {
            services: self.services.share(),
            slices: self.slices.share(),
            pods: self.pods.store.share(),
            gone: self.pods.gone().collect(),
            heard_pods: heard.cloned().collect(),
        }
    }

    /// Takes in a Pod that was gone when a snapshot was taken.
    pub fn remember_gone_pod(&mut self, uid: Uid, was_terminating: bool) {
        self.pods.remember(uid, was_terminating);
    }

    /// Takes in that the Pods of a scope were known when a snapshot was taken, after all of them.
    pub fn remember_heard_pods(&mut self, scope: Scope) {
        self.apply(Update::Pod(scope, Change::RelistDone));
    }

    /// Relies on slices, and not on Pods that a snapshot told of, until the watch tells of the Pods itself.
    pub fn distrust_pods(&mut self, scope: &Scope) {
        if self.pods.unlist(scope) {
            self.touch_services_of_pods(scope);
        }
    }
}
