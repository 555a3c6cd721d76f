//! The cluster in the storm: the one who writes its objects, and plays its faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use kube_sandbox::faults::{Cut, Fault, Missed, Scope};
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};

use super::clients::{addresses_of, flood, read_nothing};
use super::history::{Answer, History, ORDINALS, Ordinal, SERVICES, STALE_AFTER, Views};
use crate::support::malformed::Random;
use crate::support::peers::until;
use crate::support::program::Program;

/// How soon a change must be answered after the last fault: a backoff that faults of these lengths reach, and the time after
/// which a connection that died silently is noticed.
pub const RECOVERY: Duration = Duration::from_secs(2 * STALE_AFTER);
/// How long a fault lasts.
const FAULT: Duration = Duration::from_millis(700);
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);
/// Writes between two faults, and during one.
const CALM_WRITES: usize = 20;
const WRITES: usize = 10;
/// Connections that read nothing.
const SLOW_READERS: usize = 16;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Play {
    ApiDown,
    Refusals,
    TooManyRequests,
    WatchesCut,
    WatchesEnd,
    OneWatchStalled,
    Delay,
    Compaction,
    EtcdRestored,
    ServerKilled,
    Flood,
    SlowReaders,
}

impl Play {
    pub const ALL: [Self; 12] = [
        Self::ApiDown,
        Self::Refusals,
        Self::TooManyRequests,
        Self::WatchesCut,
        Self::WatchesEnd,
        Self::OneWatchStalled,
        Self::Delay,
        Self::Compaction,
        Self::EtcdRestored,
        Self::ServerKilled,
        Self::Flood,
        Self::SlowReaders,
    ];
}

pub struct World<'h> {
    pub sandbox: Sandbox,
    pub history: &'h History,
    pub program: Option<Program>,
    pub dns: SocketAddr,
    folder: &'h Path,
    random: Random,
    /// Addresses and canaries that were given out: none twice.
    given: u32,
    canaries: usize,
    /// The longest that a recovery took.
    pub slowest: Duration,
}

impl<'h> World<'h> {
    /// A cluster in which every ordinal has its Pod, and the program that mirrors it.
    pub async fn start(history: &'h History, folder: &'h Path, seed: u64) -> Self {
        let options = Options { controllers: None, bookmark_interval: Duration::from_secs(1), ..Options::default() };
        let sandbox = Sandbox::start(options).await.expect("a free port");
        sandbox.write_kubeconfig(&folder.join("kubeconfig")).expect("a file");
        // Clients have another address, so that none of their ports is the one that the program comes back to.
        let dns = SocketAddr::from(([127, 0, 0, 9], 0));
        let random = Random(seed);
        let slowest = Duration::ZERO;
        let mut world = Self { sandbox, history, program: None, dns, folder, random, given: 0, canaries: 0, slowest };
        world.service("canary");
        (0..SERVICES).for_each(|service| {
            world.service(&format!("s{service}"));
            world.put_slice(service);
        });
        Ordinal::all().for_each(|ordinal| world.replace(ordinal));
        world.start_program();
        world.recover("the start");
        world
    }

    fn start_program(&mut self) {
        let path = |name: &str| self.folder.join(name).to_str().expect("UTF-8").to_owned();
        let (kubeconfig, state, stale_after) = (path("kubeconfig"), path("state"), STALE_AFTER.to_string());
        self.history.starting(true);
        let arguments = ["--kubeconfig", &kubeconfig, "--state", &state, "--stale-after", &stale_after];
        let program = Program::serve_on(&self.dns.to_string(), &arguments);
        self.dns = program.dns;
        self.history.excuse(false);
        program.until_synchronised();
        self.history.starting(false);
        self.program = Some(program);
    }

    /// Plays one fault from its beginning to the recovery from it, and lets the cluster change all the while.
    pub fn play(&mut self, play: Play) {
        let kind = [Kind::Service, Kind::EndpointSlice, Kind::Pod][self.random.below(3)];
        let lasting = match play {
            Play::ApiDown => Some(Fault::Down { milliseconds: None }),
            Play::Refusals => {
                let code = [401, 403, 500, 503][self.random.below(4)];
                let on = if self.random.below(2) == 0 { Scope::all() } else { Scope::kind(kind) };
                // Those that are open end, or they would not notice.
                self.inject(Fault::CutWatches { on: on.clone(), how: Cut::Clean });
                Some(Fault::Answer { on, code, retry_after: None, times: None })
            }
            Play::TooManyRequests => {
                self.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Clean });
                Some(Fault::TooManyRequests { on: Scope::all(), retry_after: 1, times: None })
            }
            Play::WatchesEnd => Some(Fault::EndWatches { on: Scope::kind(kind) }),
            Play::OneWatchStalled => Some(Fault::Stall { on: Scope::kind(kind), missed: Missed::Deliver }),
            Play::Delay => Some(Fault::Delay { on: Scope::all(), milliseconds: 100 }),
            Play::WatchesCut => {
                let how = [Cut::Clean, Cut::Abrupt, Cut::Expired, Cut::Silent][self.random.below(4)];
                self.inject(Fault::CutWatches { on: Scope::kind(kind), how });
                None
            }
            Play::Compaction => {
                self.inject(Fault::CutWatches { on: Scope::all(), how: Cut::Abrupt });
                self.inject(Fault::Compact);
                None
            }
            Play::EtcdRestored => return self.restore(),
            Play::ServerKilled => {
                self.history.disturbed();
                self.history.excuse(true);
                // SIGKILL.
                drop(self.program.take());
                self.write(WRITES);
                self.start_program();
                None
            }
            Play::Flood | Play::SlowReaders => return self.load(play),
        };
        let lasting = lasting.map(|fault| self.inject(fault));
        self.write_for(FAULT);
        if let Some(lasting) = lasting {
            self.sandbox.faults().remove(lasting);
        }
        self.recover(&format!("{play:?} of {kind:?}"));
    }

    /// Clients that take more than they should: changes are answered as soon as ever.
    fn load(&mut self, play: Play) {
        let dns = self.dns;
        if play == Play::Flood {
            self.history.excuse(true);
        }
        thread::scope(|scope| {
            let load = scope.spawn(move || match play {
                Play::Flood => flood(dns, FAULT),
                _ => read_nothing(dns, SLOW_READERS, FAULT),
            });
            self.write_for(FAULT);
            load.join().expect("no panic");
        });
        if play == Play::Flood {
            // What the flood left in the socket's queue goes before the next query.
            until("an answer after the flood", || addresses_of(dns, "s0.db.svc.cluster.local."));
            self.history.excuse(false);
        }
    }

    /// The API server comes back with what it had before the last writes.
    fn restore(&mut self) {
        self.history.disturbed();
        let views = self.history.now();
        self.inject(Fault::Snapshot);
        self.write(WRITES);
        // Both are true until the store has gone back.
        Ordinal::all().zip(&views).for_each(|(ordinal, views)| self.history.set(ordinal, *views));
        self.inject(Fault::Restore);
        self.recover("EtcdRestored");
    }

    fn inject(&self, fault: Fault) -> u64 {
        self.history.disturbed();
        self.sandbox.faults().inject(fault).expect("a fault that can strike")
    }

    /// Shows that each watch is up to date: a new Service with its slice, and a Pod without one, are answered.
    fn recover(&mut self, after: &str) {
        let began = Instant::now();
        self.canaries += 1;
        let (slice, pod) = (format!("canary-{}", self.canaries), format!("canary-pod-{}", self.canaries));
        let [by_slice, by_pod] = [self.next_address(), self.next_address()];
        self.service(&slice);
        self.put(Kind::EndpointSlice, slice_of(&slice, &[json!({ "addresses": [by_slice], "hostname": slice })]));
        self.put(Kind::Pod, pod_of("canary", &pod, by_pod, true));
        for (name, address) in [(slice.clone(), by_slice), (format!("{pod}.canary"), by_pod)] {
            let name = format!("{name}.db.svc.cluster.local.");
            let is_answered = || matches!(addresses_of(self.dns, &name), Some(Answer::Addresses { addresses, is_stale: false }) if addresses == [address]);
            until(&format!("{name} after {after}"), || is_answered().then_some(()));
        }
        let took = began.elapsed();
        assert!(took <= RECOVERY, "a change was answered {took:?} after {after}");
        self.slowest = self.slowest.max(took);
        self.history.recovered();
        for (kind, name) in [(Kind::Service, &slice), (Kind::EndpointSlice, &slice), (Kind::Pod, &pod)] {
            self.sandbox.store().delete(kind, "db", name, None).expect("it is there");
        }
    }

    /// Changes of the cluster while nothing is wrong.
    pub fn calm(&mut self) {
        self.write(CALM_WRITES);
    }

    fn write_for(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.write(1);
        }
    }

    fn write(&mut self, times: usize) {
        for _ in 0..times {
            let ordinal = Ordinal { service: self.random.below(SERVICES), ordinal: self.random.below(ORDINALS) };
            match self.random.below(4) {
                0 => self.remove(ordinal),
                _ => self.replace(ordinal),
            }
            thread::park_timeout(PAUSE);
        }
    }

    /// A new Pod takes the place of the ordinal's, with another address. The slice follows after a while.
    fn replace(&mut self, ordinal: Ordinal) {
        let address = self.next_address();
        let before = self.views(ordinal);
        if before.pod.is_some() {
            self.delete_pod(ordinal);
        }
        self.history.set(ordinal, Views { pod: Some(address), slice: before.slice });
        let service = format!("s{}", ordinal.service);
        self.put(Kind::Pod, pod_of(&service, &ordinal.pod(), address, true));
        if self.random.below(2) == 0 {
            thread::park_timeout(PAUSE);
        }
        self.history.set(ordinal, Views { pod: Some(address), slice: Some(address) });
        self.put_slice(ordinal.service);
    }

    fn remove(&mut self, ordinal: Ordinal) {
        if self.views(ordinal).pod.is_some() {
            self.delete_pod(ordinal);
            self.history.set(ordinal, Views::default());
            self.put_slice(ordinal.service);
        }
    }

    fn delete_pod(&self, ordinal: Ordinal) {
        self.history.set(ordinal, Views { pod: None, ..self.views(ordinal) });
        self.sandbox.store().delete(Kind::Pod, "db", &ordinal.pod(), None).expect("it is there");
    }

    fn views(&self, ordinal: Ordinal) -> Views {
        self.history.now()[ordinal.service * ORDINALS + ordinal.ordinal]
    }

    /// Writes what the EndpointSlice controller writes of the Pods in the store.
    fn put_slice(&self, service: usize) {
        let pods = (0..ORDINALS).filter_map(|ordinal| {
            let name = Ordinal { service, ordinal }.pod();
            let pod = self.sandbox.store().get(Kind::Pod, "db", &name)?;
            Some(json!({
                "addresses": [pod["status"]["podIPs"][0]["ip"]], "hostname": name, "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "namespace": "db", "name": name, "uid": pod["metadata"]["uid"] },
            }))
        });
        self.put(Kind::EndpointSlice, slice_of(&format!("s{service}"), &pods.collect::<Vec<_>>()));
    }

    fn service(&self, name: &str) {
        self.put(
            Kind::Service,
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "db", "name": name },
                "spec": { "clusterIP": "None", "selector": { "app": name }, "ipFamilies": ["IPv4"] },
            }),
        );
    }

    fn put(&self, kind: Kind, object: Value) {
        let (store, name) = (self.sandbox.store(), object["metadata"]["name"].as_str().expect("a name").to_owned());
        let is_there = store.get(kind, "db", &name).is_some();
        if is_there { store.update(kind, object) } else { store.create(kind, object) }.expect("a valid object");
    }

    fn next_address(&mut self) -> Ipv4Addr {
        self.given += 1;
        Ipv4Addr::from_bits(0x0a00_0000 + self.given)
    }
}

/// A Pod of a StatefulSet.
fn pod_of(service: &str, name: &str, address: Ipv4Addr, is_ready: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "db", "name": name,
            "labels": { "app": service, "statefulset.kubernetes.io/pod-name": name },
        },
        "spec": { "hostname": name, "subdomain": service, "containers": [{ "name": "db", "image": "db" }] },
        "status": {
            "phase": "Running", "podIPs": [{ "ip": address }],
            "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
        },
    })
}

fn slice_of(service: &str, endpoints: &[Value]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": { "namespace": "db", "name": service, "labels": {
            "kubernetes.io/service-name": service,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        } },
        "endpoints": endpoints,
    })
}
