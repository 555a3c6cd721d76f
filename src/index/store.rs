//! The objects of one kind as the watches describe them.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use foldhash::fast::RandomState;

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
///
/// Whoever joins objects shares them, and looks none up again.
#[derive(Debug)]
pub(super) struct ObjectStore<K: Object> {
    objects: HashSet<Stored<K>, RandomState>,
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

/// An object, found by its name.
#[derive(Debug)]
struct Stored<K> {
    /// Shared with a snapshot while it is written.
    object: Arc<K>,
    /// The relist of its scope that was the newest when the object was last heard of.
    heard: u64,
}

impl<K: Object> Borrow<ObjectKey> for Stored<K> {
    fn borrow(&self) -> &ObjectKey {
        self.object.object()
    }
}

impl<K: Object> Hash for Stored<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.object().hash(state);
    }
}

impl<K: Object> PartialEq for Stored<K> {
    fn eq(&self, other: &Self) -> bool {
        self.object.object() == other.object.object()
    }
}

impl<K: Object> Eq for Stored<K> {}

impl<K: Object> Default for ObjectStore<K> {
    fn default() -> Self {
        Self { objects: HashSet::default(), relists: HashMap::default() }
    }
}

impl<K: Object + PartialEq> ObjectStore<K> {
    /// The objects that have changed since the last relist of a scope began.
    pub fn differences(&self, scope: &Scope) -> usize {
        self.relists.get(scope).map_or(0, |relists| relists.differences)
    }

    pub fn iter(&self) -> impl Iterator<Item = &K> {
        self.objects.iter().map(|stored| &*stored.object)
    }

    /// All objects as they are now, shared: they may be replaced here while somebody looks at them.
    pub fn share(&self) -> Vec<Arc<K>> {
        self.objects.iter().map(|stored| Arc::clone(&stored.object)).collect()
    }

    /// Takes in a change, and tells `changed` of each object that is not what it was: the old one, the new one.
    pub fn apply(
        &mut self,
        scope: &Scope,
        change: Change<K>,
        mut changed: impl FnMut(Option<&Arc<K>>, Option<&Arc<K>>),
    ) {
        let relist = self.relists.get(scope).map_or(0, |relists| relists.begun);
        let mut differences = 0;
        let mut changed = |old: Option<&Arc<K>>, new: Option<&Arc<K>>| {
            differences += 1;
            changed(old, new);
        };
        match change {
            Change::RelistStarted => {
                self.relists.insert(scope.clone(), Relists { begun: relist + 1, differences: 0 });
            }
            Change::Apply(object) => {
                let old = self.objects.take(object.object()).map(|stored| stored.object);
                let object = match old {
                    // Those who share it go on doing so.
                    Some(old) if *old == object => old,
                    old => {
                        let object = Arc::new(object);
                        changed(old.as_ref(), Some(&object));
                        object
                    }
                };
                self.objects.insert(Stored { object, heard: relist });
            }
            Change::Keep(key) => {
                if let Some(stored) = self.objects.take(&key) {
                    self.objects.insert(Stored { heard: relist, ..stored });
                }
            }
            Change::Delete(key) => {
                if let Some(stored) = self.objects.take(&key) {
                    changed(Some(&stored.object), None);
                }
            }
            Change::RelistDone => {
                // A relist of one scope says nothing of another's objects.
                self.objects.retain(|stored| {
                    let stays = stored.heard == relist || !scope.covers(stored.object.object());
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
