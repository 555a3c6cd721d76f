//! What is known of the cluster, and what follows from it.
//!
//! ```text
//! Update ─▶ Index::apply: plain maps, says which Services are touched ─▶ derive (pure) ─▶ Batch for the record table
//! ```
//!
//! One task owns the index: no locks, no waiting. A Service and its slices may arrive and go in any order; the records
//! are always those that follow from the objects as they are now. What is touched collects until [`Index::take_batch`],
//! so that a burst of changes derives each Service once.

mod derive;
mod store;

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

pub use derive::derive;
use store::ObjectStore;

use crate::cluster::{ObjectKey, Scope, Service, Slice, Update, Watched};
use crate::records::ServiceKey;
use crate::table::Batch;

/// Objects by what they say, and the join between them.
#[derive(Debug, Default)]
pub struct Index {
    services: ObjectStore<Service>,
    slices: ObjectStore<Slice>,
    /// Which object describes each Service.
    service_objects: HashMap<ServiceKey, ObjectKey, RandomState>,
    /// The slices of each Service, whether the Service is there or not.
    slices_of: HashMap<ServiceKey, BTreeSet<ObjectKey>, RandomState>,
    touched: BTreeSet<ServiceKey>,
    repairs: Vec<Repairs>,
}

/// What a list found that the watch had not told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repairs {
    pub watched: Watched,
    pub scope: Scope,
    /// Objects.
    pub count: usize,
}

impl Index {
    /// Takes in one change.
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Service(scope, change) => {
                let Self { services, service_objects, touched, .. } = self;
                services.apply(&scope, change, |old, new| {
                    if let Some(old) = old {
                        service_objects.remove(&old.key);
                        touched.insert(old.key.clone());
                    }
                    if let Some(new) = new {
                        service_objects.insert(new.key.clone(), new.object.clone());
                        touched.insert(new.key.clone());
                    }
                });
            }
            Update::Slice(scope, change) => {
                let Self { slices, slices_of, touched, .. } = self;
                slices.apply(&scope, change, |old, new| {
                    if let Some((old, service)) = old.and_then(|old| Some((old, old.service.as_ref()?))) {
                        if let Some(others) = slices_of.get_mut(service) {
                            others.remove(&old.object);
                            if others.is_empty() {
                                slices_of.remove(service);
                            }
                        }
                        touched.insert(service.clone());
                    }
                    if let Some((new, service)) = new.and_then(|new| Some((new, new.service.as_ref()?))) {
                        slices_of.entry(service.clone()).or_default().insert(new.object.clone());
                        touched.insert(service.clone());
                    }
                });
            }
            Update::Reconciled { watched, scope, newer } => {
                let differences = match watched {
                    Watched::Services => self.services.differences(&scope),
                    Watched::EndpointSlices => self.slices.differences(&scope),
                };
                let count = differences.saturating_sub(newer);
                if count > 0 {
                    self.repairs.push(Repairs { watched, scope, count });
                }
            }
            // What is known stands, however old it is.
            Update::Silent(..) | Update::Heard(..) => {}
        }
    }

    /// What lists have repaired since the last call.
    pub fn take_repairs(&mut self) -> Vec<Repairs> {
        std::mem::take(&mut self.repairs)
    }

    /// The records of every Service touched since the last call, for the table.
    pub fn take_batch(&mut self) -> Batch {
        let touched = std::mem::take(&mut self.touched);
        touched
            .into_iter()
            .map(|key| {
                let records = self.service(&key).map(|service| derive(service, self.slices(&key)));
                (key, records)
            })
            .collect()
    }

    fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.get(self.service_objects.get(key)?)
    }

    fn slices(&self, key: &ServiceKey) -> impl Iterator<Item = &Slice> + Clone {
        self.slices_of.get(key).into_iter().flatten().filter_map(|object| self.slices.get(object))
    }
}

#[cfg(test)]
mod tests;
