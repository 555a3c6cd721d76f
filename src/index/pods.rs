//! The Pods as the watch describes them, and for which endpoints they are the truth.
//!
//! Kubernetes' EndpointSlice controller repeats in its slices what Pods say, a while later. Where a Pod is mirrored here, what
//! it says itself counts, and what a slice says of the same Pod does not; each Pod has one source at any time. That one of
//! them is gone counts just the same: it is remembered until no slice repeats the Pod any more.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::members::Members;
use super::store::ObjectStore;
use crate::cluster::{Change, Endpoint, Pod, Scope, Slice, Uid};
use crate::name::Label;
use crate::records::ServiceKey;

#[derive(Debug, Default)]
pub(super) struct Pods {
    pub store: ObjectStore<Pod>,
    pub members: Members,
    mirrored: HashSet<Uid, RandomState>,
    gone: HashMap<Uid, Gone, RandomState>,
    /// The scopes whose Pods have been heard in full once.
    listed: HashSet<Scope, RandomState>,
    /// Those of them that have been in the last run alone.
    restored: HashSet<Scope, RandomState>,
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
        mut named: impl FnMut(&ServiceKey),
    ) -> bool {
        let Self { store, members, mirrored, gone, listed, restored } = self;
        if let Change::Apply(pod) = &mut change {
            pod.template = members.shared(&pod.template);
            pod.object.namespace = Arc::clone(&pod.template.namespace);
        }
        let is_listed = matches!(change, Change::RelistDone);
        store.apply(scope, change, |old, new| {
            let (was, is) = (old.map(|pod| &**pod), new.map(|pod| &**pod));
            let mut touch = |members: &Members, pod: &Pod| {
                members.subdomain_of(pod).map(&mut named);
                // Before, no Service asks for its Pods; at the first list's end all do.
                if listed.iter().any(|scope| scope.covers(&pod.object)) {
                    members.services_of(pod).for_each(|service| touched(service, was, is));
                }
            };
            if let Some(old) = old {
                touch(members, old);
                members.remove_pod(old);
                if let Some(uid) = old.uid {
                    mirrored.remove(&uid);
                    gone.insert(uid, Gone { was_terminating: old.is_terminating, age: 0 });
                }
            }
            if let Some(new) = new {
                members.add_pod(new);
                touch(members, new);
                if let Some(uid) = new.uid {
                    mirrored.insert(uid);
                    gone.remove(&uid);
                }
            }
        });
        if is_listed {
            restored.remove(scope);
        }
        is_listed && listed.insert(scope.clone())
    }

    /// Whether the Pods of this namespace have been heard of in full.
    pub fn is_listed(&self, covers: impl Fn(&Scope) -> bool) -> bool {
        self.listed.iter().any(covers)
    }

    /// Whether what a slice says of this Pod counts for nothing, because the Pod speaks for itself or is gone.
    pub fn supersede(&self, pod: Uid) -> bool {
        self.mirrored.contains(&pod) || self.gone.contains_key(&pod)
    }

    /// Whether all that two versions of a slice differ in are endpoints of which Pods of its Service speak for themselves:
    /// what follows from the one follows from the other, as long as Pods are asked.
    pub fn say_all_of(&self, service: &ServiceKey, old: &Slice, new: &Slice) -> bool {
        let is_said = |endpoint: &Endpoint| {
            // The endpoint of a StatefulSet's Pod is called what the Pod is.
            let name = endpoint.hostname.as_ref().map(Label::as_text).unwrap_or_default();
            endpoint.pod.is_some() && self.members.selected(service, name).is_some_and(|pod| pod.uid == endpoint.pod)
        };
        let (before, after) = (&old.endpoints, &new.endpoints);
        let places = (0..before.len().max(after.len())).map(|place| (before.get(place), after.get(place)));
        let mut differing = places.filter(|(before, after)| before != after);
        old.service == new.service
            && old.ports == new.ports
            && differing.all(|(before, after)| before.into_iter().chain(after).all(is_said))
    }

    /// The scopes whose Pods have been heard of in full.
    pub fn listed(&self) -> impl Iterator<Item = &Scope> {
        self.listed.iter()
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
