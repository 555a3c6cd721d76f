//! Tests of the index: objects in, records out.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::cluster::{
    Change, ContainerPort, Endpoint, Endpoints, Families, Hostname, Labels, ObjectKey, OwnLabels, Pod, PodRef, Port,
    Protocol, Scope, ServiceSpec, SlicePort, TargetPort, Template, Uid, Version, WatchId,
};
use crate::dns::name::{Label, Name, Relative};
use crate::records::{AddressesRef, ServiceRecords};
use crate::table::{TableReader, TableWriter, table};

mod names;
mod pods;
mod times;

fn label(text: &str) -> Label {
    Label::parse(text).unwrap()
}

fn object(text: &str) -> ObjectKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ObjectKey::new(namespace, name)
}

fn key(text: &str) -> ServiceKey {
    let (namespace, name) = text.split_once('/').unwrap();
    ServiceKey::new(&label(namespace), &label(name))
}

fn owner(port: &str) -> Option<Box<[u8]>> {
    Protocol::Tcp.owner(Some(port)).unwrap()
}

/// A Service `namespace/name`, a base for the methods below.
fn service(text: &str) -> Service {
    Service {
        key: key(text),
        object: object(text),
        spec: ServiceSpec::ClusterIp(Vec::new()),
        publish_not_ready: false,
        not_ready_ordinals: None,
        public: None,
        ports: Vec::new(),
        selector: Labels::default(),
        families: Families::BOTH,
    }
}

impl Service {
    fn headless(self) -> Self {
        Self { spec: ServiceSpec::Headless, ..self }
    }

    fn at(self, address: &str) -> Self {
        Self { spec: ServiceSpec::ClusterIp(vec![address.parse().unwrap()]), ..self }
    }

    fn port(mut self, name: &str, port: u16) -> Self {
        let target = TargetPort::Number(port);
        self.ports.push(Port { owner: owner(name), port, protocol: Protocol::Tcp, target });
        self
    }

    /// The last port targets the Pods' port of this name.
    fn to(mut self, name: &str) -> Self {
        self.ports.last_mut().unwrap().target = TargetPort::Name(name.into());
        self
    }

    /// Selects the Pods with the label `app`.
    fn selects(self, app: &str) -> Self {
        Self { selector: [("app", app)].into_iter().collect(), ..self }
    }

    fn publish_not_ready(self) -> Self {
        Self { publish_not_ready: true, ..self }
    }
}

/// A slice `namespace/name`, a base for the methods below.
fn slice(text: &str) -> Slice {
    Slice {
        object: object(text),
        version: Version::default(),
        triggered: None,
        service: None,
        endpoints: Endpoints::default(),
        ports: Vec::new(),
    }
}

impl Slice {
    fn of(self, service: &str) -> Self {
        Self { service: Some(key(service)), ..self }
    }

    fn host(self, hostname: &str, address: &str) -> Self {
        let hostname = (!hostname.is_empty()).then(|| label(hostname));
        let endpoint = Endpoint { address: address.parse().unwrap(), hostname, ready: true, pod: None };
        Self { endpoints: self.endpoints.iter().chain([endpoint]).collect(), ..self }
    }

    /// The last endpoint is this Pod.
    fn is(self, pod: &Pod) -> Self {
        let name = pod.name.to_string();
        self.last(|last| last.pod = pod.uid.map(|uid| PodRef { uid, name: name.into() }))
    }

    fn version(self, version: u64) -> Self {
        Self { version: Version(version), ..self }
    }

    /// The last endpoint is not ready.
    fn not_ready(self) -> Self {
        self.last(|last| last.ready = false)
    }

    /// Changes the last endpoint.
    fn last(self, change: impl FnOnce(&mut Endpoint<'_>)) -> Self {
        let mut endpoints: Vec<_> = self.endpoints.iter().collect();
        change(endpoints.last_mut().unwrap());
        Self { endpoints: endpoints.into_iter().collect(), ..self }
    }

    fn port(mut self, name: &str, port: u16) -> Self {
        self.ports.push(SlicePort { owner: owner(name), port });
        self
    }
}

/// A ready Pod `namespace/name` of a StatefulSet `pg` with the label `app=pg`, a base for the methods below. Its UUID is derived from
/// `uid`.
fn pod(text: &str, uid: u64, address: &str) -> Pod {
    let object = object(text);
    Pod {
        uid: Uid::parse(&format!("00000000-0000-4000-8000-{uid:012x}")),
        version: Version::default(),
        template: Arc::new(template(&object.namespace, "pg", "pg")),
        name: object.name,
        v4: address.parse().ok(),
        v6: None,
        is_ready: true,
        ready_changed: None,
        is_terminating: false,
        is_finished: false,
    }
}

fn template(namespace: &Arc<str>, app: &str, subdomain: &str) -> Template {
    let port = ContainerPort { name: "sql".into(), protocol: Protocol::Tcp, port: 5432 };
    Template {
        namespace: Arc::clone(namespace),
        labels: [("app", app), ("tier", "data")].into_iter().collect(),
        own_labels: OwnLabels { name: true, index: true },
        hostname: Hostname::Own,
        subdomain: Some(subdomain.into()),
        ports: [port].into(),
        owner: None,
    }
}

impl Pod {
    fn version(self, version: u64) -> Self {
        Self { version: Version(version), ..self }
    }

    fn not_ready(self) -> Self {
        Self { is_ready: false, ..self }
    }

    fn terminating(self) -> Self {
        Self { is_terminating: true, ..self }
    }

    fn labelled(self, app: &str, subdomain: &str) -> Self {
        let template = template(&self.template.namespace, app, subdomain);
        Self { template: Arc::new(template), ..self }
    }
}

/// An index and the table behind it.
struct Cluster {
    index: Index,
    writer: TableWriter,
    reader: TableReader,
}

impl Cluster {
    fn new() -> Self {
        let (writer, reader) = table();
        Self { index: Index::default(), writer, reader }
    }

    fn service(&mut self, change: Change<Service>) -> usize {
        self.apply(ClusterEvent::Service(Scope::All, change))
    }

    fn pod(&mut self, change: Change<Pod>) -> usize {
        self.apply(ClusterEvent::Pod(Scope::All, change))
    }

    /// Completes a list of Pods.
    fn pods_listed(&mut self) {
        self.pod(Change::RelistStarted);
        self.pod(Change::RelistDone);
    }

    fn slice(&mut self, change: Change<Slice>) -> usize {
        self.apply(ClusterEvent::Slice(Scope::All, change))
    }

    /// Applies an update and publishes the changes. Returns the number of Services that changed.
    fn apply(&mut self, update: ClusterEvent) -> usize {
        self.index.apply(update);
        self.writer.publish(self.index.take_publications())
    }

    fn records(&self, service: &str) -> Option<ServiceRecords> {
        self.reader.pin().service(key(service).as_wire()).cloned()
    }

    /// The hosts of a Service with their addresses: `pg-0=10.0.0.1`.
    fn hosts(&self, service: &str) -> Vec<String> {
        let Some(records) = self.records(service) else { return Vec::new() };
        let text = |(label, addresses): (&[u8], AddressesRef<'_>)| {
            format!(
                "{}={}",
                Relative(label),
                addresses.iter().map(|address| address.to_string()).collect::<Vec<_>>().join(",")
            )
        };
        records.hosts.iter().map(text).collect()
    }
}

/// K6.
#[test]
fn a_service_and_its_slices_may_arrive_and_go_in_any_order() {
    let pg = || ClusterEvent::Service(Scope::All, Change::Apply(service("db/pg").headless()));
    let pods = || ClusterEvent::Slice(Scope::All, Change::Apply(slice("db/pg-a").of("db/pg").host("pg-0", "10.0.0.1")));
    let delete_pg = || ClusterEvent::Service(Scope::All, Change::Delete(object("db/pg")));
    let delete_pods = || ClusterEvent::Slice(Scope::All, Change::Delete(object("db/pg-a")));
    for arrivals in [[pg(), pods()], [pods(), pg()]] {
        for departures in [[delete_pg(), delete_pods()], [delete_pods(), delete_pg()]] {
            let mut cluster = Cluster::new();
            for update in arrivals.clone() {
                cluster.apply(update);
            }
            assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
            for update in departures {
                cluster.apply(update);
            }
            assert_eq!(cluster.records("db/pg"), None);
            assert!(cluster.index.slices_by_service.is_empty() && cluster.index.service_by_key.is_empty());
        }
    }
}

/// K2, S6.
#[test]
fn an_endpoint_in_several_slices_counts_once_and_a_hostname_has_all_its_addresses() {
    let mut cluster = Cluster::new();
    cluster.service(Change::Apply(service("db/pg").headless()));
    let (a, b) = (slice("db/pg-a").of("db/pg"), slice("db/pg-b").of("db/pg"));
    cluster.slice(Change::Apply(a.host("pg-0", "10.0.0.1").host("", "10.0.0.9").port("sql", 5432)));
    cluster.slice(Change::Apply(b.host("pg-0", "10.0.0.1").host("pg-0", "10.0.0.2").port("sql", 5432)));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1,10.0.0.2", "10-0-0-9=10.0.0.9"]);
    assert_eq!(cluster.records("db/pg").unwrap().all_srv.len(), 2, "one for each target");
    cluster.slice(Change::Delete(object("db/pg-a")));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1,10.0.0.2"], "the other slice still has it");
}

/// K5, D2.
#[test]
fn each_endpoint_has_the_port_numbers_of_its_own_slice() {
    let mut cluster = Cluster::new();
    cluster.service(Change::Apply(service("db/pg").headless().port("sql", 1)));
    for (host, address, port) in [("pg-a", "10.0.0.1", 5432), ("pg-b", "10.0.0.2", 6432)] {
        let pods = slice(&format!("db/{host}")).of("db/pg").host(host, address).port("sql", port);
        cluster.slice(Change::Apply(pods));
    }
    let records = cluster.records("db/pg").unwrap();
    let srv = records.srv.get(&owner("sql").unwrap()).unwrap();
    let pairs: Vec<_> = srv.iter().map(|srv| (records.target(srv.target).unwrap().0, srv.port)).collect();
    assert_eq!(pairs, [(&b"\x04pg-a"[..], 5432), (b"\x04pg-b", 6432)]);
}

/// S8, S9.
#[test]
fn only_ready_endpoints_count_unless_the_service_publishes_others() {
    let pods = || slice("db/pg-a").of("db/pg").host("pg-0", "10.0.0.1").host("pg-1", "10.0.0.2").not_ready();
    let mut cluster = Cluster::new();
    cluster.slice(Change::Apply(pods()));
    cluster.service(Change::Apply(service("db/pg").headless()));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1"]);
    cluster.service(Change::Apply(service("db/pg").headless().publish_not_ready()));
    assert_eq!(cluster.hosts("db/pg"), ["pg-0=10.0.0.1", "pg-1=10.0.0.2"]);
}

#[test]
fn a_slice_may_move_from_one_service_to_another_and_to_none() {
    let mut cluster = Cluster::new();
    cluster.service(Change::Apply(service("db/a").headless()));
    cluster.service(Change::Apply(service("db/b").headless()));
    let pods = || slice("db/x").host("pod", "10.0.0.1");
    for (moved, changed, a, b) in
        [(pods().of("db/a"), 1, 1, 0), (pods().of("db/b"), 2, 0, 1), (pods().of("db/b"), 0, 0, 1), (pods(), 1, 0, 0)]
    {
        assert_eq!(cluster.slice(Change::Apply(moved)), changed);
        assert_eq!((cluster.hosts("db/a").len(), cluster.hosts("db/b").len()), (a, b));
    }
}

#[test]
fn a_change_without_effect_on_records_publishes_nothing() {
    let mut cluster = Cluster::new();
    let pods = || slice("db/pg-a").of("db/pg").host("pg-0", "10.0.0.1");
    assert_eq!(cluster.slice(Change::Apply(pods())), 0, "of no Service yet");
    assert_eq!(cluster.service(Change::Apply(service("db/pg").headless())), 1);
    assert_eq!(cluster.service(Change::Apply(service("db/pg").headless())), 0, "the same again");
    assert_eq!(cluster.slice(Change::Apply(pods().host("pg-1", "10.0.0.2").not_ready())), 0, "a Pod that is starting");
    assert_eq!(
        cluster.service(Change::Apply(service("db/pg").headless().port("sql", 1))),
        0,
        "a port without endpoints"
    );
    assert_eq!(cluster.slice(Change::Unreadable(object("db/pg-a"))), 0);
    assert_eq!(cluster.slice(Change::Delete(object("db/other"))), 0);
}

#[test]
fn a_burst_derives_each_service_once() {
    let mut index = Index::default();
    index.apply(ClusterEvent::Service(Scope::All, Change::Apply(service("db/pg").headless())));
    for i in 0..100 {
        let pods = slice(&format!("db/pg-{i}")).of("db/pg").host(&format!("pg-{i}"), &format!("10.0.0.{i}"));
        index.apply(ClusterEvent::Slice(Scope::All, Change::Apply(pods)));
    }
    let publications: Vec<_> = index.take_publications().collect();
    assert_eq!(publications.len(), 1);
    assert_eq!(publications[0].1.as_ref().unwrap().hosts.len(), 100);
    assert!(index.take_publications().next().is_none());
}

#[test]
fn a_relist_removes_objects_that_it_does_not_list_and_keeps_unreadable_ones() {
    let mut cluster = Cluster::new();
    for name in ["db/a", "db/b", "db/c"] {
        cluster.service(Change::Apply(service(name).at("10.96.0.1")));
    }
    let names =
        |cluster: &Cluster| cluster.reader.pin().services().iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    cluster.service(Change::RelistStarted);
    cluster.service(Change::Apply(service("db/a").at("10.96.0.1")));
    cluster.service(Change::Unreadable(object("db/b")));
    assert_eq!(names(&cluster), ["db/a", "db/b", "db/c"], "nothing is removed before the list is complete");
    assert_eq!(cluster.service(Change::RelistDone), 1);
    assert_eq!(names(&cluster), ["db/a", "db/b"]);
}

#[test]
fn a_relist_of_one_namespace_does_not_affect_another() {
    let mut cluster = Cluster::new();
    let scopes = ["db", "web"].map(|namespace| Scope::Namespace(namespace.into()));
    for (scope, name) in scopes.iter().zip(["db/a", "web/a"]) {
        cluster.apply(ClusterEvent::Service(scope.clone(), Change::Apply(service(name).at("10.96.0.1"))));
    }
    for change in [Change::RelistStarted, Change::RelistDone] {
        cluster.apply(ClusterEvent::Service(scopes[0].clone(), change));
    }
    assert!(cluster.records("db/a").is_none() && cluster.records("web/a").is_some());
}

/// S14, S15, S17, D3.
#[test]
fn other_kinds_of_service_have_their_own_records() {
    let mut cluster = Cluster::new();
    cluster.slice(Change::Apply(slice("db/web-a").of("db/web").host("", "10.0.0.1").port("http", 8080)));
    cluster.service(Change::Apply(service("db/web").at("10.96.0.1").port("http", 80)));
    let records = cluster.records("db/web").unwrap();
    assert_eq!(records.addresses.iter().collect::<Vec<IpAddr>>(), ["10.96.0.1".parse::<IpAddr>().unwrap()]);
    assert_eq!(records.all_srv[0].port, 80, "the Service's own port");
    assert_eq!(cluster.hosts("db/web"), ["10-0-0-1=10.0.0.1"]);
    assert_eq!(
        records.reverse_names().flat_map(|(_, addresses)| addresses.iter()).count(),
        1,
        "only that of the virtual address"
    );
    let alias = ServiceSpec::ExternalName(Name::parse("db.example.com").unwrap());
    cluster.service(Change::Apply(Service { spec: alias, ..service("db/web") }));
    assert!(cluster.hosts("db/web").is_empty(), "an alias has no names below it");
}
