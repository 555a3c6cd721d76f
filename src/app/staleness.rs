//! Since when answers are stale: since the earliest last word among the required watches that have gone stale.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::cluster::{ClusterEvent, Resource, WatchId};

/// The watches that answers depend on: they must be listed completely before anything is answered. Pods are not among them,
/// because their EndpointSlices contain them too.
pub(super) const REQUIRED: [Resource; 2] = [Resource::Services, Resource::EndpointSlices];

/// Tracks the required watches that are stale.
#[derive(Default)]
pub(super) struct Staleness {
    /// Each stale watch with its last word.
    stale_watches: HashMap<WatchId, Timestamp>,
    /// The state that [`Staleness::take_change`] returned last.
    since: Option<Timestamp>,
}

impl Staleness {
    /// Of answers from the saved state of the last run. Only a complete synchronisation ends it: do not call
    /// [`Staleness::take_change`] before.
    pub fn of_saved_state(as_of: Timestamp) -> Self {
        Self { stale_watches: HashMap::new(), since: Some(as_of) }
    }

    /// Until when the answers are known to be true.
    pub fn fresh_until(&self) -> Timestamp {
        self.since.unwrap_or_else(Timestamp::now)
    }

    /// Records that a watch has gone stale or has recovered.
    pub fn observe(&mut self, event: &ClusterEvent) {
        match event {
            ClusterEvent::WatchStale { watch, since } if REQUIRED.contains(&watch.resource) => {
                self.stale_watches.insert(watch.clone(), *since);
            }
            ClusterEvent::WatchRecovered(watch) => {
                self.stale_watches.remove(watch);
            }
            _ => {}
        }
    }

    /// Whether [`Staleness::take_change`] would return anything.
    pub fn has_changed(&self) -> bool {
        self.since != self.earliest()
    }

    /// If staleness has changed since the last call: since when answers are stale, or None if they are fresh. Logs the
    /// beginning and the end of an outage.
    pub fn take_change(&mut self) -> Option<Option<Timestamp>> {
        let since = self.earliest();
        if since == self.since {
            return None;
        }
        match (self.since, since) {
            (None, Some(since)) => tracing::warn!(%since, "no contact with the API server; serving stale answers"),
            (Some(since), None) => tracing::info!(%since, "contact with the API server restored; answers are fresh"),
            _ => {}
        }
        self.since = since;
        Some(since)
    }

    fn earliest(&self) -> Option<Timestamp> {
        self.stale_watches.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Scope;

    /// T2, T4.
    #[test]
    fn answers_are_stale_since_the_earliest_last_word_until_there_is_word_on_each_required_watch() {
        let mut staleness = Staleness::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let watch = |resource| WatchId::new(resource, Scope::All);
        let stale = |resource, since| ClusterEvent::WatchStale { watch: watch(resource), since: at(since) };
        for (event, expected) in [
            (stale(Resource::Pods, 100), None),
            (stale(Resource::Services, 300), Some(Some(at(300)))),
            (stale(Resource::EndpointSlices, 200), Some(Some(at(200)))),
            (stale(Resource::Services, 300), None),
            (ClusterEvent::WatchProven(watch(Resource::Services)), None),
            (ClusterEvent::WatchRecovered(watch(Resource::EndpointSlices)), Some(Some(at(300)))),
            (ClusterEvent::WatchRecovered(watch(Resource::Pods)), None),
            (ClusterEvent::WatchRecovered(watch(Resource::Services)), Some(None)),
        ] {
            staleness.observe(&event);
            assert_eq!(staleness.has_changed(), expected.is_some(), "{event:?}");
            assert_eq!(staleness.take_change(), expected, "{event:?}");
        }
    }
}
