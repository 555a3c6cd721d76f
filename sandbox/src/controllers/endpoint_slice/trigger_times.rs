//! The time of the change that causes a slice to be written, from which the programming latency is measured.

use std::collections::HashMap;
use std::sync::Arc;

use crate::controllers::types::{Id, Pod};
use crate::controllers::workloads::Service;

/// The times that were last seen of each Service and its Pods. RFC 3339 in UTC can be compared as text.
#[derive(Default)]
pub struct TriggerTimes {
    services: HashMap<Id, Seen>,
}

#[derive(Default)]
struct Seen {
    service: String,
    pods: HashMap<String, String>,
}

impl TriggerTimes {
    /// The earliest time that was not seen before: for a Pod the last change of readiness, for a Service its creation. None if
    /// there is no such time.
    pub fn compute(&mut self, service: &Service, pods: &[Arc<Pod>]) -> Option<String> {
        let seen = self.services.entry(service.metadata.id()).or_default();
        let mut pod_times = HashMap::with_capacity(pods.len());
        let mut earliest: Option<String> = None;
        let mut note = |time: &str| {
            if earliest.as_deref().is_none_or(|earliest| time < earliest) {
                earliest = Some(time.to_owned());
            }
        };
        for pod in pods {
            let Some(time) = pod.condition("Ready").and_then(|ready| ready.last_transition_time.as_deref()) else {
                continue;
            };
            if seen.pods.get(&pod.metadata.name).is_none_or(|last| time > last.as_str()) {
                note(time);
            }
            pod_times.insert(pod.metadata.name.clone(), time.to_owned());
        }
        let created = service.metadata.creation_timestamp.as_deref().unwrap_or_default();
        if created > seen.service.as_str() {
            note(created);
        }
        *seen = Seen { service: created.to_owned(), pods: pod_times };
        earliest
    }

    pub fn forget(&mut self, service: &Id) {
        self.services.remove(service);
    }
}
