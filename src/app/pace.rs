//! How often the table is published: an isolated change at once, a burst of them in few publications.
//!
//! A publication of a large Service costs what hundreds of small changes do, and in a burst each change would cost one.
//! So after a publication there is a rest in proportion to what it cost, in which changes gather: the cost stays a fixed
//! share of the time, however many changes come, and what comes after a rest waits for nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A rest is so many times what the publication before it took: publications take a fifth of a core at most.
const SHARE: u32 = 4;
/// The longest rest. With the publications on both sides of it, a change is answered within 10 ms.
const LONGEST: Duration = Duration::from_millis(3);

/// The rests between publications.
#[derive(Debug)]
pub(super) struct Pace {
    rests_until: Instant,
}

impl Pace {
    pub fn new() -> Self {
        Self { rests_until: Instant::now() }
    }

    /// A publication that took so long is done.
    pub fn published(&mut self, took: Duration) {
        self.rests_until = Instant::now() + took.saturating_mul(SHARE).min(LONGEST);
    }

    /// Waits for the end of the rest.
    pub async fn rested(&self) {
        sleep_until(self.rests_until).await;
    }
}
