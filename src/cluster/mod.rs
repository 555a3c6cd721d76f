//! The door to the Kubernetes API: lists and watches objects, cuts each down to what is served, and says what changed.
//!
//! ```text
//! kube's watcher ─▶ Incoming (never fails on a field) ─▶ Service, Slice, Pod ─▶ ClusterEvent, on one channel
//! ```
//!
//! Nothing behind this module knows `kube` or `k8s_openapi`; nothing in it knows DNS beyond the form of a label.

mod access;
mod backoff;
mod check;
mod contact;
mod endpoint_slice;
mod endpoints;
mod incoming;
mod labels;
mod pod;
mod report;
mod service;
mod tolerant;
mod watch;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use access::{Connection, CredentialError, CredentialSource, connect};
pub use endpoint_slice::{Slice, SlicePort};
pub use endpoints::{Endpoint, Endpoints};
pub use incoming::read_json;
pub use labels::Labels;
pub use pod::{ContainerPort, Hostname, OwnLabels, POD_INDEX, POD_NAME, Pod, Template};
pub use service::{Families, Port, Protocol, Service, ServiceSpec, TargetPort};
use smol_str::SmolStr;
pub use watch::{PodSelection, Selection, Timing, follow_all};

use crate::dns::name::Label;
pub use crate::telemetry::metrics::Resource;

/// Namespace and name of an object.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    pub namespace: Arc<str>,
    pub name: SmolStr,
}

impl ObjectKey {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What tells an object from others of the same name before and after it: the API's UUID, as far as it fits. All of its
/// last 64 bits but two are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Uid(NonZeroU64);

impl Uid {
    /// None where the text is no UUID.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = u128::from_str_radix(&text.replace('-', ""), 16).ok()?;
        NonZeroU64::new(digits as u64).map(Self)
    }
}

/// Reads a part of a Service's name as the label that it has in the DNS.
///
/// # Errors
/// It is no label, or has upper-case letters, as no name in Kubernetes does: two objects that differ in those alone would
/// be one in the DNS.
fn name_label(text: &str, field: &str) -> Result<Label, String> {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Err(format!("{field}: {text:?} has upper-case letters"));
    }
    Label::parse(text).map_err(|error| format!("{field}: {error}"))
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
            Self::RelistDone => Change::RelistDone,
        }
    }
}

/// The part of the cluster that one watch covers: a namespace, or all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    All,
    Namespace(Arc<str>),
}

impl Scope {
    /// One for each namespace named, or one for all where none is.
    pub fn of(namespaces: &[Label]) -> Vec<Self> {
        match namespaces {
            [] => vec![Self::All],
            named => named.iter().map(|namespace| Self::Namespace(namespace.as_text().into())).collect(),
        }
    }

    pub fn covers(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(one) => **one == *namespace,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Namespace(namespace) => write!(f, "namespace {namespace}"),
        }
    }
}

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

/// What the watches report to the index: a change of the objects of one kind in one scope, or of the state of a watch.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    Service(Scope, Change<Service>),
    Slice(Scope, Change<Slice>),
    Pod(Scope, Change<Pod>),
    /// The list that has just ended was a reconcile: the watch was healthy and should have reported every difference.
    Reconciled {
        watch: WatchId,
        /// Objects of the list that may differ nevertheless, because they changed too recently for the watch to tell.
        newer: usize,
    },
    /// Nothing has arrived on the watch since then, which is longer than `stale_after`. Repeated each time that another
    /// `stale_after` has passed.
    WatchStale {
        watch: WatchId,
        since: Timestamp,
    },
    /// The API server answers on a watch that was stale.
    WatchRecovered(WatchId),
}

impl ClusterEvent {
    /// The watch whose list this event completes, if it does.
    pub fn completed_list(&self) -> Option<WatchId> {
        match self {
            Self::Service(scope, Change::RelistDone) => Some(WatchId::new(Resource::Services, scope.clone())),
            Self::Slice(scope, Change::RelistDone) => Some(WatchId::new(Resource::EndpointSlices, scope.clone())),
            Self::Pod(scope, Change::RelistDone) => Some(WatchId::new(Resource::Pods, scope.clone())),
            _ => None,
        }
    }
}

/// An event on its way to the index.
#[derive(Clone, Debug)]
pub struct WatchUpdate {
    pub event: ClusterEvent,
    /// None where latency is not measured: an object in a list may have changed at any time before.
    pub times: Option<EventTimes>,
}

impl From<ClusterEvent> for WatchUpdate {
    fn from(event: ClusterEvent) -> Self {
        Self { event, times: None }
    }
}

/// When a change was made and when its event arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventTimes {
    /// When the event came off the wire.
    pub received_at: Instant,
    /// When the object says that it changed, usually in whole seconds.
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
