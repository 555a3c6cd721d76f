//! Since when whoever asks for a Service has been waiting.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::cluster::{EventTimes, WatchUpdate};

/// A cluster of one Service and its Pod, and nothing that anybody waits for.
fn cluster() -> Index {
    let mut index = Index::default();
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    index.apply(ClusterEvent::Service(Scope::All, Change::Apply(service("db/pg").headless().selects("pg"))));
    index.apply(ClusterEvent::Pod(Scope::All, Change::Apply(ready_since(1))));
    assert!(index.take_waits().is_empty(), "lists are as old as their objects");
    index.take_batch().for_each(drop);
    index
}

fn ready_since(second: u32) -> Pod {
    Pod { ready_changed: NonZeroU32::new(second), ..pod("db/pg-0", 1, "10.0.0.1") }
}

/// Times so many seconds from the beginning, which is any.
fn times(began: Instant, received: u64, changed: u64) -> EventTimes {
    let second = Duration::from_secs;
    EventTimes { received_at: began + second(received), changed_at: Some(SystemTime::UNIX_EPOCH + second(changed)) }
}

fn waits(index: &mut Index) -> Option<EventTimes> {
    let waits = index.take_waits();
    index.take_batch().for_each(drop);
    waits.get(&key("db/pg")).map(|(_, times)| *times)
}

#[test]
fn a_service_waits_since_the_first_of_the_changes_that_are_published_together() {
    let (mut index, began) = (cluster(), Instant::now());
    for (pod, times) in [
        (ready_since(5), times(began, 3, 5)),
        (ready_since(6), times(began, 2, 6)),
        (ready_since(7), times(began, 4, 4)),
    ] {
        index.apply(WatchUpdate { event: ClusterEvent::Pod(Scope::All, Change::Apply(pod)), times: Some(times) });
    }
    assert_eq!(waits(&mut index), Some(times(began, 2, 4)));
    assert_eq!(waits(&mut index), None, "it is published");
}

#[test]
fn a_pod_says_when_it_became_ready_and_not_when_it_became_anything_else() {
    let (mut index, began) = (cluster(), Instant::now());
    let moved = Pod { v4: Some([10, 0, 0, 2].into()), ..ready_since(1) };
    let mut said = |pod| {
        index.apply(WatchUpdate {
            event: ClusterEvent::Pod(Scope::All, Change::Apply(pod)),
            times: Some(times(began, 1, 1)),
        });
        waits(&mut index)
    };
    assert_eq!(
        said(moved.clone()),
        Some(times(began, 1, 1).without_changed_at()),
        "its address is younger than its readiness"
    );
    assert_eq!(said(moved.terminating()), Some(times(began, 1, 1)), "its end is said with a time");
    assert_eq!(said(ready_since(2)), Some(times(began, 1, 1)));
}
