//! The object store: the part that etcd and the watch cache play for a real API server.
//!
//! One mutex guards all objects and one event log. Every write takes the next resourceVersion, which is global to the store
//! as it is in etcd, and appends one [`Event`]. Watches read the log from their resourceVersion on and wait on
//! [`Store::subscribe`] for more. The log is bounded ([`LOG_LIMIT`]): reading events that were compacted gives [`Gone`], which
//! the API answers with 410.
//!
//! Objects are JSON values behind an [`Arc`], so lists and watches share them instead of copying.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::kind::Kind;
use crate::{fields, time};

/// Number of events kept; older ones are compacted.
pub const LOG_LIMIT: usize = 10_000;

/// A stored object. `metadata.resourceVersion`, `uid` and `creationTimestamp` are always set.
pub type Object = Arc<Value>;

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
}

/// One entry of the event log.
#[derive(Clone, Debug)]
pub struct Event {
    pub revision: u64,
    pub kind: Kind,
    pub event_type: EventType,
    /// The object after the event; for `Deleted` its last state, carrying the deletion's resourceVersion.
    pub object: Object,
    /// The object before the event. A watch with a selector reports an object that stops matching as deleted.
    pub previous: Option<Object>,
}

/// Why a write failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("already exists")]
    AlreadyExists,
    #[error("not found")]
    NotFound,
    #[error("the object has been modified; please apply your changes to the latest version and try again")]
    Conflict,
}

/// The requested resourceVersion is compacted, or, where the past is asked for, has not been reached yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// Kind, namespace and name, which is the order of lists. The namespace of a cluster-scoped object is empty.
type Key = (Kind, String, String);

struct Inner {
    revision: u64,
    objects: BTreeMap<Key, Object>,
    log: VecDeque<Event>,
    /// Events up to and including this resourceVersion are no longer in the log.
    compacted: u64,
    /// Number of restores and replacements. Part of every `uid`: resourceVersions repeat afterwards, but uids must not.
    restores: u64,
}

/// The store's content at one resourceVersion, for [`Store::restore`].
#[derive(Clone)]
pub struct Snapshot {
    revision: u64,
    objects: BTreeMap<Key, Object>,
}

impl Inner {
    /// The objects of one kind in one namespace or in all, ordered by namespace and name.
    fn of<'a>(&'a self, kind: Kind, namespace: Option<&'a str>) -> impl Iterator<Item = (&'a Key, &'a Object)> {
        let from = (kind, namespace.unwrap_or_default().to_owned(), String::new());
        self.objects
            .range(from..)
            .take_while(move |((k, ns, _), _)| *k == kind && namespace.is_none_or(|wanted| wanted == ns))
    }
}

/// All objects of the sandbox. Shared behind an [`Arc`]; every method holds the lock for a short time only.
pub struct Store {
    inner: Mutex<Inner>,
    latest: watch::Sender<u64>,
}

impl Default for Store {
    fn default() -> Self {
        let inner = Inner { revision: 1, objects: BTreeMap::new(), log: VecDeque::new(), compacted: 1, restores: 0 };
        Self { inner: Mutex::new(inner), latest: watch::Sender::new(1) }
    }
}

impl Store {
    /// The object with this name. The namespace of a cluster-scoped kind is empty.
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<Object> {
        self.lock().objects.get(&(kind, namespace.to_owned(), name.to_owned())).cloned()
    }

    /// The store's resourceVersion, and the objects of one kind in one namespace or in all, ordered by namespace and name.
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> (u64, Vec<Object>) {
        let inner = self.lock();
        let objects = inner.of(kind, namespace).map(|(_, object)| Arc::clone(object)).collect();
        (inner.revision, objects)
    }

    /// The list as it was at an earlier resourceVersion, reconstructed by undoing later events. This keeps the pages of a list
    /// consistent.
    ///
    /// # Errors
    /// [`Gone`] if some of those events were compacted, or if `revision` has not been reached yet.
    pub fn list_at(&self, kind: Kind, namespace: Option<&str>, revision: u64) -> Result<Vec<Object>, Gone> {
        let inner = self.lock();
        if revision < inner.compacted || revision > inner.revision {
            return Err(Gone);
        }
        let mut objects: BTreeMap<Key, Object> =
            inner.of(kind, namespace).map(|(key, object)| (key.clone(), Arc::clone(object))).collect();
        for event in inner.log.iter().rev().take_while(|event| event.revision > revision) {
            let key = key_of(event.kind, &event.object);
            if event.kind != kind || namespace.is_some_and(|wanted| wanted != key.1) {
                continue;
            }
            match &event.previous {
                Some(previous) => objects.insert(key, Arc::clone(previous)),
                None => objects.remove(&key),
            };
        }
        Ok(objects.into_values().collect())
    }

    /// Creates an object without admission; sets `uid`, `creationTimestamp`, `generation` and `resourceVersion`.
    ///
    /// The object must have `metadata.name`, and `metadata.namespace` if its kind is namespaced.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`].
    pub fn create(&self, kind: Kind, mut object: Value) -> Result<Object, StoreError> {
        let mut inner = self.lock();
        let key = key_of(kind, &object);
        if inner.objects.contains_key(&key) {
            return Err(StoreError::AlreadyExists);
        }
        let revision = inner.revision + 1;
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name());
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(uid(inner.restores, revision));
        metadata["creationTimestamp"] = json!(time::now());
        metadata["generation"] = json!(1);
        metadata["resourceVersion"] = json!(revision.to_string());
        let object = Arc::new(object);
        inner.objects.insert(key, Arc::clone(&object));
        self.append(inner, EventType::Added, kind, Arc::clone(&object), None);
        Ok(object)
    }

    /// Replaces an object. As in a real API server, a write that changes nothing takes no resourceVersion and makes no event.
    /// `uid` and `creationTimestamp` cannot change; `generation` increases when `spec` differs.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if the object has a `resourceVersion` or `uid` other than the
    /// current one.
    pub fn update(&self, kind: Kind, mut object: Value) -> Result<Object, StoreError> {
        let mut inner = self.lock();
        let key = key_of(kind, &object);
        let Some(current) = inner.objects.get(&key).cloned() else {
            return Err(StoreError::NotFound);
        };
        for field in ["resourceVersion", "uid"] {
            if object["metadata"][field]
                .as_str()
                .is_some_and(|given| Some(given) != current["metadata"][field].as_str())
            {
                return Err(StoreError::Conflict);
            }
        }
        for field in ["uid", "creationTimestamp", "resourceVersion", "generation"] {
            object["metadata"][field] = current["metadata"][field].clone();
        }
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name());
        if object == *current {
            return Ok(current);
        }
        if object["spec"] != current["spec"] {
            object["metadata"]["generation"] = json!(current["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        object["metadata"]["resourceVersion"] = json!((inner.revision + 1).to_string());
        let object = Arc::new(object);
        inner.objects.insert(key, Arc::clone(&object));
        self.append(inner, EventType::Modified, kind, Arc::clone(&object), Some(current));
        Ok(object)
    }

    /// Applies `change` to the current object and writes it, again if it was modified in between.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn modify(
        &self,
        kind: Kind,
        namespace: &str,
        name: &str,
        change: impl Fn(&mut Value),
    ) -> Result<Object, StoreError> {
        loop {
            let mut object = Value::clone(&*self.get(kind, namespace, name).ok_or(StoreError::NotFound)?);
            change(&mut object);
            match self.update(kind, object) {
                Err(StoreError::Conflict) => continue,
                result => return result,
            }
        }
    }

    /// Removes an object immediately. Grace periods and finalizers are handled by the API and the controllers.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] if `uid` is given and is not the object's.
    pub fn delete(&self, kind: Kind, namespace: &str, name: &str, uid: Option<&str>) -> Result<Object, StoreError> {
        let mut inner = self.lock();
        let key = (kind, namespace.to_owned(), name.to_owned());
        let current = inner.objects.get(&key).cloned().ok_or(StoreError::NotFound)?;
        if uid.is_some_and(|uid| current["metadata"]["uid"].as_str() != Some(uid)) {
            return Err(StoreError::Conflict);
        }
        inner.objects.remove(&key);
        let mut last = Value::clone(&current);
        last["metadata"]["resourceVersion"] = json!((inner.revision + 1).to_string());
        let last = Arc::new(last);
        self.append(inner, EventType::Deleted, kind, Arc::clone(&last), Some(current));
        Ok(last)
    }

    /// The events after `revision`, oldest first, at most `limit` of them: none yet if it has not been reached.
    ///
    /// # Errors
    /// [`Gone`] if some of them were compacted.
    pub fn events_after(&self, revision: u64, limit: usize) -> Result<Vec<Event>, Gone> {
        let inner = self.lock();
        if revision < inner.compacted {
            return Err(Gone);
        }
        let start = inner.log.partition_point(|event| event.revision <= revision);
        Ok(inner.log.iter().skip(start).take(limit).cloned().collect())
    }

    /// A receiver that holds the resourceVersion of the latest write and wakes at each write.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The resourceVersion of the latest write.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// How often the store has been restored or replaced: resourceVersions of before mean nothing any more.
    pub fn restores(&self) -> u64 {
        self.lock().restores
    }

    /// Compacts the whole event log: a watch from an older resourceVersion gets 410 from now on.
    pub fn compact(&self) {
        let mut inner = self.lock();
        inner.log.clear();
        inner.compacted = inner.revision;
    }

    /// The current content, for [`restore`](Self::restore).
    pub fn snapshot(&self) -> Snapshot {
        let inner = self.lock();
        Snapshot { revision: inner.revision, objects: inner.objects.clone() }
    }

    /// Resets objects and resourceVersion to `snapshot`, as restoring etcd from a backup does. The event log is empty
    /// afterwards, and resourceVersions that were used since the snapshot will be used again.
    pub fn restore(&self, snapshot: &Snapshot) {
        let mut inner = self.lock();
        inner.revision = snapshot.revision;
        inner.objects = snapshot.objects.clone();
        inner.log.clear();
        inner.compacted = snapshot.revision;
        inner.restores += 1;
        drop(inner);
        self.latest.send_replace(snapshot.revision);
    }

    /// Puts another cluster's store in the place of this one: objects of the same content with other uids, and `revision` as
    /// its resourceVersion. Its event log is empty and reaches back to the beginning, so that a watch may start anywhere.
    pub fn replace(&self, revision: u64) {
        let mut inner = self.lock();
        inner.restores += 1;
        let restores = inner.restores;
        for (number, object) in inner.objects.values_mut().enumerate() {
            // Created one after the other, at the beginning.
            let created = number as u64 + 2;
            let mut other = Value::clone(object);
            other["metadata"]["uid"] = json!(uid(restores, created));
            other["metadata"]["resourceVersion"] = json!(created.to_string());
            *object = Arc::new(other);
        }
        inner.revision = revision.max(inner.objects.len() as u64 + 1);
        inner.log.clear();
        inner.compacted = 1;
        let revision = inner.revision;
        drop(inner);
        self.latest.send_replace(revision);
    }

    /// A store without objects and at its first resourceVersion, for [`restore`](Self::restore).
    pub fn emptied() -> Snapshot {
        Snapshot { revision: 1, objects: BTreeMap::new() }
    }

    fn append(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        event_type: EventType,
        kind: Kind,
        object: Object,
        previous: Option<Object>,
    ) {
        inner.revision += 1;
        let revision = inner.revision;
        inner.log.push_back(Event { revision, kind, event_type, object, previous });
        if inner.log.len() > LOG_LIMIT
            && let Some(oldest) = inner.log.pop_front()
        {
            inner.compacted = oldest.revision;
        }
        drop(inner);
        self.latest.send_replace(revision);
    }

    /// A panic while the lock is held cannot leave the maps inconsistent (each write is one insert and one push), so a
    /// poisoned lock is safe to use.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key_of(kind: Kind, object: &Value) -> Key {
    let namespace = if kind.is_namespaced() { fields::metadata(object, "namespace") } else { "" };
    (kind, namespace.to_owned(), fields::metadata(object, "name").to_owned())
}

/// A UUID that is unique in this store: the number of restores and the revision of creation in a version-4 layout. Either half tells it
/// from all others, as with random ones.
fn uid(restores: u64, revision: u64) -> String {
    let mixed = (restores << u32::BITS | revision).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        mixed >> 32,
        (mixed >> 16) & 0xffff,
        mixed & 0xfff,
        revision & 0xfff,
        (restores << u32::BITS | revision) & 0xffff_ffff_ffff
    )
}
