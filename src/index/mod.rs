//! What is known of the cluster, and what follows from it.
//!
//! ```text
//! ClusterEvent ─▶ Index::apply: plain maps, says which Services are touched ─▶ derive (pure) ─▶ records for the table
//!               services, slices (store.rs) · Pods, which speak for themselves (pods.rs, members.rs)
//! ```
//!
//! One task owns the index: no locks, no waiting. A Service, its slices and its Pods may arrive and go in any order; the
//! records are always those that follow from the objects as they are now. What is touched collects until
//! [`Index::take_batch`], so that a burst of changes derives each Service once, and with it since when whoever asks for the
//! Service has been waiting.

mod by_service;
mod derive;
mod describe;
mod members;
mod pods;
mod reasons;
mod snapshot;
mod store;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::iter;
use std::sync::Arc;

use foldhash::fast::RandomState;

use by_service::ByService;
pub use derive::{Member, derive, ports_of};
use members::Few;
use pods::{Pods, is_of_pods};
pub use snapshot::Snapshot;
pub use store::Objects;
use store::{Difference, ObjectStore};

use crate::cluster::{
    ClusterEvent, Endpoint, EventTimes, ObjectKey, OwnLabels, Pod, Resource, Scope, Service, ServiceSpec, Slice,
    Template, WatchId, WatchUpdate,
};
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords};

/// What of the objects is served, where that is a matter of choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Endpoints have their own names before they are ready, unless their Service says otherwise.
    pub not_ready_ordinals: bool,
    /// Services that are not headless are not served.
    pub headless_only: bool,
}

/// Objects by what they say, and the joins between them.
#[derive(Debug, Default)]
pub struct Index {
    options: Options,
    services: ObjectStore<Arc<Service>>,
    slices: ObjectStore<Arc<Slice>>,
    pods: Pods,
    /// The object that describes each Service.
    described: ByService<Arc<Service>>,
    /// The slices of each Service, whether the Service is there or not.
    slices_of: ByService<Few<Arc<Slice>>>,
    /// The Services with endpoints in the table that a slice says are Pods, and that no Pod has spoken for yet.
    borrowing: HashSet<ServiceKey, RandomState>,
    /// That of the object before, which the next one shares where it is in the same: lists come in the order of namespaces.
    namespace: Arc<str>,
    /// The watches that are silent.
    silent: HashSet<WatchId, RandomState>,
    /// The Services whose records may have changed, with the times of the changes that anybody waits for.
    touched: BTreeMap<ServiceKey, Option<EventTimes>>,
    /// The Services of which it may have changed why names are absent.
    unexplained: BTreeSet<ServiceKey>,
    repairs: Vec<Repairs>,
}

/// What a list found that the watch had not told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repairs {
    pub watch: WatchId,
    /// Objects.
    pub count: usize,
}

impl Index {
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    /// Takes in one change.
    pub fn apply(&mut self, update: impl Into<WatchUpdate>) {
        let WatchUpdate { event, times } = update.into();
        let Self { services, slices, pods, described, slices_of, borrowing, namespace, touched, unexplained, .. } =
            self;
        let mut touch = |service: &ServiceKey, times: Option<EventTimes>| match touched.get_mut(service) {
            Some(known) => *known = EventTimes::earliest(*known, times),
            None => drop(touched.insert(service.clone(), times)),
        };
        match event {
            ClusterEvent::Service(scope, change) => {
                let change = change.map(|it| Arc::new(Service { object: shared(it.object, namespace), ..it }));
                services.apply(&scope, change, |Difference { old, new, .. }| {
                    // What its object says is when it was made.
                    let times = if old.is_some() { times.map(EventTimes::without_changed_at) } else { times };
                    if let Some(old) = old {
                        described.remove(&old.key);
                        pods.members.remove_service(&old.key);
                        touch(&old.key, times);
                    }
                    if let Some(new) = new {
                        described.insert(Arc::clone(new));
                        if is_of_pods(new) {
                            pods.members.add_service(new);
                        }
                        touch(&new.key, times);
                    }
                })
            }
            ClusterEvent::Slice(scope, change) => {
                let change = change.map(|it| Arc::new(Slice { object: shared(it.object, namespace), ..it }));
                slices.apply(&scope, change, |Difference { old, new, .. }| {
                    // The controller repeats what the Pods have said: nothing follows from that once more, unless what
                    // stands in the table is what it said before.
                    let says_the_same = |old: &Slice, new: &Slice| {
                        let service = new.service.as_ref().filter(|service| !borrowing.contains(*service));
                        old.service == new.service
                            && old.ports == new.ports
                            && service.and_then(|service| described.get(service)).is_some_and(|service| {
                                let own = |slice| pods.own_endpoints(service, slice);
                                own(old).eq(own(new))
                            })
                    };
                    let is_news = !old.zip(new).is_some_and(|(old, new)| says_the_same(old, new));
                    let mut touch = |service: &ServiceKey| {
                        if is_news {
                            touch(service, times);
                        }
                    };
                    if let Some((old, service)) = old.and_then(|old| Some((old, old.service.as_ref()?))) {
                        match slices_of.get_mut(service) {
                            Some(others) if others.len() > 1 => others.retain(|other| !Arc::ptr_eq(other, old)),
                            _ => drop(slices_of.remove(service)),
                        }
                        touch(service);
                    }
                    if let Some((new, service)) = new.and_then(|new| Some((new, new.service.as_ref()?))) {
                        match slices_of.get_mut(service) {
                            Some(others) => others.push(Arc::clone(new)),
                            None => slices_of.insert(iter::once(Arc::clone(new)).collect()),
                        }
                        touch(service);
                    }
                })
            }
            ClusterEvent::Pod(scope, change) => {
                let touch = |service: &ServiceKey, old: Option<&Pod>, new: Option<&Pod>| {
                    touch(service, if is_turn(old, new) { times } else { times.map(EventTimes::without_changed_at) });
                };
                let name = |service| {
                    unexplained.insert(service);
                };
                let is_first_list = pods.apply(&scope, change, touch, name);
                if is_first_list {
                    self.touch_services_of_pods(&scope);
                }
            }
            ClusterEvent::Reconciled { watch, newer } => {
                let differences = match watch.resource {
                    Resource::Services => self.services.differences(&watch.scope),
                    Resource::EndpointSlices => self.slices.differences(&watch.scope),
                    Resource::Pods => self.pods.store.differences(&watch.scope),
                };
                let count = differences.saturating_sub(newer);
                if count > 0 {
                    self.repairs.push(Repairs { watch, count });
                }
            }
            ClusterEvent::WatchStale { watch, .. } => {
                let is_known = !self.silent.insert(watch.clone());
                // The watch of slices has been heard since, or else it would be silent too by now: not the server is gone,
                // but the Pods.
                let slices = WatchId::new(Resource::EndpointSlices, watch.scope.clone());
                let slices_go_on = !self.silent.contains(&slices);
                if watch.resource == Resource::Pods && is_known && slices_go_on {
                    self.set_deaf_to_pods(&watch.scope, true);
                }
            }
            ClusterEvent::WatchRecovered(watch) => {
                if watch.resource == Resource::Pods {
                    self.set_deaf_to_pods(&watch.scope, false);
                }
                self.silent.remove(&watch);
            }
        }
    }

    /// What lists have repaired since the last call.
    pub fn take_repairs(&mut self) -> Vec<Repairs> {
        std::mem::take(&mut self.repairs)
    }

    /// Says whether the watch of Pods in a scope has fallen silent while that of slices goes on. Slices are the source of all
    /// endpoints then.
    fn set_deaf_to_pods(&mut self, scope: &Scope, is_deaf: bool) {
        if self.pods.set_deaf(scope, is_deaf) {
            self.touch_services_of_pods(scope);
        }
    }

    /// Forgets Pods that are long gone. To be called now and then: often enough that few are remembered, and seldom enough
    /// that the slices have caught up by the second time.
    pub fn forget_gone_pods(&mut self) {
        if !self.pods.remember_gone() {
            return;
        }
        let slices = self.slices.objects();
        let forgotten = self.pods.forget(&slices.iter().flat_map(|slice| slice.endpoints.pods()).collect());
        if !forgotten.is_empty() {
            let again = slices.iter().filter(|slice| slice.endpoints.pods().any(|pod| forgotten.contains(&pod)));
            for service in again.filter_map(|slice| slice.service.clone()) {
                self.touched.entry(service).or_default();
            }
        }
    }

    /// Whether any object has changed since the last call, whatever follows from that.
    pub fn take_changed(&mut self) -> bool {
        self.services.take_changed() | self.slices.take_changed() | self.pods.store.take_changed()
    }

    /// Whether any Service has been touched since the last call of [`Self::take_batch`].
    pub fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The Services touched since the last call of [`Self::take_batch`] that are served, with the times of the changes that
    /// anybody waits for.
    pub fn take_waits(&mut self) -> HashMap<ServiceKey, (Arc<Service>, EventTimes), RandomState> {
        let timed = self.touched.iter_mut().filter_map(|(key, times)| Some((key, times.take()?)));
        timed.filter_map(|(key, times)| Some((key.clone(), (Arc::clone(self.described.get(key)?), times)))).collect()
    }

    /// The records of every Service touched since the last call, for the table. Each is derived when it is asked for: all
    /// records of a large cluster need not stand in memory beside those that they replace.
    pub fn take_batch(&mut self) -> impl Iterator<Item = (ServiceKey, Option<ServiceRecords>)> {
        iter::from_fn(|| {
            let (key, _) = self.touched.pop_first()?;
            let derived = self.service(&key).map(|service| self.records(service));
            let (records, is_borrowing) = derived.map_or((None, false), |(records, borrows)| (Some(records), borrows));
            if is_borrowing {
                self.borrowing.insert(key.clone());
            } else {
                self.borrowing.remove(&key);
            }
            self.unexplained.insert(key.clone());
            Some((key, records))
        })
    }

    /// Whether [`Index::take_reasons`] would give anything.
    pub fn has_reasons(&self) -> bool {
        !self.unexplained.is_empty()
    }

    /// Why names are absent, of every Service of which that may have changed since the last call.
    pub fn take_reasons(&mut self) -> impl Iterator<Item = (ServiceKey, Option<Reasons>)> {
        iter::from_fn(|| {
            let key = self.unexplained.pop_first()?;
            let reasons = self.reasons_of(&key);
            Some((key, reasons))
        })
    }

    /// The records of a Service, and whether some are of Pods that speak for themselves elsewhere, but not here yet.
    fn records(&self, service: &Service) -> (ServiceRecords, bool) {
        let (mut members, mut is_borrowing) = (Vec::new(), false);
        for slice in self.slices(&service.key) {
            for endpoint in self.pods.own_endpoints(service, slice) {
                is_borrowing |= endpoint.pod.is_some();
                members.push(Member::of_slice(endpoint, &slice.ports));
            }
        }
        is_borrowing &= self.pods.speak_for(service);
        let by_template: Vec<_> =
            self.by_template(service).map(|(template, pods)| (ports_of(service, template), pods)).collect();
        for (ports, pods) in &by_template {
            pods.clone().for_each(|pod| members.extend(Member::of_pod(service, pod, ports)));
        }
        (derive(service, &members, self.has_not_ready_ordinals(service)), is_borrowing)
    }

    /// The Pods of a Service that speak for themselves.
    fn selected<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Pod> {
        self.by_template(service).flat_map(|(_, pods)| pods)
    }

    /// The same, by their templates.
    fn by_template<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = (&'a Template, impl Iterator<Item = &'a Pod> + Clone)> {
        let asks_pods = self.pods.speak_for(service);
        // Of the other labels, the Pods of one template have all or none.
        let asks_each = service.selector.iter().any(|(key, _)| OwnLabels::is_key(key));
        let is_selected = move |pod: &&Pod| !asks_each || pod.is_selected_by(&service.selector);
        let candidates = self.pods.candidates(&service.key).filter(move |_| asks_pods);
        candidates.map(move |(template, pods)| (template, pods.filter(is_selected)))
    }

    /// The endpoints of a Service that have no other source than its slices.
    fn endpoints<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = Endpoint> {
        self.slices(&service.key).flat_map(|slice| self.pods.own_endpoints(service, slice))
    }

    fn has_not_ready_ordinals(&self, service: &Service) -> bool {
        service.not_ready_ordinals.unwrap_or(self.options.not_ready_ordinals)
    }

    /// The Service, unless it is one that is not served.
    fn service(&self, key: &ServiceKey) -> Option<&Service> {
        let service = self.described.get(key)?;
        (!self.options.headless_only || service.spec == ServiceSpec::Headless).then_some(service)
    }

    fn slices(&self, key: &ServiceKey) -> impl Iterator<Item = &Slice> {
        self.slices_of.get(key).into_iter().flatten().map(|slice| &**slice)
    }

    fn touch_services_of_pods(&mut self, scope: &Scope) {
        let is_touched = |service: &&Arc<Service>| is_of_pods(service) && scope.covers(&service.object.namespace);
        for service in self.services.objects().iter().filter(is_touched) {
            self.touched.entry(service.key.clone()).or_default();
        }
    }
}

/// The same object, by a namespace that is in memory once for many in a row.
fn shared(object: ObjectKey, last: &mut Arc<str>) -> ObjectKey {
    if object.namespace != *last {
        *last = object.namespace;
    }
    ObjectKey { namespace: Arc::clone(last), ..object }
}

/// Whether a Pod has just become what it says that it became when: its readiness, its end.
fn is_turn(old: Option<&Pod>, new: Option<&Pod>) -> bool {
    let turns = |pod: Option<&Pod>| pod.map(|pod| (pod.ready_changed, pod.is_terminating));
    turns(old) != turns(new)
}

#[cfg(test)]
mod tests;
