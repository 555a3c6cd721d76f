//! A simple model of the cluster: the final objects of a history by name, and a table that is built from them at once. Shared
//! with the fuzz targets.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use headless_dns::cluster::{Change, ClusterEvent, ObjectKey, Pod, Scope, Service, ServiceSpec, Slice};
use headless_dns::dns::reverse::Prefix;
use headless_dns::index::Index;
use headless_dns::table::{PtrTargets, Table, TableReader, table};

/// The final objects of a history.
#[derive(Default)]
pub struct Model {
    services: Objects<Service>,
    slices: Objects<Slice>,
    pods: Objects<Pod>,
    /// Deleted Pods: their endpoints in slices do not count.
    deleted: Vec<Pod>,
    /// The scopes whose Pods have been listed completely.
    listed: HashSet<Scope>,
}

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
    pub fn apply(&mut self, update: &ClusterEvent) {
        match update {
            ClusterEvent::Service(scope, change) => {
                self.services.apply(scope, change, |service| service.object.clone());
            }
            ClusterEvent::Slice(scope, change) => {
                self.slices.apply(scope, change, |slice| slice.object.clone());
            }
            ClusterEvent::Pod(scope, change) => {
                self.deleted.extend(self.pods.apply(scope, change, object_of));
                if matches!(change, Change::RelistDone) {
                    self.listed.insert(scope.clone());
                }
            }
            // Without objects.
            ClusterEvent::Reconciled { .. }
            | ClusterEvent::WatchStale { .. }
            | ClusterEvent::WatchRecovered(..)
            | ClusterEvent::WatchProven(..) => {}
        }
    }

    /// The rest of the state: which Pods were deleted, and which scopes have been listed.
    pub fn memory(&self) -> Vec<ClusterEvent> {
        let deleted = self.deleted.iter().flat_map(|pod| {
            [Change::Apply(pod.clone()), Change::Delete(object_of(pod))]
                .map(|change| ClusterEvent::Pod(Scope::All, change))
        });
        let listed = self.listed.iter().flat_map(|scope| {
            [Change::RelistStarted, Change::RelistDone].map(|change| ClusterEvent::Pod(scope.clone(), change))
        });
        deleted.chain(listed).collect()
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

    /// Checks the addresses of every headless Service in a table, derived from the objects in the simplest way.
    ///
    /// # Errors
    /// The first Service whose bare name has other addresses.
    pub fn check(&self, table: &TableReader) -> Result<(), String> {
        let table = table.pin();
        for service in self.services.objects.values().filter(|service| service.spec == ServiceSpec::Headless) {
            let uses_pods =
                !service.selector.is_empty() && self.listed.iter().any(|scope| scope.covers(&service.object.namespace));
            let mut expected = BTreeSet::new();
            for slice in self.slices.objects.values().filter(|slice| slice.service.as_ref() == Some(&service.key)) {
                for endpoint in slice.endpoints.iter() {
                    let is_it = |pod: &Pod| pod.uid.is_some() && pod.uid == endpoint.pod.as_ref().map(|pod| pod.uid);
                    let is_shadowed = self.pods.objects.values().chain(&self.deleted).any(is_it);
                    if (endpoint.ready || service.publish_not_ready) && !(uses_pods && is_shadowed) {
                        expected.insert(endpoint.address);
                    }
                }
            }
            for pod in self.pods.objects.values().filter(|pod| uses_pods && pod.is_selected_by(&service.selector)) {
                let is_ready = (pod.is_ready && !pod.is_terminating) || service.publish_not_ready;
                if *pod.namespace() == *service.object.namespace && is_ready && !pod.is_finished {
                    expected
                        .extend(pod.v4.map(IpAddr::V4).into_iter().chain(pod.v6.as_deref().map(|v6| IpAddr::V6(*v6))));
                }
            }
            let records = table.service(service.key.as_wire());
            let found: BTreeSet<_> = records.into_iter().flat_map(|records| records.addresses.iter()).collect();
            same(&format!("addresses of {}", service.object), &found, &expected)?;
        }
        Ok(())
    }

    /// A table built from the objects.
    pub fn rebuild(&self) -> TableReader {
        let mut index = Index::default();
        self.memory().into_iter().chain(self.updates()).for_each(|update| index.apply(update));
        let (mut writer, reader) = table();
        writer.publish(index.take_publications());
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
