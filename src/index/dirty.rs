//! The Services whose records have to be derived anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{EventTimes, Service};
use crate::records::ServiceKey;

/// A change of a Service that is not published yet.
#[derive(Clone, Debug)]
pub struct PendingChange {
    pub service: Arc<Service>,
    /// The earliest times of the changes that are published together.
    pub times: EventTimes,
}

#[derive(Debug, Default)]
pub(super) struct DirtyServices {
    /// With the earliest times of their changes; none where no latency is measured.
    services: BTreeMap<ServiceKey, Option<EventTimes>>,
}

impl DirtyServices {
    pub fn mark(&mut self, service: &ServiceKey, times: Option<EventTimes>) {
        match self.services.get_mut(service) {
            Some(known) => *known = EventTimes::earliest(*known, times),
            None => drop(self.services.insert(service.clone(), times)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The times of all Services that have some. They have none afterwards, and stay dirty.
    pub fn take_times(&mut self) -> impl Iterator<Item = (&ServiceKey, EventTimes)> {
        self.services.iter_mut().filter_map(|(key, times)| Some((key, times.take()?)))
    }

    pub fn pop(&mut self) -> Option<ServiceKey> {
        self.services.pop_first().map(|(key, _)| key)
    }
}
