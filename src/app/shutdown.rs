//! The end of a running server: which task stops after which, and how long each may take.
//!
//! ```text
//! SIGTERM ─▶ 1 not ready    /readyz fails from here on
//!            2 drain        everything goes on for `drain_timeout`, so that load balancers notice
//! SIGINT ──▶ 3 transports   stop receiving and answer what has arrived      at most CLOSE_TIMEOUT
//!            4 mirror       stops watching and saves its state              at most SAVE_TIMEOUT
//!            5 pages        end last: /readyz and /metrics cover all of the above
//! ```
//!
//! SIGINT does step 1 too, and skips step 2. So does a server that has never been ready, and one of whose tasks ended by
//! itself, which makes the process fail.

use std::time::Duration;

use anyhow::anyhow;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::threads::Threads;
use crate::telemetry::readiness::Readiness;

/// How long the transports may take to answer what had arrived when they were closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long saving the state may take at the end. All time-outs together are well below a Pod's grace period.
const SAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Tells a server to stop. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Keep answering for the drain time-out, but no longer ready: what Kubernetes expects of a Pod that it deletes.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Answer what has arrived and exit: what a person at a keyboard expects.
    pub fn now(&self) {
        self.now.cancel();
    }

    /// Waits until either is called.
    pub async fn requested(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.now.cancelled() => {}
        }
    }
}

/// A task, and the token that tells it to stop.
pub(super) struct Stoppable<T> {
    stop: CancellationToken,
    task: JoinHandle<T>,
}

impl<T: Send + 'static> Stoppable<T> {
    /// Spawns a task that ends soon after the token that it is given is cancelled.
    pub fn spawn<F>(task: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(task(stop.clone())), stop }
    }

    /// The same on threads of its own.
    pub fn spawn_on<F>(threads: &Threads, task: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let stop = CancellationToken::new();
        Self { task: threads.spawn(task(stop.clone())), stop }
    }

    /// Stops the task and waits for its end. Returns false if it took longer than `limit` and was aborted.
    async fn stop(&mut self, limit: Duration) -> bool {
        self.stop.cancel();
        // A task that was awaited to its end must not be awaited again.
        let has_ended = self.task.is_finished() || timeout(limit, &mut self.task).await.is_ok();
        if !has_ended {
            self.task.abort();
        }
        has_ended
    }
}

/// All tasks of a running server, in the order in which they stop.
pub(super) struct Tasks {
    pub transports: Stoppable<anyhow::Result<()>>,
    pub mirror: Stoppable<()>,
    /// Those of the admin pages and of the probes.
    pub pages: [Stoppable<()>; 2],
}

impl Tasks {
    /// Waits until a stop is requested or a task ends by itself, and then stops all tasks in their order.
    ///
    /// # Errors
    /// A task ended by itself.
    pub async fn run(mut self, stop: &Stop, readiness: &Readiness, drain_timeout: Duration) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            () = stop.requested() => Ok(()),
            ended = &mut self.mirror.task => Err(unexpected_end("the watch of the cluster", ended.map(Ok))),
            ended = &mut self.transports.task => Err(unexpected_end("answering", ended)),
        };
        let was_ready = readiness.is_ready();
        let _not_ready = readiness.block("the server is stopping");
        // No client was sent to a server that has never been ready.
        if outcome.is_ok() && was_ready && !drain_timeout.is_zero() && !stop.now.is_cancelled() {
            let seconds = drain_timeout.as_secs();
            tracing::info!(
                seconds,
                "draining: not ready any more, and answering on until clients have turned to others"
            );
            let _ = timeout(drain_timeout, stop.now.cancelled()).await;
        }
        if !self.transports.stop(CLOSE_TIMEOUT).await {
            tracing::warn!("closing connections that did not finish in time");
        }
        if !self.mirror.stop(SAVE_TIMEOUT).await {
            tracing::warn!("the state was not saved in time; the previous file is kept");
        }
        self.pages.iter().for_each(|pages| pages.stop.cancel());
        for pages in self.pages {
            // A panic in it has been logged and does not change the outcome.
            let _ = pages.task.await;
        }
        outcome
    }
}

/// The error for a task that should run until it is stopped.
fn unexpected_end(task: &str, ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("{task} ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => anyhow!(error).context(format!("{task} failed")),
    }
}
