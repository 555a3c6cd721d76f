//! Checking a watch by a list: what of the differences the watch owed, and what it had no time to tell of.
//!
//! Between a watch's last event and the list that follows, objects change as ever. On a watch that has just said
//! something, objects newer than its last event are such changes; one that has said nothing for a while owes everything
//! that the list says anew. An object that is gone has no version in a list: one that goes in the milliseconds between
//! the two counts as owed.

use std::time::Duration;

use kube::Resource;
use kube::runtime::watcher::Event;
use tokio::time::Instant;

/// An event is on its way for no longer than this, unless it is lost.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// How far a watch has come, and the list that checks it.
#[derive(Debug)]
pub(super) struct Check {
    /// The resourceVersion of the last event. The API promises no order of them, but has one, and only a count depends on
    /// it.
    reached: u64,
    heard: Instant,
    /// The highest resourceVersion in the list that is under way.
    listed: u64,
    /// The next list is a check.
    is_due: bool,
    /// The objects of a list under way that are newer than the watch; none if the list is no check.
    newer: Option<usize>,
}

impl Check {
    pub fn new() -> Self {
        Self { reached: 0, heard: Instant::now(), listed: 0, is_due: false, newer: None }
    }

    /// The next list checks the watch, which was all right up to now.
    pub fn begin(&mut self) {
        if self.heard.elapsed() > UNDER_WAY {
            self.reached = u64::MAX;
        }
        self.is_due = true;
    }

    /// The watch has failed: a list from now on finds what nobody could have told of.
    pub fn fail(&mut self) {
        self.is_due = false;
        self.newer = None;
    }

    /// Takes note of an event. At the end of a check, how many of its objects may differ without the watch's fault.
    pub fn take<K: Resource>(&mut self, event: &Event<K>) -> Option<usize> {
        match event {
            Event::Init => {
                self.listed = 0;
                // A second list, after one that came to no end, is no check.
                self.newer = std::mem::take(&mut self.is_due).then_some(0);
            }
            Event::InitApply(object) => {
                let version = version(object);
                self.listed = self.listed.max(version);
                if let Some(newer) = &mut self.newer
                    && version > self.reached
                {
                    *newer += 1;
                }
            }
            Event::InitDone => {
                (self.reached, self.heard) = (self.listed, Instant::now());
                return self.newer.take();
            }
            Event::Apply(object) | Event::Delete(object) => {
                (self.reached, self.heard) = (version(object), Instant::now());
            }
        }
        None
    }
}

fn version(object: &impl Resource) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use tokio::time::advance;

    use super::*;

    fn at(version: u64) -> Service {
        let mut service = Service::default();
        service.metadata.resource_version = Some(version.to_string());
        service
    }

    /// The outcome of a list of objects with these resourceVersions.
    fn list(check: &mut Check, versions: &[u64]) -> Option<usize> {
        assert_eq!(check.take(&Event::<Service>::Init), None);
        for version in versions {
            assert_eq!(check.take(&Event::InitApply(at(*version))), None);
        }
        check.take(&Event::<Service>::InitDone)
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_watch_owes_nothing_that_is_newer_than_its_last_event() {
        let mut check = Check::new();
        assert_eq!(list(&mut check, &[1, 2]), None, "the first list is no check");
        check.take(&Event::Apply(at(5)));
        check.begin();
        assert_eq!(list(&mut check, &[1, 5, 4, 7, 8]), Some(2));
        check.begin();
        assert_eq!(list(&mut check, &[8, 9]), Some(1), "a list is as good as events");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_has_said_nothing_for_a_while_owes_everything() {
        let mut check = Check::new();
        check.take(&Event::Delete(at(5)));
        advance(UNDER_WAY * 2).await;
        check.begin();
        assert_eq!(list(&mut check, &[5, 7, 8]), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_after_a_failure_is_no_check() {
        let mut check = Check::new();
        check.take(&Event::Apply(at(5)));
        check.begin();
        check.take(&Event::<Service>::Init);
        check.fail();
        assert_eq!(list(&mut check, &[1]), None);
        check.begin();
        check.take(&Event::<Service>::Init);
        assert_eq!(list(&mut check, &[1]), None, "nor is one after half a list");
    }
}
