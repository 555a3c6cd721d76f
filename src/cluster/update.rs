//! What flows from the watches to the index, on one channel.

use std::collections::HashMap;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;

use super::objects::{ObjectKey, Pod, Scope, Service, Slice};
use super::position::Position;
use crate::records::Silence;
use crate::telemetry::metrics::Resource;

/// Identifies a watch: there is one per resource and scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WatchId {
    pub resource: Resource,
    pub scope: Scope,
}

impl WatchId {
    pub fn new(resource: Resource, scope: Scope) -> Self {
        Self { resource, scope }
    }
}

/// The positions of watches. One that is not among them begins with a list.
pub type Positions = HashMap<WatchId, Position>;

/// What the watches report to the index: a change of the objects of one kind in one scope, or of the state of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    Service(Scope, Change<Service>),
    Slice(Scope, Change<Slice>),
    Pod(Scope, Change<Pod>),
    /// The list that has just ended was a reconcile: the watch was healthy and should have reported every difference.
    Reconciled {
        watch: WatchId,
        /// Objects of the list that may differ nevertheless, because they changed too recently for the watch to report.
        newer: usize,
    },
    /// There has been no word from the cluster on the watch since then, which is longer than `stale_after`. Repeated each time that another
    /// `stale_after` has passed.
    WatchStale {
        watch: WatchId,
        since: Timestamp,
    },
    /// There is word from the cluster on a watch that was stale.
    WatchRecovered(WatchId),
    /// A watch that began where a saved state ended has told what has happened since, and is on the same server.
    WatchResumed(WatchId),
    /// Nothing but the position of the watch has changed.
    WatchReached(WatchId),
    /// Why there would be no word from the cluster on the watch has changed.
    WatchSilence {
        watch: WatchId,
        silence: Silence,
    },
    /// The watch has shown that it follows the server: it was listed anew, or has told an event or a bookmark since it was
    /// resumed. Comes after the events that show it.
    WatchProven(WatchId),
}

impl ClusterEvent {
    /// The watch that it is from.
    pub fn watch(&self) -> WatchId {
        let (resource, scope) = match self {
            Self::Service(scope, _) => (Resource::Services, scope),
            Self::Slice(scope, _) => (Resource::EndpointSlices, scope),
            Self::Pod(scope, _) => (Resource::Pods, scope),
            Self::Reconciled { watch, .. }
            | Self::WatchStale { watch, .. }
            | Self::WatchRecovered(watch)
            | Self::WatchResumed(watch)
            | Self::WatchReached(watch)
            | Self::WatchSilence { watch, .. }
            | Self::WatchProven(watch) => return watch.clone(),
        };
        WatchId::new(resource, scope.clone())
    }

    /// Whether a list begins with it.
    pub fn starts_list(&self) -> bool {
        matches!(
            self,
            Self::Service(_, Change::RelistStarted)
                | Self::Slice(_, Change::RelistStarted)
                | Self::Pod(_, Change::RelistStarted)
        )
    }

    /// Whether all objects of the watch are known from this event on: a list is complete, or is not needed.
    pub fn synchronises(&self) -> bool {
        matches!(
            self,
            Self::Service(_, Change::RelistDone)
                | Self::Slice(_, Change::RelistDone)
                | Self::Pod(_, Change::RelistDone)
                | Self::WatchResumed(_)
        )
    }
}

/// An event on its way to the index.
#[derive(Clone, Debug)]
pub struct WatchUpdate {
    pub event: ClusterEvent,
    /// None where latency is not measured: an object in a list may have changed at any time before.
    pub times: Option<EventTimes>,
    /// How far the watch has come with it. None if it is where it was.
    pub position: Option<Position>,
}

impl From<ClusterEvent> for WatchUpdate {
    fn from(event: ClusterEvent) -> Self {
        Self { event, times: None, position: None }
    }
}

/// When a change was made and when its event arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimes {
    /// When the event came off the wire.
    pub received_at: Instant,
    /// When the object changed according to its own fields, usually in whole seconds.
    pub changed_at: Option<SystemTime>,
}

impl EventTimes {
    /// The same without `changed_at`.
    pub fn without_changed_at(self) -> Self {
        Self { changed_at: None, ..self }
    }

    /// The earliest times of two changes that are published together.
    pub fn earliest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
        let changed_at = a.changed_at.into_iter().chain(b.changed_at).min();
        Some(Self { received_at: a.received_at.min(b.received_at), changed_at })
    }
}

/// What one watch reports about objects of its kind. A relist replaces the known state while it streams in: objects that
/// are neither applied nor unreadable between `RelistStarted` and `RelistDone` are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K> {
    RelistStarted,
    Apply(K),
    /// The object exists, but its present form cannot be used: its last readable state stays in force.
    Unreadable(ObjectKey),
    Delete(ObjectKey),
    /// The object exists, and does not match the selector of the watch any more.
    Deselect(ObjectKey),
    RelistDone,
}

impl<K> Change<K> {
    /// Converts the object.
    pub fn map<T>(self, convert: impl FnOnce(K) -> T) -> Change<T> {
        match self {
            Self::RelistStarted => Change::RelistStarted,
            Self::Apply(object) => Change::Apply(convert(object)),
            Self::Unreadable(key) => Change::Unreadable(key),
            Self::Delete(key) => Change::Delete(key),
            Self::Deselect(key) => Change::Deselect(key),
            Self::RelistDone => Change::RelistDone,
        }
    }
}
