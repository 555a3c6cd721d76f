//! Where the watches of one scope send their events.

use tokio::sync::{Semaphore, mpsc};

use crate::cluster::update::WatchUpdate;

/// Watches that are synchronised before Pods are listed: of Services, and of EndpointSlices.
const FIRST_WATCHES: u32 = 2;

/// The receiver is gone: nobody needs the watches any more.
#[derive(Debug)]
pub(super) struct SinkClosed;

/// The sending side of the channel to the index, shared by the watches of one scope.
pub(super) struct EventSink<'a> {
    updates: &'a mpsc::Sender<WatchUpdate>,
    /// One permit for each time that a watch was synchronised.
    synchronised: Semaphore,
}

impl<'a> EventSink<'a> {
    pub fn new(updates: &'a mpsc::Sender<WatchUpdate>) -> Self {
        Self { updates, synchronised: Semaphore::new(0) }
    }

    /// Waits for room in the channel.
    pub async fn send(&self, update: impl Into<WatchUpdate>) -> Result<(), SinkClosed> {
        let update = update.into();
        let synchronises = update.event.synchronises();
        self.updates.send(update).await.map_err(|_| SinkClosed)?;
        self.synchronised.add_permits(synchronises.into());
        Ok(())
    }

    /// Waits until all Services and EndpointSlices have been sent.
    pub async fn first_watches_synchronised(&self) {
        // An error would mean that the semaphore is closed, which it never is.
        let _ = self.synchronised.acquire_many(FIRST_WATCHES).await;
    }
}
