//! The handle on the faults of one API: what is injected, what strikes whom, and what was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use super::{Cut, Fault, FaultError, Missed, Recorded, Scope, Site};
use crate::api::selector::Filter;
use crate::kind::Kind;
use crate::store::{Object, Snapshot, Store};

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
    /// Events with these resourceVersions are lost: after the first, up to and including the second.
    pub lost: Vec<(u64, u64)>,
}

/// A stall that is over, whose events the watches of its time never get.
struct Loss {
    number: u64,
    on: Scope,
    from: u64,
    to: u64,
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
    /// The store's resourceVersion at which each lasting fault was injected.
    since: BTreeMap<u64, u64>,
    losses: Vec<Loss>,
    snapshot: Option<Snapshot>,
    requests: BTreeMap<Recorded, u64>,
}

impl State {
    /// Ends a lasting fault, at this resourceVersion of the store.
    fn end(&mut self, number: u64, now: u64) {
        let since = self.since.remove(&number).unwrap_or(now);
        if let Some(Fault::Stall { on, missed: Missed::Skip }) = self.active.remove(&number) {
            self.latest += 1;
            self.losses.push(Loss { number: self.latest, on, from: since, to: now });
        }
    }
}

impl Faults {
    /// No faults, for an API on this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self(Arc::new(Shared { store, state: Mutex::default(), changes: watch::Sender::new(0) }))
    }

    /// Makes the API misbehave from now on. Returns the number under which [`Self::remove`] takes the fault back.
    ///
    /// # Errors
    /// [`FaultError`] if the fault could never strike.
    pub fn inject(&self, mut fault: Fault) -> Result<u64, FaultError> {
        fault.check()?;
        let store = &self.0.store;
        if let Fault::Malformed { object } = &mut fault
            && object["metadata"].is_object()
            && object["metadata"]["resourceVersion"].is_null()
        {
            // What clients resume from.
            object["metadata"]["resourceVersion"] = json!(store.revision().to_string());
        }
        let mut state = self.lock();
        state.latest += 1;
        let number = state.latest;
        match fault {
            Fault::Compact => store.compact(),
            Fault::Snapshot => state.snapshot = Some(store.snapshot()),
            Fault::Restore => {
                let snapshot = state.snapshot.clone().ok_or(FaultError::NoSnapshot)?;
                store.restore(&snapshot);
                state.cuts.push((number, Scope::all(), Cut::Clean));
            }
            Fault::CutWatches { on, how } => state.cuts.push((number, on, how)),
            lasting => {
                state.active.insert(number, lasting);
                state.since.insert(number, store.revision());
            }
        }
        drop(state);
        self.0.changes.send_replace(number);
        Ok(number)
    }

    /// Takes one lasting fault back. Unknown numbers, and faults that are over, are no error.
    pub fn remove(&self, number: u64) {
        self.lock().end(number, self.0.store.revision());
        self.0.changes.send_modify(|_| {});
    }

    /// Takes all lasting faults back. A snapshot is kept.
    pub fn clear(&self) {
        let mut state = self.lock();
        let numbers: Vec<u64> = state.active.keys().copied().collect();
        for number in numbers {
            state.end(number, self.0.store.revision());
        }
        drop(state);
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

    /// Starts counting requests anew.
    pub fn forget_requests(&self) {
        self.lock().requests.clear();
    }

    pub(crate) fn record(&self, request: Recorded) {
        *self.lock().requests.entry(request).or_default() += 1;
    }

    /// Decides about one request, and uses up what is counted.
    pub(crate) fn judge(&self, site: &Site<'_>) -> Verdict {
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
    pub(crate) fn delay(&self, site: &Site<'_>) -> Duration {
        let state = self.lock();
        let total = state.active.values().map(|fault| match fault {
            Fault::Delay { on, milliseconds } if on.covers(site) => *milliseconds,
            _ => 0,
        });
        Duration::from_millis(total.fold(0, u64::saturating_add))
    }

    pub(crate) fn stalled(&self, site: &Site<'_>) -> bool {
        self.lock().active.values().any(|fault| matches!(fault, Fault::Stall { on, .. } if on.covers(site)))
    }

    pub(crate) fn ends_watches(&self, site: &Site<'_>) -> bool {
        self.lock().active.values().any(|fault| matches!(fault, Fault::EndWatches { on } if on.covers(site)))
    }

    /// For how long the API is to be unreachable, if it is.
    pub(crate) fn down(&self) -> Option<(u64, Option<Duration>)> {
        self.lock().active.iter().find_map(|(number, fault)| match fault {
            Fault::Down { milliseconds } => Some((*number, milliseconds.map(Duration::from_millis))),
            _ => None,
        })
    }

    /// The malformed objects that a list with this filter holds.
    pub(crate) fn malformed(&self, filter: &Filter) -> Vec<Object> {
        self.malformed_after(&self.lock(), filter, 0)
    }

    /// What concerns a watch that has seen the faults up to number `seen`.
    pub(crate) fn news_for(&self, site: &Site<'_>, filter: &Filter, seen: u64) -> News {
        let state = self.lock();
        let cut = state.cuts.iter().find(|(number, on, _)| *number > seen && on.covers(site)).map(|(_, _, how)| *how);
        let losses = state.losses.iter().filter(|loss| loss.number > seen && loss.on.covers(site));
        let lost = losses.map(|loss| (loss.from, loss.to)).collect();
        News { latest: state.latest, cut, malformed: self.malformed_after(&state, filter, seen), lost }
    }

    pub(crate) fn latest(&self) -> u64 {
        self.lock().latest
    }

    /// Wakes at every injection and removal.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
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

    /// The maps are changed in single steps, so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
