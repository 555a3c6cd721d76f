//! The Pods as the watch describes them, and for which endpoints they are the truth.
//!
//! Kubernetes' EndpointSlice controller repeats in its slices what Pods say, a while later. Where a Pod is mirrored here, what
//! it says itself counts, and what a slice says of the same Pod does not; each Pod has one source at any time. That one of
//! them is gone counts just the same: it is remembered until no slice repeats the Pod any more.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::members::{Members, subdomain};
use super::store::{Difference, ObjectStore, Place};
use crate::cluster::{Change, Endpoint, Pod, Scope, Service, ServiceSpec, Slice, Template, Uid};
use crate::records::ServiceKey;

#[derive(Debug, Default)]
pub(super) struct Pods {
    pub store: ObjectStore<Pod>,
    pub members: Members,
    /// Those that have a UUID, by it.
    mirrored: HashTable<Place>,
    uids: RandomState,
    gone: HashMap<Uid, Gone, RandomState>,
    /// The scopes whose Pods have been heard in full once.
    listed: HashSet<Scope, RandomState>,
    /// Those of them that have been in the last run alone.
    restored: HashSet<Scope, RandomState>,
    /// Scopes in which the watch of Pods has been silent for long, while that of slices went on.
    deaf: HashSet<Scope, RandomState>,
}

/// A Pod that was mirrored.
#[derive(Clone, Copy, Debug)]
struct Gone {
    /// It was about to go when it went. Else it may have lost the label by which it was watched and live on, and a slice that
    /// goes on repeating it is right after all.
    was_terminating: bool,
    /// Rounds of [`Pods::forget`] since.
    age: u8,
}

/// Rounds of [`Pods::forget`] that one that is gone is remembered at least: a slice may say late that it was there.
const REMEMBERED: u8 = 2;

impl Pods {
    /// Takes in a change, and tells `touched` of the Services whose Pods it changes, with the Pod as it was and as it is, and
    /// `named` of those that the Pods name as their subdomain. True if from now on the Pods of the scope are known, and were
    /// not before.
    pub fn apply(
        &mut self,
        scope: &Scope,
        mut change: Change<Pod>,
        mut touched: impl FnMut(&ServiceKey, Option<&Pod>, Option<&Pod>),
        mut named: impl FnMut(ServiceKey),
    ) -> bool {
        let Self { store, members, mirrored, uids, gone, listed, restored, .. } = self;
        if let Change::Apply(pod) = &mut change {
            pod.template = members.shared(&pod.template);
        }
        let is_listed = matches!(change, Change::RelistDone);
        store.apply(scope, change, |Difference { others, place, old, new }| {
            let mut touch = |members: &Members, pod: &Pod| {
                subdomain(&pod.template).map(&mut named);
                // Before, no Service asks for its Pods; at the first list's end all do.
                if listed.iter().any(|scope| scope.covers(pod.namespace())) {
                    members.services_of(pod).for_each(|service| touched(service, old, new));
                }
            };
            let both = old.zip(new);
            let stays = both.is_some_and(|(old, new)| Arc::ptr_eq(&old.template, &new.template));
            let is_same = both.is_some_and(|(old, new)| old.uid == new.uid);
            if let Some(old) = old {
                touch(members, old);
                if !stays {
                    members.remove_pod(others, old);
                }
                if let Some(uid) = old.uid.filter(|_| !is_same) {
                    if let Ok(entry) = mirrored.find_entry(uids.hash_one(uid), |other| *other == place) {
                        entry.remove();
                    }
                    gone.insert(uid, Gone { was_terminating: old.is_terminating, age: 0 });
                }
            }
            if let Some(new) = new {
                if !stays {
                    members.add_pod(others, place, new);
                    touch(members, new);
                }
                if let Some(uid) = new.uid.filter(|_| !is_same) {
                    let uid_of = |place: &Place| others.get(*place).and_then(|pod| pod.uid);
                    mirrored.insert_unique(uids.hash_one(uid), place, |it| uids.hash_one(uid_of(it).unwrap_or(uid)));
                    gone.remove(&uid);
                }
            }
        });
        if is_listed {
            restored.remove(scope);
        }
        is_listed && listed.insert(scope.clone())
    }

    /// The Pods that a Service may select, by their templates.
    pub fn candidates(
        &self,
        service: &ServiceKey,
    ) -> impl Iterator<Item = (&Template, impl Iterator<Item = &Pod> + Clone)> {
        let groups = self.members.candidates(service);
        groups.map(|(template, places)| (template, places.iter().filter_map(|place| self.store.objects().get(*place))))
    }

    /// The Pods that name a Service as their subdomain.
    pub fn naming(&self, service: &ServiceKey) -> impl Iterator<Item = &Pod> {
        self.members.naming(service).filter_map(|place| self.store.objects().get(place))
    }

    /// Whether Pods are the source of a Service's endpoints: known, and kept up with.
    pub fn speak_for(&self, service: &Service) -> bool {
        is_of_pods(service) && self.heard().any(|scope| scope.covers(&service.object.namespace))
    }

    /// The endpoints of a Service that have no other source than this slice.
    pub fn own_endpoints(&self, service: &Service, slice: &Slice) -> impl Iterator<Item = Endpoint> {
        let speak = self.speak_for(service);
        slice.endpoints.filter_by_pod(move |pod| pod.is_none_or(|pod| !speak || !self.supersede(pod)))
    }

    /// Whether what a slice says of this Pod counts for nothing, because the Pod speaks for itself or is gone.
    fn supersede(&self, pod: Uid) -> bool {
        let is_it = |place: &Place| self.store.objects().get(*place).is_some_and(|other| other.uid == Some(pod));
        self.mirrored.find(self.uids.hash_one(pod), is_it).is_some() || self.gone.contains_key(&pod)
    }

    /// The scopes whose Pods are known and kept up with.
    pub fn heard(&self) -> impl Iterator<Item = &Scope> {
        self.listed.iter().filter(|scope| !self.deaf.contains(*scope))
    }

    /// Says whether the Pods of a scope are not kept up with. True if that was otherwise.
    pub fn set_deaf(&mut self, scope: &Scope, is_deaf: bool) -> bool {
        if is_deaf { self.deaf.insert(scope.clone()) } else { self.deaf.remove(scope) }
    }

    /// Takes the Pods of a scope for known, as they were in the last run.
    pub fn restore_listed(&mut self, scope: Scope) {
        self.listed.insert(scope.clone());
        self.restored.insert(scope);
    }

    /// Takes Pods for unknown that are known from the last run alone, and gives their scopes.
    pub fn distrust_restored(&mut self) -> Vec<Scope> {
        let scopes: Vec<_> = self.restored.drain().collect();
        self.listed.retain(|scope| !scopes.contains(scope));
        scopes
    }

    /// The Pods that are gone and remembered, each with whether it was about to go.
    pub fn gone(&self) -> impl Iterator<Item = (Uid, bool)> {
        self.gone.iter().map(|(uid, gone)| (*uid, gone.was_terminating))
    }

    /// Remembers a Pod that was gone in the last run.
    pub fn restore_gone(&mut self, uid: Uid, was_terminating: bool) {
        self.gone.insert(uid, Gone { was_terminating, age: 0 });
    }

    /// Whether there is anything that [`Pods::forget`] could forget.
    pub fn remember_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// Forgets the Pods that went some rounds ago, but for those that surely went and are still `repeated` by a slice. Gives
    /// those that count again where they are.
    pub fn forget(&mut self, repeated: &HashSet<Uid, RandomState>) -> HashSet<Uid, RandomState> {
        let mut forgotten = HashSet::default();
        self.gone.retain(|uid, gone| {
            gone.age = gone.age.saturating_add(1);
            let is_repeated = repeated.contains(uid);
            let stays = gone.age < REMEMBERED || (gone.was_terminating && is_repeated);
            if !stays && is_repeated {
                forgotten.insert(*uid);
            }
            stays
        });
        forgotten
    }
}

/// Whether the endpoints of a Service are Pods that are looked at here: those of other Services are not worth it, nobody waits
/// for their names.
pub(super) fn is_of_pods(service: &Service) -> bool {
    service.spec == ServiceSpec::Headless && !service.selector.is_empty()
}
