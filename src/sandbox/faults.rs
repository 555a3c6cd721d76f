//! Misbehaviour on demand: how a test makes the sandbox's API refuse, stall, lie, forget or vanish.
//!
//! A [`Fault`] is injected by a test in the same process through [`Faults::inject`], or by another process as JSON over
//! HTTP (see [`super::api::control`]). Some faults happen once, at once (a cut, a compaction, a restore); the others stay
//! until they have been used up or are cleared. The same handle counts the requests that the API received, so that a test
//! can hold a client against the permissions it claims to need.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::api::request::Verb;
use super::api::selector::Filter;
use super::kind::Kind;
use super::store::{Object, Snapshot, Store};

/// One way to misbehave. In JSON, `{"fault": "answer", "resource": "endpointslices", "verb": "watch", "code": 429}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// Requests are answered with this HTTP status instead of being served: 403, 410, 429, 500.
    Answer {
        #[serde(flatten)]
        on: Scope,
        code: u16,
        /// Seconds, for the `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u32>,
        /// So many requests; all of them until cleared, if unset.
        #[serde(default)]
        times: Option<u32>,
    },
    /// The connection is closed without an answer.
    Drop {
        #[serde(flatten)]
        on: Scope,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Every answer, and every event of a watch, comes so much later.
    Delay {
        #[serde(flatten)]
        on: Scope,
        milliseconds: u64,
    },
    /// Open watches stay open and say nothing, not even bookmarks, until this is cleared.
    Stall {
        #[serde(flatten)]
        on: Scope,
        /// What becomes of the events of that time.
        #[serde(default)]
        missed: Missed,
    },
    /// Open watches end now.
    CutWatches {
        #[serde(flatten)]
        on: Scope,
        #[serde(default)]
        how: Cut,
    },
    /// This object stands in lists and initial events of its kind, and goes to open watches as `ADDED`, whatever it looks
    /// like. Its `apiVersion` and `kind` say where. It never gets into the store.
    Malformed { object: Value },
    /// The log is compacted: whoever comes back with an older resourceVersion gets 410.
    Compact,
    /// Remembers the present state for a later `restore`.
    Snapshot,
    /// State and resourceVersion go back to the last `snapshot`; open watches end.
    Restore,
    /// Open connections are closed and new ones refused, for so long or until cleared.
    Down {
        #[serde(default)]
        milliseconds: Option<u64>,
    },
}

/// Which requests or watches a fault is about. What is unset matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// The plural name, `endpointslices`.
    pub resource: Option<String>,
    pub verb: Option<Verb>,
    pub namespace: Option<String>,
}

impl Scope {
    pub fn all() -> Self {
        Self::default()
    }

    pub fn kind(kind: Kind) -> Self {
        Self { resource: Some(kind.plural().to_owned()), ..Self::default() }
    }

    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    fn covers(&self, site: &Site<'_>) -> bool {
        self.resource.as_deref().is_none_or(|resource| resource == site.kind.plural())
            && self.verb.is_none_or(|verb| verb == site.verb)
            && self.namespace.as_deref().is_none_or(|namespace| Some(namespace) == site.namespace)
    }
}

/// The place where a fault may strike: one request, or one open watch.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    pub kind: Kind,
    pub verb: Verb,
    pub namespace: Option<&'a str>,
}

/// How a watch is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// The body ends as it does after `timeoutSeconds`.
    #[default]
    Clean,
    /// The connection breaks in the middle of an event.
    Abrupt,
    /// An `ERROR` event with 410, then the end.
    Expired,
}

/// What becomes of events while a watch is stalled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// They are sent when the stall ends.
    #[default]
    Deliver,
    /// They are lost without a word.
    Skip,
}

/// Why a fault was not injected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("{0:?} is not a resource of this server; use a plural name such as \"endpointslices\"")]
    UnknownResource(String),
    #[error("{0} is not an HTTP error status; use one from 400 to 599")]
    NotAnError(u16),
    #[error("the malformed object's apiVersion {api_version:?} and kind {kind:?} name no kind of this server")]
    UnknownKind { api_version: String, kind: String },
    #[error("there is no snapshot to restore; inject `snapshot` first")]
    NoSnapshot,
}

/// A request as RBAC sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Recorded {
    pub verb: Verb,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    /// Empty for cluster-wide resources, and for lists and watches across namespaces.
    pub namespace: String,
}

/// What a request meets before it is served.
pub enum Verdict {
    Serve,
    Refuse { code: StatusCode, retry_after: Option<u32> },
    Drop,
}

/// What was injected since a watch last looked.
pub struct News {
    pub latest: u64,
    pub cut: Option<Cut>,
    pub malformed: Vec<Object>,
}

/// The handle, shared by the API, its connections and the tests.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The number of the fault injected last.
    latest: u64,
    active: BTreeMap<u64, Fault>,
    cuts: Vec<(u64, Scope, Cut)>,
    snapshot: Option<Snapshot>,
    requests: BTreeMap<Recorded, u64>,
}

impl Faults {
    pub fn new(store: Arc<Store>) -> Self {
        Self(Arc::new(Shared { store, state: Mutex::default(), changes: watch::Sender::new(0) }))
    }

    /// Makes the API misbehave from now on. Returns the number under which [`Self::remove`] takes the fault back.
    ///
    /// # Errors
    /// [`FaultError`] if the fault could never strike.
    pub fn inject(&self, mut fault: Fault) -> Result<u64, FaultError> {
        self.check(&mut fault)?;
        let store = &self.0.store;
        let mut state = self.lock();
        state.latest += 1;
        let number = state.latest;
        match fault {
            Fault::Compact => store.compact(),
            Fault::Snapshot => state.snapshot = Some(store.snapshot()),
            Fault::Restore => {
                let snapshot = state.snapshot.as_ref().ok_or(FaultError::NoSnapshot)?;
                store.restore(snapshot);
                state.cuts.push((number, Scope::all(), Cut::Clean));
            }
            Fault::CutWatches { on, how } => state.cuts.push((number, on, how)),
            lasting => {
                state.active.insert(number, lasting);
            }
        }
        drop(state);
        self.0.changes.send_replace(number);
        Ok(number)
    }

    /// Takes one lasting fault back. Unknown numbers, and faults that are over, are no error.
    pub fn remove(&self, number: u64) {
        self.lock().active.remove(&number);
        self.0.changes.send_modify(|_| {});
    }

    /// Takes all lasting faults back. A snapshot is kept.
    pub fn clear(&self) {
        self.lock().active.clear();
        self.0.changes.send_modify(|_| {});
    }

    /// The lasting faults by number.
    pub fn active(&self) -> BTreeMap<u64, Fault> {
        self.lock().active.clone()
    }

    /// How often each request was received, since the start or the last [`Self::forget_requests`].
    pub fn requests(&self) -> BTreeMap<Recorded, u64> {
        self.lock().requests.clone()
    }

    pub fn forget_requests(&self) {
        self.lock().requests.clear();
    }

    pub(super) fn record(&self, request: Recorded) {
        *self.lock().requests.entry(request).or_default() += 1;
    }

    /// Decides about one request, and uses up what is counted.
    pub(super) fn judge(&self, site: &Site<'_>) -> Verdict {
        let mut state = self.lock();
        let mut verdict = Verdict::Serve;
        let mut spent = None;
        for (number, fault) in &mut state.active {
            let left = match fault {
                Fault::Answer { on, code, retry_after, times } if on.covers(site) => {
                    let code = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                    verdict = Verdict::Refuse { code, retry_after: *retry_after };
                    times
                }
                Fault::Drop { on, times } if on.covers(site) => {
                    verdict = Verdict::Drop;
                    times
                }
                _ => continue,
            };
            if let Some(left) = left {
                *left = left.saturating_sub(1);
                spent = (*left == 0).then_some(*number);
            }
            break;
        }
        if let Some(number) = spent {
            state.active.remove(&number);
        }
        verdict
    }

    /// By how much an answer or an event is late.
    pub(super) fn delay(&self, site: &Site<'_>) -> Duration {
        let state = self.lock();
        let total = state.active.values().map(|fault| match fault {
            Fault::Delay { on, milliseconds } if on.covers(site) => *milliseconds,
            _ => 0,
        });
        Duration::from_millis(total.fold(0, u64::saturating_add))
    }

    pub(super) fn stalled(&self, site: &Site<'_>) -> Option<Missed> {
        self.lock().active.values().find_map(|fault| match fault {
            Fault::Stall { on, missed } if on.covers(site) => Some(*missed),
            _ => None,
        })
    }

    /// For how long the API is to be unreachable, if it is.
    pub(super) fn down(&self) -> Option<(u64, Option<Duration>)> {
        self.lock().active.iter().find_map(|(number, fault)| match fault {
            Fault::Down { milliseconds } => Some((*number, milliseconds.map(Duration::from_millis))),
            _ => None,
        })
    }

    /// The malformed objects that a list with this filter holds.
    pub(super) fn malformed(&self, filter: &Filter) -> Vec<Object> {
        self.malformed_after(&self.lock(), filter, 0)
    }

    /// What concerns a watch that has seen the faults up to number `seen`.
    pub(super) fn news_for(&self, site: &Site<'_>, filter: &Filter, seen: u64) -> News {
        let state = self.lock();
        let cut = state.cuts.iter().find(|(number, on, _)| *number > seen && on.covers(site)).map(|(_, _, how)| *how);
        News { latest: state.latest, cut, malformed: self.malformed_after(&state, filter, seen) }
    }

    pub(super) fn latest(&self) -> u64 {
        self.lock().latest
    }

    /// Wakes at every injection and removal.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn malformed_after(&self, state: &State, filter: &Filter, seen: u64) -> Vec<Object> {
        let active = state.active.range(seen + 1..);
        let objects = active.filter_map(|(_, fault)| match fault {
            Fault::Malformed { object } if Kind::of_object(object) == Some(filter.kind()) && filter.matches(object) => {
                Some(object)
            }
            _ => None,
        });
        objects.map(|object| Arc::new(object.clone())).collect()
    }

    /// Refuses what could never strike, and gives a malformed object the resourceVersion that clients resume from.
    fn check(&self, fault: &mut Fault) -> Result<(), FaultError> {
        match fault {
            Fault::Answer { on, code, .. } => {
                if !(400..600).contains(code) {
                    return Err(FaultError::NotAnError(*code));
                }
                check_scope(on)
            }
            Fault::Drop { on, .. }
            | Fault::Delay { on, .. }
            | Fault::Stall { on, .. }
            | Fault::CutWatches { on, .. } => check_scope(on),
            Fault::Malformed { object } => {
                if Kind::of_object(object).is_none() {
                    let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
                    return Err(FaultError::UnknownKind { api_version: text("apiVersion"), kind: text("kind") });
                }
                if object["metadata"].is_object() && object["metadata"]["resourceVersion"].is_null() {
                    object["metadata"]["resourceVersion"] = json!(self.0.store.revision().to_string());
                }
                Ok(())
            }
            Fault::Compact | Fault::Snapshot | Fault::Restore | Fault::Down { .. } => Ok(()),
        }
    }

    /// The maps are changed in single steps, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_scope(scope: &Scope) -> Result<(), FaultError> {
    match &scope.resource {
        Some(resource) if Kind::ALL.iter().all(|kind| kind.plural() != resource) => {
            Err(FaultError::UnknownResource(resource.clone()))
        }
        _ => Ok(()),
    }
}
