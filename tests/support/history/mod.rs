//! Random histories of watches: changes of objects in all states, relists, complete or interrupted, and watches that go stale and
//! come back. A history is generated in terms of small numbers, which `objects.rs` turns into objects, and this module into updates.

mod objects;
mod values;

use std::convert::Infallible;
use std::net::Ipv4Addr;

use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, PodSelection, Resource, Scope, Version, WatchId};
use headless_dns::index::Options;
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

use self::objects::{PodState, ServiceState, SliceState};
use self::values::{ADDRESSES, NAMESPACES, label, namespace, v4, version};
pub use self::values::{Slot, addresses, service_keys};

/// What one watch tells of one object.
#[derive(Clone, Debug)]
pub enum Event {
    Service(ServiceState),
    Slice(SliceState),
    Pod(PodState),
    /// The object exists, but cannot be read.
    Malformed(Resource, Slot),
    Deleted(Resource, Slot),
    /// A Pod lost the label by which it is watched.
    Deselected(Slot),
}

#[derive(Clone, Debug)]
pub enum Step {
    Event(Event),
    /// A relist of some objects, interrupted if it is not finished.
    Relist {
        resource: Resource,
        namespace: usize,
        listed: Vec<Event>,
        is_finished: bool,
    },
    /// A watch has been silent for so many times `stale_after`.
    Silence {
        resource: Resource,
        namespace: usize,
        reports: usize,
    },
    /// There is word on a watch, which may prove that it follows the server.
    Word {
        resource: Resource,
        namespace: usize,
        is_proof: bool,
    },
    /// The program ends and goes on from its saved state.
    Restart,
    /// The time has come to drop tombstones.
    Expiry,
    Publish,
}

fn resource() -> impl Strategy<Value = Resource> {
    prop_oneof![Just(Resource::Services), Just(Resource::EndpointSlices), Just(Resource::Pods)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => ServiceState::any().prop_map(Event::Service),
        5 => PodState::any().prop_map(Event::Pod),
        5 => SliceState::any().prop_map(Event::Slice),
        1 => (resource(), Slot::any()).prop_map(|(resource, slot)| Event::Malformed(resource, slot)),
        2 => (resource(), Slot::any()).prop_map(|(resource, slot)| Event::Deleted(resource, slot)),
        1 => Slot::any().prop_map(Event::Deselected),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let relist = (resource(), namespace(), vec(event(), 0..6), proptest::bool::weighted(0.7));
    prop_oneof![
        16 => event().prop_map(Step::Event),
        3 => relist.prop_map(|(resource, namespace, listed, is_finished)| {
            Step::Relist { resource, namespace, listed, is_finished }
        }),
        1 => (resource(), namespace(), 1..=3usize).prop_map(|(resource, namespace, reports)| {
            Step::Silence { resource, namespace, reports }
        }),
        1 => (resource(), namespace(), any::<bool>()).prop_map(|(resource, namespace, is_proof)| {
            Step::Word { resource, namespace, is_proof }
        }),
        1 => Just(Step::Restart),
        1 => Just(Step::Expiry),
        3 => Just(Step::Publish),
    ]
}

/// What becomes of a Pod that a slice lists.
#[derive(Clone, Debug)]
enum Turn {
    /// It is written again, and only its version differs.
    Rewritten(Version),
    /// Its slice is.
    SliceRewritten(Version),
    Moved(Ipv4Addr),
    Deleted,
    Deselected,
    /// A list does not have it, and its tombstone expires.
    Unlisted,
}

/// The steps in which a Pod and a slice that lists it come, either first, and what becomes of the Pod. Single events rarely meet so.
fn life_of_a_pod() -> impl Strategy<Value = Vec<Step>> {
    let turn = prop_oneof![
        version().prop_map(Turn::Rewritten),
        version().prop_map(Turn::SliceRewritten),
        (0..ADDRESSES).prop_map(|number| Turn::Moved(v4(number))),
        Just(Turn::Deleted),
        Just(Turn::Deselected),
        Just(Turn::Unlisted),
    ];
    (PodState::any(), SliceState::any(), any::<bool>(), turn).prop_map(|(pod, slice, is_pod_first, turn)| {
        let slice = slice.listing(&pod);
        let turn = match turn {
            Turn::Rewritten(version) => vec![Step::Event(Event::Pod(pod.versioned(version)))],
            Turn::SliceRewritten(version) => vec![Step::Event(Event::Slice(slice.versioned(version)))],
            Turn::Moved(address) => vec![Step::Event(Event::Pod(pod.at(address)))],
            Turn::Deleted => vec![Step::Event(Event::Deleted(Resource::Pods, pod.slot))],
            Turn::Deselected => vec![Step::Event(Event::Deselected(pod.slot))],
            Turn::Unlisted => {
                let namespace = pod.slot.namespace;
                let list = Step::Relist { resource: Resource::Pods, namespace, listed: Vec::new(), is_finished: true };
                vec![list, Step::Publish, Step::Expiry, Step::Expiry]
            }
        };
        let mut arrivals = [Event::Pod(pod), Event::Slice(slice)].map(Step::Event);
        if !is_pod_first {
            arrivals.reverse();
        }
        arrivals.into_iter().chain([Step::Publish]).chain(turn).chain([Step::Publish]).collect()
    })
}

/// A history in at most so many parts.
pub fn steps(parts: usize) -> impl Strategy<Value = Vec<Step>> {
    let part = prop_oneof![9 => step().prop_map(|step| vec![step]), 1 => life_of_a_pod()];
    vec(part, 1..=parts).prop_map(|parts| parts.concat())
}

/// The options of the index that records or reasons depend on.
pub fn index_options() -> impl Strategy<Value = Options> {
    let pods = prop_oneof![Just(PodSelection::Off), Just(PodSelection::StatefulSets), Just(PodSelection::All)];
    let public = proptest::option::of(proptest::sample::subsequence(&NAMESPACES[..], 0..NAMESPACES.len()));
    (any::<bool>(), proptest::bool::weighted(0.2), pods, public).prop_map(
        |(not_ready_ordinals, headless_only, pods, public)| Options {
            not_ready_ordinals,
            headless_only,
            pods,
            public_namespaces: public.map(|namespaces| namespaces.into_iter().map(label).collect()),
        },
    )
}

/// A headless Service without ports or selector.
pub fn bare_service(slot: Slot) -> Event {
    Event::Service(ServiceState::bare(slot))
}

/// A slice of the Service of the same name with one ready endpoint, at an address of its own.
pub fn bare_slice(slot: Slot) -> Event {
    Event::Slice(SliceState::bare(slot))
}

/// The watches of a history: one for all namespaces, or one for each namespace.
#[derive(Clone, Copy, Debug)]
pub struct Watches {
    pub cluster_wide: bool,
}

impl Watches {
    pub fn scopes(self) -> Vec<Scope> {
        let mut scopes: Vec<_> = (0..NAMESPACES.len()).map(|namespace| self.scope(namespace)).collect();
        scopes.dedup();
        scopes
    }

    fn scope(self, namespace: usize) -> Scope {
        if self.cluster_wide { Scope::All } else { Scope::Namespace(NAMESPACES[namespace].into()) }
    }

    fn change(self, resource: Resource, namespace: usize, change: Change<Infallible>) -> ClusterEvent {
        fn of<K>(change: Change<Infallible>) -> Change<K> {
            change.map(|never| match never {})
        }
        let scope = self.scope(namespace);
        match resource {
            Resource::Services => ClusterEvent::Service(scope, of(change)),
            Resource::EndpointSlices => ClusterEvent::Slice(scope, of(change)),
            Resource::Pods => ClusterEvent::Pod(scope, of(change)),
        }
    }

    fn update(self, event: &Event) -> ClusterEvent {
        match event {
            Event::Service(state) => {
                ClusterEvent::Service(self.scope(state.slot.namespace), Change::Apply(state.object()))
            }
            Event::Slice(state) => ClusterEvent::Slice(self.scope(state.slot.namespace), Change::Apply(state.object())),
            Event::Pod(state) => ClusterEvent::Pod(self.scope(state.slot.namespace), Change::Apply(state.object())),
            Event::Malformed(resource, slot) => {
                self.change(*resource, slot.namespace, Change::Unreadable(name_of(*resource, *slot)))
            }
            Event::Deleted(resource, slot) => {
                self.change(*resource, slot.namespace, Change::Delete(name_of(*resource, *slot)))
            }
            Event::Deselected(slot) => self.change(Resource::Pods, slot.namespace, Change::Deselect(slot.pod())),
        }
    }

    /// What the watches report in one step.
    pub fn updates(self, step: &Step) -> Vec<ClusterEvent> {
        let watch = |resource, namespace| WatchId::new(resource, self.scope(namespace));
        match step {
            Step::Event(event) => vec![self.update(event)],
            Step::Relist { resource, namespace, listed, is_finished } => {
                let mut updates = vec![self.change(*resource, *namespace, Change::RelistStarted)];
                updates.extend(listed.iter().map(|event| self.update(event)));
                if *is_finished {
                    updates.push(self.change(*resource, *namespace, Change::RelistDone));
                }
                updates
            }
            Step::Silence { resource, namespace, reports } => {
                let stale =
                    ClusterEvent::WatchStale { watch: watch(*resource, *namespace), since: Timestamp::UNIX_EPOCH };
                vec![stale; *reports]
            }
            Step::Word { resource, namespace, is_proof } => {
                let watch = watch(*resource, *namespace);
                let mut updates = vec![ClusterEvent::WatchRecovered(watch.clone())];
                updates.extend(is_proof.then_some(ClusterEvent::WatchProven(watch)));
                updates
            }
            Step::Restart | Step::Expiry | Step::Publish => Vec::new(),
        }
    }
}

fn name_of(resource: Resource, slot: Slot) -> ObjectKey {
    if resource == Resource::Pods { slot.pod() } else { slot.object() }
}
