//! How far what a watch has reported can be trusted: the one state of a watch. What is a *word* from the cluster depends on it.
//!
//! ```text
//! start ─▶ Listing ──list complete──▶ Proven ◀──event, bookmark── Resumed
//!           ▲   ▲                      │  │                        │  ▲
//!           │   └────reconcile due─────┘  │ fails, ends early,     │  │ it is the same server, and the watch
//!           │                             │ another connection,    │  │ has been open for a second
//!           │                             ▼ goes stale             │  │
//!           └──────position lost─────── Doubted ◀──────────────────┘  │
//!                                        ▲ └──────────────────────────┘
//!                        saved position ─┘
//! ```
//!
//! | state | a word is | answers |
//! |---|---|---|
//! | Listing | nothing, until the list is complete | those of before; SERVFAIL if there was no list before (T1) |
//! | Proven | a 2xx response, an event, a bookmark | those of the cluster |
//! | Doubted | an event, a bookmark | those of before; Pods that could not be trusted are not |
//! | Resumed | a 2xx response, an event, a bookmark | those of the cluster; Pods that could not be trusted are not |
//!
//! In each state, answers are stale once there has been no word for `stale_after` ([`super::staleness`]), and Pods cannot be
//! trusted after twice that time. What was proven is no longer then, even if nothing has failed: a request that goes on with a watch
//! may hang. Doubted becomes Proven, not Resumed, if an event or a bookmark has come meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::staleness::{Clock, sleep_until_some};
use crate::telemetry::metrics::WatchAge;

/// A watch that stays open for this long works, even if nothing arrives on it. One that ends sooner without an event has
/// failed; client-go uses the same limit.
pub(super) const STEADY: Duration = Duration::from_secs(1);

/// The states in the drawing above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The list is not complete. Its next page may fail for ever, so part of a list shows nothing.
    Listing,
    /// The watch has shown that it follows the server.
    Proven,
    /// The watch has failed. Another server may answer when it is resumed: one that was restored from a backup, or another
    /// cluster's. It would accept the watch and be silent ([`super::doubt`]).
    Doubted { has_told: bool },
    /// The watch goes on, and nothing has been told since. What was missed may still be on its way.
    Resumed,
}

/// What happens to a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    ListStarted,
    ListCompleted,
    /// A 2xx response to a watch.
    Accepted,
    /// An event or a bookmark.
    Told,
    /// It failed, ended before its time-out, goes on over another connection, or has gone stale.
    Broken,
    /// The server is the one of before.
    Confirmed,
}

impl Trust {
    fn after(self, happening: Happening) -> Self {
        match (happening, self) {
            (Happening::ListStarted, _) => Self::Listing,
            (Happening::ListCompleted, _) => Self::Proven,
            (_, Self::Listing) | (Happening::Accepted, _) => self,
            (Happening::Told, Self::Doubted { .. }) => Self::Doubted { has_told: true },
            (Happening::Told, _) => Self::Proven,
            (Happening::Broken, _) => Self::Doubted { has_told: false },
            (Happening::Confirmed, Self::Doubted { has_told: true }) => Self::Proven,
            (Happening::Confirmed, Self::Doubted { has_told: false }) => Self::Resumed,
            (Happening::Confirmed, _) => self,
        }
    }

    /// Whether the watch follows the server, as far as is known.
    pub fn is_current(self) -> bool {
        matches!(self, Self::Proven | Self::Resumed)
    }

    pub fn is_doubted(self) -> bool {
        matches!(self, Self::Doubted { .. })
    }

    /// Whether it is a word from the cluster, in this state.
    fn is_word(self, happening: Happening) -> bool {
        match happening {
            Happening::ListCompleted | Happening::Confirmed => true,
            Happening::Told => self != Self::Listing,
            Happening::Accepted => self.is_current(),
            Happening::ListStarted | Happening::Broken => false,
        }
    }
}

/// A watch that the server has accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opening {
    pub since: Instant,
    /// The resourceVersion from which it was resumed.
    pub position: Option<u64>,
}

/// The state of a watch, all of whose parts run in one task. [`super::events`] records what happens on the wire,
/// [`super::lifecycle`] the rest.
pub(super) struct TrustRecord {
    pub clock: Clock,
    state: watch::Sender<State>,
    /// The watch has become Resumed or Proven, and nobody was told yet.
    confirmed: Notify,
}

#[derive(Clone, Copy, PartialEq)]
struct State {
    trust: Trust,
    opening: Option<Opening>,
}

impl TrustRecord {
    /// Of a watch that begins with a list, or else in doubt.
    pub fn new(age: WatchAge, start: Trust) -> Arc<Self> {
        let state = State { trust: start, opening: None };
        Arc::new(Self { clock: Clock::new(age), state: watch::Sender::new(state), confirmed: Notify::new() })
    }

    pub fn record(&self, happening: Happening) {
        self.update(happening, |_| {});
    }

    /// The server accepts the watch.
    pub fn opened(&self, opening: Opening) {
        self.update(Happening::Accepted, |open| *open = Some(opening));
    }

    /// No watch is open, or the open one has failed.
    pub fn broken(&self) {
        self.update(Happening::Broken, |open| *open = None);
    }

    /// There has been no word for `stale_after`.
    pub fn gone_stale(&self) {
        if self.trust().is_current() {
            self.broken();
        }
    }

    /// The watch has ended at its time.
    pub fn closed(&self) {
        self.state.send_modify(|state| state.opening = None);
    }

    fn update(&self, happening: Happening, change: impl FnOnce(&mut Option<Opening>)) {
        let before = *self.state.borrow();
        let mut after = State { trust: before.trust.after(happening), ..before };
        change(&mut after.opening);
        // Most events change nothing but the clock.
        self.state.send_if_modified(|state| std::mem::replace(state, after) != after);
        if before.trust.is_word(happening) {
            self.clock.word();
        }
        if before.trust != after.trust && after.trust.is_current() {
            self.confirmed.notify_one();
        }
    }

    pub fn trust(&self) -> Trust {
        self.state.borrow().trust
    }

    /// Returns once after each time that the watch has become Resumed or Proven.
    pub async fn became_current(&self) {
        self.confirmed.notified().await;
    }

    /// Returns when a watch has been open for [`STEADY`].
    pub async fn steady(&self) {
        let mut state = self.state.subscribe();
        loop {
            let opening = state.borrow_and_update().opening;
            tokio::select! {
                () = sleep_until_some(opening.map(|opening| opening.since + STEADY)) => return,
                // Never an error: the sender is in `self`.
                _ = state.changed() => {}
            }
        }
    }

    /// Waits for a watch that is open and in doubt.
    pub async fn doubted(&self) -> Opening {
        let mut state = self.state.subscribe();
        loop {
            if let State { trust: Trust::Doubted { .. }, opening: Some(opening) } = *state.borrow_and_update() {
                return opening;
            }
            // Never an error: the sender is in `self`.
            let _ = state.changed().await;
        }
    }

    /// The server that accepted the watch is the one of before. Takes the doubt away once the watch has told something or is
    /// steady, unless it ends before: one that is accepted and ends, again and again, shows nothing.
    pub async fn confirm(&self, confirmed: Opening) {
        let mut state = self.state.subscribe();
        loop {
            let State { trust, opening } = *state.borrow_and_update();
            if opening != Some(confirmed) {
                return;
            }
            if trust == (Trust::Doubted { has_told: true }) || confirmed.since.elapsed() >= STEADY {
                return self.record(Happening::Confirmed);
            }
            tokio::select! {
                () = sleep_until(confirmed.since + STEADY) => {}
                _ = state.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Happening::*;
    use super::Trust::*;
    use super::*;

    const SILENT: Trust = Doubted { has_told: false };
    const TOLD: Trust = Doubted { has_told: true };

    /// T4, T7. The drawing at the top of this file, whole: for each state and happening, the next state, and whether it was a word.
    #[test]
    fn each_state_knows_what_proves_it_and_what_takes_the_proof_away() {
        let rows = [
            (Listing, [(Listing, false), (Proven, true), (Listing, false), (Listing, false), (Listing, false)]),
            (Proven, [(Listing, false), (Proven, true), (Proven, true), (Proven, true), (SILENT, false)]),
            (SILENT, [(Listing, false), (Proven, true), (SILENT, false), (TOLD, true), (SILENT, false)]),
            (TOLD, [(Listing, false), (Proven, true), (TOLD, false), (TOLD, true), (SILENT, false)]),
            (Resumed, [(Listing, false), (Proven, true), (Resumed, true), (Proven, true), (SILENT, false)]),
        ];
        for (state, expected) in rows {
            let happenings = [ListStarted, ListCompleted, Accepted, Told, Broken];
            for (happening, (next, is_word)) in happenings.into_iter().zip(expected) {
                assert_eq!(state.after(happening), next, "{happening:?} in {state:?}");
                assert_eq!(state.is_word(happening), is_word, "{happening:?} in {state:?}");
            }
        }
        assert_eq!((SILENT.after(Confirmed), TOLD.after(Confirmed)), (Resumed, Proven));
        assert_eq!((Listing.after(Confirmed), Proven.after(Confirmed)), (Listing, Proven));
    }
}
