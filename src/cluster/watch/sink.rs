//! Where the watches of one scope send their events.

use tokio::sync::{Semaphore, mpsc};

use crate::cluster::update::WatchUpdate;

/// Lists that complete before that of the Pods starts: of Services, and of EndpointSlices.
const FIRST_LISTS: u32 = 2;

/// The receiver is gone: nobody needs the watches any more.
#[derive(Debug)]
pub(super) struct SinkClosed;

/// The sending side of the channel to the index, shared by the watches of one scope.
pub(super) struct EventSink<'a> {
    updates: &'a mpsc::Sender<WatchUpdate>,
    /// One permit for each completed list.
    completed_lists: Semaphore,
}

impl<'a> EventSink<'a> {
    pub fn new(updates: &'a mpsc::Sender<WatchUpdate>) -> Self {
        Self { updates, completed_lists: Semaphore::new(0) }
    }

    /// Waits for room in the channel.
    pub async fn send(&self, update: impl Into<WatchUpdate>) -> Result<(), SinkClosed> {
        let update = update.into();
        let completes_list = update.event.completed_list().is_some();
        self.updates.send(update).await.map_err(|_| SinkClosed)?;
        self.completed_lists.add_permits(completes_list.into());
        Ok(())
    }

    /// Waits until the lists of Services and of EndpointSlices have been sent in full.
    pub async fn first_lists_completed(&self) {
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self.completed_lists.acquire_many(FIRST_LISTS).await;
    }
}
