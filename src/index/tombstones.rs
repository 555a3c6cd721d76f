//! Deleted Pods that a slice may still list.
//!
//! The EndpointSlice controller updates its slices a while after a Pod is deleted. Until then the Pod's endpoint in the slice
//! must not count.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::cluster::Uid;

/// A Pod that was mirrored and is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub uid: Uid,
    /// The Pod was terminating when it was last seen. Otherwise it may merely have lost the label by which it was watched: it
    /// lives on, and a slice that keeps listing it is right.
    pub was_terminating: bool,
}

/// Rounds of [`Tombstones::expire`] that a tombstone is kept at least: a slice may list the Pod late.
const MIN_ROUNDS: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_uid: HashMap<Uid, Entry, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    was_terminating: bool,
    /// Rounds of [`Tombstones::expire`] that it has been through.
    age: u8,
}

impl Tombstones {
    pub fn insert(&mut self, Tombstone { uid, was_terminating }: Tombstone) {
        self.by_uid.insert(uid, Entry { was_terminating, age: 0 });
    }

    pub fn remove(&mut self, uid: Uid) {
        self.by_uid.remove(&uid);
    }

    pub fn contains(&self, uid: Uid) -> bool {
        self.by_uid.contains_key(&uid)
    }

    pub fn is_empty(&self) -> bool {
        self.by_uid.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Tombstone> {
        self.by_uid.iter().map(|(&uid, entry)| Tombstone { uid, was_terminating: entry.was_terminating })
    }

    /// Drops the tombstones that are old enough, except those of terminated Pods that are still `listed` by a slice. Returns
    /// the dropped ones that are listed: their endpoints count again.
    pub fn expire(&mut self, listed: &HashSet<Uid, RandomState>) -> HashSet<Uid, RandomState> {
        let mut counting_again = HashSet::default();
        self.by_uid.retain(|uid, entry| {
            entry.age = entry.age.saturating_add(1);
            let is_listed = listed.contains(uid);
            let is_kept = entry.age < MIN_ROUNDS || (entry.was_terminating && is_listed);
            if !is_kept && is_listed {
                counting_again.insert(*uid);
            }
            is_kept
        });
        counting_again
    }
}
