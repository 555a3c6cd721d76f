//! The output of the index: the records, and the reasons for absent names, of the Services that changed.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Index;
use super::derive::{EndpointView, derive, resolve_ports};
use super::dirty::PendingChange;
use crate::cluster::Service;
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords};

/// The records of a Service, and whether some of them are to be replaced soon.
struct Derived {
    records: ServiceRecords,
    /// Pods are authoritative for the Service, and a slice names some that are not mirrored.
    is_awaiting_pods: bool,
}

impl Index {
    /// Whether any Service has been marked dirty since the last call of [`Self::take_publications`].
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The served Services that are dirty by changes with times. Each change is returned once.
    pub fn take_pending_changes(&mut self) -> HashMap<ServiceKey, PendingChange, RandomState> {
        let pending = self.dirty.take_times().filter_map(|(key, times)| {
            let service = Arc::clone(self.service_by_key.get(key)?);
            Some((key.clone(), PendingChange { service, times }))
        });
        pending.collect()
    }

    /// The records of every Service that became dirty since the last call, for the table; none for a Service that is gone.
    /// They are derived one at a time as the iterator advances, so that memory does not hold all new records of a large
    /// cluster beside those that they replace.
    pub fn take_publications(&mut self) -> impl Iterator<Item = (ServiceKey, Option<ServiceRecords>)> {
        iter::from_fn(|| {
            let key = self.dirty.pop()?;
            let derived = self.served_service(&key).map(|service| self.derive_records(service));
            if derived.as_ref().is_some_and(|derived| derived.is_awaiting_pods) {
                self.awaiting_pods.insert(key.clone());
            } else {
                self.awaiting_pods.remove(&key);
            }
            self.dirty_reasons.insert(key.clone());
            Some((key, derived.map(|derived| derived.records)))
        })
    }

    /// Whether [`Self::take_reasons`] would return anything.
    pub fn has_reasons(&self) -> bool {
        !self.dirty_reasons.is_empty()
    }

    /// Why names are absent, for every Service where that may have changed since the last call; none where nothing is absent.
    pub fn take_reasons(&mut self) -> impl Iterator<Item = (ServiceKey, Option<Reasons>)> {
        iter::from_fn(|| {
            let key = self.dirty_reasons.pop_first()?;
            let reasons = self.reasons(&key);
            Some((key, reasons))
        })
    }

    fn derive_records(&self, service: &Service) -> Derived {
        let sources = self.endpoint_sources(service);
        let pods_by_template = sources.pods_by_template();
        let groups: Vec<_> =
            pods_by_template.map(|(template, pods)| (resolve_ports(service, template), pods)).collect();
        let most_pods = groups.iter().filter_map(|(_, pods)| pods.size_hint().1).sum::<usize>();
        let mut endpoints = Vec::with_capacity(sources.from_slices().len() + most_pods);
        let from_slices = sources.from_slices().iter();
        endpoints.extend(from_slices.map(|(slice, endpoint)| EndpointView::from_slice(endpoint, &slice.ports)));
        for (ports, pods) in &groups {
            pods.clone().for_each(|pod| endpoints.extend(EndpointView::from_pod(service, pod, ports)));
        }
        let records = ServiceRecords {
            is_public: self.is_public(service),
            ..derive(service, endpoints, self.names_not_ready_endpoints(service))
        };
        Derived { records, is_awaiting_pods: sources.is_awaiting_pods }
    }
}
