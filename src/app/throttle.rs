//! Limits how often the table is published: an isolated change at once, a burst of changes in few publications.
//!
//! Publishing a large Service costs as much as hundreds of small changes, and in a burst every change would cost one
//! publication. So each publication is followed by a pause in proportion to its cost, in which changes gather. Publishing
//! then takes a fixed share of the time, however many changes come. A change that comes after the pause does not wait.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A pause is this many times as long as the publication before it: publications take a third of a core at most.
const PAUSE_PER_PUBLICATION: u32 = 2;
/// The longest pause. With the publications before and after it, a change of a Service of 5,000 endpoints is answered within 5 ms.
const MAX_PAUSE: Duration = Duration::from_millis(1);

/// The pauses between publications.
#[derive(Debug)]
pub(super) struct PublishThrottle {
    pause_ends: Instant,
}

impl PublishThrottle {
    /// No pause before the first publication.
    pub fn new() -> Self {
        Self { pause_ends: Instant::now() }
    }

    /// Starts the pause after a publication that took `took`.
    pub fn published(&mut self, took: Duration) {
        self.pause_ends = Instant::now() + took.saturating_mul(PAUSE_PER_PUBLICATION).min(MAX_PAUSE);
    }

    /// Waits for the end of the pause.
    pub async fn ready(&self) {
        sleep_until(self.pause_ends).await;
    }
}
