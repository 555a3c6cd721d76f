//! The cluster in the storm, and the program that mirrors it.

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::rr::RecordType;
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::clients::{Addresses, Judged, ask_once};
use super::elsewhere::Upstreams;
use super::history::{CALM, History, Matter, Ordinal, Peer, SERVICES, STALE_AFTER, Views};
use super::judge::Fault;
use super::question::{Answer, Asked, Family, Found};
use crate::support::malformed::Random;
use crate::support::memory::resident;
use crate::support::peers::PATIENCE;
use crate::support::program::Program;
use crate::support::secret::{HOST, Secret};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);
/// Writes between two faults.
const CALM_WRITES: usize = 20;
/// So much of the program's log is shown when it was late.
const LINES: usize = 30;

pub struct World<'h> {
    pub sandbox: Sandbox,
    pub history: &'h History,
    pub judged: &'h Judged,
    pub program: Option<Program>,
    pub addresses: Addresses,
    pub upstreams: Upstreams,
    pub random: Random,
    secret: Secret,
    folder: TempDir,
    /// Pods and canaries that there were: no number comes again.
    pods: u32,
    canaries: usize,
    /// The longest that a recovery took.
    pub slowest: Duration,
}

impl<'h> World<'h> {
    /// A cluster in which every ordinal has its Pod, and the program that mirrors it.
    pub async fn start(history: &'h History, judged: &'h Judged, seed: u64) -> Self {
        let options = Options { controllers: None, bookmark_interval: Duration::from_secs(1), ..Options::default() };
        let sandbox = Sandbox::start(options).await.expect("a free port");
        let (secret, folder) = (Secret::new(), tempfile::tempdir().expect("a folder"));
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("a file");
        // Clients have another address, so that none of their ports is one that the program comes back to.
        let free = |_| TcpListener::bind("127.0.0.9:0").expect("a free port");
        let [dns, tls] = [0, 1].map(free).map(|listener| listener.local_addr().expect("an address"));
        let mut world = Self {
            sandbox,
            history,
            judged,
            program: None,
            addresses: Addresses { dns, tls },
            upstreams: Upstreams::start().await,
            random: Random(seed),
            secret,
            folder,
            pods: 0,
            canaries: 0,
            slowest: Duration::ZERO,
        };
        world.renew_certificate();
        world.populate();
        world.start_program();
        world.recover("the start", CALM);
        world
    }

    pub fn start_program(&mut self) {
        let path = |name: &str| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let file = |path: std::path::PathBuf| path.to_str().expect("UTF-8").to_owned();
        let [first, second] = self.upstreams.addresses().map(|upstream| upstream.to_string());
        let arguments = [
            ["--kubeconfig", &path("kubeconfig")],
            ["--state", &path("state")],
            ["--stale-after", &STALE_AFTER.as_secs().to_string()],
            ["--tls-listen", &self.addresses.tls.to_string()],
            ["--tls-cert", &file(self.secret.certificate())],
            ["--tls-key", &file(self.secret.key())],
            ["--forward", &first],
            ["--forward", &second],
            ["--drain-timeout", "1"],
        ]
        .map(|pair| pair.map(str::to_owned))
        .concat();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        // What the process has is either saved, and said to be of then, or listed from now on.
        self.history.end(Matter::Disturbed);
        self.history.begin(Matter::Disturbed);
        self.history.begin(Matter::Starting);
        let program = Program::serve_on(&self.addresses.dns.to_string(), &arguments);
        self.history.end(Matter::Excused);
        program.until_synchronised();
        self.history.end(Matter::Starting);
        self.program = Some(program);
    }

    /// Resident memory of the program, kB.
    pub fn memory(&self) -> usize {
        self.program.as_ref().map_or(0, |program| resident(program.id()))
    }

    /// Shows that each watch is up to date, twice: the first time it may be part of a list, and what was there before may come
    /// after it. `bound` is how soon that has to be.
    pub fn recover(&mut self, after: &str, bound: Duration) {
        let began = Instant::now();
        (0..2).for_each(|_| self.show_canary(after));
        let took = began.elapsed();
        if took > bound {
            self.judged.report(Fault::Late, format!("a change was answered {took:?} after {after}, not {bound:?}"));
            self.print_log();
        }
        self.slowest = self.slowest.max(took);
        self.history.end(Matter::Lagging);
        self.history.end(Matter::Disturbed);
    }

    /// A new Service with its slice, and a Pod without one, are answered.
    fn show_canary(&mut self, after: &str) {
        self.canaries += 1;
        let (slice, pod) = (format!("canary-{}", self.canaries), format!("canary-pod-{}", self.canaries));
        let [by_slice, by_pod] = [self.next_pod(), self.next_pod()];
        self.service(&slice);
        let endpoint = json!({ "addresses": [Family::V4.address(by_slice)], "hostname": slice });
        self.put(Kind::EndpointSlice, slice_of(&slice, Family::V4, &[endpoint]));
        self.put(Kind::Pod, pod_of("canary", &pod, by_pod, true));
        for (name, number) in [(slice.clone(), by_slice), (format!("{pod}.canary"), by_pod)] {
            let name = format!("{name}.db.svc.cluster.local.");
            let asked = Asked::Service(0, Family::V4);
            let is_answered = || match ask_once(self.addresses, asked, &name, RecordType::A) {
                Some(Answer::Found { found: Found::Numbers(numbers), stale_since: None }) => numbers == [number],
                _ => false,
            };
            self.until(&format!("{name} after {after}"), || is_answered().then_some(()));
        }
        for (kind, name) in [(Kind::Service, &slice), (Kind::EndpointSlice, &slice), (Kind::Pod, &pod)] {
            self.sandbox.store().delete(kind, "db", name, None).expect("it is there");
        }
    }

    /// Waits for an answer. Without one, it is told what the program said.
    pub fn until(&self, what: &str, ask: impl Fn() -> Option<()>) {
        let deadline = Instant::now() + PATIENCE;
        while ask().is_none() {
            if Instant::now() > deadline {
                self.print_log();
                panic!("{what} did not come about");
            }
            thread::park_timeout(PAUSE);
        }
    }

    fn print_log(&self) {
        let log = self.program.as_ref().map(Program::log).unwrap_or_default();
        log.iter().rev().take(LINES).rev().for_each(|line| println!("    {line}"));
    }

    /// Puts another certificate in place.
    pub fn renew_certificate(&mut self) {
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).expect("a certificate");
        self.history.certificate(made.cert.der().clone());
        self.secret.replace(&made.cert.pem(), &made.signing_key.serialize_pem());
    }

    /// Puts in place what is no certificate, or not that of the key.
    pub fn spoil_certificate(&mut self) {
        let key = fs::read_to_string(self.secret.key()).expect("a file");
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).expect("a certificate");
        let certificate = if self.random.below(2) == 0 { String::new() } else { made.cert.pem() };
        self.secret.replace(&certificate, &key);
    }

    /// Changes of the cluster while nothing is wrong.
    pub fn calm(&mut self) {
        self.write(CALM_WRITES);
    }

    pub fn write_for(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            self.write(1);
        }
    }

    pub fn write(&mut self, times: usize) {
        for _ in 0..times {
            let service = self.random.below(SERVICES.len());
            let ordinal = Ordinal { service, ordinal: self.random.below(SERVICES[service]) };
            let is_coming = matches!(self.history.now(ordinal).pod, Peer::Coming(_));
            match self.random.below(4) {
                0 => self.remove(ordinal),
                1 | 2 if is_coming => self.make_ready(ordinal),
                1 => self.replace(ordinal, false),
                _ => self.replace(ordinal, true),
            }
            thread::park_timeout(PAUSE);
        }
    }

    /// The cluster from its beginning.
    pub fn populate(&mut self) {
        self.service("canary");
        for service in 0..SERVICES.len() {
            self.service(&format!("s{service}"));
            Ordinal::of(service).for_each(|ordinal| self.replace(ordinal, true));
        }
    }

    /// A new Pod takes the place of the ordinal's, with other addresses. The slices follow after a while.
    fn replace(&mut self, ordinal: Ordinal, is_ready: bool) {
        let number = self.next_pod();
        let before = self.history.now(ordinal);
        if before.pod != Peer::Absent {
            self.delete_pod(ordinal);
        }
        let peer = if is_ready { Peer::Ready(number) } else { Peer::Coming(number) };
        self.history.set(ordinal, Views { pod: peer, slices: before.slices });
        self.put(Kind::Pod, pod_of(&format!("s{}", ordinal.service), &ordinal.pod(), number, is_ready));
        self.put_slices(ordinal);
    }

    fn make_ready(&mut self, ordinal: Ordinal) {
        let before = self.history.now(ordinal);
        let Some(number) = before.pod.number() else { return };
        self.history.set(ordinal, Views { pod: Peer::Ready(number), slices: before.slices });
        self.put(Kind::Pod, pod_of(&format!("s{}", ordinal.service), &ordinal.pod(), number, true));
        self.put_slices(ordinal);
    }

    fn remove(&mut self, ordinal: Ordinal) {
        if self.history.now(ordinal).pod != Peer::Absent {
            self.delete_pod(ordinal);
            self.put_slices(ordinal);
        }
    }

    fn delete_pod(&self, ordinal: Ordinal) {
        self.history.set(ordinal, Views { pod: Peer::Absent, ..self.history.now(ordinal) });
        self.sandbox.store().delete(Kind::Pod, "db", &ordinal.pod(), None).expect("it is there");
    }

    /// Writes the slices of the ordinal's Service one after the other, as the EndpointSlice controller does.
    fn put_slices(&mut self, ordinal: Ordinal) {
        let is_swapped = self.random.below(2) == 0;
        let families = if is_swapped { [Family::V6, Family::V4] } else { Family::ALL };
        for family in families {
            if self.random.below(2) == 0 {
                thread::park_timeout(PAUSE);
            }
            let mut views = self.history.now(ordinal);
            views.slices[family as usize] = views.pod;
            self.history.set(ordinal, views);
            self.put_slice(ordinal.service, family);
        }
    }

    /// Writes what the EndpointSlice controller writes of the Pods in the store.
    pub fn put_slice(&self, service: usize, family: Family) {
        let endpoints = Ordinal::of(service).filter_map(|ordinal| {
            let (name, peer) = (ordinal.pod(), self.history.now(ordinal).pod);
            let pod = self.sandbox.store().get(Kind::Pod, "db", &name)?;
            Some(json!({
                "addresses": [family.address(peer.number()?)], "hostname": name,
                "conditions": { "ready": peer.is_ready() },
                "targetRef": { "kind": "Pod", "namespace": "db", "name": name, "uid": pod["metadata"]["uid"] },
            }))
        });
        self.put(Kind::EndpointSlice, slice_of(&format!("s{service}"), family, &endpoints.collect::<Vec<_>>()));
    }

    fn service(&self, name: &str) {
        self.put(
            Kind::Service,
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "db", "name": name },
                "spec": {
                    "clusterIP": "None", "selector": { "app": name }, "ipFamilies": ["IPv4", "IPv6"],
                    "ports": [{ "name": "sql", "port": 5432, "targetPort": 5432, "protocol": "TCP" }],
                },
            }),
        );
    }

    fn put(&self, kind: Kind, object: Value) {
        let (store, name) = (self.sandbox.store(), object["metadata"]["name"].as_str().expect("a name").to_owned());
        let is_there = store.get(kind, "db", &name).is_some();
        if is_there { store.update(kind, object) } else { store.create(kind, object) }.expect("a valid object");
    }

    fn next_pod(&mut self) -> u32 {
        self.pods += 1;
        self.pods
    }
}

/// A Pod of a StatefulSet.
fn pod_of(service: &str, name: &str, number: u32, is_ready: bool) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "namespace": "db", "name": name,
            "labels": { "app": service, "statefulset.kubernetes.io/pod-name": name },
        },
        "spec": { "hostname": name, "subdomain": service, "containers": [{ "name": "db", "image": "db" }] },
        "status": {
            "phase": "Running", "podIPs": Family::ALL.map(|family| json!({ "ip": family.address(number) })),
            "conditions": [{ "type": "Ready", "status": if is_ready { "True" } else { "False" } }],
        },
    })
}

fn slice_of(service: &str, family: Family, endpoints: &[Value]) -> Value {
    let name = match family {
        Family::V4 => service.to_owned(),
        Family::V6 => format!("{service}-v6"),
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "addressType": match family { Family::V4 => "IPv4", Family::V6 => "IPv6" },
        "metadata": { "namespace": "db", "name": name, "labels": {
            "kubernetes.io/service-name": service,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        } },
        "ports": [{ "name": "sql", "port": 5432, "protocol": "TCP" }],
        "endpoints": endpoints,
    })
}
