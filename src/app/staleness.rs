//! Since when answers are stale, and why: since the earliest last word among the required watches that have gone stale.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::cluster::{ClusterEvent, Resource, WatchId};
use crate::records::{Silence, Stale};

/// The watches that answers depend on: they must be listed completely before anything is answered. Pods are not among them,
/// because their EndpointSlices contain them too.
pub(super) const REQUIRED: [Resource; 2] = [Resource::Services, Resource::EndpointSlices];

/// Tracks the required watches that are stale.
#[derive(Default)]
pub(super) struct Staleness {
    /// The last word of which there are answers, while they come from the saved state.
    saved: Option<Timestamp>,
    /// Each stale watch with its last word.
    stale_watches: HashMap<WatchId, Timestamp>,
    /// Why there is no word on a watch, where that is known, whether it is stale or not.
    silences: HashMap<WatchId, Silence>,
    /// What [`Staleness::take_change`] returned last.
    reported: Option<Stale>,
}

impl Staleness {
    /// Of answers from the saved state of the last run.
    pub fn of_saved_state(stale: Stale) -> Self {
        Self { saved: Some(stale.since), reported: Some(stale), ..Self::default() }
    }

    pub fn is_of_saved_state(&self) -> bool {
        self.saved.is_some()
    }

    /// Everything has been listed, so answers do not come from the saved state any more.
    pub fn end_saved_state(&mut self) {
        self.saved = None;
    }

    /// Until when the answers are known to be true.
    pub fn fresh_until(&self) -> Timestamp {
        self.reported.map_or_else(Timestamp::now, |stale| stale.since)
    }

    /// Records what a watch says of itself.
    pub fn observe(&mut self, event: &ClusterEvent) {
        match event {
            ClusterEvent::WatchStale { watch, since } if REQUIRED.contains(&watch.resource) => {
                self.stale_watches.insert(watch.clone(), *since);
            }
            ClusterEvent::WatchRecovered(watch) => {
                self.stale_watches.remove(watch);
            }
            ClusterEvent::WatchSilence { watch, silence } if REQUIRED.contains(&watch.resource) => {
                self.silences.insert(watch.clone(), *silence);
            }
            _ => {}
        }
    }

    /// Whether [`Staleness::take_change`] would return anything.
    pub fn has_changed(&self) -> bool {
        self.reported != self.current()
    }

    /// If staleness has changed since the last call: since when and why answers are stale, or None if they are fresh. Logs the
    /// beginning and the end.
    pub fn take_change(&mut self) -> Option<Option<Stale>> {
        let current = self.current();
        let before = std::mem::replace(&mut self.reported, current);
        if current == before {
            return None;
        }
        match (before, current) {
            (None, Some(Stale { since, silence })) => match silence {
                Silence::Unexplained => tracing::warn!(%since, "no word from the cluster; serving stale answers"),
                Silence::Unreachable => tracing::warn!(%since, "no contact with the API server; serving stale answers"),
                Silence::Refused(status) => {
                    tracing::warn!(%since, %status, "the API server refuses; serving stale answers");
                }
            },
            (Some(Stale { since, .. }), None) => {
                tracing::info!(%since, "there is word from the cluster again; answers are fresh");
            }
            _ => {}
        }
        Some(current)
    }

    /// The earliest last word, and of what is known of the stale watches that which tells the most.
    fn current(&self) -> Option<Stale> {
        let since = self.saved.or_else(|| self.stale_watches.values().min().copied())?;
        let is_stale = |watch: &WatchId| self.saved.is_some() || self.stale_watches.contains_key(watch);
        let silences = self.silences.iter().filter(|(watch, _)| is_stale(watch)).map(|(_, silence)| *silence);
        Some(Stale { since, silence: silences.max().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Scope;

    fn watch(resource: Resource) -> WatchId {
        WatchId::new(resource, Scope::All)
    }

    fn stale(resource: Resource, since: i64) -> ClusterEvent {
        ClusterEvent::WatchStale { watch: watch(resource), since: Timestamp::from_second(since).unwrap() }
    }

    fn silence(resource: Resource, silence: Silence) -> ClusterEvent {
        ClusterEvent::WatchSilence { watch: watch(resource), silence }
    }

    /// What an event changes: nothing, or since when and why answers are stale from then on.
    type Expected = Option<Option<(i64, Silence)>>;

    /// Checks what each event changes.
    fn check<const N: usize>(mut staleness: Staleness, events: [(ClusterEvent, Expected); N]) -> Staleness {
        for (event, expected) in events {
            let stale = |(since, silence)| Stale { since: Timestamp::from_second(since).unwrap(), silence };
            let expected = expected.map(|change| change.map(stale));
            staleness.observe(&event);
            assert_eq!(staleness.has_changed(), expected.is_some(), "{event:?}");
            assert_eq!(staleness.take_change(), expected, "{event:?}");
        }
        staleness
    }

    /// T2, T4.
    #[test]
    fn answers_are_stale_since_the_earliest_last_word_until_there_is_word_on_each_required_watch() {
        let since = |since| Some(Some((since, Silence::Unexplained)));
        let events = [
            (stale(Resource::Pods, 100), None),
            (stale(Resource::Services, 300), since(300)),
            (stale(Resource::EndpointSlices, 200), since(200)),
            (stale(Resource::Services, 300), None),
            (ClusterEvent::WatchProven(watch(Resource::Services)), None),
            (ClusterEvent::WatchRecovered(watch(Resource::EndpointSlices)), since(300)),
            (ClusterEvent::WatchRecovered(watch(Resource::Pods)), None),
            (ClusterEvent::WatchRecovered(watch(Resource::Services)), Some(None)),
            (stale(Resource::EndpointSlices, 400), since(400)),
            (stale(Resource::Services, 500), None),
        ];
        check(Staleness::default(), events);
    }

    /// T8.
    #[test]
    fn why_answers_are_stale_is_what_the_stale_watches_were_answered_last() {
        let refused = Silence::Refused(http::StatusCode::FORBIDDEN);
        let events = [
            (silence(Resource::Services, refused), None),
            (silence(Resource::Pods, refused), None),
            (stale(Resource::EndpointSlices, 200), Some(Some((200, Silence::Unexplained)))),
            (silence(Resource::EndpointSlices, Silence::Unreachable), Some(Some((200, Silence::Unreachable)))),
            (stale(Resource::Services, 300), Some(Some((200, refused)))),
            (silence(Resource::Services, Silence::Unreachable), Some(Some((200, Silence::Unreachable)))),
            (silence(Resource::EndpointSlices, Silence::Unexplained), None),
            (silence(Resource::Services, Silence::Unexplained), Some(Some((200, Silence::Unexplained)))),
        ];
        check(Staleness::default(), events);
    }

    /// T2, T8.
    #[test]
    fn the_saved_state_is_stale_since_it_was_saved_and_for_what_any_watch_was_answered_last() {
        let saved = Stale { since: Timestamp::from_second(100).unwrap(), silence: Silence::Unexplained };
        let events = [
            (silence(Resource::Pods, Silence::Unreachable), None),
            (silence(Resource::Services, Silence::Unreachable), Some(Some((100, Silence::Unreachable)))),
            (stale(Resource::Services, 200), None),
        ];
        let mut staleness = check(Staleness::of_saved_state(saved), events);
        assert!(staleness.is_of_saved_state());
        staleness.end_saved_state();
        assert!(!staleness.is_of_saved_state());
        check(staleness, [(ClusterEvent::WatchRecovered(watch(Resource::Services)), Some(None))]);
    }
}
