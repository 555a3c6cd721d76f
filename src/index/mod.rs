//! The index of the cluster's objects: joins Services, EndpointSlices and Pods, and derives DNS records from them.
//!
//! ```text
//! ClusterEvent ─▶ apply ─▶ services, slices (store) · Pods (pods, selectors, tombstones)
//!             └─▶ dirty Services ─▶ take_publications ─▶ derive (pure) ─▶ records for the table
//!                                 └▶ take_reasons ─▶ why names are absent
//! ```
//!
//! One task owns the index: it is synchronous and has no locks. Services, slices and Pods may arrive and go in any order; the
//! records always follow from the objects as they are now. A change marks the Services that it affects as dirty, so that a
//! burst of changes derives each Service once. `view.rs` has the queries that this and `crate::diagnose` share.

mod by_service;
mod derive;
mod dirty;
mod pods;
mod positions;
mod publish;
mod reasons;
mod selectors;
mod snapshot;
mod sources;
mod store;
mod tombstones;
mod view;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use by_service::{ByService, InlineVec};
use dirty::DirtyServices;
pub use dirty::PendingChange;
use pods::{PodEffect, PodIndex, may_use_pods};
use positions::WatchPositions;
pub use snapshot::{ListedPods, Snapshot};
pub use sources::EndpointSources;
pub use store::Objects;
use store::{ObjectDiff, ObjectStore};
pub use tombstones::Tombstone;

use crate::cluster::{
    Change, ClusterEvent, Endpoints, EventTimes, ObjectKey, Pod, PodSelection, Position, Positions, Resource, Scope,
    Service, Slice, Uid, WatchId, WatchUpdate,
};
use crate::dns::name::Label;
use crate::records::ServiceKey;

/// Choices about what is served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Endpoints have their own names before they are ready, unless their Service has an annotation that says otherwise.
    pub not_ready_ordinals: bool,
    /// Only headless Services are served.
    pub headless_only: bool,
    /// Which Pods are watched.
    pub pods: PodSelection,
    /// The namespaces whose Services the public view has, unless their annotation says otherwise; none if there is no such view.
    pub public_namespaces: Option<Arc<[Label]>>,
}

/// The cluster's objects and the joins between them.
#[derive(Debug, Default)]
pub struct Index {
    options: Options,
    services: ObjectStore<Arc<Service>>,
    slices: ObjectStore<Arc<Slice>>,
    pods: PodIndex,
    service_by_key: ByService<Arc<Service>>,
    /// The slices of each Service, whether the Service exists or not.
    slices_by_service: ByService<InlineVec<Arc<Slice>>>,
    /// Services whose published records include endpoints that a slice says are Pods, and that the watch of Pods has not
    /// delivered yet.
    awaiting_pods: HashSet<ServiceKey, RandomState>,
    /// The namespace of the last object, shared with the next one if equal: lists are sorted by namespace.
    last_namespace: Arc<str>,
    stale_watches: HashSet<WatchId, RandomState>,
    /// The scopes whose Pods have been without word for so long that they may be out of date, until their watch is proven.
    long_silent_pods: HashSet<Scope, RandomState>,
    positions: WatchPositions,
    /// Services whose records may have changed.
    dirty: DirtyServices,
    /// Services whose reasons for absent names may have changed.
    dirty_reasons: BTreeSet<ServiceKey>,
    repairs: Vec<Repairs>,
}

/// Objects that the watch had missed and a list repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repairs {
    pub watch: WatchId,
    /// The number of objects.
    pub count: usize,
}

impl Index {
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Applies one update from a watch.
    pub fn apply(&mut self, update: impl Into<WatchUpdate>) {
        let WatchUpdate { event, times, position } = update.into();
        self.positions.observe(&event, position);
        match event {
            ClusterEvent::Service(scope, change) => self.apply_service(&scope, change, times),
            ClusterEvent::Slice(scope, change) => self.apply_slice(&scope, change, times),
            ClusterEvent::Pod(scope, change) => self.apply_pod(&scope, change, times),
            ClusterEvent::Reconciled { watch, newer } => self.record_repairs(watch, newer),
            ClusterEvent::WatchStale { watch, .. } => self.watch_is_stale(watch),
            ClusterEvent::WatchRecovered(watch) => self.watch_recovered(&watch),
            ClusterEvent::WatchSilence { .. } | ClusterEvent::WatchResumed(_) | ClusterEvent::WatchReached(_) => {}
            ClusterEvent::WatchProven(watch) => self.watch_is_proven(&watch),
        }
    }

    fn apply_service(&mut self, scope: &Scope, change: Change<Service>, times: Option<EventTimes>) {
        let Self { services, pods, service_by_key, last_namespace, dirty, .. } = self;
        let change = change.map(|it| Arc::new(Service { object: intern_namespace(it.object, last_namespace), ..it }));
        services.apply(scope, change, |ObjectDiff { old, new, .. }| {
            // The object only has the time of its creation.
            let times = if old.is_some() { times.map(EventTimes::without_changed_at) } else { times };
            if let Some(old) = old {
                service_by_key.remove(&old.key);
                pods.selectors.remove_service(&old.key);
                dirty.mark(&old.key, times);
            }
            if let Some(new) = new {
                service_by_key.insert(Arc::clone(new));
                if may_use_pods(new) {
                    pods.selectors.add_service(new);
                }
                dirty.mark(&new.key, times);
            }
        });
    }

    fn apply_slice(&mut self, scope: &Scope, change: Change<Slice>, times: Option<EventTimes>) {
        let Self { slices, pods, service_by_key, slices_by_service, awaiting_pods, last_namespace, dirty, .. } = self;
        let change = change.map(|it| Arc::new(Slice { object: intern_namespace(it.object, last_namespace), ..it }));
        slices.apply(scope, change, |ObjectDiff { old, new, .. }| {
            // Often the controller only repeats what the Pods have shown already, and no record can change. That does not
            // hold for a Service whose records follow from the old slice.
            let repeats_pods = old.zip(new).is_some_and(|(old, new)| {
                let service = new.service.as_ref().filter(|service| !awaiting_pods.contains(*service));
                old.service == new.service
                    && old.ports == new.ports
                    && service.and_then(|service| service_by_key.get(service)).is_some_and(|service| {
                        let unshadowed = |slice| pods.unshadowed_endpoints(service, slice);
                        // Which slice is newer matters where the slices are the source of Pods.
                        let is_as_new = old.version == new.version || pods.authoritative_for(service);
                        is_as_new && unshadowed(old).eq(unshadowed(new))
                    })
            });
            if let Some(old) = old {
                slices_by_service.remove_slice(old);
            }
            if let Some(new) = new {
                slices_by_service.add_slice(new);
            }
            if !repeats_pods {
                let is_triggered = new.is_some_and(|new| is_triggered_change(old, new));
                let times = if is_triggered { times } else { times.map(EventTimes::without_changed_at) };
                let affected = old.into_iter().chain(new).filter_map(|slice| slice.service.as_ref());
                affected.for_each(|service| dirty.mark(service, times));
            }
        });
    }

    fn apply_pod(&mut self, scope: &Scope, change: Change<Pod>, times: Option<EventTimes>) {
        let Self { pods, dirty, dirty_reasons, awaiting_pods, slices_by_service, .. } = self;
        let mut unshadowed = None;
        let is_first_list = pods.apply(scope, change, |effect| match effect {
            PodEffect::Slices(uid) => unshadowed = Some(uid),
            PodEffect::Mirrored { pod, uid } => {
                let lists = |slice: &Arc<Slice>| slice.endpoints.pods().any(|listed| listed == uid);
                let is_affected = |service: &&ServiceKey| {
                    service.namespace_text() == pod.namespace()
                        && slices_by_service.get(service).is_some_and(|slices| slices.iter().any(lists))
                };
                awaiting_pods.iter().filter(is_affected).for_each(|service| dirty.mark(service, None));
            }
            PodEffect::Endpoints { service, old, new } => {
                // A newer version alone matters where a slice may name another Pod of the same name.
                let is_only_newer = old.zip(new).is_some_and(|(old, new)| old.is_same_but_for_version(new));
                if is_only_newer && !awaiting_pods.contains(service) {
                    return;
                }
                dirty.mark(
                    service,
                    if is_timed_change(old, new) { times } else { times.map(EventTimes::without_changed_at) },
                );
            }
            PodEffect::Reasons(service) => {
                dirty_reasons.insert(service);
            }
        });
        if is_first_list {
            self.mark_services_of_pods(scope);
        }
        if let Some(uid) = unshadowed {
            self.mark_services_listing(|pod| pod == uid);
        }
    }

    /// Records what a list found that the watch should have delivered. As many as `newer` objects of the list may differ
    /// because the watch had no time to.
    fn record_repairs(&mut self, watch: WatchId, newer: usize) {
        let changes = match watch.resource {
            Resource::Services => self.services.changes_since_relist(&watch.scope),
            Resource::EndpointSlices => self.slices.changes_since_relist(&watch.scope),
            Resource::Pods => self.pods.store.changes_since_relist(&watch.scope),
        };
        let count = changes.saturating_sub(newer);
        if count > 0 {
            self.repairs.push(Repairs { watch, count });
        }
    }

    /// The repairs since the last call.
    pub fn take_repairs(&mut self) -> Vec<Repairs> {
        std::mem::take(&mut self.repairs)
    }

    fn watch_is_stale(&mut self, watch: WatchId) {
        let WatchId { resource, scope } = watch.clone();
        let is_repeated = !self.stale_watches.insert(watch);
        if resource == Resource::Pods && is_repeated {
            self.long_silent_pods.insert(scope.clone());
        }
        self.distrust_silent_pods(&scope);
    }

    fn watch_recovered(&mut self, watch: &WatchId) {
        self.stale_watches.remove(watch);
        self.distrust_silent_pods(&watch.scope);
    }

    /// What the watch had missed has been applied, so its Pods count again.
    fn watch_is_proven(&mut self, watch: &WatchId) {
        if watch.resource == Resource::Pods {
            self.long_silent_pods.remove(&watch.scope);
            self.pods.is_proven(&watch.scope);
            self.set_pods_untrusted(&watch.scope, false);
        }
    }

    /// Makes slices the source of all endpoints if they are up to date and the Pods may not be. In an outage of the API server
    /// the watch of slices is stale too, and nothing is gained before it has recovered.
    fn distrust_silent_pods(&mut self, scope: &Scope) {
        let slices = WatchId::new(Resource::EndpointSlices, scope.clone());
        if self.long_silent_pods.contains(scope) && !self.stale_watches.contains(&slices) {
            self.set_pods_untrusted(scope, true);
        }
    }

    fn set_pods_untrusted(&mut self, scope: &Scope, is_untrusted: bool) {
        if self.pods.set_untrusted(scope, is_untrusted) {
            self.mark_services_of_pods(scope);
        }
    }

    /// Drops tombstones of Pods that were deleted long ago. To be called at an interval: short enough to keep few tombstones,
    /// and long enough for the slices to be up to date by the second call.
    pub fn expire_tombstones(&mut self) {
        if self.pods.tombstones.is_empty() {
            return;
        }
        let slices = self.slices.objects();
        let listed = slices.iter().flat_map(|slice| slice.endpoints.pods()).collect();
        let counting_again = self.pods.tombstones.expire(&listed);
        if !counting_again.is_empty() {
            self.mark_services_listing(|pod| counting_again.contains(&pod));
        }
    }

    /// Marks the Services with a slice that lists such a Pod.
    fn mark_services_listing(&mut self, is_it: impl Fn(Uid) -> bool) {
        let has_one = |slice: &&Arc<Slice>| slice.endpoints.pods().any(&is_it);
        let affected = self.slices.objects().iter().filter(has_one).filter_map(|slice| slice.service.as_ref());
        affected.for_each(|service| self.dirty.mark(service, None));
    }

    /// Whether any object has changed since the last call, with or without an effect on records.
    pub fn take_objects_changed(&mut self) -> bool {
        self.services.take_changed() | self.slices.take_changed() | self.pods.store.take_changed()
    }

    /// Whether any watch has come further since the last call, with or without a change of an object.
    pub fn take_positions_moved(&mut self) -> bool {
        self.positions.take_moved()
    }

    /// How far the watches have come.
    pub fn positions(&self) -> &Positions {
        self.positions.get()
    }

    /// Marks the Services of a scope that may have Pods as their source, and those that its Pods have as their subdomain.
    fn mark_services_of_pods(&mut self, scope: &Scope) {
        let is_affected = |service: &&Arc<Service>| may_use_pods(service) && scope.covers(&service.object.namespace);
        let affected = self.services.objects().iter().filter(is_affected);
        affected.for_each(|service| self.dirty.mark(&service.key, None));
        // Services that do not exist may have reasons.
        self.dirty_reasons.extend(self.pods.selectors.subdomains(scope));
    }

    /// The objects as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            services: self.services.objects().clone(),
            slices: self.slices.objects().clone(),
            pods: self.pods.store.objects().clone(),
            tombstones: self.pods.tombstones.iter().collect(),
            listed_pods: self.pods.listed().collect(),
            positions: self.positions.get().clone(),
        }
    }

    /// Restores a tombstone from a snapshot.
    pub fn restore_tombstone(&mut self, tombstone: Tombstone) {
        self.pods.tombstones.insert(tombstone);
    }

    /// Restores from a snapshot that the Pods of a scope are listed completely.
    pub fn restore_listed_pods(&mut self, listed: ListedPods) {
        self.mark_services_of_pods(&listed.scope);
        self.pods.restore_listed(listed);
    }

    /// Restores from a snapshot how far a watch had come.
    pub fn restore_position(&mut self, watch: WatchId, position: Position) {
        self.positions.restore(watch, position);
    }

    /// Uses slices instead of Pods wherever the Pods come from a snapshot alone, until their watch is proven.
    pub fn distrust_restored_pods(&mut self) {
        for scope in self.pods.distrust_restored() {
            self.mark_services_of_pods(&scope);
        }
    }
}

/// Replaces the namespace of a key by the last one if they are equal, so that memory has it once for many objects in a row.
fn intern_namespace(key: ObjectKey, last: &mut Arc<str>) -> ObjectKey {
    if key.namespace != *last {
        *last = key.namespace;
    }
    ObjectKey { namespace: Arc::clone(last), ..key }
}

/// Whether a change of a Pod is one that the Pod has the time of: it was marked for deletion, or its readiness changed. What makes a
/// Pod that has long been ready an endpoint, a new label for example, has no time.
fn is_timed_change(old: Option<&Pod>, new: Option<&Pod>) -> bool {
    old.zip(new).is_some_and(|(old, new)| {
        // A Pod that is going has the time of its deletion alone.
        if new.is_terminating { !old.is_terminating } else { old.ready_changed != new.ready_changed }
    })
}

/// Whether a change of a slice is the one that its trigger time is of. Whoever writes a slice for another reason, a new label for example,
/// leaves the time that it has, which may be days old.
fn is_triggered_change(old: Option<&Arc<Slice>>, new: &Slice) -> bool {
    let none = Endpoints::default();
    let (triggered, endpoints) = old.map_or((None, &none), |old| (old.triggered, &old.endpoints));
    new.triggered.is_some() && new.triggered != triggered && new.endpoints != *endpoints
}

#[cfg(test)]
mod tests;
