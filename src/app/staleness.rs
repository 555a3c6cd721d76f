//! When answers begin to be stale, and when they no longer are.

use std::collections::HashMap;

use jiff::Timestamp;

use super::mirror::REQUIRED;
use crate::cluster::{ClusterEvent, WatchId};

/// Since when answers may be out of date, by the silence of the watches that they depend on.
#[derive(Default)]
pub(super) struct Staleness {
    silent: HashMap<WatchId, Timestamp>,
    /// What was told last.
    since: Option<Timestamp>,
}

impl Staleness {
    /// That of answers which are known from the last run alone. Whatever the watches say from here on, only a list of
    /// everything ends it, which is when [`Staleness::news`] is to be asked for.
    pub fn of_last_run(as_of: Timestamp) -> Self {
        Self { silent: HashMap::new(), since: Some(as_of) }
    }

    /// Until when answers are the truth, as far as is known.
    pub fn fresh_until(&self) -> Timestamp {
        self.since.unwrap_or_else(Timestamp::now)
    }

    /// Takes note of what an event says of its watch.
    pub fn take(&mut self, event: &ClusterEvent) {
        match event {
            ClusterEvent::WatchStale { watch, since } if REQUIRED.contains(&watch.resource) => {
                self.silent.insert(watch.clone(), *since);
            }
            ClusterEvent::WatchRecovered(watch) => {
                self.silent.remove(watch);
            }
            _ => {}
        }
    }

    /// Whether there is anything to be told.
    pub fn has_changed(&self) -> bool {
        self.since != self.silent.values().min().copied()
    }

    /// Since when answers are stale now, none while they are not, if that is not what was told last. Begin and end are
    /// logged.
    pub fn news(&mut self) -> Option<Option<Timestamp>> {
        let since = self.silent.values().min().copied();
        if since == self.since {
            return None;
        }
        match (self.since, since) {
            (None, Some(since)) => {
                tracing::warn!(%since, "nothing is heard of the cluster; the last known answers go on, as stale");
            }
            (Some(since), None) => tracing::info!(%since, "the cluster is heard again"),
            _ => {}
        }
        self.since = since;
        Some(since)
    }
}
