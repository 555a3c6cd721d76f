//! The objects of one kind, as the watches last described them.
//!
//! ```text
//! by_name   hash of namespace and name ─▶ ObjectId
//! objects   chunk 0: object │ object │ …    chunk 1: object │ vacant │ …
//! ```
//!
//! Objects are stored inline, without a box for each, because there may be hundreds of thousands. A chunk is shared with any
//! snapshot that is being read, and copied when an object in it changes meanwhile. Ids are reused and chunks are never freed:
//! the next rollout needs as many again.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::cluster::{Change, ObjectKey, Pod, Scope, Service, Slice};

/// An object with a namespace and a name.
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

/// The position of an object. It stays the same from the object's first appearance until its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectId(u32);

/// Objects in a chunk.
const CHUNK: usize = 64;

impl ObjectId {
    /// The chunk, and the position in it.
    fn split(self) -> (usize, usize) {
        (self.0 as usize / CHUNK, self.0 as usize % CHUNK)
    }
}

/// Objects by id. Cloning only counts references; a clone does not see later changes.
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

    pub(super) fn get(&self, id: ObjectId) -> Option<&K> {
        let (chunk, at) = id.split();
        self.chunks.get(chunk)?.get(at)?.as_ref()
    }
}

impl<K: Clone> Objects<K> {
    fn set(&mut self, id: ObjectId, object: Option<K>) {
        let (chunk, at) = id.split();
        if chunk == self.chunks.len() {
            self.chunks.push(Arc::new(vec![None; CHUNK]));
        }
        if let Some(slot) = self.chunks.get_mut(chunk).and_then(|chunk| Arc::make_mut(chunk).get_mut(at)) {
            *slot = object;
        }
    }
}

/// Objects by name. A relist is mark and sweep: it replaces objects one by one as they stream in, and when it is done those
/// that it did not mention are removed, so that memory never holds two copies of the cluster.
#[derive(Debug)]
pub(super) struct ObjectStore<K> {
    objects: Objects<K>,
    by_name: HashTable<ObjectId>,
    /// By id, the generation of the relist that was the newest when the object was last seen.
    seen: Vec<u32>,
    vacant: Vec<ObjectId>,
    name_hasher: RandomState,
    relists: HashMap<Scope, RelistState, RandomState>,
    has_changed: bool,
}

/// The relists of one scope.
#[derive(Clone, Copy, Debug, Default)]
struct RelistState {
    /// Relists started so far.
    generation: u32,
    /// Objects that have changed since the last one started.
    changes: usize,
}

/// An object before and after a change.
pub(super) struct ObjectDiff<'a, K> {
    /// All objects, this one still as it was: absent if it is new.
    pub objects: &'a Objects<K>,
    pub id: ObjectId,
    pub old: Option<&'a K>,
    pub new: Option<&'a K>,
}

impl<K> Default for ObjectStore<K> {
    fn default() -> Self {
        Self {
            objects: Objects::default(),
            by_name: HashTable::new(),
            seen: Vec::new(),
            vacant: Vec::new(),
            name_hasher: RandomState::default(),
            relists: HashMap::default(),
            has_changed: false,
        }
    }
}

impl<K: Object> ObjectStore<K> {
    pub fn objects(&self) -> &Objects<K> {
        &self.objects
    }

    /// The number of objects that have changed since the last relist of a scope started.
    pub fn changes_since_relist(&self, scope: &Scope) -> usize {
        self.relists.get(scope).map_or(0, |relist| relist.changes)
    }

    /// Whether any object has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        mem::take(&mut self.has_changed)
    }

    /// Applies a change, and calls `on_diff` for each object that differs by it.
    pub fn apply(&mut self, scope: &Scope, change: Change<K>, mut on_diff: impl FnMut(ObjectDiff<'_, K>)) {
        let generation = self.relists.get(scope).map_or(0, |relist| relist.generation);
        let mut changes = 0;
        let mut on_diff = |diff: ObjectDiff<'_, K>| {
            changes += 1;
            on_diff(diff);
        };
        match change {
            Change::RelistStarted => {
                self.relists.insert(scope.clone(), RelistState { generation: generation.wrapping_add(1), changes: 0 });
            }
            Change::Apply(object) => self.replace(object, generation, &mut on_diff),
            Change::Unreadable(ObjectKey { namespace, name }) => {
                if let Some(id) = self.find(&namespace, &name) {
                    self.mark_seen(id, generation);
                }
            }
            Change::Delete(ObjectKey { namespace, name }) | Change::Deselect(ObjectKey { namespace, name }) => {
                if let Some(id) = self.find(&namespace, &name) {
                    self.remove(id, &mut on_diff);
                }
            }
            Change::RelistDone => self.sweep(scope, generation, &mut on_diff),
        }
        self.has_changed |= changes > 0;
        if let Some(relist) = self.relists.get_mut(scope) {
            relist.changes += changes;
        }
    }

    fn replace(&mut self, object: K, generation: u32, on_diff: &mut impl FnMut(ObjectDiff<'_, K>)) {
        let known = self.find(object.namespace(), object.name());
        let id = known.unwrap_or_else(|| self.allocate(&object));
        self.mark_seen(id, generation);
        let old = self.objects.get(id);
        if old != Some(&object) {
            on_diff(ObjectDiff { objects: &self.objects, id, old, new: Some(&object) });
            self.objects.set(id, Some(object));
        }
    }

    /// Removes the objects of a scope that its last relist did not mention.
    fn sweep(&mut self, scope: &Scope, generation: u32, on_diff: &mut impl FnMut(ObjectDiff<'_, K>)) {
        let is_unseen = |&id: &ObjectId| {
            let is_of_scope = |object: &K| scope.covers(object.namespace());
            self.seen[id.0 as usize] != generation && self.objects.get(id).is_some_and(is_of_scope)
        };
        let unseen: Vec<_> = (0..self.seen.len() as u32).map(ObjectId).filter(is_unseen).collect();
        for id in unseen {
            self.remove(id, on_diff);
        }
    }

    fn find(&self, namespace: &str, name: &str) -> Option<ObjectId> {
        let is_it = |id: &ObjectId| {
            let object = self.objects.get(*id);
            object.is_some_and(|object| object.name() == name && object.namespace() == namespace)
        };
        self.by_name.find(self.name_hasher.hash_one((namespace, name)), is_it).copied()
    }

    /// The id for an object that has none yet.
    fn allocate(&mut self, object: &K) -> ObjectId {
        let hash = |object: &K| self.name_hasher.hash_one((object.namespace(), object.name()));
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.seen.push(0);
            ObjectId(self.seen.len() as u32 - 1)
        });
        let hash_of = |id: &ObjectId| self.objects.get(*id).map_or(0, hash);
        self.by_name.insert_unique(hash(object), id, hash_of);
        id
    }

    fn mark_seen(&mut self, id: ObjectId, generation: u32) {
        self.seen[id.0 as usize] = generation;
    }

    fn remove(&mut self, id: ObjectId, on_diff: &mut impl FnMut(ObjectDiff<'_, K>)) {
        let Some(old) = self.objects.get(id) else { return };
        on_diff(ObjectDiff { objects: &self.objects, id, old: Some(old), new: None });
        let hash = self.name_hasher.hash_one((old.namespace(), old.name()));
        if let Ok(entry) = self.by_name.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.objects.set(id, None);
        self.vacant.push(id);
    }
}
