//! A cluster under a walkthrough's feet: `kubectl` to change it, the API's own record of what happened, and the server's
//! answers meanwhile.
//!
//! The cluster is the sandbox, or the one that `HEADLESS_DNS_WALKTHROUGH_KUBECONFIG` names: the steps are the same. What
//! they need is in the namespace `default`, and is deleted again at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::{self, Line, Running, bounded, command, dig, output_of, until};
use crate::support::program::Program;

/// A kubeconfig of a cluster to use in place of the sandbox.
const KUBECONFIG: &str = "HEADLESS_DNS_WALKTHROUGH_KUBECONFIG";

/// How long `kubectl` waits for something, as it is told so: less than a test waits for `kubectl`.
const KUBECTL_PATIENCE: &str = "--timeout=50s";

/// Where the walkthroughs take place.
const ZONE: &str = "default.svc.cluster.local";

/// A cluster with one manifest applied, and the program that serves it.
pub struct Cluster {
    pub program: Program,
    manifest: String,
    kubeconfig: PathBuf,
    /// For kubectl's cache, and the sandbox's kubeconfig.
    home: TempDir,
}

impl Cluster {
    /// Applies a manifest of `config/sandbox` and serves; none where a program is missing that every walkthrough needs.
    pub fn start(manifest: &str) -> Option<Self> {
        if peers::missing(&["kubectl", "dig", "nslookup"]) {
            return None;
        }
        let manifest = format!("{}/config/sandbox/{manifest}", env!("CARGO_MANIFEST_DIR"));
        let home = tempfile::tempdir().expect("a temporary folder");
        let given = env::var_os(KUBECONFIG).map(PathBuf::from);
        let kubeconfig = given.clone().unwrap_or_else(|| home.path().join("kubeconfig"));
        let path = kubeconfig.to_str().expect("UTF-8");
        let program = match given {
            None => Program::serve(&["--sandbox", &manifest, "--sandbox-kubeconfig", path]),
            Some(_) => Program::serve(&["--kubeconfig", path]),
        };
        program.until_synchronised();
        let cluster = Self { program, manifest, kubeconfig, home };
        cluster.apply();
        Some(cluster)
    }

    /// Runs `kubectl` with arguments written as on a command line, and gives what it prints.
    pub fn kubectl(&self, arguments: &str) -> String {
        output_of(
            bounded("kubectl")
                .args(arguments.split(' '))
                .env("KUBECONFIG", &self.kubeconfig)
                .env("HOME", self.home.path()),
        )
    }

    pub fn apply(&self) {
        self.kubectl(&format!("apply -f {}", self.manifest));
    }

    /// Deletes Pods that come back. kubectl's own waiting cannot be had here: it takes the next Pod of a name for the one
    /// that it deleted, and then waits for ever. What follows is in the [`Record`].
    pub fn delete_pods(&self, pods: &str) {
        self.kubectl(&format!("delete pods {pods} --wait=false"));
    }

    /// Deletes what the manifest made, and waits until the Pods are gone too.
    pub fn delete(&self, pods: &[&str]) {
        self.kubectl(&format!("delete -f {} --ignore-not-found", self.manifest));
        self.wait("delete", &pods.iter().map(|pod| format!("pod/{pod}")).collect::<Vec<_>>().join(" "));
    }

    /// `kubectl wait`.
    pub fn wait(&self, condition: &str, objects: &str) {
        self.kubectl(&format!("wait --for={condition} {objects} {KUBECTL_PATIENCE}"));
    }

    /// `kubectl rollout status`.
    pub fn wait_for_rollout(&self, stateful_set: &str) {
        self.kubectl(&format!("rollout status statefulset {stateful_set} {KUBECTL_PATIENCE}"));
    }

    /// A field of an object.
    pub fn field(&self, object: &str, path: &str) -> String {
        self.kubectl(&format!("get {object} -o jsonpath={{{path}}}"))
    }

    /// The names of the objects of a kind.
    pub fn names(&self, kind: &str) -> Vec<String> {
        let names = self.kubectl(&format!("get {kind} -o name"));
        names.lines().filter_map(|name| name.split('/').nth(1)).map(str::to_owned).collect()
    }

    /// A field of each of these Pods.
    pub fn pod_fields(&self, pods: &[&str], path: &str) -> Vec<String> {
        let pods = pods.join(" ");
        let columns = format!("--no-headers -o custom-columns=FIELD:{path}");
        self.kubectl(&format!("get pods {pods} {columns}")).lines().map(str::to_owned).collect()
    }

    fn pod_ips(&self, pods: &[&str]) -> Vec<String> {
        self.pod_fields(pods, ".status.podIP")
    }

    pub fn ip(&self, pod: &str) -> String {
        self.pod_ips(&[pod]).concat()
    }

    pub fn ips(&self, pods: &[&str]) -> BTreeSet<String> {
        self.pod_ips(pods).into_iter().collect()
    }

    /// `dig +short` for a name in the namespace.
    pub fn dig_short(&self, name: &str) -> BTreeSet<String> {
        peers::dig_short(self.program.dns, &fqdn(name))
    }

    /// Waits until a name has exactly these addresses. What the API says is in the answers a moment later.
    pub fn until_resolves(&self, name: &str, addresses: &BTreeSet<String>) {
        until(&format!("{name} with {addresses:?}"), || (self.dig_short(name) == *addresses).then_some(()));
    }

    /// Waits until each Pod's own name is exactly its address, and the Service's name all of them.
    pub fn until_published(&self, service: &str, pods: &[&str]) {
        let addresses = self.pod_ips(pods);
        for (pod, address) in pods.iter().zip(&addresses) {
            self.until_resolves(&format!("{pod}.{service}"), &BTreeSet::from([address.clone()]));
        }
        self.until_resolves(service, &addresses.into_iter().collect());
    }

    /// Waits until each of the names is NXDOMAIN.
    pub fn until_denied(&self, names: &[String]) {
        for name in names {
            let is_denied = || peers::dig_status(self.program.dns, &fqdn(name)) == "NXDOMAIN";
            until(&format!("NXDOMAIN for {name}"), || is_denied().then_some(()));
        }
    }

    /// The API's own record of what happens, from now on, to the objects at a path such as `pods`.
    pub fn record(&self, api: &str, resource: &str, selector: &str) -> Record {
        let path = format!("{api}/namespaces/default/{resource}?labelSelector={selector}");
        let list: Value = serde_json::from_str(&self.kubectl(&format!("get --raw {path}"))).expect("a list");
        let version = list["metadata"]["resourceVersion"].as_str().expect("a resourceVersion");
        let watch = format!("{path}&watch=true&resourceVersion={version}");
        let mut kubectl = command("kubectl");
        kubectl.args(["get", "--raw", &watch]).env("KUBECONFIG", &self.kubeconfig).env("HOME", self.home.path());
        Record(Running::start(&mut kubectl))
    }

    pub fn record_pods(&self, selector: &str) -> Record {
        self.record("/api/v1", "pods", selector)
    }

    pub fn record_slices(&self, service: &str) -> Record {
        self.record("/apis/discovery.k8s.io/v1", "endpointslices", &format!("kubernetes.io/service-name={service}"))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The sandbox ends with the program.
        if env::var_os(KUBECONFIG).is_some() && !thread::panicking() {
            self.kubectl(&format!("delete -f {} --ignore-not-found", self.manifest));
            for app in ["redis", "db"] {
                self.kubectl(&format!("delete persistentvolumeclaims -l app={app}"));
            }
        }
    }
}

/// The full name of one in the namespace.
pub fn fqdn(name: &str) -> String {
    format!("{name}.{ZONE}")
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: Instant,
    pub kind: String,
    pub object: Value,
}

impl Event {
    fn of(line: &Line) -> Self {
        let mut event: Value = serde_json::from_str(&line.text).unwrap_or_else(|_| panic!("no event: {}", line.text));
        let kind = event["type"].as_str().expect("a type").to_owned();
        Self { at: line.at, kind, object: event["object"].take() }
    }

    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub fn version(&self) -> u64 {
        self.object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse().ok()).expect("a number")
    }

    pub fn is_added(&self) -> bool {
        self.kind == "ADDED"
    }

    pub fn is_deleted(&self) -> bool {
        self.kind == "DELETED"
    }

    /// Whether it shows a Pod that is Ready and stays.
    pub fn is_ready(&self) -> bool {
        let conditions = self.object["status"]["conditions"].as_array();
        let is_ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        !self.is_deleted() && !self.is_leaving() && conditions.into_iter().flatten().any(is_ready)
    }

    /// Whether it shows an object that is being deleted.
    pub fn is_leaving(&self) -> bool {
        self.object["metadata"]["deletionTimestamp"].is_string()
    }
}

/// What the API recorded.
pub struct Record(Running);

impl Record {
    pub fn events(&self) -> Vec<Event> {
        self.0.lines().iter().map(Event::of).collect()
    }

    /// Waits until an event of each of these Pods shows what is wanted, and gives all events by then.
    pub fn until_each(&self, pods: &[&str], is_it: impl Fn(&Event) -> bool) -> Vec<Event> {
        self.0.until(&format!("events of {pods:?}"), |lines| {
            let events: Vec<_> = lines.iter().map(Event::of).collect();
            let is_there = |pod: &&str| events.iter().any(|event| event.name() == *pod && is_it(event));
            pods.iter().all(is_there).then_some(events)
        })
    }
}

/// The names of the Pods whose events show something, in the order in which the API recorded it.
pub fn order(events: &[Event], is_it: impl Fn(&Event) -> bool) -> Vec<&str> {
    events.iter().filter(|event| is_it(event)).map(Event::name).collect()
}

/// Holds that of each two Pods that follow each other, the first showed `then` before the second showed `next`.
///
/// Both the order of the events and their resourceVersions say so.
pub fn assert_one_by_one(
    pods: &[&str],
    events: &[Event],
    then: impl Fn(&Event) -> bool,
    next: impl Fn(&Event) -> bool,
) {
    let find = |pod: &str, is_it: &dyn Fn(&Event) -> bool| {
        let found = events.iter().enumerate().find(|(_, event)| event.name() == pod && is_it(event));
        let (place, event) = found.unwrap_or_else(|| panic!("no such event of {pod}: {:?}", order(events, |_| true)));
        (place, event.version())
    };
    for pair in pods.windows(2) {
        let (first, second) = (find(pair[0], &then), find(pair[1], &next));
        assert!(first.0 < second.0 && first.1 < second.1, "{pair:?}: {first:?} {second:?}");
    }
}

/// Addresses that were answered for a name, when it was asked for.
#[derive(Debug)]
pub struct Answered {
    pub asked: Instant,
    pub addresses: BTreeMap<String, BTreeSet<String>>,
}

/// Asks for names over and over until it is stopped.
pub struct Observer {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Answered>>,
}

impl Observer {
    pub fn start(server: SocketAddr, names: &[String]) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let questions = format!("+noall +answer {}", names.join(" "));
        let asking = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    answers.push(Answered { asked, addresses: by_owner(&dig(server, &questions)) });
                }
                answers
            }
        });
        Self { stop, asking }
    }

    pub fn stop(self) -> Vec<Answered> {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join().expect("every question was answered")
    }
}

/// The addresses of each owner in lines of `dig +answer`.
fn by_owner(lines: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut addresses = BTreeMap::<_, BTreeSet<_>>::new();
    for line in lines.lines() {
        let mut fields = line.split_whitespace();
        if let (Some(owner), Some(address)) = (fields.next(), fields.nth(3)) {
            addresses.entry(owner.trim_end_matches('.').to_owned()).or_default().insert(address.to_owned());
        }
    }
    addresses
}
