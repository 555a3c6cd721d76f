//! The door to the Kubernetes API: lists and watches objects, cuts each down to what is served, and says what changed.
//!
//! ```text
//! kube's watcher ─▶ Incoming (never fails on a field) ─▶ Service, Slice, Pod ─▶ Update, on one channel
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

pub use access::{Access, AccessError, connect};
pub use endpoint_slice::{Slice, SlicePort};
pub use endpoints::{Endpoint, Endpoints};
pub use incoming::read_json;
pub use labels::Labels;
pub use pod::{ContainerPort, Hostname, OwnLabels, POD_INDEX, POD_NAME, Pod, Template};
pub use service::{Families, Port, Protocol, Service, ServiceSpec, TargetPort};
use smol_str::SmolStr;
pub use watch::{PodSelection, Selection, Timing, Watched, follow_all};

use crate::dns::name::Label;

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

/// What a source of objects of one kind says. A relist replaces what is known while it streams in: objects that are
/// neither applied nor kept between `RelistStarted` and `RelistDone` are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K> {
    RelistStarted,
    Apply(K),
    /// The object exists, but what it says now cannot be used: what was known of it stands.
    Keep(ObjectKey),
    Delete(ObjectKey),
    RelistDone,
}

impl<K> Change<K> {
    /// The same of another form of the object.
    pub fn map<T>(self, form: impl FnOnce(K) -> T) -> Change<T> {
        match self {
            Self::RelistStarted => Change::RelistStarted,
            Self::Apply(object) => Change::Apply(form(object)),
            Self::Keep(key) => Change::Keep(key),
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

/// What flows from all watches to the index: changes of one kind of object in one scope, and what is to be known of the
/// watch itself.
#[derive(Clone, Debug)]
pub enum Update {
    Service(Scope, Change<Service>),
    Slice(Scope, Change<Slice>),
    Pod(Scope, Change<Pod>),
    /// The list that has just ended was no more than a check: the watch had told of all changes, or should have. As many
    /// as `newer` of its objects may differ all the same, from changes that the watch had no time to tell of.
    Reconciled {
        watched: Watched,
        scope: Scope,
        newer: usize,
    },
    /// The API server was last heard on the watch at that time, and should have been since. Said again each time that the
    /// silence has lasted for as long once more.
    Silent(Watched, Scope, Timestamp),
    /// The silence is over.
    Heard(Watched, Scope),
}

/// An update on its way to the index.
#[derive(Clone, Debug)]
pub struct News {
    pub update: Update,
    /// None where nobody waits for it: what a list says may be as old as the object.
    pub times: Option<Times>,
}

impl From<Update> for News {
    fn from(update: Update) -> Self {
        Self { update, times: None }
    }
}

/// When a change happened, and when it was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Its event arrived off the wire.
    pub heard: Instant,
    /// By the object's own account, in whole seconds as a rule.
    pub happened: Option<SystemTime>,
}

impl Times {
    /// Leaves out when it happened.
    pub fn heard_alone(self) -> Self {
        Self { happened: None, ..self }
    }

    /// The first times of two changes that are published together.
    pub fn earliest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
        let happened = a.happened.into_iter().chain(b.happened).min();
        Some(Self { heard: a.heard.min(b.heard), happened })
    }
}

impl Update {
    /// The watch whose list this ends, if it ends one.
    pub fn relisted(&self) -> Option<(Watched, Scope)> {
        match self {
            Self::Service(scope, Change::RelistDone) => Some((Watched::Services, scope.clone())),
            Self::Slice(scope, Change::RelistDone) => Some((Watched::EndpointSlices, scope.clone())),
            Self::Pod(scope, Change::RelistDone) => Some((Watched::Pods, scope.clone())),
            _ => None,
        }
    }
}
