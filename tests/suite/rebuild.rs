//! The plainest account of what a history of changes leaves: the final objects by name, and a table made of them in one
//! go. Shared with the fuzz targets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use headless_dns::cluster::{Change, ObjectKey, Scope, Service, Slice, Update};
use headless_dns::index::Index;
use headless_dns::reverse::Prefix;
use headless_dns::table::{Owners, Table, TableReader, table};

/// The objects that a history leaves.
#[derive(Default)]
pub struct Model {
    services: Objects<Service>,
    slices: Objects<Slice>,
}

struct Objects<K> {
    objects: BTreeMap<ObjectKey, K>,
    /// What each relist that is under way has named so far.
    named: HashMap<Scope, BTreeSet<ObjectKey>>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), named: HashMap::new() }
    }
}

impl<K: Clone> Objects<K> {
    fn apply(&mut self, scope: &Scope, change: &Change<K>, key_of: impl Fn(&K) -> &ObjectKey) {
        let mut name = |key: &ObjectKey| {
            if let Some(named) = self.named.get_mut(scope) {
                named.insert(key.clone());
            }
        };
        match change {
            Change::RelistStarted => {
                self.named.insert(scope.clone(), BTreeSet::new());
            }
            Change::Apply(object) => {
                name(key_of(object));
                self.objects.insert(key_of(object).clone(), object.clone());
            }
            Change::Keep(key) => name(key),
            Change::Delete(key) => {
                self.objects.remove(key);
            }
            Change::RelistDone => {
                if let Some(named) = self.named.remove(scope) {
                    self.objects.retain(|key, _| named.contains(key) || !scope.covers(key));
                }
            }
        }
    }
}

impl Model {
    pub fn apply(&mut self, update: &Update) {
        match update {
            Update::Service(scope, change) => self.services.apply(scope, change, |service| &service.object),
            Update::Slice(scope, change) => self.slices.apply(scope, change, |slice| &slice.object),
        }
    }

    /// The objects, each told of once.
    pub fn updates(&self) -> Vec<Update> {
        let services = self.services.objects.values().cloned();
        let services = services.map(|service| Update::Service(Scope::All, Change::Apply(service)));
        let slices = self.slices.objects.values().cloned();
        services.chain(slices.map(|slice| Update::Slice(Scope::All, Change::Apply(slice)))).collect()
    }

    /// A table of the objects.
    pub fn rebuild(&self) -> TableReader {
        let mut index = Index::default();
        self.updates().into_iter().for_each(|update| index.apply(update));
        let (mut writer, reader) = table();
        writer.publish(index.take_batch());
        reader
    }
}

/// Holds everything that readers can learn from two tables against each other. `addresses` are further ones whose
/// reverse names are looked up in both.
///
/// # Errors
/// The first difference.
pub fn compare(one: &TableReader, other: &TableReader, addresses: &BTreeSet<IpAddr>) -> Result<(), String> {
    let (one, other) = (one.pin(), other.pin());
    same("services", &one.services(), &other.services())?;
    same("addresses", &one.reverse_addresses(), &other.reverse_addresses())?;
    same("size", &one.size(), &other.size())?;
    for address in addresses.iter().copied().chain(one.reverse_addresses()) {
        same("owners of an address", &owners(&one, address), &owners(&other, address))?;
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
fn owners(table: &Table<'_>, address: IpAddr) -> BTreeSet<Vec<u8>> {
    table.reverse(address).into_iter().flat_map(Owners::names).map(|name| name.concat()).collect()
}

/// Namespaces, as labels in wire form, that are looked up whether they hold Services or not.
pub const NAMESPACES: [&[u8]; 3] = [b"\x02db", b"\x03web", b"\x05eager"];

fn same<T: PartialEq + std::fmt::Debug>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}:\n  {one:?}\n  {other:?}")) }
}
