//! The saved state beside the index: loaded before the watches start, saved some time after changes.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

use crate::index::{self, Index, Snapshot};
use crate::state::{LoadError, State};

/// The pause after a save is this many times as long as the save: in a large cluster something changes all the time, which
/// should not wear out a disk.
const PAUSE_PER_SAVE: u32 = 300;
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// The shortest time between two saves of which the second has the same objects, and watches that have come further: an API server sends
/// bookmarks once a minute, and remembers what happened in the last one at least (`eventFreshDuration` in `storage/cacher/watch_cache.go`).
const POSITIONS: Duration = Duration::from_secs(60);

/// What was loaded.
pub(super) struct SavedState {
    /// Empty if there is no saved state that can be used.
    pub index: Index,
    /// Until when the saved state was true; None if there is none.
    pub as_of: Option<Timestamp>,
}

/// Loads and saves the state of the index, if the configuration has a directory for it.
pub(super) struct StateSaver {
    state: Option<Arc<State>>,
    /// The index has changed since it was last saved.
    pub is_due: bool,
    /// The watches have come further.
    pub have_moved: bool,
    /// The earliest time of the next save.
    next: Instant,
    /// When the last save began.
    began: Instant,
    saving: Option<JoinHandle<bool>>,
    /// The last save failed, and a warning was logged.
    is_failing: bool,
}

impl StateSaver {
    pub fn new(state: Option<State>) -> Self {
        let now = Instant::now();
        Self {
            state: state.map(Arc::new),
            is_due: false,
            have_moved: false,
            next: now,
            began: now,
            saving: None,
            is_failing: false,
        }
    }

    /// Loads the saved state. A file that cannot be used is ignored with a warning.
    pub async fn load(&self, options: index::Options) -> SavedState {
        let empty = || SavedState { index: Index::new(options.clone()), as_of: None };
        let Some(state) = self.state.clone() else { return empty() };
        let path = state.path();
        let fresh = Index::new(options.clone());
        let loaded = spawn_blocking(move || state.load(fresh)).await;
        match loaded.unwrap_or_else(|panic| Err(LoadError::Unreadable(panic.into()))) {
            Ok(None) => empty(),
            Ok(Some((index, as_of))) => SavedState { index, as_of: Some(as_of) },
            Err(error) => {
                tracing::warn!("the saved state in {} is ignored: {error}", path.display());
                empty()
            }
        }
    }

    /// Waits until a snapshot should be saved.
    pub async fn due(&mut self) {
        self.saved().await;
        if self.state.is_none() {
            pending::<()>().await;
        }
        let next = match (self.is_due, self.have_moved) {
            (true, _) => self.next,
            (false, true) => self.next.max(self.began + POSITIONS),
            (false, false) => pending().await,
        };
        sleep_until(next).await;
    }

    /// Starts to save a snapshot that is true up to `as_of`.
    pub fn save(&mut self, snapshot: Snapshot, as_of: Timestamp) {
        let Some(state) = self.state.clone() else { return };
        (self.is_due, self.have_moved) = (false, false);
        self.began = Instant::now();
        let was_failing = self.is_failing;
        self.saving = Some(spawn_blocking(move || {
            let began = Instant::now();
            let saved = state.save(snapshot, as_of);
            match &saved {
                Ok(()) if was_failing => tracing::info!("saving the state works again"),
                Ok(()) => tracing::debug!(took = ?began.elapsed(), "state saved"),
                Err(_) if was_failing => {}
                Err(error) => {
                    tracing::warn!("cannot save the state in {}: {error}; retrying", state.path().display());
                }
            }
            saved.is_ok()
        }));
    }

    /// Saves a last snapshot and waits until it is written.
    pub async fn save_last(mut self, snapshot: Snapshot, as_of: Timestamp) {
        self.saved().await;
        self.save(snapshot, as_of);
        self.saved().await;
    }

    /// Waits until no save is running. Cancel safe.
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
