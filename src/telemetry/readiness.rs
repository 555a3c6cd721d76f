//! Readiness by ownership: a task that the process must wait for holds a [`Latch`] and drops it when it is done.
//!
//! The process is ready while there is no latch. A latch that a panicking task drops counts as done too; whoever joins the
//! task handles the panic. Stopping works the same way: take a latch and keep it.

use std::sync::Arc;

use tokio::sync::watch;

/// The readiness of the process. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Readiness {
    pending: Arc<watch::Sender<Vec<Pending>>>,
}

/// Blocks readiness for as long as it lives.
#[derive(Debug)]
#[must_use = "dropping the latch says that the work is done"]
pub struct Latch {
    id: u64,
    pending: Arc<watch::Sender<Vec<Pending>>>,
}

#[derive(Debug)]
struct Pending {
    id: u64,
    what: String,
}

impl Readiness {
    /// Ready until it is blocked.
    pub fn new() -> Self {
        Self { pending: Arc::new(watch::Sender::new(Vec::new())) }
    }

    /// Blocks readiness until the returned latch is dropped. `/readyz` shows `what` as pending.
    pub fn block(&self, what: impl Into<String>) -> Latch {
        let mut id = 0;
        self.pending.send_modify(|pending| {
            id = pending.last().map_or(0, |last| last.id + 1);
            pending.push(Pending { id, what: what.into() });
        });
        Latch { id, pending: self.pending.clone() }
    }

    /// What is pending, in the order of the calls of [`Readiness::block`]; empty when ready.
    pub fn pending(&self) -> Vec<String> {
        self.pending.borrow().iter().map(|pending| pending.what.clone()).collect()
    }

    /// Whether nothing is pending.
    pub fn is_ready(&self) -> bool {
        self.pending.borrow().is_empty()
    }

    /// Waits until nothing is pending.
    pub async fn wait_ready(&self) {
        // An error would mean that the sender is gone, and `self` owns it.
        let _ = self.pending.subscribe().wait_for(Vec::is_empty).await;
    }
}

impl Latch {
    /// Waits until nothing else is pending.
    pub async fn is_last(&self) {
        let is_last = |pending: &Vec<Pending>| pending.iter().all(|pending| pending.id == self.id);
        // An error would mean that the sender is gone, and `self` owns it.
        let _ = self.pending.subscribe().wait_for(is_last).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.pending.send_modify(|pending| pending.retain(|pending| pending.id != self.id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn nothing_blocks_a_new_one() {
        assert!(Readiness::new().is_ready());
    }

    #[test]
    fn it_is_ready_when_every_latch_is_dropped_in_whatever_order() {
        let readiness = Readiness::new();
        let services = readiness.block("services in all namespaces");
        let slices = readiness.block("endpointslices in all namespaces");
        assert_eq!(readiness.pending(), ["services in all namespaces", "endpointslices in all namespaces"]);
        drop(services);
        assert_eq!(readiness.pending(), ["endpointslices in all namespaces"]);
        let again = readiness.block("services in all namespaces");
        drop(slices);
        assert!(!readiness.is_ready());
        drop(again);
        assert!(readiness.is_ready());
    }

    #[test]
    fn two_latches_with_the_same_text_are_two() {
        let readiness = Readiness::new();
        let first = readiness.block("services");
        let _second = readiness.block("services");
        drop(first);
        assert_eq!(readiness.pending(), ["services"]);
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_latch_is_dropped() {
        let readiness = Readiness::new();
        let latch = readiness.block("services");
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.wait_ready().await }
        });
        assert!(!waiting.is_finished());
        drop(latch);
        tokio::time::timeout(LONG, waiting).await.expect("ready in time").expect("no panic");
    }

    #[tokio::test]
    async fn the_last_one_learns_that_the_others_are_done() {
        let readiness = Readiness::new();
        let (first, last) = (readiness.block("services"), readiness.block("listening"));
        let waiting = tokio::spawn(async move { last.is_last().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        tokio::time::timeout(LONG, waiting).await.expect("the last in time").expect("no panic");
    }

    #[tokio::test]
    async fn a_task_that_is_cancelled_drops_its_latch() {
        let readiness = Readiness::new();
        let latch = readiness.block("a task");
        let task = tokio::spawn(async move {
            let _latch = latch;
            std::future::pending::<()>().await;
        });
        task.abort();
        tokio::time::timeout(LONG, readiness.wait_ready()).await.expect("ready in time");
    }

    #[test]
    fn a_latch_taken_later_makes_it_unready_again() {
        let readiness = Readiness::new();
        let draining = readiness.block("the server is stopping");
        assert_eq!(readiness.pending(), ["the server is stopping"]);
        drop(draining);
    }
}
