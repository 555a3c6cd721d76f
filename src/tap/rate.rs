//! One of many, and so many a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Lets one of so many through, evenly.
#[derive(Debug)]
pub(super) struct Sample {
    of: u64,
    seen: AtomicU64,
}

impl Sample {
    pub fn new(of: u32) -> Self {
        Self { of: u64::from(of.max(1)), seen: AtomicU64::new(0) }
    }

    pub fn is_in(&self) -> bool {
        self.of == 1 || self.seen.fetch_add(1, Relaxed).is_multiple_of(self.of)
    }
}

/// Lets so many through in each second.
#[derive(Debug)]
pub(super) struct RateLimit {
    most: u32,
    pub(super) began: Instant,
    /// The second since it began, and how many it has let through: 32 bits each.
    passed: AtomicU64,
}

impl RateLimit {
    pub fn new(most: u32) -> Self {
        Self { most, began: Instant::now(), passed: AtomicU64::new(0) }
    }

    pub fn lets_through(&self, now: Instant) -> bool {
        // 136 years.
        let second = now.saturating_duration_since(self.began).as_secs() & u64::from(u32::MAX);
        let next = |passed: u64| {
            let count = if passed >> 32 == second { passed & u64::from(u32::MAX) } else { 0 };
            (count < u64::from(self.most)).then_some(second << 32 | (count + 1))
        };
        self.passed.fetch_update(Relaxed, Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_of_so_many_is_let_through_and_not_more_than_so_many_a_second() {
        let sample = Sample::new(10);
        assert_eq!((0..1000).filter(|_| sample.is_in()).count(), 100);
        let rate = RateLimit::new(3);
        let passed = |second: u64| {
            let now = rate.began + Duration::from_secs(second);
            (0..10).filter(|_| rate.lets_through(now)).count()
        };
        assert_eq!([0, 0, 1, 5].map(passed), [3, 0, 3, 3]);
    }
}
