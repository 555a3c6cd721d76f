//! When there was last word from the cluster on a watch, and since when there has been none for too long.
//!
//! ```text
//!          no word for `stale_after`
//!   Fresh ──────────────────────────▶ Stale ──┐ another `stale_after`: reported again
//!     ▲                                │  ▲───┘
//!     └────────────────────────────────┘
//!                  a word
//! ```
//!
//! What is a word is decided in [`super::trust`].

use std::future::pending;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::telemetry::metrics::WatchAge;

/// The time of the last word on a watch, which the metrics show too.
pub(super) struct Clock {
    age: WatchAge,
    /// When there was last word; before that, when the watch was created.
    last_word: watch::Sender<Instant>,
}

impl Clock {
    pub fn new(age: WatchAge) -> Self {
        Self { age, last_word: watch::Sender::new(Instant::now()) }
    }

    /// There is word from the cluster.
    pub fn word(&self) {
        self.age.reset();
        self.last_word.send_replace(Instant::now());
    }

    /// When there was last word.
    pub fn last_word(&self) -> std::time::Instant {
        self.last_word.borrow().into_std()
    }

    /// Observes when the watch becomes stale, and when it recovers.
    pub fn monitor(&self, stale_after: Duration) -> StalenessMonitor {
        StalenessMonitor { last_word: self.last_word.subscribe(), stale_after, state: Staleness::Fresh }
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
    last_word: watch::Receiver<Instant>,
    stale_after: Duration,
    state: Staleness,
}

impl StalenessMonitor {
    /// Waits for the next transition.
    pub async fn next(&mut self) -> Staleness {
        self.state = match self.state {
            Staleness::Fresh => Staleness::Stale { since: self.stale_since().await },
            // An error would mean that the sender is gone, and with it the task that waits here.
            Staleness::Stale { since } => match timeout(self.stale_after, self.last_word.changed()).await {
                Ok(_) => Staleness::Fresh,
                Err(_) => Staleness::Stale { since },
            },
        };
        self.state
    }

    /// Returns as soon as there has been no word for `stale_after`: when the last one was, to the second.
    async fn stale_since(&mut self) -> Timestamp {
        loop {
            let last = *self.last_word.borrow_and_update();
            sleep_until(last + self.stale_after).await;
            if !self.last_word.has_changed().unwrap_or_default() {
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
    use std::sync::Arc;

    use super::*;
    use crate::telemetry::metrics::{Metrics, Resource};

    const STALE_AFTER: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_stale_from_its_last_word_on_until_the_next() {
        let clock = Clock::new(Arc::new(Metrics::new()).register_watch(Resource::Pods));
        let mut monitor = clock.monitor(STALE_AFTER);
        let start = Instant::now();
        tokio::time::advance(STALE_AFTER / 2).await;
        clock.word();
        let before = Timestamp::now() - STALE_AFTER - Duration::from_secs(1);
        let Staleness::Stale { since } = monitor.next().await else { panic!("it is stale") };
        assert!((before..=Timestamp::now() - STALE_AFTER).contains(&since), "{since} is the second of the last word");
        assert_eq!(start.elapsed().as_secs(), (STALE_AFTER * 3 / 2).as_secs());
        assert_eq!(monitor.next().await, Staleness::Stale { since }, "reported again");
        assert_eq!(start.elapsed().as_secs(), (STALE_AFTER * 5 / 2).as_secs());
        clock.word();
        assert_eq!(monitor.next().await, Staleness::Fresh);
        assert!(matches!(monitor.next().await, Staleness::Stale { .. }));
    }
}
