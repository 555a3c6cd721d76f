//! The task that runs the controllers: it follows the store, queues the affected objects, and reconciles one at a time.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kind::Kind;
use crate::store::{Event, EventType, Object, Store};
use crate::{deletion, fields};

use super::actions::{Action, Target, perform_all};
use super::endpoint_slice::TriggerTimes;
use super::events::Recorder;
use super::kubelet::Kubelet;
use super::options::Options;
use super::queue::{Controller, Key, Queue};
use super::service::ServiceAddresses;
use super::types::{Id, ObjectRef, Pod};
use super::world::{World, service_of_slice};
use super::{
    daemon_set, deployment, endpoint_slice, endpoints, garbage, housekeeping, placement, replica_set, stateful_set,
};

/// Events read from the store's log at a time.
const EVENT_BATCH: usize = 1_000;

/// Runs the controllers on `store` until `shutdown`.
pub async fn run(store: Arc<Store>, options: Options, shutdown: CancellationToken) {
    let mut latest = store.subscribe();
    let mut manager = Manager::new(store, options);
    manager.relist();
    while !shutdown.is_cancelled() {
        latest.mark_unchanged();
        manager.catch_up();
        manager.queue.wake(Instant::now());
        if let Some(key) = manager.queue.pop() {
            manager.reconcile(&key);
            tokio::task::yield_now().await;
            continue;
        }
        let wake = manager.queue.next_wake();
        let timer = async {
            match wake {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            // An error is impossible: the sender belongs to the store, which this task holds.
            _ = latest.changed() => {}
            () = timer => {}
        }
    }
}

/// The controllers and their shared state.
struct Manager {
    store: Arc<Store>,
    options: Options,
    service_addresses: ServiceAddresses,
    world: World,
    queue: Queue,
    kubelet: Kubelet,
    trigger_times: TriggerTimes,
    recorder: Recorder,
    /// The resourceVersion up to which events have been observed.
    revision: u64,
    /// How often the store had been restored by then.
    restores: u64,
}

impl Manager {
    fn new(store: Arc<Store>, options: Options) -> Self {
        let service_addresses = ServiceAddresses::new(&options);
        let kubelet = Kubelet::new(&options);
        let (world, queue, trigger_times, recorder) = Default::default();
        Self {
            store,
            options,
            service_addresses,
            world,
            queue,
            kubelet,
            trigger_times,
            recorder,
            revision: 0,
            restores: 0,
        }
    }

    /// Observes all new events, or lists everything if some of them were compacted or the store was restored.
    fn catch_up(&mut self) {
        let restores = self.store.restores();
        if std::mem::replace(&mut self.restores, restores) != restores {
            self.relist();
        }
        loop {
            match self.store.events_after(self.revision, EVENT_BATCH) {
                Ok(events) => {
                    for event in &events {
                        self.revision = event.revision;
                        self.observe(event);
                        if self.options.events {
                            self.recorder.record(&self.store, &self.world, event);
                        }
                    }
                    if events.len() < EVENT_BATCH {
                        return;
                    }
                }
                Err(_) => self.relist(),
            }
        }
    }

    /// Observes the differences between the store and `world`. Concurrent writes are observed again from the log, which is
    /// harmless.
    fn relist(&mut self) {
        self.revision = self.store.revision();
        let revision = self.revision;
        let mut present = BTreeSet::new();
        for kind in Kind::ALL {
            for object in self.store.list(kind, None).1 {
                let reference = ObjectRef { kind, id: Id::of(&object) };
                let previous = self.world.get(kind, &reference.id).cloned();
                let event_type = if previous.is_some() { EventType::Modified } else { EventType::Added };
                present.insert(reference);
                if previous.as_ref() != Some(&object) {
                    self.observe(&Event { revision, kind, event_type, object, previous });
                }
            }
        }
        let gone: Vec<ObjectRef> = self.world.references().filter(|known| !present.contains(known)).cloned().collect();
        for ObjectRef { kind, id } in gone {
            if let Some(object) = self.world.get(kind, &id).cloned() {
                let previous = Some(Arc::clone(&object));
                self.observe(&Event { revision, kind, event_type: EventType::Deleted, object, previous });
            }
        }
    }

    /// Applies one event and queues the affected objects.
    fn observe(&mut self, event: &Event) {
        let id = Id::of(&event.object);
        let pod_before = self.world.pods.get(&id).filter(|_| event.kind == Kind::Pod).cloned();
        let service_before = self.world.services.get(&id).filter(|_| event.kind == Kind::Service).cloned();
        self.world.apply(event);
        match event.kind {
            Kind::Pod => self.observe_pod(&id, pod_before.as_deref()),
            Kind::Service => {
                let service = self.world.services.get(&id).cloned();
                self.service_addresses.observe(service_before.as_deref(), service.as_deref());
                self.push(Controller::Service, id.clone());
                self.push_endpoints(id.clone());
                if service.is_none() {
                    self.trigger_times.forget(&id);
                }
            }
            Kind::StatefulSet => self.push(Controller::StatefulSet, id.clone()),
            Kind::DaemonSet => self.push(Controller::DaemonSet, id.clone()),
            Kind::Node => {
                let sets: Vec<Id> = self.world.daemon_sets.keys().cloned().collect();
                sets.into_iter().for_each(|set| self.push(Controller::DaemonSet, set));
            }
            Kind::Deployment => self.push(Controller::Deployment, id.clone()),
            Kind::ReplicaSet => {
                self.push(Controller::ReplicaSet, id.clone());
                self.push_adopters_of_set(&id);
            }
            Kind::Endpoints => self.push(Controller::Endpoints, id.clone()),
            Kind::PersistentVolumeClaim => self.push(Controller::Claim, id.clone()),
            Kind::Namespace => self.push(Controller::Namespace, id.clone()),
            Kind::ServiceAccount => self.push(Controller::Namespace, Id::new("", &id.namespace)),
            _ => {}
        }
        self.observe_owners(event, &ObjectRef { kind: event.kind, id });
    }

    fn observe_pod(&mut self, id: &Id, before: Option<&Pod>) {
        let after = self.world.pods.get(id).cloned();
        if let Some(before) = before
            && after.as_ref().is_none_or(|after| after.metadata.uid != before.metadata.uid)
        {
            self.kubelet.forget(before);
        }
        if let Some(after) = &after {
            self.kubelet.observe(after, Instant::now());
            self.push(Controller::Kubelet, id.clone());
            if after.metadata.controller().is_none() {
                self.push_adopters_of_pod(after);
            }
        }
        let mut services = BTreeSet::new();
        for pod in before.into_iter().chain(after.as_deref()) {
            services.extend(self.world.services_selecting(&id.namespace, &pod.metadata.labels));
        }
        services.into_iter().for_each(|service| self.push_endpoints(service));
    }

    /// Queues the owners of a changed object, and garbage collection if owners or their dependents changed.
    fn observe_owners(&mut self, event: &Event, reference: &ObjectRef) {
        let ObjectRef { kind, id } = reference;
        let is_deleted = event.event_type == EventType::Deleted;
        let owners_of = |object: &Object| fields::list(&object["metadata"]["ownerReferences"]).to_vec();
        let owners = owners_of(&event.object);
        let owners_before = event.previous.as_ref().map(owners_of).unwrap_or_default();
        for owner in owners.iter().chain(owners_before.iter().filter(|owner| !owners.contains(owner))) {
            let owner_id = Id::new(&id.namespace, owner["name"].as_str().unwrap_or_default());
            match owner["kind"].as_str() {
                Some("StatefulSet") => self.push(Controller::StatefulSet, owner_id),
                Some("DaemonSet") => self.push(Controller::DaemonSet, owner_id),
                Some("ReplicaSet") => self.push(Controller::ReplicaSet, owner_id),
                Some("Deployment") => self.push(Controller::Deployment, owner_id),
                _ => {}
            }
            // An owner in foreground deletion may be waiting for this dependent.
            if is_deleted && let Some(owner) = owner["uid"].as_str().and_then(|uid| self.world.find(uid)).cloned() {
                self.push(Controller::Garbage(owner.kind), owner.id);
            }
        }
        if let Some(service) = service_of_slice(reference, &event.object) {
            self.push_endpoints(service);
        }
        if is_deleted {
            let uid = fields::metadata(&event.object, "uid");
            let dependents: Vec<ObjectRef> = self.world.dependents(uid).cloned().collect();
            for dependent in dependents {
                self.push(Controller::Garbage(dependent.kind), dependent.id);
            }
            let namespace = Id::new("", &id.namespace);
            if self.world.get(Kind::Namespace, &namespace).is_some_and(|namespace| deletion::is_terminating(namespace))
            {
                self.push(Controller::Namespace, namespace);
            }
        } else if owners != owners_before || deletion::is_terminating(&event.object) {
            self.push(Controller::Garbage(*kind), id.clone());
        }
    }

    fn push_adopters_of_pod(&mut self, pod: &Pod) {
        let world = &self.world;
        let adopts = |kind: Kind, id: &Id| match kind {
            Kind::StatefulSet => world.stateful_sets.get(id).is_some_and(|set| stateful_set::is_orphan_of(set, pod)),
            Kind::DaemonSet => world.daemon_sets.get(id).is_some_and(|set| daemon_set::is_orphan_of(set, pod)),
            _ => world.replica_sets.get(id).is_some_and(|set| replica_set::is_orphan_of(set, pod)),
        };
        let adopters = [
            (Kind::StatefulSet, Controller::StatefulSet),
            (Kind::DaemonSet, Controller::DaemonSet),
            (Kind::ReplicaSet, Controller::ReplicaSet),
        ];
        for (kind, controller) in adopters {
            let sets = world.in_namespace(kind, &pod.metadata.namespace).filter(|(id, _)| adopts(kind, id));
            sets.for_each(|(id, _)| self.queue.push(Key { controller, id: id.clone() }));
        }
    }

    fn push_adopters_of_set(&mut self, id: &Id) {
        let Some(set) = self.world.replica_sets.get(id).filter(|set| set.metadata.controller().is_none()) else {
            return;
        };
        let deployments = self.world.in_namespace(Kind::Deployment, &id.namespace);
        let deployments = deployments.filter_map(|(id, _)| self.world.deployments.get(id));
        let adopters = deployments.filter(|deployment| deployment::is_orphan_of(deployment, set));
        let ids: Vec<Id> = adopters.map(|deployment| deployment.metadata.id()).collect();
        ids.into_iter().for_each(|id| self.push(Controller::Deployment, id));
    }

    fn push(&mut self, controller: Controller, id: Id) {
        self.queue.push(Key { controller, id });
    }

    fn push_endpoints(&mut self, service: Id) {
        for controller in [Controller::EndpointSlice, Controller::Endpoints] {
            let key = Key { controller, id: service.clone() };
            if self.options.endpoint_slice_delay.is_zero() {
                self.queue.push(key);
            } else {
                self.queue.push_at(key, Instant::now() + self.options.endpoint_slice_delay);
            }
        }
    }

    /// Runs one controller for one object and performs its actions.
    fn reconcile(&mut self, key: &Key) {
        let actions = self.plan(key);
        if let Some(wake) = perform_all(&self.store, actions) {
            self.queue.push_at(key.clone(), Instant::now() + wake);
        }
    }

    fn plan(&mut self, key: &Key) -> Vec<Action> {
        let Key { controller, id } = key;
        let world = &self.world;
        let decoded = match controller {
            Controller::Kubelet => return self.plan_kubelet(key),
            Controller::EndpointSlice => return self.plan_slices(id),
            Controller::Endpoints => return self.plan_endpoints(id),
            Controller::Service => return self.plan_service(id),
            Controller::Namespace => {
                let namespace = world.get(Kind::Namespace, id).map(|namespace| &**namespace);
                return housekeeping::sync_namespace(world, &id.name, namespace);
            }
            Controller::Claim => world
                .get(Kind::PersistentVolumeClaim, id)
                .map(|claim| housekeeping::bind_claim(claim).into_iter().collect()),
            Controller::StatefulSet => world
                .stateful_sets
                .get(id)
                .map(|set| stateful_set::plan(&stateful_set::Observed::gather(world, set), Timestamp::now())),
            Controller::DaemonSet => world
                .daemon_sets
                .get(id)
                .map(|set| daemon_set::plan(&daemon_set::Observed::gather(world, set), Timestamp::now())),
            Controller::ReplicaSet => world
                .replica_sets
                .get(id)
                .map(|set| replica_set::plan(&replica_set::Observed::gather(world, set), Timestamp::now())),
            Controller::Deployment => {
                let deployment = world.deployments.get(id);
                deployment.map(|deployment| deployment::plan(&deployment::Observed::gather(world, deployment)))
            }
            Controller::Garbage(kind) => Some(garbage::plan(world, &ObjectRef { kind: *kind, id: id.clone() })),
        };
        decoded.unwrap_or_default()
    }

    fn plan_kubelet(&mut self, key: &Key) -> Vec<Action> {
        let Some(pod) = self.world.pods.get(&key.id) else { return Vec::new() };
        let world = &self.world;
        let takes_it = |name: &str| {
            let node = world.nodes.get(&Id::new("", name));
            node.is_none_or(|node| placement::is_meant_for(&pod.spec, node) && placement::tolerates(&pod.spec, node))
        };
        let (actions, wake) = self.kubelet.sync(pod, Instant::now(), takes_it);
        if let Some(wake) = wake {
            self.queue.push_at(key.clone(), wake);
        }
        actions
    }

    fn plan_service(&mut self, id: &Id) -> Vec<Action> {
        let Some(service) = self.world.get(Kind::Service, id) else { return Vec::new() };
        let mut allocated = Value::clone(service);
        self.service_addresses.allocate(&mut allocated);
        if allocated == **service {
            return Vec::new();
        }
        vec![Action::Merge(Target::of(Kind::Service, service), json!({"spec": allocated["spec"]}))]
    }

    fn plan_endpoints(&self, id: &Id) -> Vec<Action> {
        let present = self.world.get(Kind::Endpoints, id);
        let Some(service) = self.world.services.get(id) else {
            return present.map(|orphan| Action::Delete(Target::of(Kind::Endpoints, orphan))).into_iter().collect();
        };
        let pods = self.world.pods_selected(&id.namespace, &service.spec.selector);
        endpoints::plan(service, &pods, present).into_iter().collect()
    }

    fn plan_slices(&mut self, id: &Id) -> Vec<Action> {
        let Some(service) = self.world.services.get(id).filter(|service| endpoint_slice::has_slices(service)) else {
            return Vec::new();
        };
        let pods = self.world.pods_selected(&id.namespace, &service.spec.selector);
        let trigger_time = self.trigger_times.compute(service, &pods);
        endpoint_slice::plan(&endpoint_slice::Observed {
            service,
            pods: &pods,
            slices: &self.world.slices_of(id),
            trigger_time: trigger_time.as_deref(),
            max_endpoints: self.options.max_endpoints_per_slice,
        })
    }
}
