//! The mirrored Pods, and for which Services they are authoritative.
//!
//! Kubernetes' EndpointSlice controller copies the state of Pods into slices, with a delay. Where a Pod is mirrored here, the
//! Pod itself is the source of its endpoint, and the copy in a slice is *shadowed*: it is ignored. A deleted Pod shadows its
//! copy too, until no slice lists it any more (see [`super::tombstones`]). What becomes of Pods that share a name is decided in
//! [`super::sources`]. Each endpoint has one source at any time.

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::selectors::{SelectorIndex, subdomain};
use super::snapshot::ListedPods;
use super::store::{ObjectDiff, ObjectId, ObjectStore, Objects};
use super::tombstones::{Tombstone, Tombstones};
use crate::cluster::{Change, Endpoint, Pod, Scope, Service, ServiceSpec, Slice, Template, Uid};
use crate::records::ServiceKey;

#[derive(Debug, Default)]
pub(super) struct PodIndex {
    pub store: ObjectStore<Pod>,
    pub selectors: SelectorIndex,
    pub tombstones: Tombstones,
    by_uid: UidIndex,
    /// The scopes whose Pods have been listed completely at least once.
    listed_scopes: HashSet<Scope, RandomState>,
    /// Those of them whose list comes from a snapshot of the last run, and whose watch has not shown yet that it goes on from there.
    restored_scopes: HashSet<Scope, RandomState>,
    /// Scopes whose watch of Pods has been stale for long while that of slices was not, or has not gone on yet from a snapshot.
    untrusted_scopes: HashSet<Scope, RandomState>,
}

/// What a change of a Pod may change besides.
pub(super) enum PodEffect<'a> {
    /// The endpoints of a Service that selects the Pod.
    Endpoints { service: &'a ServiceKey, old: Option<&'a Pod>, new: Option<&'a Pod> },
    /// The reasons of the Service that the Pod has as its subdomain.
    Reasons(ServiceKey),
    /// The endpoints of any Service whose slices list the Pod: they count from now on.
    Slices(Uid),
    /// The endpoints of any Service whose slices list the Pod, whether it selects the Pod or not: the Pod of this UID is mirrored
    /// from now on, or no more.
    Mirrored { pod: &'a Pod, uid: Uid },
}

impl PodIndex {
    /// Applies a change, and calls `on_effect` for what it affects. Returns whether this completes the first list of the
    /// scope's Pods, so that they may be authoritative from now on.
    pub fn apply(&mut self, scope: &Scope, mut change: Change<Pod>, mut on_effect: impl FnMut(PodEffect<'_>)) -> bool {
        let Self { store, selectors, tombstones, by_uid, listed_scopes, .. } = self;
        if let Change::Apply(pod) = &mut change {
            pod.template = selectors.intern_template(&pod.template);
        }
        let is_listed = matches!(change, Change::RelistDone);
        let lives_on = matches!(change, Change::Deselect(_));
        let mut unshadowed = None;
        store.apply(scope, change, |ObjectDiff { objects, id, old, new }| {
            let mut affect = |selectors: &SelectorIndex, pod: &Pod| {
                if let Some(service) = subdomain(&pod.template) {
                    on_effect(PodEffect::Reasons(service));
                }
                // Until the first list is complete, Pods are not authoritative. Then all Services are derived anew.
                if listed_scopes.iter().any(|scope| scope.covers(pod.namespace())) {
                    selectors
                        .services_of(pod)
                        .for_each(|service| on_effect(PodEffect::Endpoints { service, old, new }));
                }
            };
            let both = old.zip(new);
            let has_same_template = both.is_some_and(|(old, new)| Arc::ptr_eq(&old.template, &new.template));
            let has_same_uid = both.is_some_and(|(old, new)| old.uid == new.uid);
            if let Some(old) = old {
                affect(selectors, old);
                if !has_same_template {
                    selectors.remove_pod(objects, old);
                }
                if let Some(uid) = old.uid.filter(|_| !has_same_uid) {
                    by_uid.remove(uid, id);
                    // What a list does not have has been deleted, or has lost its label.
                    let is_certain = !is_listed || old.is_terminating;
                    if lives_on {
                        unshadowed = Some(uid);
                    } else {
                        tombstones.insert(Tombstone { uid, is_certain });
                    }
                }
            }
            if let Some(new) = new {
                if !has_same_template {
                    selectors.add_pod(objects, id, new);
                    affect(selectors, new);
                }
                if let Some(uid) = new.uid.filter(|_| !has_same_uid) {
                    by_uid.insert(uid, id, objects);
                    tombstones.remove(uid);
                }
            }
            for pod in old.into_iter().chain(new) {
                if let Some(uid) = pod.uid.filter(|_| !has_same_uid) {
                    on_effect(PodEffect::Mirrored { pod, uid });
                }
            }
        });
        if let Some(uid) = unshadowed {
            on_effect(PodEffect::Slices(uid));
        }
        if is_listed {
            self.restored_scopes.remove(scope);
        }
        is_listed && self.listed_scopes.insert(scope.clone())
    }

    /// The Pods that a Service may select, by template.
    pub fn candidates(
        &self,
        service: &ServiceKey,
    ) -> impl Iterator<Item = (&Template, impl Iterator<Item = &Pod> + Clone)> {
        let groups = self.selectors.candidates(service);
        groups.map(|(template, ids)| (template, ids.iter().filter_map(|id| self.store.objects().get(*id))))
    }

    /// The Pods that have a Service as their subdomain.
    pub fn with_subdomain(&self, service: &ServiceKey) -> impl Iterator<Item = &Pod> {
        self.selectors.with_subdomain(service).filter_map(|id| self.store.objects().get(id))
    }

    /// Whether the mirrored Pods are the source of a Service's endpoints.
    pub fn authoritative_for(&self, service: &Service) -> bool {
        may_use_pods(service) && self.are_trusted(&service.object.namespace)
    }

    /// Whether the Pods of a namespace are listed and kept up to date.
    pub fn are_trusted(&self, namespace: &str) -> bool {
        self.trusted_scopes().any(|scope| scope.covers(namespace))
    }

    /// The endpoints of a slice of a Service that no mirrored or deleted Pod shadows.
    pub fn unshadowed_endpoints<'a>(
        &'a self,
        service: &Service,
        slice: &'a Slice,
    ) -> impl Iterator<Item = Endpoint<'a>> + use<'a> {
        let is_authoritative = self.authoritative_for(service);
        slice.endpoints.filter_by_pod(move |pod| pod.is_none_or(|pod| !is_authoritative || !self.shadows(pod)))
    }

    /// Whether a Pod's endpoint in a slice is ignored, because the Pod is mirrored or deleted.
    fn shadows(&self, pod: Uid) -> bool {
        self.by_uid.contains(pod, self.store.objects()) || self.tombstones.contains(pod)
    }

    /// The scopes whose Pods are listed and kept up to date.
    pub fn trusted_scopes(&self) -> impl Iterator<Item = &Scope> {
        self.listed_scopes.iter().filter(|scope| !self.untrusted_scopes.contains(*scope))
    }

    /// Sets whether the Pods of a scope are out of date. Returns whether that is a change.
    pub fn set_untrusted(&mut self, scope: &Scope, is_untrusted: bool) -> bool {
        if is_untrusted { self.untrusted_scopes.insert(scope.clone()) } else { self.untrusted_scopes.remove(scope) }
    }

    /// The scopes whose Pods are listed.
    pub fn listed(&self) -> impl Iterator<Item = ListedPods> {
        let is_trusted = |scope: &Scope| !self.untrusted_scopes.contains(scope);
        self.listed_scopes.iter().map(move |scope| ListedPods { scope: scope.clone(), are_trusted: is_trusted(scope) })
    }

    /// Takes the Pods of a scope as listed, from a snapshot of the last run.
    pub fn restore_listed(&mut self, ListedPods { scope, are_trusted }: ListedPods) {
        self.listed_scopes.insert(scope.clone());
        let restored = if are_trusted { &mut self.restored_scopes } else { &mut self.untrusted_scopes };
        restored.insert(scope);
    }

    /// The watch of a scope has shown that it goes on from where it was.
    pub fn is_proven(&mut self, scope: &Scope) {
        self.restored_scopes.remove(scope);
    }

    /// Takes the scopes as untrusted that are listed by a snapshot alone, and returns them.
    pub fn distrust_restored(&mut self) -> Vec<Scope> {
        let scopes: Vec<_> = self.restored_scopes.drain().collect();
        self.untrusted_scopes.extend(scopes.iter().cloned());
        scopes
    }
}

/// Pods that have a UUID, by it.
#[derive(Debug, Default)]
struct UidIndex {
    ids: HashTable<ObjectId>,
    hasher: RandomState,
}

impl UidIndex {
    /// Adds a Pod, whether `pods` has it yet or not.
    fn insert(&mut self, uid: Uid, id: ObjectId, pods: &Objects<Pod>) {
        let hash_of = |id: &ObjectId| {
            let other = pods.get(*id).and_then(|pod| pod.uid);
            self.hasher.hash_one(other.unwrap_or(uid))
        };
        self.ids.insert_unique(self.hasher.hash_one(uid), id, hash_of);
    }

    fn remove(&mut self, uid: Uid, id: ObjectId) {
        if let Ok(entry) = self.ids.find_entry(self.hasher.hash_one(uid), |other| *other == id) {
            entry.remove();
        }
    }

    fn contains(&self, uid: Uid, pods: &Objects<Pod>) -> bool {
        let is_it = |id: &ObjectId| pods.get(*id).is_some_and(|pod| pod.uid == Some(uid));
        self.ids.find(self.hasher.hash_one(uid), is_it).is_some()
    }
}

/// Whether Pods can be the source of a Service's endpoints. For Services that are not headless it is not worth the work:
/// nobody waits for the names of their endpoints.
pub(super) fn may_use_pods(service: &Service) -> bool {
    service.spec == ServiceSpec::Headless && !service.selector.is_empty()
}
