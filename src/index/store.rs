//! The objects of one kind as the watches describe them.
//!
//! ```text
//! by_name   hash of namespace and name ─▶ place
//! objects   chunk 0: object │ object │ …    chunk 1: object │ vacant │ …      a place is a number
//! ```
//!
//! Objects lie side by side, without a box for each: there may be hundreds of thousands. A chunk is shared with a snapshot
//! that somebody looks at, and copied when an object in it changes meanwhile. Places are used again, and chunks stay: what was
//! once needed is needed again by the next rollout.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::cluster::{Change, ObjectKey, Pod, Scope, Service, Slice};

/// An object that says what it is called.
pub(super) trait Object: Clone + PartialEq {
    fn namespace(&self) -> &str;
    fn name(&self) -> &str;
}

impl Object for Arc<Service> {
    fn namespace(&self) -> &str {
        &self.object.namespace
    }

    fn name(&self) -> &str {
        &self.object.name
    }
}

impl Object for Arc<Slice> {
    fn namespace(&self) -> &str {
        &self.object.namespace
    }

    fn name(&self) -> &str {
        &self.object.name
    }
}

impl Object for Pod {
    fn namespace(&self) -> &str {
        self.namespace()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Where an object is. It is there until it is deleted, whatever becomes of it meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// Objects in a chunk.
const CHUNK: usize = 64;

impl Place {
    fn split(self) -> (usize, usize) {
        (self.0 as usize / CHUNK, self.0 as usize % CHUNK)
    }
}

/// Objects by their places, as they are at one moment: a clone counts references, and does not change with the original.
#[derive(Clone, Debug)]
pub struct Objects<K> {
    chunks: Vec<Arc<Vec<Option<K>>>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<K> Objects<K> {
    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.chunks.iter().flat_map(|chunk| chunk.iter().flatten())
    }

    pub(super) fn get(&self, place: Place) -> Option<&K> {
        let (chunk, at) = place.split();
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }
}

impl<K: Clone> Objects<K> {
    fn set(&mut self, place: Place, object: Option<K>) {
        let (chunk, at) = place.split();
        if chunk == self.chunks.len() {
            self.chunks.push(Arc::new(vec![None; CHUNK]));
        }
        if let Some(slot) = self.chunks.get_mut(chunk).and_then(|chunk| Arc::make_mut(chunk).get_mut(at)) {
            *slot = object;
        }
    }
}

/// Objects by name. A relist is marked and swept: it replaces objects one by one as they stream in, and at its end those
/// that it did not name are gone, so that two copies of the cluster never stand in memory.
#[derive(Debug)]
pub(super) struct ObjectStore<K> {
    objects: Objects<K>,
    by_name: HashTable<Place>,
    /// By place, the relist of its scope that was the newest when the object was last heard of.
    heard: Vec<u32>,
    vacant: Vec<Place>,
    names: RandomState,
    relists: HashMap<Scope, Relists, RandomState>,
    has_changed: bool,
}

/// The relists of one scope.
#[derive(Clone, Copy, Debug, Default)]
struct Relists {
    /// How many have begun so far.
    begun: u32,
    /// The objects that have changed since the last one began.
    differences: usize,
}

/// An object that is not what it was. The others are in their places, this one as it was: a new one is in none yet.
pub(super) struct Difference<'a, K> {
    pub others: &'a Objects<K>,
    pub place: Place,
    pub old: Option<&'a K>,
    pub new: Option<&'a K>,
}

impl<K> Default for ObjectStore<K> {
    fn default() -> Self {
        Self {
            objects: Objects::default(),
            by_name: HashTable::new(),
            heard: Vec::new(),
            vacant: Vec::new(),
            names: RandomState::default(),
            relists: HashMap::default(),
            has_changed: false,
        }
    }
}

impl<K: Object> ObjectStore<K> {
    /// The objects that have changed since the last relist of a scope began.
    pub fn differences(&self, scope: &Scope) -> usize {
        self.relists.get(scope).map_or(0, |relists| relists.differences)
    }

    /// Whether any object has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        mem::take(&mut self.has_changed)
    }

    pub fn objects(&self) -> &Objects<K> {
        &self.objects
    }

    /// Takes in a change, and tells `changed` of each object that is not what it was.
    pub fn apply(&mut self, scope: &Scope, change: Change<K>, mut changed: impl FnMut(Difference<'_, K>)) {
        let relist = self.relists.get(scope).map_or(0, |relists| relists.begun);
        let mut differences = 0;
        let mut changed = |difference: Difference<'_, K>| {
            differences += 1;
            changed(difference);
        };
        match change {
            Change::RelistStarted => {
                self.relists.insert(scope.clone(), Relists { begun: relist.wrapping_add(1), differences: 0 });
            }
            Change::Apply(object) => {
                let known = self.find(object.namespace(), object.name());
                let place = known.unwrap_or_else(|| self.enter(&object));
                self.hear(place, relist);
                let old = self.objects.get(place);
                if old != Some(&object) {
                    changed(Difference { others: &self.objects, place, old, new: Some(&object) });
                    self.objects.set(place, Some(object));
                }
            }
            Change::Unreadable(ObjectKey { namespace, name }) => {
                if let Some(place) = self.find(&namespace, &name) {
                    self.hear(place, relist);
                }
            }
            Change::Delete(ObjectKey { namespace, name }) => {
                if let Some(place) = self.find(&namespace, &name) {
                    self.remove(place, &mut changed);
                }
            }
            Change::RelistDone => {
                // A relist of one scope says nothing of another's objects.
                let is_gone = |&place: &Place| {
                    let is_of_scope = |object: &K| scope.covers(object.namespace());
                    self.heard[place.0 as usize] != relist && self.objects.get(place).is_some_and(is_of_scope)
                };
                let gone: Vec<_> = (0..self.heard.len() as u32).map(Place).filter(is_gone).collect();
                for place in gone {
                    self.remove(place, &mut changed);
                }
            }
        }
        self.has_changed |= differences > 0;
        if let Some(relists) = self.relists.get_mut(scope) {
            relists.differences += differences;
        }
    }

    fn find(&self, namespace: &str, name: &str) -> Option<Place> {
        let is_it = |place: &Place| {
            let object = self.objects.get(*place);
            object.is_some_and(|object| object.name() == name && object.namespace() == namespace)
        };
        self.by_name.find(self.names.hash_one((namespace, name)), is_it).copied()
    }

    /// A place for an object that has none.
    fn enter(&mut self, object: &K) -> Place {
        let hash = |object: &K| self.names.hash_one((object.namespace(), object.name()));
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.heard.push(0);
            Place(self.heard.len() as u32 - 1)
        });
        let hash_of = |place: &Place| self.objects.get(*place).map_or(0, hash);
        self.by_name.insert_unique(hash(object), place, hash_of);
        place
    }

    fn hear(&mut self, place: Place, relist: u32) {
        self.heard[place.0 as usize] = relist;
    }

    fn remove(&mut self, place: Place, mut changed: impl FnMut(Difference<'_, K>)) {
        let Some(old) = self.objects.get(place) else { return };
        changed(Difference { others: &self.objects, place, old: Some(old), new: None });
        let hash = self.names.hash_one((old.namespace(), old.name()));
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == place) {
            entry.remove();
        }
        self.objects.set(place, None);
        self.vacant.push(place);
    }
}
