//! The controllers' view of the store: objects decoded once per change, with indexes for every lookup.
//!
//! ```text
//! store's log ──apply──▶ World ──get, pods_of, pods_selected, services_selecting──▶ the controllers' pure functions
//! ```
//!
//! An object that cannot be decoded is logged once and ignored by its controller until it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::fields;
use crate::kind::Kind;
use crate::store::{Event, EventType, Object};

use super::placement::Node;
use super::types::{Id, ObjectRef, Pod, selects};
use super::workloads::{DaemonSet, Deployment, ReplicaSet, Service, StatefulSet};

/// Label of a slice with the name of its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// Namespace, key and value of a label.
type LabelKey = (String, String, String);

#[derive(Default)]
pub struct World {
    pub pods: BTreeMap<Id, Arc<Pod>>,
    pub nodes: BTreeMap<Id, Arc<Node>>,
    pub stateful_sets: BTreeMap<Id, Arc<StatefulSet>>,
    pub daemon_sets: BTreeMap<Id, Arc<DaemonSet>>,
    pub replica_sets: BTreeMap<Id, Arc<ReplicaSet>>,
    pub deployments: BTreeMap<Id, Arc<Deployment>>,
    pub services: BTreeMap<Id, Arc<Service>>,
    objects: BTreeMap<ObjectRef, Object>,
    pods_by_label: HashMap<LabelKey, BTreeSet<String>>,
    /// Services by the first pair of their selector, which every selected Pod has.
    services_by_label: HashMap<LabelKey, BTreeSet<String>>,
    slices_by_service: HashMap<Id, BTreeSet<String>>,
    uids: HashMap<String, ObjectRef>,
    /// ReplicaSets without a controller. Few, and scanned for every decision about a Deployment.
    orphan_replica_sets: BTreeSet<Id>,
    dependents: HashMap<String, BTreeSet<ObjectRef>>,
    broken: BTreeSet<ObjectRef>,
}

impl World {
    /// Applies an event. Applying one again is harmless.
    pub fn apply(&mut self, event: &Event) {
        let reference = ObjectRef { kind: event.kind, id: Id::of(&event.object) };
        let new = (event.event_type != EventType::Deleted).then_some(&event.object);
        let old = match new {
            Some(object) => self.objects.insert(reference.clone(), Arc::clone(object)),
            None => self.objects.remove(&reference),
        };
        if let Some(old) = &old {
            self.unlink(&reference, old);
        }
        if let Some(new) = new {
            self.link(&reference, new);
        }
        match event.kind {
            Kind::Pod => self.index_pod(&reference, new),
            Kind::Service => self.index_service(&reference, new),
            Kind::StatefulSet => {
                let set = self.decode(&reference, new);
                replace(&mut self.stateful_sets, reference.id, set);
            }
            Kind::DaemonSet => {
                let set = self.decode(&reference, new);
                replace(&mut self.daemon_sets, reference.id, set);
            }
            Kind::Node => {
                let node = self.decode(&reference, new);
                replace(&mut self.nodes, reference.id, node);
            }
            Kind::ReplicaSet => {
                let set: Option<Arc<ReplicaSet>> = self.decode(&reference, new);
                if set.as_ref().is_some_and(|set| set.metadata.controller().is_none()) {
                    self.orphan_replica_sets.insert(reference.id.clone());
                } else {
                    self.orphan_replica_sets.remove(&reference.id);
                }
                replace(&mut self.replica_sets, reference.id, set);
            }
            Kind::Deployment => {
                let deployment = self.decode(&reference, new);
                replace(&mut self.deployments, reference.id, deployment);
            }
            _ => {}
        }
    }

    pub fn get(&self, kind: Kind, id: &Id) -> Option<&Object> {
        self.objects.get(&ObjectRef { kind, id: id.clone() })
    }

    /// All objects, ordered by kind, namespace and name.
    pub fn references(&self) -> impl Iterator<Item = &ObjectRef> {
        self.objects.keys()
    }

    /// The objects of one kind in a namespace.
    pub fn in_namespace<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = (&'a Id, &'a Object)> {
        let first = ObjectRef { kind, id: Id::new(namespace, "") };
        self.objects
            .range(first..)
            .take_while(move |(reference, _)| reference.kind == kind && reference.id.namespace == namespace)
            .map(|(reference, object)| (&reference.id, object))
    }

    /// The object with this uid.
    pub fn find(&self, uid: &str) -> Option<&ObjectRef> {
        self.uids.get(uid)
    }

    pub fn is_alive(&self, uid: &str) -> bool {
        self.uids.contains_key(uid)
    }

    /// The objects that have the owner `uid`.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &ObjectRef> {
        self.dependents.get(uid).into_iter().flatten()
    }

    fn dependents_of_kind(&self, uid: &str, kind: Kind) -> impl Iterator<Item = &Id> {
        let first = ObjectRef { kind, id: Id::new("", "") };
        let all = self.dependents.get(uid).into_iter();
        let of_kind = all.flat_map(move |all| all.range(first.clone()..));
        of_kind.take_while(move |reference| reference.kind == kind).map(|reference| &reference.id)
    }

    /// The Pods that the owner with this uid controls.
    pub fn pods_of(&self, uid: &str) -> Vec<Arc<Pod>> {
        let pods = self.dependents_of_kind(uid, Kind::Pod).filter_map(|id| self.pods.get(id));
        pods.filter(|pod| pod.metadata.is_controlled_by(uid)).cloned().collect()
    }

    /// The ReplicaSets that the Deployment with this uid controls.
    pub fn replica_sets_of(&self, uid: &str) -> Vec<Arc<ReplicaSet>> {
        let sets = self.dependents_of_kind(uid, Kind::ReplicaSet).filter_map(|id| self.replica_sets.get(id));
        sets.filter(|set| set.metadata.is_controlled_by(uid)).cloned().collect()
    }

    /// The ReplicaSets of a namespace without a controller.
    pub fn orphan_replica_sets<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<ReplicaSet>> {
        let ids = self.orphan_replica_sets.range(Id::new(namespace, "")..);
        let ids = ids.take_while(move |id| id.namespace == namespace);
        ids.filter_map(|id| self.replica_sets.get(id))
    }

    /// The ControllerRevisions of the workload with this uid.
    pub fn revisions_of(&self, uid: &str) -> Vec<Object> {
        let ids = self.dependents_of_kind(uid, Kind::ControllerRevision);
        ids.filter_map(|id| self.get(Kind::ControllerRevision, id)).cloned().collect()
    }

    /// The Pods of a namespace that have every pair of `selector`, by name. An empty selector selects none.
    pub fn pods_selected(&self, namespace: &str, selector: &BTreeMap<String, String>) -> Vec<Arc<Pod>> {
        let candidates = selector
            .iter()
            .map(|(key, value)| self.pods_by_label.get(&label_key(namespace, key, value)))
            .min_by_key(|names| names.map_or(0, BTreeSet::len));
        let names = candidates.flatten().into_iter().flatten();
        let pods = names.filter_map(|name| self.pods.get(&Id::new(namespace, name)));
        pods.filter(|pod| selects(selector, &pod.metadata.labels)).cloned().collect()
    }

    /// The Services whose selector matches these labels.
    pub fn services_selecting(&self, namespace: &str, labels: &BTreeMap<String, String>) -> Vec<Id> {
        let keys = labels.iter().map(|(key, value)| label_key(namespace, key, value));
        let names = keys.filter_map(|key| self.services_by_label.get(&key)).flatten();
        let ids = names.map(|name| Id::new(namespace, name));
        ids.filter(|id| self.services.get(id).is_some_and(|service| selects(&service.spec.selector, labels))).collect()
    }

    /// The slices of this Service, including those that the controller does not manage.
    pub fn slices_of(&self, service: &Id) -> Vec<Object> {
        let names = self.slices_by_service.get(service).into_iter().flatten();
        let slices = names.filter_map(|name| self.get(Kind::EndpointSlice, &Id::new(&service.namespace, name)));
        slices.cloned().collect()
    }

    fn index_pod(&mut self, reference: &ObjectRef, object: Option<&Object>) {
        let pod: Option<Arc<Pod>> = self.decode(reference, object);
        let id = &reference.id;
        if let Some(old) = self.pods.remove(id) {
            for (key, value) in &old.metadata.labels {
                remove_from(&mut self.pods_by_label, &label_key(&id.namespace, key, value), &id.name);
            }
        }
        let Some(pod) = pod else { return };
        for (key, value) in &pod.metadata.labels {
            self.pods_by_label.entry(label_key(&id.namespace, key, value)).or_default().insert(id.name.clone());
        }
        self.pods.insert(id.clone(), pod);
    }

    fn index_service(&mut self, reference: &ObjectRef, object: Option<&Object>) {
        let service: Option<Arc<Service>> = self.decode(reference, object);
        let id = &reference.id;
        if let Some(old) = self.services.remove(id)
            && let Some((key, value)) = old.spec.selector.first_key_value()
        {
            remove_from(&mut self.services_by_label, &label_key(&id.namespace, key, value), &id.name);
        }
        let Some(service) = service else { return };
        if let Some((key, value)) = service.spec.selector.first_key_value() {
            self.services_by_label.entry(label_key(&id.namespace, key, value)).or_default().insert(id.name.clone());
        }
        self.services.insert(id.clone(), service);
    }

    fn link(&mut self, reference: &ObjectRef, object: &Value) {
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.uids.insert(uid.to_owned(), reference.clone());
        }
        for owner in owner_uids(object) {
            self.dependents.entry(owner.to_owned()).or_default().insert(reference.clone());
        }
        if let Some(service) = service_of_slice(reference, object) {
            self.slices_by_service.entry(service).or_default().insert(reference.id.name.clone());
        }
    }

    fn unlink(&mut self, reference: &ObjectRef, object: &Value) {
        if let Some(uid) = object["metadata"]["uid"].as_str() {
            self.uids.remove(uid);
        }
        for owner in owner_uids(object) {
            if let Some(references) = self.dependents.get_mut(owner) {
                references.remove(reference);
                if references.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
        if let Some(service) = service_of_slice(reference, object) {
            remove_from(&mut self.slices_by_service, &service, &reference.id.name);
        }
    }

    fn decode<T: for<'de> Deserialize<'de>>(
        &mut self,
        reference: &ObjectRef,
        object: Option<&Object>,
    ) -> Option<Arc<T>> {
        let decoded = object.map(|object| T::deserialize(&**object));
        if let Some(Err(error)) = &decoded {
            if self.broken.insert(reference.clone()) {
                let ObjectRef { kind, id } = reference;
                tracing::warn!(
                    "{} {}/{} is ignored by its controller until it changes: cannot be decoded: {error}",
                    kind.name(),
                    id.namespace,
                    id.name
                );
            }
        } else {
            self.broken.remove(reference);
        }
        decoded.and_then(Result::ok).map(Arc::new)
    }
}

/// The Service of a slice, by its label.
pub fn service_of_slice(reference: &ObjectRef, object: &Value) -> Option<Id> {
    let label = object["metadata"]["labels"][SERVICE_NAME_LABEL].as_str()?;
    (reference.kind == Kind::EndpointSlice).then(|| Id::new(&reference.id.namespace, label))
}

fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    fields::list(&object["metadata"]["ownerReferences"]).iter().filter_map(|owner| owner["uid"].as_str())
}

fn label_key(namespace: &str, key: &str, value: &str) -> LabelKey {
    (namespace.to_owned(), key.to_owned(), value.to_owned())
}

fn replace<T>(map: &mut BTreeMap<Id, T>, id: Id, value: Option<T>) {
    match value {
        Some(value) => map.insert(id, value),
        None => map.remove(&id),
    };
}

fn remove_from<K: std::hash::Hash + Eq>(index: &mut HashMap<K, BTreeSet<String>>, key: &K, name: &str) {
    if let Some(names) = index.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            index.remove(key);
        }
    }
}
