//! Deleted Pods that a slice may still list.
//!
//! The EndpointSlice controller updates its slices a while after a Pod is deleted. Until then, however long that takes, the Pod's
//! endpoint in the slice must not count. That a Pod is deleted is certain if the watch has said so, if another Pod has taken
//! its name, or if it was terminating when it was last seen.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use crate::cluster::Uid;

/// A Pod that was mirrored and is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub uid: Uid,
    /// Otherwise a list did not have the Pod, which may merely have lost the label by which it was watched: it may live on, and
    /// then a slice that keeps listing it is right.
    pub is_certain: bool,
}

/// Rounds of [`Tombstones::expire`] that a tombstone is kept at least: a slice may list the Pod late.
const MIN_ROUNDS: u8 = 2;

#[derive(Debug, Default)]
pub(super) struct Tombstones {
    by_uid: HashMap<Uid, Entry, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    is_certain: bool,
    /// Rounds of [`Tombstones::expire`] that it has been through.
    age: u8,
}

impl Tombstones {
    pub fn insert(&mut self, Tombstone { uid, is_certain }: Tombstone) {
        self.by_uid.insert(uid, Entry { is_certain, age: 0 });
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
        self.by_uid.iter().map(|(&uid, entry)| Tombstone { uid, is_certain: entry.is_certain })
    }

    /// Drops the tombstones that are old enough, except the certain ones that are still `listed` by a slice. Returns
    /// the dropped ones that are listed: their endpoints count again.
    pub fn expire(&mut self, listed: &HashSet<Uid, RandomState>) -> HashSet<Uid, RandomState> {
        let mut counting_again = HashSet::default();
        self.by_uid.retain(|uid, entry| {
            entry.age = entry.age.saturating_add(1);
            let is_listed = listed.contains(uid);
            let is_kept = entry.age < MIN_ROUNDS || (entry.is_certain && is_listed);
            if !is_kept && is_listed {
                counting_again.insert(*uid);
            }
            is_kept
        });
        counting_again
    }
}
