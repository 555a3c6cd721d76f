//! How far the watches have come with what the index holds. A position is never newer than the objects beside it.

use std::collections::hash_map::Entry;

use crate::cluster::{ClusterEvent, Position, Positions, WatchId};

#[derive(Debug, Default)]
pub(super) struct WatchPositions {
    by_watch: Positions,
    have_moved: bool,
}

impl WatchPositions {
    /// Follows an update that brings its watch to a position, if it does. While a list streams in, the objects are of no version:
    /// some are those of the list, and some are older.
    pub fn observe(&mut self, event: &ClusterEvent, position: Option<Position>) {
        if event.starts_list() {
            self.by_watch.remove(&event.watch());
        } else if let Some(position) = position {
            match self.by_watch.entry(event.watch()) {
                Entry::Occupied(entry) if *entry.get() == position => {}
                entry => {
                    entry.insert_entry(position);
                    self.have_moved = true;
                }
            }
        }
    }

    pub fn restore(&mut self, watch: WatchId, position: Position) {
        self.by_watch.insert(watch, position);
    }

    pub fn get(&self) -> &Positions {
        &self.by_watch
    }

    /// Whether any watch has moved since the last call.
    pub fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.have_moved)
    }
}
