//! Whether a watch is alive: when something last arrived, whether a watch is open, and for how long the server asked to be left
//! alone. [`super::intercept`] records it; the watch and the metrics use it.
//!
//! ```text
//!          nothing for `stale_after`
//!   Fresh ──────────────────────────▶ Stale ──┐ another `stale_after`: reported again
//!     ▲                                │  ▲───┘
//!     └────────────────────────────────┘
//!             anything arrives
//! ```

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::telemetry::metrics::WatchAge;

/// A watch that stays open for this long works, even if nothing arrives on it. One that ends sooner without an event has
/// failed; client-go uses the same limit.
pub(super) const STEADY: Duration = Duration::from_secs(1);

/// What is known of the API server from one watch.
pub(super) struct Liveness {
    age: WatchAge,
    /// When something last arrived; before that, when the watch was created.
    last_contact: watch::Sender<Instant>,
    /// Since when a healthy watch is open.
    open_since: watch::Sender<Option<Instant>>,
    /// The header `Retry-After` of the last response.
    retry_after: Mutex<Option<Duration>>,
}

impl Liveness {
    pub fn new(age: WatchAge) -> Arc<Self> {
        Arc::new(Self {
            age,
            last_contact: watch::Sender::new(Instant::now()),
            open_since: watch::Sender::new(None),
            retry_after: Mutex::default(),
        })
    }

    /// Something arrived.
    pub fn contact(&self) {
        self.age.reset();
        self.last_contact.send_replace(Instant::now());
    }

    /// When something last arrived.
    pub fn last_contact(&self) -> std::time::Instant {
        self.last_contact.borrow().into_std()
    }

    /// A watch was accepted.
    pub fn opened(&self, at: Instant) {
        self.open_since.send_replace(Some(at));
    }

    /// No watch is open, or the open one has failed.
    pub fn closed(&self) {
        self.open_since.send_replace(None);
    }

    /// Returns when a watch has been open for [`STEADY`].
    pub async fn steady(&self) {
        let mut open_since = self.open_since.subscribe();
        loop {
            let since = *open_since.borrow_and_update();
            tokio::select! {
                () = sleep_until_some(since.map(|since| since + STEADY)) => return,
                // Never an error: the sender is in `self`.
                _ = open_since.changed() => {}
            }
        }
    }

    pub fn set_retry_after(&self, header: Option<Duration>) {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = header;
    }

    /// How long the last response asked to wait before the next request. Applies once.
    pub fn take_retry_after(&self) -> Option<Duration> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Observes when the watch becomes stale, and when it recovers.
    pub fn monitor(&self, stale_after: Duration) -> StalenessMonitor {
        StalenessMonitor { last_contact: self.last_contact.subscribe(), stale_after, state: Staleness::Fresh }
    }
}

/// The states in the drawing above. Also what [`StalenessMonitor::next`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Staleness {
    Fresh,
    Stale { since: Timestamp },
}

/// The staleness of one watch over time.
pub(super) struct StalenessMonitor {
    last_contact: watch::Receiver<Instant>,
    stale_after: Duration,
    state: Staleness,
}

impl StalenessMonitor {
    /// Waits for the next transition.
    pub async fn next(&mut self) -> Staleness {
        self.state = match self.state {
            Staleness::Fresh => Staleness::Stale { since: self.stale_since().await },
            // An error would mean that the sender is gone, and with it the task that waits here.
            Staleness::Stale { since } => match timeout(self.stale_after, self.last_contact.changed()).await {
                Ok(_) => Staleness::Fresh,
                Err(_) => Staleness::Stale { since },
            },
        };
        self.state
    }

    /// Returns as soon as nothing has arrived for `stale_after`: when the last contact was, to the second.
    async fn stale_since(&mut self) -> Timestamp {
        loop {
            let last = *self.last_contact.borrow_and_update();
            sleep_until(last + self.stale_after).await;
            if !self.last_contact.has_changed().unwrap_or_default() {
                let now = Timestamp::now();
                let since = now.checked_sub(last.elapsed()).unwrap_or(now);
                return Timestamp::from_second(since.as_second()).unwrap_or(since);
            }
        }
    }
}

/// Waits until `deadline`; for ever if there is none.
pub(super) async fn sleep_until_some(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Metrics, Resource};

    const STALE_AFTER: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_stale_from_its_last_contact_on_until_the_next() {
        let liveness = Liveness::new(Arc::new(Metrics::new()).register_watch(Resource::Pods));
        let mut monitor = liveness.monitor(STALE_AFTER);
        let start = Instant::now();
        tokio::time::advance(STALE_AFTER / 2).await;
        liveness.contact();
        let Staleness::Stale { since } = monitor.next().await else { panic!("it is stale") };
        assert_eq!(start.elapsed().as_secs(), (STALE_AFTER * 3 / 2).as_secs());
        assert_eq!(monitor.next().await, Staleness::Stale { since }, "reported again");
        assert_eq!(start.elapsed().as_secs(), (STALE_AFTER * 5 / 2).as_secs());
        liveness.contact();
        assert_eq!(monitor.next().await, Staleness::Fresh);
        assert!(matches!(monitor.next().await, Staleness::Stale { .. }));
    }
}
