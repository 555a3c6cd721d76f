//! The objects of one kind as the watches describe them.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;

use crate::cluster::{Change, ObjectKey, Pod, Scope, Service, Slice};

/// An object that says what it is called.
pub(super) trait Object {
    fn object(&self) -> &ObjectKey;
}

impl Object for Service {
    fn object(&self) -> &ObjectKey {
        &self.object
    }
}

impl Object for Slice {
    fn object(&self) -> &ObjectKey {
        &self.object
    }
}

impl Object for Pod {
    fn object(&self) -> &ObjectKey {
        &self.object
    }
}

/// Objects by name. A relist is marked and swept: it replaces objects one by one as they stream in, and at its end those
/// that it did not name are gone, so that two copies of the cluster never stand in memory.
#[derive(Debug)]
pub(super) struct ObjectStore<K> {
    /// In the order in which they came, which is that of memory, more or less: a walk through all of them is short.
    objects: IndexMap<ObjectKey, Stored<K>, RandomState>,
    relists: HashMap<Scope, Relists, RandomState>,
}

/// The relists of one scope.
#[derive(Clone, Copy, Debug, Default)]
struct Relists {
    /// How many have begun so far.
    begun: u64,
    /// The objects that have changed since the last one began.
    differences: usize,
}

#[derive(Debug)]
struct Stored<K> {
    /// Shared with a snapshot while it is written.
    object: Arc<K>,
    /// The relist of its scope that was the newest when the object was last heard of.
    heard: u64,
}

impl<K> Default for ObjectStore<K> {
    fn default() -> Self {
        Self { objects: IndexMap::default(), relists: HashMap::default() }
    }
}

impl<K: Object + PartialEq> ObjectStore<K> {
    pub fn get(&self, key: &ObjectKey) -> Option<&K> {
        self.objects.get(key).map(|stored| &*stored.object)
    }

    /// The objects that have changed since the last relist of a scope began.
    pub fn differences(&self, scope: &Scope) -> usize {
        self.relists.get(scope).map_or(0, |relists| relists.differences)
    }

    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.objects.values().map(|stored| &*stored.object)
    }

    /// All objects as they are now, shared: they may be replaced here while somebody looks at them.
    pub fn share(&self) -> Vec<Arc<K>> {
        self.objects.values().map(|stored| Arc::clone(&stored.object)).collect()
    }

    /// Takes in a change, and tells `changed` of each object that is not what it was: the old one, the new one.
    pub fn apply(&mut self, scope: &Scope, change: Change<K>, mut changed: impl FnMut(Option<&K>, Option<&K>)) {
        let relist = self.relists.get(scope).map_or(0, |relists| relists.begun);
        let mut differences = 0;
        let mut changed = |old: Option<&K>, new: Option<&K>| {
            if old != new {
                differences += 1;
                changed(old, new);
            }
        };
        match change {
            Change::RelistStarted => {
                self.relists.insert(scope.clone(), Relists { begun: relist + 1, differences: 0 });
            }
            Change::Apply(object) => match self.objects.get_mut(object.object()) {
                Some(stored) if *stored.object == object => stored.heard = relist,
                _ => {
                    let key = object.object().clone();
                    let old = self.objects.swap_remove(&key).map(|stored| stored.object);
                    changed(old.as_deref(), Some(&object));
                    self.objects.insert(key, Stored { object: Arc::new(object), heard: relist });
                }
            },
            Change::Keep(key) => {
                if let Some(stored) = self.objects.get_mut(&key) {
                    stored.heard = relist;
                }
            }
            Change::Delete(key) => {
                if let Some(stored) = self.objects.swap_remove(&key) {
                    changed(Some(&stored.object), None);
                }
            }
            Change::RelistDone => {
                // A relist of one scope says nothing of another's objects.
                self.objects.retain(|key, stored| {
                    let stays = stored.heard == relist || !scope.covers(key);
                    if !stays {
                        changed(Some(&stored.object), None);
                    }
                    stays
                });
            }
        }
        if let Some(relists) = self.relists.get_mut(scope) {
            relists.differences += differences;
        }
    }
}
