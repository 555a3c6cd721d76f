//! The handle by which faults are injected and removed, and the decisions that the API asks it for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::sync::watch;

use crate::kind::Kind;
use crate::store::{Object, Snapshot, Store};

use super::fault::{Cut, Fault, FaultError, Missed, RequestRecord, Scope, Site};

/// The decision about one request.
pub enum Verdict {
    Serve,
    /// Respond with a `metav1.Status`.
    Refuse {
        code: StatusCode,
        retry_after: Option<u32>,
    },
    /// Respond with 429 in plain text.
    TooManyRequests {
        retry_after: u32,
    },
    /// Respond with 200 and an HTML page.
    Page,
    /// Close the connection.
    Drop,
}

/// The faults that a watch has not applied yet.
pub struct WatchFaults {
    /// The number of the latest fault.
    pub latest: u64,
    pub cut: Option<Cut>,
    pub malformed: Vec<Object>,
    /// resourceVersions whose events are lost: above the first, up to and including the second.
    pub lost: Vec<(u64, u64)>,
}

/// A past stall whose events are lost to the watches that it applied to.
struct Loss {
    number: u64,
    on: Scope,
    from: u64,
    to: u64,
}

/// The faults of one API and the requests it received. Clones share the same state.
#[derive(Clone)]
pub struct Faults(Arc<Shared>);

struct Shared {
    store: Arc<Store>,
    state: Mutex<State>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    /// The number of the latest fault.
    latest: u64,
    active: BTreeMap<u64, Fault>,
    cuts: Vec<(u64, Scope, Cut)>,
    /// The store's resourceVersion at the injection of each lasting fault.
    since: BTreeMap<u64, u64>,
    losses: Vec<Loss>,
    snapshot: Option<Snapshot>,
    requests: BTreeMap<RequestRecord, u64>,
}

impl State {
    /// Ends a lasting fault; `now` is the store's resourceVersion.
    fn end(&mut self, number: u64, now: u64) {
        let since = self.since.remove(&number).unwrap_or(now);
        if let Some(Fault::Stall { on, missed: Missed::Skip }) = self.active.remove(&number) {
            self.latest += 1;
            self.losses.push(Loss { number: self.latest, on, from: since, to: now });
        }
    }

    fn malformed_after(&self, kind: Kind, seen: u64) -> Vec<Object> {
        let faults = self.active.range(seen + 1..);
        let objects = faults.filter_map(|(_, fault)| match fault {
            Fault::Malformed { object } if Kind::of_object(object) == Some(kind) => Some(Arc::new(object.clone())),
            _ => None,
        });
        objects.collect()
    }
}

impl Faults {
    /// A handle without faults, for an API on this store.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self(Arc::new(Shared { store, state: Mutex::default(), changes: watch::Sender::new(0) }))
    }

    /// Injects a fault, which is active from now on. Returns its number for [`Self::remove`].
    ///
    /// # Errors
    /// [`FaultError`] if the fault could never apply.
    pub fn inject(&self, mut fault: Fault) -> Result<u64, FaultError> {
        fault.check()?;
        let store = &self.0.store;
        if let Fault::Malformed { object } = &mut fault
            && object["metadata"].is_object()
            && object["metadata"]["resourceVersion"].is_null()
        {
            // Clients resume their watches from this version.
            object["metadata"]["resourceVersion"] = json!(store.revision().to_string());
        }
        let mut state = self.lock();
        state.latest += 1;
        let number = state.latest;
        match fault {
            Fault::Compact => store.compact(),
            Fault::Snapshot => state.snapshot = Some(store.snapshot()),
            Fault::Restore | Fault::Empty | Fault::Replace { .. } => {
                match fault {
                    Fault::Restore => store.restore(&state.snapshot.clone().ok_or(FaultError::NoSnapshot)?),
                    Fault::Replace { revision } => store.replace(revision.unwrap_or_default()),
                    _ => store.restore(&Store::emptied()),
                }
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

    /// Removes one lasting fault. Unknown numbers and ended faults are ignored.
    pub fn remove(&self, number: u64) {
        self.lock().end(number, self.0.store.revision());
        self.0.changes.send_modify(|_| {});
    }

    /// Removes all lasting faults. A snapshot is kept.
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

    /// How often each request was received since the start or the last [`Self::forget_requests`].
    pub fn requests(&self) -> BTreeMap<RequestRecord, u64> {
        self.lock().requests.clone()
    }

    /// Resets the request counts.
    pub fn forget_requests(&self) {
        self.lock().requests.clear();
    }

    pub(crate) fn record(&self, request: RequestRecord) {
        *self.lock().requests.entry(request).or_default() += 1;
    }

    /// Decides about one request and counts down a fault with a limited number of times.
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
                Fault::TooManyRequests { on, retry_after, times } if on.covers(site) => {
                    verdict = Verdict::TooManyRequests { retry_after: *retry_after };
                    times
                }
                Fault::Page { on, times } if on.covers(site) => {
                    verdict = Verdict::Page;
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

    /// The delay of a response or an event.
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

    /// The HTTP status of the `ERROR` events that a watch gets.
    pub(crate) fn error_events(&self, site: &Site<'_>) -> Option<StatusCode> {
        self.lock().active.values().find_map(|fault| match fault {
            Fault::ErrorEvents { on, code } if on.covers(site) => StatusCode::from_u16(*code).ok(),
            _ => None,
        })
    }

    pub(crate) fn withholds_bookmarks(&self, site: &Site<'_>) -> bool {
        self.lock().active.values().any(|fault| matches!(fault, Fault::WithholdBookmarks { on } if on.covers(site)))
    }

    pub(crate) fn closes_connections(&self, site: &Site<'_>) -> bool {
        self.lock().active.values().any(|fault| matches!(fault, Fault::CloseConnections { on } if on.covers(site)))
    }

    /// The number and duration of the fault that makes the API unreachable, if one is active.
    pub(crate) fn down(&self) -> Option<(u64, Option<Duration>)> {
        self.lock().active.iter().find_map(|(number, fault)| match fault {
            Fault::Down { milliseconds } => Some((*number, milliseconds.map(Duration::from_millis))),
            _ => None,
        })
    }

    /// The malformed objects of a kind.
    pub(crate) fn malformed(&self, kind: Kind) -> Vec<Object> {
        self.lock().malformed_after(kind, 0)
    }

    /// The faults that apply to a watch, above number `seen`.
    pub(crate) fn for_watch(&self, site: &Site<'_>, seen: u64) -> WatchFaults {
        let state = self.lock();
        let cut = state.cuts.iter().find(|(number, on, _)| *number > seen && on.covers(site)).map(|(_, _, how)| *how);
        let losses = state.losses.iter().filter(|loss| loss.number > seen && loss.on.covers(site));
        let lost = losses.map(|loss| (loss.from, loss.to)).collect();
        WatchFaults { latest: state.latest, cut, malformed: state.malformed_after(site.kind, seen), lost }
    }

    pub(crate) fn latest(&self) -> u64 {
        self.lock().latest
    }

    /// A receiver that wakes at every injection and removal.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The maps change in single steps, so a poisoned lock is safe to use.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
