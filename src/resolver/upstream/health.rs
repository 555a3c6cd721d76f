//! Whether an upstream is asked before others: learnt from use, and from probes while nobody can use it.
//!
//! ```text
//!          FAILURES in a row                an answer, to a query or a probe
//! Working ───────────────────▶ Failing ─────────────────────────────────────▶ Working
//! ```
//!
//! A failing upstream is asked after all others. Each change is one line of the log.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::telemetry::metrics::UpstreamMetrics;

/// Attempts in a row without an answer after which an upstream counts as failing: one may be a lost datagram.
const FAILURES: u32 = 3;

/// The health of one upstream.
pub(in crate::resolver) struct Health {
    upstream: Arc<str>,
    is_failing: AtomicBool,
    /// Attempts without an answer since the last answer.
    failures: AtomicU32,
    changes: Notify,
    metrics: Arc<UpstreamMetrics>,
}

impl Health {
    pub fn new(upstream: Arc<str>, metrics: Arc<UpstreamMetrics>) -> Self {
        metrics.set_working(true);
        Self {
            upstream,
            is_failing: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            changes: Notify::new(),
            metrics,
        }
    }

    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Waits for the next change, or returns at once if there was one since the last call.
    pub async fn changed(&self) {
        self.changes.notified().await;
    }

    /// Something else than an answer has changed.
    pub fn notify(&self) {
        self.changes.notify_one();
    }

    /// The upstream has answered.
    pub fn succeeded(&self) {
        // Read before it is written: nearly always there is nothing to write.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.is_failing() && self.is_failing.swap(false, Ordering::Relaxed) {
            self.metrics.set_working(true);
            tracing::info!(upstream = &*self.upstream, "an upstream answers again");
            self.notify();
        }
    }

    /// An attempt had no answer.
    pub fn failed(&self, error: &dyn fmt::Display) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES && !self.is_failing.swap(true, Ordering::Relaxed) {
            self.metrics.set_working(false);
            tracing::warn!(upstream = &*self.upstream, %error, "an upstream does not answer; asking others first");
            self.notify();
        }
    }
}
