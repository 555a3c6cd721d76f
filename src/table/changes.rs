//! What has changed since somebody last asked, for whoever keeps versions of the table.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::shared::{Published, Shared};
use crate::records::ServiceKey;

/// A Service before and after a change; none where it does not exist.
#[derive(Clone, Debug)]
pub struct Change {
    pub service: ServiceKey,
    pub before: Option<Arc<Published>>,
    pub after: Option<Arc<Published>>,
}

/// The Services that have changed, with their records before the first change.
#[derive(Default)]
pub(super) struct Changes(HashMap<ServiceKey, Option<Arc<Published>>, RandomState>);

impl Changes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records that a Service is about to change.
    pub fn record(&mut self, service: &ServiceKey, before: Option<&Arc<Published>>) {
        if !self.0.contains_key(service) {
            self.0.insert(service.clone(), before.cloned());
        }
    }

    /// Everything recorded since the last call, with the records as they are now.
    pub fn take(&mut self, shared: &Shared) -> Vec<Change> {
        let guard = shared.services.guard();
        let change = |(service, before): (ServiceKey, Option<Arc<Published>>)| {
            let after = shared.services.get(&service, &guard).cloned();
            Change { service, before, after }
        };
        std::mem::take(&mut self.0).into_iter().map(change).collect()
    }
}
