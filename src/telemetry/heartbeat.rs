//! Heartbeats: whether the threads and tasks that nobody can do without still pass their loops.
//!
//! A loop holds a [`Heartbeat`] and beats each time it comes round, also when it has nothing to do. One that has not for longer
//! than it may is stalled: it waits for something that never comes, or goes round in a circle. A loop that ends drops its
//! heartbeat and is not missed; whoever joins it handles that.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// The heartbeats of the process. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    pulses: Arc<Mutex<Vec<Weak<Pulse>>>>,
}

/// The heartbeat of one loop, expected for as long as this lives.
#[derive(Debug)]
#[must_use = "nobody expects the heartbeat of a loop that has dropped it"]
pub struct Heartbeat(Arc<Pulse>);

/// A loop that has not come round for too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stalled {
    /// Which loop, for a person to read.
    pub what: String,
    /// How long ago it last came round.
    pub silence: Duration,
}

#[derive(Debug)]
struct Pulse {
    what: String,
    /// How long a pass may take.
    limit: Duration,
    registered: Instant,
    /// When it last came round, in nanoseconds since `registered`.
    last: AtomicU64,
}

impl Heartbeats {
    /// Expects a beat of a new loop every `limit` from now on.
    pub fn register(&self, what: impl Into<String>, limit: Duration) -> Heartbeat {
        let pulse = Pulse { what: what.into(), limit, registered: Instant::now(), last: AtomicU64::new(0) };
        let pulse = Arc::new(pulse);
        self.with_pulses(|pulses| pulses.push(Arc::downgrade(&pulse)));
        Heartbeat(pulse)
    }

    /// The loops that are stalled at `now`, in the order in which they were registered.
    pub fn stalled(&self, now: Instant) -> Vec<Stalled> {
        self.with_pulses(|pulses| {
            pulses.retain(|pulse| pulse.strong_count() > 0);
            pulses.iter().filter_map(Weak::upgrade).filter_map(|pulse| pulse.stalled(now)).collect()
        })
    }

    fn with_pulses<T>(&self, then: impl FnOnce(&mut Vec<Weak<Pulse>>) -> T) -> T {
        then(&mut self.pulses.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Heartbeat {
    /// The loop has come round, at `now`: one relaxed store.
    pub fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.0.registered).as_nanos();
        self.0.last.store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
    }
}

impl Pulse {
    fn stalled(&self, now: Instant) -> Option<Stalled> {
        let last = Duration::from_nanos(self.last.load(Relaxed));
        let silence = now.saturating_duration_since(self.registered).saturating_sub(last);
        (silence > self.limit).then(|| Stalled { what: self.what.clone(), silence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);
    const MOMENT: Duration = Duration::from_millis(1);

    fn names(stalled: &[Stalled]) -> Vec<&str> {
        stalled.iter().map(|stalled| &*stalled.what).collect()
    }

    #[test]
    fn a_loop_that_does_not_come_round_is_named_and_those_that_do_are_not() {
        let heartbeats = Heartbeats::default();
        let (stuck, fine) = (heartbeats.register("stuck", LIMIT), heartbeats.register("fine", LIMIT));
        // Past every registration.
        let began = Instant::now() + MOMENT;
        stuck.beat(began);
        fine.beat(began + LIMIT);
        assert_eq!(heartbeats.stalled(began + LIMIT - MOMENT), []);
        let stalled = heartbeats.clone().stalled(began + LIMIT + 2 * MOMENT);
        assert_eq!(names(&stalled), ["stuck"]);
        assert!(stalled[0].silence > LIMIT && stalled[0].silence <= LIMIT + 3 * MOMENT, "{stalled:?}");
        stuck.beat(began + LIMIT + 2 * MOMENT);
        assert_eq!(heartbeats.stalled(began + LIMIT + 3 * MOMENT), [], "it has come round after all");
    }

    #[test]
    fn each_loop_has_a_limit_of_its_own() {
        let heartbeats = Heartbeats::default();
        let _quick = heartbeats.register("quick", LIMIT);
        let _slow = heartbeats.register("slow", 6 * LIMIT);
        let began = Instant::now();
        assert_eq!(names(&heartbeats.stalled(began + LIMIT + MOMENT)), ["quick"]);
        assert_eq!(names(&heartbeats.stalled(began + 6 * LIMIT + MOMENT)), ["quick", "slow"]);
    }

    #[test]
    fn a_loop_that_has_ended_is_not_missed() {
        let heartbeats = Heartbeats::default();
        drop(heartbeats.register("ended", LIMIT));
        assert_eq!(heartbeats.stalled(Instant::now() + 2 * LIMIT), []);
    }
}
