//! The order in which entries go: SIEVE's queue, as a list with links in both directions in one vector.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Entry;

/// No node.
const NONE: u32 = u32::MAX;

/// The entries in the order in which they came, and the hand.
pub(super) struct Queue {
    nodes: Vec<Node>,
    /// Places in `nodes` that are free.
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    /// Where the next search begins; from the oldest, if nowhere.
    hand: u32,
    octets: usize,
}

struct Node {
    /// None where the place is free.
    entry: Option<Arc<Entry>>,
    key: Arc<[u8]>,
    size: usize,
    newer: u32,
    older: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), newest: NONE, oldest: NONE, hand: NONE, octets: 0 }
    }
}

impl Queue {
    /// Octets that all entries take.
    pub fn octets(&self) -> usize {
        self.octets
    }

    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Adds a new entry, which `make` makes for its place.
    pub fn push(&mut self, size: usize, key: Arc<[u8]>, make: impl FnOnce(u32) -> Arc<Entry>) -> Arc<Entry> {
        // Fewer entries than this fit into any memory.
        let place = self.free.pop().unwrap_or(self.nodes.len() as u32);
        let entry = make(place);
        let node = Node { entry: Some(Arc::clone(&entry)), key, size, newer: NONE, older: self.newest };
        match self.nodes.get_mut(place as usize) {
            Some(free) => *free = node,
            None => self.nodes.push(node),
        }
        match self.node(self.newest) {
            Some(before) => before.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
        self.octets += size;
        entry
    }

    /// Puts an entry in the place of the one before it.
    pub fn replace(&mut self, entry: &Arc<Entry>, size: usize) {
        let Some(node) = self.node(entry.place) else { return };
        node.entry = Some(Arc::clone(entry));
        let before = std::mem::replace(&mut node.size, size);
        self.octets = self.octets - before + size;
    }

    /// Takes out the entry that has to go, and gives its key. Not `newcomer`, which has had no time to be used.
    pub fn evict(&mut self, newcomer: &Arc<Entry>) -> Option<Arc<[u8]>> {
        let mut at = if self.hand == NONE { self.oldest } else { self.hand };
        // Each is passed by once at most, as that takes its mark away; the newcomer once more.
        for _ in 0..2 * self.nodes.len() + 2 {
            let oldest = self.oldest;
            let node = self.node(at)?;
            let next = node.newer;
            let is_spared = node
                .entry
                .as_ref()
                .is_none_or(|entry| Arc::ptr_eq(entry, newcomer) || entry.was_used.swap(false, Ordering::Relaxed));
            if !is_spared {
                self.hand = next;
                return Some(self.remove(at));
            }
            at = if next == NONE { oldest } else { next };
        }
        None
    }

    fn remove(&mut self, place: u32) -> Arc<[u8]> {
        let Some(node) = self.node(place) else { return Arc::default() };
        node.entry = None;
        let (key, size, newer, older) = (std::mem::take(&mut node.key), node.size, node.newer, node.older);
        match self.node(newer) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.node(older) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
        self.free.push(place);
        self.octets -= size;
        key
    }

    fn node(&mut self, place: u32) -> Option<&mut Node> {
        self.nodes.get_mut(place as usize)
    }
}
