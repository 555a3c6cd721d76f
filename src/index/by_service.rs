//! A map keyed by Service, of values that contain their own key: the key is not stored twice.

use std::hash::BuildHasher;
use std::iter;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::cluster::{Service, Slice};
use crate::records::ServiceKey;

/// A list that nearly always has one item.
pub(super) type InlineVec<T> = SmallVec<[T; 2]>;

/// A value that belongs to one Service. A value without a key cannot be looked up.
pub(super) trait HasServiceKey {
    fn service_key(&self) -> Option<&ServiceKey>;
}

impl HasServiceKey for Arc<Service> {
    fn service_key(&self) -> Option<&ServiceKey> {
        Some(&self.key)
    }
}

impl HasServiceKey for InlineVec<Arc<Slice>> {
    fn service_key(&self) -> Option<&ServiceKey> {
        self.first()?.service.as_ref()
    }
}

/// One value for each Service.
#[derive(Debug)]
pub(super) struct ByService<V> {
    values: HashTable<V>,
    hasher: RandomState,
}

impl<V> Default for ByService<V> {
    fn default() -> Self {
        Self { values: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<V: HasServiceKey> ByService<V> {
    pub fn get(&self, key: &ServiceKey) -> Option<&V> {
        self.values.find(self.hasher.hash_one(Some(key)), |value| value.service_key() == Some(key))
    }

    /// The caller must not change the value's key.
    pub fn get_mut(&mut self, key: &ServiceKey) -> Option<&mut V> {
        self.values.find_mut(self.hasher.hash_one(Some(key)), |value| value.service_key() == Some(key))
    }

    /// Inserts a value, replacing the one that its Service had.
    pub fn insert(&mut self, value: V) {
        let hash = |value: &V| self.hasher.hash_one(value.service_key());
        match self.values.find_mut(hash(&value), |other| other.service_key() == value.service_key()) {
            Some(other) => *other = value,
            None => drop(self.values.insert_unique(hash(&value), value, hash)),
        }
    }

    pub fn remove(&mut self, key: &ServiceKey) -> Option<V> {
        let hash = self.hasher.hash_one(Some(key));
        let entry = self.values.find_entry(hash, |value| value.service_key() == Some(key)).ok()?;
        Some(entry.remove().0)
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl ByService<InlineVec<Arc<Slice>>> {
    /// Adds a slice to those of its Service, if it names one.
    pub fn add_slice(&mut self, slice: &Arc<Slice>) {
        let Some(service) = &slice.service else { return };
        match self.get_mut(service) {
            Some(slices) => slices.push(Arc::clone(slice)),
            None => self.insert(iter::once(Arc::clone(slice)).collect()),
        }
    }

    pub fn remove_slice(&mut self, slice: &Arc<Slice>) {
        let Some(service) = &slice.service else { return };
        match self.get_mut(service) {
            Some(slices) if slices.len() > 1 => slices.retain(|other| !Arc::ptr_eq(other, slice)),
            _ => drop(self.remove(service)),
        }
    }
}
