//! How long to pause after an error before the next request.
//!
//! A server that does not answer costs nothing to ask, and its return should be noticed within a second. One that answers
//! with an error is asked less and less often, and never before its `Retry-After` has passed. Pauses are jittered, so that
//! the replicas of this program, which all lose the server at the same moment, do not all come back at the same moment. A list
//! costs the server more than anything else that is asked of it: replicas that have to make one at the same moment are spread further.
//! How long the server was away before makes no list later: it is there now, and holds something else than what is answered.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::errors::Error;
use crate::telemetry::metrics::WatchErrorReason;

/// The longest `Retry-After` that is honoured. kube-apiserver sends one second; a proxy in front of it may send any number,
/// and a wrong one must not end the watch.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Pauses that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Backoff {
    first: Duration,
    longest: Duration,
}

/// For a server that does not answer. The longest leaves time to connect within a second of the server's return.
const UNREACHABLE: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_millis(800) };
/// For a server that answers with an error. The same as in client-go.
const REFUSED: Backoff = Backoff { first: Duration::from_millis(800), longest: Duration::from_secs(30) };
/// For a server that is there, and says that the watch cannot be resumed on it.
const POSITION_LOST: Backoff = Backoff { first: Duration::from_millis(50), longest: REFUSED.longest };

/// Over how long the lists of replicas are spread that all lost their position at the same moment. Answers may be old for as long, so
/// it is short: T5 has all of it done within a second.
const RELIST_SPREAD: Duration = Duration::from_millis(500);

impl Backoff {
    fn pause(self, failures: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX)).min(self.longest)
    }
}

/// The pauses of one watch.
#[derive(Debug)]
pub(super) struct RetryPolicy {
    backoff: Backoff,
    /// Consecutive failures with this backoff.
    failures: u32,
}

impl RetryPolicy {
    pub fn new() -> Self {
        Self { backoff: UNREACHABLE, failures: 0 }
    }

    /// The watch works: the next failure is the first.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after `error`.
    pub fn pause_after(&mut self, error: &Error) -> Duration {
        let backoff = match error.reason() {
            WatchErrorReason::Unreachable => UNREACHABLE,
            WatchErrorReason::Gone => POSITION_LOST,
            _ => REFUSED,
        };
        let requested = error.retry_after().unwrap_or_default().min(MAX_RETRY_AFTER);
        let pause = self.next_pause(backoff).max(requested);
        if error.is_position_lost() { pause + up_to(RELIST_SPREAD) } else { pause }
    }

    /// The pause after a refusal of something that is asked for beside the watch.
    pub fn pause_after_refusal(&mut self) -> Duration {
        self.next_pause(REFUSED)
    }

    /// The pause before a list that nothing but a change of the server calls for.
    pub fn pause_before_relist(&mut self) -> Duration {
        self.next_pause(POSITION_LOST) + up_to(RELIST_SPREAD)
    }

    /// Whether the last attempt failed.
    pub fn has_failed(&self) -> bool {
        self.failures > 0
    }

    fn next_pause(&mut self, backoff: Backoff) -> Duration {
        if self.backoff != backoff {
            *self = Self { backoff, failures: 0 };
        }
        let pause = backoff.pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        jittered(pause)
    }
}

/// A random duration between half of `duration` and all of it.
pub(super) fn jittered(duration: Duration) -> Duration {
    duration / 2 + up_to(duration / 2)
}

/// A random duration of at most `longest`.
fn up_to(longest: Duration) -> Duration {
    // Each RandomState has keys of its own, and so hashes to a number of its own. Its quality does not matter here.
    let random = RandomState::new().hash_one(());
    longest.mul_f64(random as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::api::ApiError;
    use crate::cluster::decoding::Status;

    /// Whether `pause` is `whole`, jittered.
    fn is_of(pause: Duration, whole: Duration) -> bool {
        (whole / 2..=whole).contains(&pause)
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_once_the_watch_works() {
        let mut retry = RetryPolicy::new();
        for milliseconds in [50, 100, 200, 400, 800, 800, 800] {
            assert!(is_of(retry.next_pause(UNREACHABLE), Duration::from_millis(milliseconds)), "{milliseconds}");
        }
        for seconds in [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] {
            assert!(is_of(retry.next_pause(REFUSED), Duration::from_secs_f64(seconds)), "{seconds}");
        }
        retry.reset();
        assert!(is_of(retry.next_pause(REFUSED), REFUSED.first));
        assert!(is_of(retry.next_pause(UNREACHABLE), UNREACHABLE.first), "the same after a change of the problem");
        retry.failures = u32::MAX;
        assert!(is_of(retry.next_pause(UNREACHABLE), UNREACHABLE.longest));
    }

    /// T5.
    #[test]
    fn a_list_is_made_within_a_second_however_long_the_server_was_away_or_refused() {
        let gone = || {
            Error::StartFailed(ApiError::Refused {
                status: Status { code: 410, ..Status::default() },
                retry_after: None,
            })
        };
        for away in [UNREACHABLE, REFUSED] {
            for _ in 0..100 {
                let mut retry = RetryPolicy::new();
                (0..20).for_each(|_| _ = retry.next_pause(away));
                let mut told = RetryPolicy { ..retry };
                for pause in [retry.pause_before_relist(), told.pause_after(&gone())] {
                    assert!(pause < Duration::from_millis(800), "{away:?}: {pause:?}");
                }
                assert!(retry.has_failed() && told.has_failed());
            }
        }
        let mut retry = RetryPolicy::new();
        (0..20).for_each(|_| _ = retry.pause_after(&gone()));
        assert!(
            retry.pause_after(&gone()) >= REFUSED.longest / 2,
            "a server that refuses its own lists is not flooded"
        );
    }

    #[test]
    fn a_pause_is_as_long_as_the_header_or_the_body_asks_within_a_bound() {
        let seconds = Duration::from_secs;
        for (header, body, expected) in [
            (Some(45), 0, seconds(45)),
            (Some(1), 0, seconds(1)),
            (None, 45, seconds(45)),
            (Some(40), 45, seconds(45)),
            (Some(86_400), 0, MAX_RETRY_AFTER),
            (None, u32::MAX, MAX_RETRY_AFTER),
        ] {
            let status = Status { code: 429, retry_after_seconds: body, ..Status::default() };
            let error = Error::StartFailed(ApiError::Refused { status, retry_after: header.map(seconds) });
            assert_eq!(RetryPolicy::new().pause_after(&error), expected, "{header:?} {body}");
        }
    }

    #[test]
    fn no_two_replicas_pause_for_the_same_time() {
        let pauses: std::collections::HashSet<_> = (0..100).map(|_| jittered(Duration::from_secs(1))).collect();
        assert!(pauses.len() > 90, "{pauses:?}");
    }
}
