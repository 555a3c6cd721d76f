//! The times of changes, from which the latency of publication is measured.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::{Duration, Instant, SystemTime};

use super::*;
use crate::cluster::{EventTimes, WatchUpdate};

/// An index of one Service and its Pod, without pending changes.
fn cluster() -> Index {
    let mut index = Index::default();
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    index.apply(ClusterEvent::Service(Scope::All, Change::Apply(service("db/pg").headless().selects("pg"))));
    index.apply(ClusterEvent::Pod(Scope::All, Change::Apply(ready_since(1))));
    assert!(index.take_pending_changes().is_empty(), "the objects of a list may have changed at any time");
    index.take_publications().for_each(drop);
    index
}

fn ready_since(second: u32) -> Pod {
    Pod { ready_changed: NonZeroU32::new(second), ..pod("db/pg-0", 1, "10.0.0.1") }
}

/// EventTimes in seconds after an arbitrary start.
fn times(start: Instant, received: u64, changed: u64) -> EventTimes {
    let second = Duration::from_secs;
    EventTimes { received_at: start + second(received), changed_at: Some(SystemTime::UNIX_EPOCH + second(changed)) }
}

fn timed(event: ClusterEvent, times: EventTimes) -> WatchUpdate {
    WatchUpdate { times: Some(times), ..event.into() }
}

fn pending_times(index: &mut Index) -> Option<EventTimes> {
    let pending = index.take_pending_changes();
    index.take_publications().for_each(drop);
    pending.get(&key("db/pg")).map(|change| change.times)
}

#[test]
fn changes_that_are_published_together_have_the_earliest_times() {
    let (mut index, start) = (cluster(), Instant::now());
    for (pod, times) in [
        (ready_since(5), times(start, 3, 5)),
        (ready_since(6), times(start, 2, 6)),
        (ready_since(7), times(start, 4, 4)),
    ] {
        index.apply(timed(ClusterEvent::Pod(Scope::All, Change::Apply(pod)), times));
    }
    assert_eq!(pending_times(&mut index), Some(times(start, 2, 4)));
    assert_eq!(pending_times(&mut index), None, "it is published");
}

#[test]
fn a_pod_has_the_time_of_its_readiness_and_deletion_alone() {
    let (mut index, start) = (cluster(), Instant::now());
    let moved = Pod { v4: Some([10, 0, 0, 2].into()), ..ready_since(1) };
    let mut times_of = |pod| {
        index.apply(timed(ClusterEvent::Pod(Scope::All, Change::Apply(pod)), times(start, 1, 1)));
        pending_times(&mut index)
    };
    assert_eq!(
        times_of(moved.clone()),
        Some(times(start, 1, 1).without_changed_at()),
        "the time of its readiness is not that of its address"
    );
    assert_eq!(times_of(moved.clone().terminating()), Some(times(start, 1, 1)), "its deletion has a time");
    let ended = Pod { is_ready: false, ready_changed: NonZeroU32::new(9), ..moved.terminating() };
    assert_eq!(times_of(ended), Some(times(start, 1, 1).without_changed_at()), "the end of its containers has none");
    assert_eq!(times_of(ready_since(2)), Some(times(start, 1, 1)));
}

/// A Pod may have been ready for days when a Service selects it.
#[test]
fn what_makes_a_ready_pod_an_endpoint_has_no_time() {
    let (mut index, start) = (cluster(), Instant::now());
    let mut times_of = |pod| {
        index.apply(timed(ClusterEvent::Pod(Scope::All, Change::Apply(pod)), times(start, 1, 1)));
        pending_times(&mut index)
    };
    let another = Pod { ready_changed: NonZeroU32::new(1), ..pod("db/pg-1", 2, "10.0.0.7") };
    assert_eq!(times_of(another), Some(times(start, 1, 1).without_changed_at()));
}

/// Of a slice of the Service `pg`, which a controller or somebody else wrote at `times`.
fn written(index: &mut Index, slice: Slice, times: EventTimes) -> Option<EventTimes> {
    index.apply(timed(ClusterEvent::Slice(Scope::All, Change::Apply(slice)), times));
    pending_times(index)
}

/// The trigger of a slice stays in it until the controller writes it again.
#[test]
fn a_slice_has_the_time_of_a_trigger_that_is_new_and_comes_with_other_endpoints_alone() {
    let (mut index, start) = (cluster(), Instant::now());
    // Pods are not its source.
    index.apply(ClusterEvent::Service(Scope::All, Change::Apply(service("db/pg").headless())));
    index.take_publications().for_each(drop);
    let (triggered_at, untimed) = (times(start, 1, 1), times(start, 1, 1).without_changed_at());
    let slice = |version, triggered, endpoints: &[u8]| {
        let slice = Slice { triggered: NonZeroU64::new(triggered), ..slice("db/pg-x").of("db/pg").version(version) };
        endpoints.iter().fold(slice, |slice, last| slice.host("", &format!("10.0.1.{last}")))
    };
    assert_eq!(written(&mut index, slice(1, 7, &[]), triggered_at), Some(untimed), "it came without an endpoint");
    assert_eq!(written(&mut index, slice(2, 8, &[1]), triggered_at), Some(triggered_at));
    assert_eq!(written(&mut index, slice(3, 8, &[1]), triggered_at), Some(untimed), "a new label, an old time");
    assert_eq!(
        written(&mut index, slice(4, 8, &[1, 2]), triggered_at),
        Some(untimed),
        "endpoints by somebody who left the time"
    );
    assert_eq!(
        written(&mut index, slice(5, 9, &[1, 2]), triggered_at),
        Some(untimed),
        "a trigger that changed no endpoint"
    );
    assert_eq!(written(&mut index, slice(6, 10, &[2]), triggered_at), Some(triggered_at));
    assert_eq!(
        written(&mut index, slice(7, 0, &[2, 3]), triggered_at),
        Some(untimed),
        "the controller knows no trigger"
    );
    let other = Slice { object: object("db/pg-y"), ..slice(8, 11, &[4]) };
    assert_eq!(written(&mut index, other, triggered_at), Some(triggered_at), "a new slice");
}
