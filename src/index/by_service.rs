//! A map by Services of values that know their Service: the key is not kept a second time.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::cluster::Service;
use crate::records::ServiceKey;

/// A value that belongs to one Service.
pub(super) trait OfService {
    fn service(&self) -> &ServiceKey;
}

impl OfService for Arc<Service> {
    fn service(&self) -> &ServiceKey {
        &self.key
    }
}

/// Values by their Services, one for each.
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

impl<V: OfService> ByService<V> {
    pub fn get(&self, key: &ServiceKey) -> Option<&V> {
        self.values.find(self.hasher.hash_one(key), |value| value.service() == key)
    }

    /// What is done to a value leaves it with its Service.
    pub fn get_mut(&mut self, key: &ServiceKey) -> Option<&mut V> {
        self.values.find_mut(self.hasher.hash_one(key), |value| value.service() == key)
    }

    /// Takes in a value in the place of the one that its Service had.
    pub fn insert(&mut self, value: V) {
        let hash = |value: &V| self.hasher.hash_one(value.service());
        match self.values.find_mut(hash(&value), |other| other.service() == value.service()) {
            Some(other) => *other = value,
            None => drop(self.values.insert_unique(hash(&value), value, hash)),
        }
    }

    pub fn remove(&mut self, key: &ServiceKey) -> Option<V> {
        let entry = self.values.find_entry(self.hasher.hash_one(key), |value| value.service() == key).ok()?;
        Some(entry.remove().0)
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
