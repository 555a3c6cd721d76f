//! A simple model of the cluster: the final objects of a history by name, and a table that is built from them at once. Shared
//! with the fuzz targets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, Pod, Resource, Scope, Service, Slice, Uid, WatchId};
use headless_dns::dns::reverse::Prefix;
use headless_dns::index::{Index, Options, Tombstone};
use headless_dns::records::ServiceKey;
use headless_dns::table::{PtrTargets, Table, TableReader, table};
use jiff::Timestamp;

use super::expected::{self, View};
use super::reasons;

/// The final objects of a history.
#[derive(Default)]
pub struct Model {
    options: Options,
    services: Objects<Service>,
    slices: Objects<Slice>,
    pods: Objects<Pod>,
    /// Pods that were mirrored and are deleted: their endpoints in slices do not count.
    deleted: BTreeMap<Uid, Deleted>,
    /// The scopes whose Pods have been listed completely.
    listed: HashSet<Scope>,
    /// The watches from which there is no word, and how often that was reported.
    stale: HashMap<WatchId, usize>,
    /// The scopes whose Pods have been without word for long, and whose watch is not proven since.
    long_silent: HashSet<Scope>,
    /// Those of them whose Pods do not count, because there has been word of slices since.
    untrusted: HashSet<Scope>,
}

/// A Pod that is deleted.
struct Deleted {
    /// Its deletion was seen. Otherwise a list did not have it, and it may have lost its label instead.
    is_certain: bool,
    /// How often tombstones have expired since.
    age: usize,
}

/// Reports of staleness by which Pods are no longer trusted where slices are not stale.
const REPORTS: usize = 2;
/// Expiries that every tombstone outlives but the last of.
const MIN_AGE: usize = 2;

struct Objects<K> {
    objects: BTreeMap<ObjectKey, K>,
    /// What each relist in progress has listed so far.
    listed: HashMap<Scope, BTreeSet<ObjectKey>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listed: HashMap::new() }
    }
}

impl<K: Clone> Objects<K> {
    /// Returns the objects that were deleted or replaced.
    fn apply(&mut self, scope: &Scope, change: &Change<K>, key_of: impl Fn(&K) -> ObjectKey) -> Vec<K> {
        let mut mark_listed = |key: &ObjectKey| {
            if let Some(listed) = self.listed.get_mut(scope) {
                listed.insert(key.clone());
            }
        };
        match change {
            Change::RelistStarted => {
                self.listed.insert(scope.clone(), BTreeSet::new());
            }
            Change::Apply(object) => {
                let key = key_of(object);
                mark_listed(&key);
                return self.objects.insert(key, object.clone()).into_iter().collect();
            }
            Change::Unreadable(key) => mark_listed(key),
            Change::Delete(key) | Change::Deselect(key) => return self.objects.remove(key).into_iter().collect(),
            Change::RelistDone => {
                if let Some(listed) = self.listed.remove(scope) {
                    let is_unlisted =
                        |key: &ObjectKey, _: &mut K| !listed.contains(key) && scope.covers(&key.namespace);
                    return self.objects.extract_if(.., is_unlisted).map(|(_, object)| object).collect();
                }
            }
        }
        Vec::new()
    }
}

/// The key of a Pod.
pub fn object_of(pod: &Pod) -> ObjectKey {
    ObjectKey::new(pod.namespace(), &pod.name)
}

impl Model {
    pub fn new(options: Options) -> Self {
        Self { options, ..Self::default() }
    }

    pub fn apply(&mut self, update: &ClusterEvent) {
        match update {
            ClusterEvent::Service(scope, change) => {
                self.services.apply(scope, change, |service| service.object.clone());
            }
            ClusterEvent::Slice(scope, change) => {
                self.slices.apply(scope, change, |slice| slice.object.clone());
            }
            ClusterEvent::Pod(scope, change) => {
                for Pod { uid, is_terminating, .. } in self.pods.apply(scope, change, object_of) {
                    // Whoever lost the label of the watch lives on.
                    let Some(uid) = uid.filter(|_| !matches!(change, Change::Deselect(_))) else { continue };
                    let is_certain = is_terminating || !matches!(change, Change::RelistDone);
                    self.deleted.insert(uid, Deleted { is_certain, age: 0 });
                }
                if let Change::Apply(Pod { uid: Some(uid), .. }) = change {
                    self.deleted.remove(uid);
                }
                if matches!(change, Change::RelistDone) {
                    self.listed.insert(scope.clone());
                }
            }
            ClusterEvent::WatchStale { watch, .. } => {
                let reports = self.stale.entry(watch.clone()).or_default();
                *reports += 1;
                let WatchId { resource, scope } = watch;
                if *resource == Resource::Pods && *reports >= REPORTS {
                    self.long_silent.insert(scope.clone());
                }
            }
            ClusterEvent::WatchRecovered(watch) => {
                self.stale.remove(watch);
            }
            ClusterEvent::WatchProven(WatchId { resource: Resource::Pods, scope }) => {
                self.long_silent.remove(scope);
                self.untrusted.remove(scope);
            }
            // Without objects.
            _ => {}
        }
        let is_fresh =
            |scope: &&Scope| !self.stale.contains_key(&WatchId::new(Resource::EndpointSlices, (*scope).clone()));
        self.untrusted.extend(self.long_silent.iter().filter(is_fresh).cloned());
    }

    /// Everything is saved and loaded again but how long watches have been silent, and when Pods were deleted. No Pod counts until its
    /// watch is proven.
    pub fn restart(&mut self) {
        self.stale.clear();
        self.long_silent.clear();
        self.untrusted = self.listed.clone();
        self.deleted.values_mut().for_each(|deleted| deleted.age = 0);
    }

    /// Forgets deleted Pods, as [`Index::expire_tombstones`] does: at the second time, unless a slice still lists one whose
    /// deletion is certain.
    pub fn expire_tombstones(&mut self) {
        let listed: BTreeSet<Uid> = self.slices.objects.values().flat_map(|slice| slice.endpoints.pods()).collect();
        self.deleted.retain(|uid, deleted| {
            deleted.age += 1;
            deleted.age < MIN_AGE || (deleted.is_certain && listed.contains(uid))
        });
    }

    /// An index without objects that knows the rest of the state: which Pods were deleted, which scopes have been listed, and
    /// which are not trusted.
    pub fn index(&self) -> Index {
        let mut index = Index::new(self.options.clone());
        for (&uid, &Deleted { is_certain, .. }) in &self.deleted {
            index.restore_tombstone(Tombstone { uid, is_certain });
        }
        for scope in &self.listed {
            for change in [Change::RelistStarted, Change::RelistDone] {
                index.apply(ClusterEvent::Pod(scope.clone(), change));
            }
        }
        for scope in &self.untrusted {
            let watch = WatchId::new(Resource::Pods, scope.clone());
            for _ in 0..REPORTS {
                index.apply(ClusterEvent::WatchStale { watch: watch.clone(), since: Timestamp::UNIX_EPOCH });
            }
        }
        index
    }

    /// The objects, one update each.
    pub fn updates(&self) -> Vec<ClusterEvent> {
        let services = self.services.objects.values().cloned();
        let services = services.map(|service| ClusterEvent::Service(Scope::All, Change::Apply(service)));
        let slices = self.slices.objects.values().cloned();
        let slices = slices.map(|slice| ClusterEvent::Slice(Scope::All, Change::Apply(slice)));
        let pods = self.pods.objects.values().cloned();
        let pods = pods.map(|pod| ClusterEvent::Pod(Scope::All, Change::Apply(pod)));
        services.chain(slices).chain(pods).collect()
    }

    /// Holds a table against the records that follow from the objects, derived in the simplest way.
    ///
    /// # Errors
    /// Records that are missing or wrong.
    pub fn check(&self, table: &TableReader) -> Result<(), String> {
        self.with_view(|view| expected::check(&table.pin(), view))
    }

    /// Holds the reasons that a table has for the absent names of Services against the objects.
    ///
    /// # Errors
    /// A reason that is not true, or is missing.
    pub fn check_reasons(&self, table: &TableReader, keys: &[ServiceKey]) -> Result<(), String> {
        self.with_view(|view| reasons::check(&table.pin(), view, keys))
    }

    fn with_view<T>(&self, look: impl FnOnce(&View<'_>) -> T) -> T {
        let trusts_pods =
            |namespace: &str| self.listed.difference(&self.untrusted).any(|scope| scope.covers(namespace));
        look(&View {
            services: self.services.objects.values().collect(),
            slices: self.slices.objects.values().collect(),
            pods: self.pods.objects.values().collect(),
            deleted: self.deleted.keys().copied().collect(),
            trusts_pods: &trusts_pods,
            options: self.options.clone(),
        })
    }

    /// A table built from the objects.
    pub fn rebuild(&self) -> TableReader {
        let mut index = self.index();
        self.updates().into_iter().for_each(|update| index.apply(update));
        let (mut writer, reader) = table();
        writer.publish(index.take_publications());
        writer.publish_reasons(index.take_reasons());
        reader
    }
}

/// Compares everything that readers can look up in two tables, with the reverse names of further `addresses`.
///
/// # Errors
/// The first difference.
pub fn compare(one: &TableReader, other: &TableReader, addresses: &BTreeSet<IpAddr>) -> Result<(), String> {
    let (one, other) = (one.pin(), other.pin());
    same("services", &one.services(), &other.services())?;
    same("addresses", &one.reverse_addresses(), &other.reverse_addresses())?;
    same("size", &one.size(), &other.size())?;
    for address in addresses.iter().copied().chain(one.reverse_addresses()) {
        same("PTR targets", &ptr_targets(&one, address), &ptr_targets(&other, address))?;
        for prefix in Prefix::above(address) {
            let (one, other) = (one.has_reverse_below(prefix), other.has_reverse_below(prefix));
            same(&format!("whether there is a name below {prefix:?}"), &one, &other)?;
        }
    }
    for namespace in NAMESPACES.iter().copied().chain(one.services().iter().map(|(key, _)| key.namespace())) {
        let (one, other) = (one.has_namespace(namespace), other.has_namespace(namespace));
        same(&format!("namespace {:?}", namespace.escape_ascii().to_string()), &one, &other)?;
    }
    Ok(())
}

/// The names that an address leads back to, in wire form and in order.
fn ptr_targets(table: &Table<'_>, address: IpAddr) -> BTreeSet<Vec<u8>> {
    table.reverse(address).into_iter().flat_map(PtrTargets::names).map(|name| name.concat()).collect()
}

/// Namespaces, as labels in wire form, that are looked up whether they have Services or not.
pub const NAMESPACES: [&[u8]; 3] = [b"\x02db", b"\x03web", b"\x05eager"];

/// # Errors
/// The values differ.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}:\n  {one:?}\n  {other:?}")) }
}
