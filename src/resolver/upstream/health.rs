//! Whether an upstream is asked: learnt from use, and from probes while nobody can use it.
//!
//! ```text
//!              FAILURES in a row               an answer, to a query or a probe
//!  ┌─▶ Working ─────────────────────▶ Failing ──────────────────────────────────▶ Working
//!  │      │                              │
//!  │      └───────── a probe comes back to this server ──────────▶ Looping
//!  └──────────────────────── a probe is answered and does not come back ──┘
//! ```
//!
//! A failing upstream is asked after all others, a looping one never. Each change is one line of the log.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use tokio::sync::Notify;

use crate::telemetry::metrics::UpstreamMetrics;

/// Attempts in a row without an answer after which an upstream counts as failing: one may be a lost datagram.
const FAILURES: u32 = 3;

/// The state of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::resolver) enum State {
    Working,
    Failing,
    Looping,
}

/// The health of one upstream.
pub(in crate::resolver) struct Health {
    upstream: Arc<str>,
    state: AtomicU8,
    /// Attempts without an answer since the last answer.
    failures: AtomicU32,
    /// Whether a probe has come back since it was last looked for.
    came_back: AtomicBool,
    changes: Notify,
    metrics: Arc<UpstreamMetrics>,
}

impl Health {
    pub fn new(upstream: Arc<str>, metrics: Arc<UpstreamMetrics>) -> Self {
        metrics.set_working(true);
        Self {
            upstream,
            state: AtomicU8::new(State::Working as u8),
            failures: AtomicU32::new(0),
            came_back: AtomicBool::new(false),
            changes: Notify::new(),
            metrics,
        }
    }

    pub fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            state if state == State::Working as u8 => State::Working,
            state if state == State::Failing as u8 => State::Failing,
            _ => State::Looping,
        }
    }

    /// Waits for the next change of the state, or returns at once if there was one since the last call.
    pub async fn changed(&self) {
        self.changes.notified().await;
    }

    /// The upstream has answered.
    pub fn succeeded(&self) {
        // Read before it is written: nearly always there is nothing to write.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.state() == State::Failing && self.change(State::Failing, State::Working) {
            tracing::info!(upstream = &*self.upstream, "an upstream answers again");
        }
    }

    /// An attempt had no answer.
    pub fn failed(&self, error: &dyn fmt::Display) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES && self.change(State::Working, State::Failing) {
            tracing::warn!(upstream = &*self.upstream, %error, "an upstream does not answer; asking others first");
        }
    }

    /// A probe has come back to this server.
    pub fn looped(&self) {
        self.came_back.store(true, Ordering::Relaxed);
        let has_changed = [State::Working, State::Failing].into_iter().any(|from| self.change(from, State::Looping));
        if has_changed {
            tracing::error!(
                upstream = &*self.upstream,
                "a loop: the upstream sends queries back to this server, and is not asked; correct `forward`, or the \
                 forwarding of the upstream"
            );
        }
    }

    /// From now on it matters whether a probe comes back.
    pub fn expect_no_loop(&self) {
        self.came_back.store(false, Ordering::Relaxed);
    }

    /// Probes have been answered; if none has come back, the loop is no longer there.
    pub fn loop_may_have_ended(&self) {
        if !self.came_back.load(Ordering::Relaxed) && self.change(State::Looping, State::Working) {
            tracing::info!(upstream = &*self.upstream, "an upstream sends queries back no longer");
        }
    }

    /// Whether the state was `from`, and is `to` now.
    fn change(&self, from: State, to: State) -> bool {
        let changed = self.state.compare_exchange(from as u8, to as u8, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if changed {
            self.metrics.set_working(to == State::Working);
            self.changes.notify_one();
        }
        changed
    }
}
