//! Reconcile: a periodic list that verifies a healthy watch. Which differences did the watch miss, and which are simply too
//! recent?
//!
//! Objects go on changing between the last event of the watch and the list. If that event was recent, objects newer than it
//! are such changes; on a watch that has been idle for a while every difference counts as missed. A deleted object has no
//! version in a list: one that is deleted in the milliseconds between the two counts as missed.

use std::time::Duration;

use tokio::time::Instant;

use super::events::Event;
use crate::cluster::decoding::{Incoming, Kind};

/// How long an event may be in flight before it counts as missed.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// The position of a watch, and of the list that verifies it.
#[derive(Debug)]
pub(super) struct Reconcile {
    /// The resourceVersion of the last event. The API does not promise that they are ordered, but they are, and nothing but
    /// a count depends on it.
    reached: u64,
    /// When the last event arrived.
    last_event: Instant,
    /// The highest resourceVersion in the current list.
    listed: u64,
    /// The next list is a reconcile.
    is_due: bool,
    /// The number of objects in the current list that are newer than the watch. None if the list is not a reconcile.
    newer: Option<usize>,
}

impl Reconcile {
    pub fn new() -> Self {
        Self { reached: 0, last_event: Instant::now(), listed: 0, is_due: false, newer: None }
    }

    /// The next list verifies the watch, which has been healthy until now.
    pub fn start(&mut self) {
        if self.last_event.elapsed() > IN_FLIGHT {
            self.reached = u64::MAX;
        }
        self.is_due = true;
    }

    /// The watch has failed: a list finds changes that it could not have reported.
    pub fn cancel(&mut self) {
        self.is_due = false;
        self.newer = None;
    }

    /// Follows the events of the watch. At the end of a reconcile, returns how many of its objects may differ although the
    /// watch missed nothing.
    pub fn observe<K: Kind>(&mut self, event: &Event<K>) -> Option<usize> {
        match event {
            Event::ListStarted => {
                self.listed = 0;
                // A second list, after one that was not completed, is not a reconcile.
                self.newer = std::mem::take(&mut self.is_due).then_some(0);
            }
            Event::Listed(object) => {
                let version = version(object);
                self.listed = self.listed.max(version);
                if let Some(newer) = &mut self.newer
                    && version > self.reached
                {
                    *newer += 1;
                }
            }
            Event::ListCompleted(_) => {
                (self.reached, self.last_event) = (self.listed, Instant::now());
                return self.newer.take();
            }
            Event::Applied(object) | Event::Deleted(object) => {
                (self.reached, self.last_event) = (version(object), Instant::now());
            }
            Event::Bookmark(_) => {}
        }
        None
    }
}

fn version<K: Kind>(object: &Incoming<K>) -> u64 {
    object.version().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::cluster::objects::Service;

    fn at(version: u64) -> Incoming<Service> {
        let object = json!({ "metadata": { "resourceVersion": version.to_string() } }).to_string();
        serde_json::from_str(&object).expect("an object")
    }

    /// Observes a list of objects with these resourceVersions.
    fn list(reconcile: &mut Reconcile, versions: &[u64]) -> Option<usize> {
        assert_eq!(reconcile.observe(&Event::<Service>::ListStarted), None);
        for version in versions {
            assert_eq!(reconcile.observe(&Event::Listed(at(*version))), None);
        }
        reconcile.observe(&Event::<Service>::ListCompleted("1".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn on_a_busy_watch_what_is_newer_than_its_last_event_is_not_missed() {
        let mut reconcile = Reconcile::new();
        assert_eq!(list(&mut reconcile, &[1, 2]), None, "the first list is not a reconcile");
        reconcile.observe(&Event::Applied(at(5)));
        reconcile.start();
        assert_eq!(list(&mut reconcile, &[1, 5, 4, 7, 8]), Some(2));
        reconcile.start();
        assert_eq!(list(&mut reconcile, &[8, 9]), Some(1), "a list moves the position like events do");
    }

    #[tokio::test(start_paused = true)]
    async fn on_an_idle_watch_every_difference_is_missed() {
        let mut reconcile = Reconcile::new();
        reconcile.observe(&Event::Deleted(at(5)));
        advance(IN_FLIGHT * 2).await;
        reconcile.start();
        assert_eq!(list(&mut reconcile, &[5, 7, 8]), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_after_a_failure_is_not_a_reconcile() {
        let mut reconcile = Reconcile::new();
        reconcile.observe(&Event::Applied(at(5)));
        reconcile.start();
        reconcile.observe(&Event::<Service>::ListStarted);
        reconcile.cancel();
        assert_eq!(list(&mut reconcile, &[1]), None);
        reconcile.start();
        reconcile.observe(&Event::<Service>::ListStarted);
        assert_eq!(list(&mut reconcile, &[1]), None, "nor is one after an incomplete list");
    }
}
