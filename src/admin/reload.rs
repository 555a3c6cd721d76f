//! Requests to load the configuration anew: from the page `/reload`, and from a signal.

use tokio::sync::{mpsc, oneshot};

/// Requests that wait. Further ones wait where they come from.
const WAITING: usize = 4;

/// What has come of it, in a sentence: what has changed, or why nothing has.
pub type ReloadOutcome = Result<String, String>;

/// Asks for it. All clones are one.
#[derive(Clone, Debug)]
pub struct ReloadHandle(mpsc::Sender<oneshot::Sender<ReloadOutcome>>);

/// Where the requests arrive.
#[derive(Debug)]
pub struct ReloadRequests(mpsc::Receiver<oneshot::Sender<ReloadOutcome>>);

/// One of them.
#[derive(Debug)]
pub struct ReloadRequest(oneshot::Sender<ReloadOutcome>);

pub fn reload_requests() -> (ReloadHandle, ReloadRequests) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (ReloadHandle(sender), ReloadRequests(receiver))
}

impl ReloadHandle {
    /// Asks for it, and waits for what comes of it.
    ///
    /// # Errors
    /// Nothing has changed; the sentence says why.
    pub async fn ask(&self) -> ReloadOutcome {
        let gone = || "not reloaded: the server is stopping".to_owned();
        let (reply, outcome) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl ReloadRequests {
    /// The next one; None if nobody can ask any more.
    pub async fn next(&mut self) -> Option<ReloadRequest> {
        self.0.recv().await.map(ReloadRequest)
    }
}

impl ReloadRequest {
    pub fn answer(self, outcome: ReloadOutcome) {
        // Who asked may have gone.
        let _ = self.0.send(outcome);
    }
}
