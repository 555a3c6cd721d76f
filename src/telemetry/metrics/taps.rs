//! Counts of what is shown of queries, and of what is left out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::labels::TapDrop;
use super::{Metrics, increment};

/// Counts of the query log and of dnstap.
#[derive(Debug, Default)]
pub struct TapCounts {
    pub(super) not_logged: [AtomicU64; TapDrop::COUNT],
    pub(super) frames: AtomicU64,
    pub(super) frames_dropped: AtomicU64,
}

impl TapCounts {
    /// Counts a query that was left out of the log.
    pub fn not_logged(&self, reason: TapDrop) {
        increment(&self.not_logged[reason.index()]);
    }

    /// Counts frames that the collector has taken.
    pub fn frames_sent(&self, frames: u64) {
        self.frames.fetch_add(frames, Relaxed);
    }

    /// Counts frames that it has not.
    pub fn frames_dropped(&self, frames: u64) {
        self.frames_dropped.fetch_add(frames, Relaxed);
    }
}

impl Metrics {
    /// Counts of the query log and of dnstap.
    pub fn taps(&self) -> &TapCounts {
        &self.taps
    }
}
