//! How long to wait after a failure before trying again.
//!
//! A server that is not there costs nothing to ask, and is to be found within a second of its return. One that answers,
//! and refuses, is asked more and more seldom. Every pause is shortened at random, so that the replicas of this program,
//! which have all lost the server at the same moment, do not all come back at the same moment.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use kube::runtime::watcher::Error;

use super::report::reason;
use crate::telemetry::metrics::WatchErrorReason;

/// The longest pause between two tries that a server may ask for.
const MAX_ASKED: Duration = Duration::from_secs(30);

/// Pauses that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    first: Duration,
    longest: Duration,
}

/// For a server that does not answer. The longest leaves time for a connection within the second.
const ABSENT: Pace = Pace { first: Duration::from_millis(50), longest: Duration::from_millis(800) };
/// For a server that refuses: what Kubernetes' own clients do.
const REFUSING: Pace = Pace { first: Duration::from_millis(800), longest: Duration::from_secs(30) };

impl Pace {
    fn pause(self, failures: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(self.longest)
    }
}

/// The pauses of one watch.
#[derive(Debug)]
pub(super) struct Backoff {
    pace: Pace,
    /// How often in a row the watch has failed at this pace.
    failures: u32,
}

impl Backoff {
    pub fn new() -> Self {
        Self { pace: ABSENT, failures: 0 }
    }

    /// The watch works.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after `error`.
    pub fn after(&mut self, error: &Error) -> Duration {
        let pace = if reason(error) == WatchErrorReason::Unreachable { ABSENT } else { REFUSING };
        self.pause(pace).max(asked(error))
    }

    fn pause(&mut self, pace: Pace) -> Duration {
        if self.pace != pace {
            *self = Self { pace, failures: 0 };
        }
        let pause = pace.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        shortened(pause)
    }
}

/// How long the server asks to be left alone (`Retry-After`), within reason.
fn asked(error: &Error) -> Duration {
    let status = match error {
        Error::InitialListFailed(kube::Error::Api(status)) | Error::WatchStartFailed(kube::Error::Api(status)) => {
            status
        }
        Error::WatchError(status) => status,
        _ => return Duration::ZERO,
    };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    Duration::from_secs(seconds.into()).min(MAX_ASKED)
}

/// Between half of `duration` and all of it, at random.
pub(super) fn shortened(duration: Duration) -> Duration {
    // Each is made with keys of its own, and so gives a number of its own. Nothing depends on its quality.
    let random = RandomState::new().hash_one(());
    let part = random as f64 / u64::MAX as f64;
    duration.mul_f64((1.0 + part) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a pause is `whole`, shortened.
    fn is_of(pause: Duration, whole: Duration) -> bool {
        (whole / 2..=whole).contains(&pause)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_once_the_watch_works() {
        let mut backoff = Backoff::new();
        for milliseconds in [50, 100, 200, 400, 800, 800, 800] {
            assert!(is_of(backoff.pause(ABSENT), Duration::from_millis(milliseconds)), "{milliseconds}");
        }
        for seconds in [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] {
            assert!(is_of(backoff.pause(REFUSING), Duration::from_secs_f64(seconds)), "{seconds}");
        }
        backoff.reset();
        assert!(is_of(backoff.pause(REFUSING), REFUSING.first));
        assert!(is_of(backoff.pause(ABSENT), ABSENT.first), "and where the trouble is another one");
        backoff.failures = u32::MAX;
        assert!(is_of(backoff.pause(ABSENT), ABSENT.longest));
    }

    #[test]
    fn no_two_replicas_wait_for_the_same_time() {
        let pauses: std::collections::HashSet<_> = (0..100).map(|_| shortened(Duration::from_secs(1))).collect();
        assert!(pauses.len() > 90, "{pauses:?}");
    }
}
