//! The state on disk beside the index: loaded before the first watch is heard, saved behind the changes.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::index::{self, Index, Snapshot};
use crate::state::{LoadError, State};

/// A pause is so many times as long as the save before it: something changes all the time in a large cluster, and should not
/// wear out a disk.
const PAUSE_PER_SAVE: u32 = 300;
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Loads and saves what the index knows, if there is a place for it.
pub(super) struct Saver {
    state: Option<Arc<State>>,
    /// The index knows what the file does not say.
    pub is_due: bool,
    /// Before then there is no further save.
    next: Instant,
    /// When the last one began.
    began: Instant,
    saving: Option<JoinHandle<bool>>,
    /// The last save failed, of which there was a warning.
    is_failing: bool,
}

impl Saver {
    pub fn new(state: Option<State>) -> Self {
        let now = Instant::now();
        Self { state: state.map(Arc::new), is_due: false, next: now, began: now, saving: None, is_failing: false }
    }

    /// An index of what the file says, and until when that was the truth; else an empty one.
    pub async fn load(&self, options: index::Options) -> (Index, Option<Timestamp>) {
        let empty = || (Index::new(options), None);
        let Some(state) = self.state.clone() else { return empty() };
        let path = state.path();
        let loaded = spawn_blocking(move || state.load(Index::new(options))).await;
        match loaded.unwrap_or_else(|panic| Err(LoadError::Unreadable(panic.into()))) {
            Ok(None) => empty(),
            Ok(Some((index, as_of))) => (index, Some(as_of)),
            Err(refusal) => {
                tracing::warn!("the state in {} is not served: {refusal}", path.display());
                empty()
            }
        }
    }

    /// Returns when a snapshot should be saved.
    pub async fn due(&mut self) {
        self.saved().await;
        if !self.is_due || self.state.is_none() {
            pending::<()>().await;
        }
        sleep_until(self.next).await;
    }

    /// Begins to save a snapshot that is true up to `as_of`.
    pub fn save(&mut self, snapshot: Snapshot, as_of: Timestamp) {
        let Some(state) = self.state.clone() else { return };
        self.is_due = false;
        self.began = Instant::now();
        let was_failing = self.is_failing;
        self.saving = Some(spawn_blocking(move || {
            let began = Instant::now();
            let saved = state.save(snapshot, as_of);
            match &saved {
                Ok(()) if was_failing => tracing::info!("the state is saved again"),
                Ok(()) => tracing::debug!(took = ?began.elapsed(), "the state is saved"),
                Err(_) if was_failing => {}
                Err(error) => {
                    tracing::warn!("the state cannot be saved in {}: {error}; trying again", state.path().display());
                }
            }
            saved.is_ok()
        }));
    }

    /// Saves a snapshot at the end.
    pub async fn save_last(mut self, snapshot: Snapshot, as_of: Timestamp) {
        self.saved().await;
        self.save(snapshot, as_of);
        self.saved().await;
    }

    /// Waits until nothing is being saved. Loses nothing when it is given up half way.
    async fn saved(&mut self) {
        if let Some(saving) = &mut self.saving {
            let is_saved = saving.await.unwrap_or(false);
            self.saving = None;
            self.is_failing = !is_saved;
            self.is_due |= !is_saved;
            let pause = self.began.elapsed() * PAUSE_PER_SAVE;
            self.next = Instant::now() + if is_saved { pause.clamp(MIN_PAUSE, MAX_PAUSE) } else { MAX_PAUSE };
        }
    }
}
