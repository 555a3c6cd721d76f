//! A map by Services of values that know their Service: the key is not kept a second time.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::members::Few;
use crate::cluster::{Service, Slice};
use crate::records::ServiceKey;

/// A value that belongs to one Service; one that belongs to none is not found.
pub(super) trait OfService {
    fn service(&self) -> Option<&ServiceKey>;
}

impl OfService for Arc<Service> {
    fn service(&self) -> Option<&ServiceKey> {
        Some(&self.key)
    }
}

impl OfService for Few<Arc<Slice>> {
    fn service(&self) -> Option<&ServiceKey> {
        self.first()?.service.as_ref()
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
        self.values.find(self.hasher.hash_one(Some(key)), |value| value.service() == Some(key))
    }

    /// What is done to a value leaves it with its Service.
    pub fn get_mut(&mut self, key: &ServiceKey) -> Option<&mut V> {
        self.values.find_mut(self.hasher.hash_one(Some(key)), |value| value.service() == Some(key))
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
        let entry =
            self.values.find_entry(self.hasher.hash_one(Some(key)), |value| value.service() == Some(key)).ok()?;
        Some(entry.remove().0)
    }

    /// Whether there is none.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}
