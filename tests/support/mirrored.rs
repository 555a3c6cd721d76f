//! A sandbox that is mirrored by the real watch code: what the tests of misbehaving API servers share.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headless_dns::app::{Mirror, MirrorConfig};
use headless_dns::authority::Authority;
use headless_dns::cluster::{
    self, Change, ClusterEvent, Connection, CredentialSource, Resource, Scope, Selection, Timing, read_json,
};
use headless_dns::dns::wire::WireOptions;
use headless_dns::index;
use headless_dns::server::Responder;
use headless_dns::state::State;
use headless_dns::table::{TableReader, table};
use headless_dns::telemetry::Reporting;
use headless_dns::telemetry::heartbeat::Heartbeats;
use headless_dns::telemetry::metrics::{Exporter, Format, Metrics, Transport};
use headless_dns::telemetry::readiness::Readiness;
use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};
use kube_sandbox::Sandbox;
use kube_sandbox::faults::{self, Fault, Verb};
use kube_sandbox::kind::Kind;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tower::service_fn;

use crate::support::common::{extended_errors, options, query};
use crate::support::expected::found;
use crate::support::log::{Keeping, Log};
use crate::support::rebuild::{Model, compare};
use crate::support::services::put;
pub use crate::support::services::{service, slice};

/// Longer than what these tests wait for. On a paused clock it is over after about two seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Polling interval for states that cannot be awaited.
pub const LOOK: Duration = Duration::from_millis(10);
/// The defaults, but without reconcile.
pub const TIMING: Timing = Timing { stale_after: Duration::from_secs(60), reconcile_every: Duration::ZERO };

/// The variable with which these tests have a server that speaks JSON alone: `HEADLESS_DNS_TEST_ENCODING=json`.
const ENCODING: &str = "HEADLESS_DNS_TEST_ENCODING";

/// How the mirror reaches the API.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// As a function: on a paused clock nothing takes longer than its work, and hours pass at once.
    InProcess,
    /// TCP, on a clock that runs.
    Sockets,
}

/// A cluster that can misbehave, and its mirror. All tasks run on the thread of the test, whose log is kept.
pub struct MirroredSandbox {
    pub sandbox: Sandbox,
    metrics: Arc<Metrics>,
    pub heartbeats: Heartbeats,
    pub readiness: Readiness,
    reader: TableReader,
    pub responder: Arc<Responder>,
    log: Log,
    requested: Requested,
    setting: Setting,
    stop: CancellationToken,
    mirror: AbortOnDropHandle<()>,
    _keeping: Keeping,
}

/// What a mirror is of, and what it has from the one before it.
struct Setting {
    link: Link,
    selection: Selection,
    /// Where it keeps its state.
    folder: Option<TempDir>,
}

/// Path and parameters of each request over [`Link::InProcess`].
type Requested = Arc<Mutex<Vec<String>>>;

/// How a mirror ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// As at SIGTERM: with a last state.
    Stopped,
    /// As at SIGKILL: with what was saved by then.
    Killed,
}

impl MirroredSandbox {
    /// Mirrors a sandbox with the Service `db/steady` and its slice. Returns when they are served.
    pub async fn start() -> Self {
        let mirrored = Self::start_with(kube_sandbox::Options::default(), |_| {}).await;
        mirrored.converge("at the start").await;
        mirrored
    }

    /// The same, after `prepare` has changed the sandbox. Does not wait.
    pub async fn start_with(options: kube_sandbox::Options, prepare: impl FnOnce(&Sandbox)) -> Self {
        Self::timed(TIMING, options, prepare).await
    }

    /// The same, with other times.
    pub async fn timed(timing: Timing, options: kube_sandbox::Options, prepare: impl FnOnce(&Sandbox)) -> Self {
        Self::over(Link::InProcess, Selection::of(vec![Scope::All], timing), options, prepare).await
    }

    /// The same, with another part of the cluster, and over another link.
    pub async fn over(
        link: Link,
        selection: Selection,
        options: kube_sandbox::Options,
        prepare: impl FnOnce(&Sandbox),
    ) -> Self {
        Self::mirror(sandbox(options, prepare).await, Setting { link, selection, folder: None }).await
    }

    /// The same, with a state on disk.
    pub async fn with_state(selection: Selection, prepare: impl FnOnce(&Sandbox)) -> Self {
        let folder = Some(tempfile::tempdir().expect("a folder"));
        let sandbox = sandbox(kube_sandbox::Options::default(), prepare).await;
        Self::mirror(sandbox, Setting { link: Link::InProcess, selection, folder }).await
    }

    /// Ends the mirror. The sandbox and the state remain.
    pub async fn end(self, end: End) -> Ended {
        let Self { sandbox, setting, stop, mirror, .. } = self;
        match end {
            End::Stopped => {
                stop.cancel();
                mirror.await.expect("no panic");
            }
            End::Killed => {
                mirror.abort();
                assert!(mirror.await.is_err_and(|error| error.is_cancelled()), "it ran");
            }
        }
        Ended { sandbox, setting }
    }

    async fn mirror(sandbox: Sandbox, setting: Setting) -> Self {
        let (log, keeping) = Log::of_this_thread();
        let requested = Requested::default();
        let connection = match setting.link {
            Link::InProcess => in_process(&sandbox, &requested),
            Link::Sockets => over_sockets(&sandbox).await,
        };
        let selection = setting.selection.clone();
        let open = |folder: &TempDir| State::open(folder.path(), &connection.url, &selection).expect("a folder");
        let state = setting.folder.as_ref().map(open);
        let (writer, reader) = table();
        let (readiness, metrics) = (Readiness::new(), Arc::new(Metrics::new()));
        let config = MirrorConfig { selection, index: index::Options::default(), state };
        let inspections = mpsc::channel(1).1;
        let reporting = Reporting { metrics: Arc::clone(&metrics), ..Reporting::default() };
        let heartbeats = reporting.heartbeats.clone();
        let mirror = Mirror { connection, config, table: writer, versions: None, inspections, reporting };
        let stop = CancellationToken::new();
        let mirror = mirror.run(&readiness, stop.clone());
        let authority = Arc::new(Authority::new(self::options()).expect("names that fit"));
        let wire = WireOptions { edns_udp_size: 1232, tcp_keepalive: 50 };
        Self {
            sandbox,
            responder: Arc::new(Responder::new(authority, reader.clone(), Arc::clone(&metrics), wire)),
            metrics,
            heartbeats,
            readiness,
            reader,
            log,
            requested,
            setting,
            stop,
            mirror: AbortOnDropHandle::new(tokio::spawn(mirror)),
            _keeping: keeping,
        }
    }

    pub fn inject(&self, fault: Fault) -> u64 {
        self.sandbox.faults().inject(fault).expect("a fault that can strike")
    }

    /// Makes the headless Service `db/NAME` have these endpoints, `NAME-0` and so on.
    pub fn put(&self, name: &str, endpoints: &[u8]) {
        put(&self.sandbox, name, endpoints);
    }

    /// Deletes a Service and its slice.
    pub fn remove(&self, name: &str) {
        for kind in [Kind::Service, Kind::EndpointSlice] {
            self.sandbox.store().delete(kind, "db", name, None).expect("it is there");
        }
    }

    /// Waits until the table is exactly what follows from the objects in the sandbox. Checks that what does not change is
    /// answered all the time.
    pub async fn converge(&self, when: &str) {
        let deadline = Instant::now() + PATIENCE;
        timeout_at(deadline, self.readiness.wait_ready()).await.unwrap_or_else(|_| {
            panic!("{when}: not ready: {:?}\n{:#?}", self.readiness.pending(), self.log());
        });
        loop {
            assert_eq!(self.addresses("steady"), Some(vec![Ipv4Addr::new(10, 0, 0, 1)]), "{when}: answered throughout");
            let began = Instant::now();
            let Some(difference) = self.difference() else { return };
            assert!(Instant::now() < deadline, "{when}: {difference}\n{:#?}", self.log());
            // The watch works on the same thread, and has at least as much of it.
            sleep(LOOK.max(began.elapsed())).await;
        }
    }

    /// Waits until `state` holds.
    pub async fn until(&self, what: &str, state: impl Fn(&Self) -> bool) {
        let reached = async {
            while !state(self) {
                sleep(LOOK).await;
            }
        };
        let is_reached = timeout(PATIENCE, reached).await.is_ok();
        assert!(is_reached, "never {what}: served {:#?}\n{:#?}", found(&self.reader.pin()), self.log());
    }

    /// The records that are missing or wrong by the objects in the sandbox, or else the first other difference.
    pub fn difference(&self) -> Option<String> {
        let mut model = Model::default();
        for change in [Change::RelistStarted, Change::RelistDone] {
            model.apply(&ClusterEvent::Pod(Scope::All, change));
        }
        for (kind, watched) in [
            (Kind::Service, Resource::Services),
            (Kind::EndpointSlice, Resource::EndpointSlices),
            (Kind::Pod, Resource::Pods),
        ] {
            for object in self.sandbox.store().list(kind, None).1 {
                let (update, problems) = read_json(watched, Scope::All, object.to_string().as_bytes()).expect("JSON");
                assert!(problems.is_empty(), "{problems:?}");
                model.apply(&update);
            }
        }
        model.check(&self.reader).and_then(|()| compare(&self.reader, &model.rebuild(), &BTreeSet::new())).err()
    }

    /// The A records of `NAME.db.svc.cluster.local`. None if there are none.
    pub fn addresses(&self, name: &str) -> Option<Vec<Ipv4Addr>> {
        addresses(&self.responder, name)
    }

    /// The Extended DNS Errors in the answer for `NAME.db.svc.cluster.local`.
    pub fn extended_errors_of(&self, name: &str) -> Vec<(u16, String)> {
        extended_errors(&answer(&self.responder, name))
    }

    /// Incremented by each publication that changes anything.
    pub fn serial(&self) -> u32 {
        self.reader.pin().serial()
    }

    /// The integral part of a counter or gauge, such as `watch_errors_total{resource="services",reason="gone"}`.
    pub fn metric(&self, series: &str) -> u64 {
        let text = Exporter::new(Arc::clone(&self.metrics)).encode(Format::Prometheus).expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix("headless_dns_")?.strip_prefix(series));
        let value: f64 = line.unwrap_or_else(|| panic!("no {series} in\n{text}")).trim().parse().expect("a number");
        value as u64
    }

    pub fn errors(&self, resource: &str, reason: &str) -> u64 {
        self.metric(&format!("watch_errors_total{{resource=\"{resource}\",reason=\"{reason}\"}}"))
    }

    /// The age of the watch of Services.
    pub fn watch_age(&self) -> Duration {
        self.metrics.watch_age(Resource::Services)
    }

    /// How many log lines contain `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log().iter().filter(|line| line.contains(text)).count()
    }

    /// How many requests of this kind the API has received.
    pub fn requests(&self, verb: Verb, resource: &str) -> u64 {
        let requests = self.sandbox.faults().requests();
        let of = requests.iter().filter(|(request, _)| request.verb == verb && request.resource == resource);
        of.map(|(_, count)| count).sum()
    }

    /// Path and parameters of each request so far, over [`Link::InProcess`].
    pub fn requested(&self) -> Vec<String> {
        self.requested.lock().expect("no panic").clone()
    }

    /// All warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        self.log().into_iter().filter_map(|line| line.strip_prefix("WARN ").map(str::to_owned)).collect()
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }
}

/// A mirror that has ended, and what it leaves.
pub struct Ended {
    pub sandbox: Sandbox,
    setting: Setting,
}

impl Ended {
    /// The file of the state.
    pub fn file(&self) -> PathBuf {
        self.setting.folder.as_ref().expect("a state").path().join("cluster.state")
    }

    /// The next mirror is of another part of the cluster.
    pub fn select(mut self, selection: Selection) -> Self {
        self.setting.selection = selection;
        self
    }

    /// Starts the next mirror. Does not wait.
    pub async fn start(self) -> MirroredSandbox {
        self.sandbox.faults().forget_requests();
        MirroredSandbox::mirror(self.sandbox, self.setting).await
    }
}

/// A sandbox without controllers that has the Service `db/steady` and what `prepare` adds.
async fn sandbox(options: kube_sandbox::Options, prepare: impl FnOnce(&Sandbox)) -> Sandbox {
    let protobuf = options.protobuf && !std::env::var(ENCODING).is_ok_and(|encoding| encoding == "json");
    let options = kube_sandbox::Options { controllers: None, protobuf, ..options };
    let sandbox = Sandbox::start(options).await.expect("a free port");
    put(&sandbox, "steady", &[1]);
    prepare(&sandbox);
    sandbox
}

fn in_process(sandbox: &Sandbox, requested: &Requested) -> Connection {
    let (api, requested) = (sandbox.in_process(), Arc::clone(requested));
    let service = service_fn(move |request: http::Request<kube::client::Body>| {
        requested.lock().expect("no panic").push(request.uri().to_string());
        let api = api.clone();
        async move { api.send(request).await }
    });
    Connection { client: kube::Client::new(service, "default"), url: "http://sandbox/".to_owned() }
}

async fn over_sockets(sandbox: &Sandbox) -> Connection {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    sandbox.write_kubeconfig(&path).expect("a file");
    let access = CredentialSource { kubeconfig: Some(path), context: None };
    cluster::connect(&access).await.expect("a kubeconfig")
}

/// The A records of `NAME.db.svc.cluster.local`. None if there are none.
pub fn addresses(responder: &Responder, name: &str) -> Option<Vec<Ipv4Addr>> {
    let answer = answer(responder, name);
    let addresses = answer.answers.iter().map(|record| match &record.data {
        RData::A(address) => address.0,
        other => panic!("{other}"),
    });
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort();
    (!addresses.is_empty()).then_some(addresses)
}

/// The answer for the A records of `NAME.db.svc.cluster.local`.
fn answer(responder: &Responder, name: &str) -> Message {
    let asked = query(&format!("{name}.db.svc.cluster.local."), RecordType::A).to_vec().expect("a message");
    let mut answer = Vec::new();
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
    assert!(responder.respond(&asked, client, Transport::Udp, &mut answer));
    Message::from_vec(&answer).expect("a message that can be read")
}

/// Every watch and list of one kind, or of both.
pub fn on(kind: Kind) -> faults::Scope {
    faults::Scope::kind(kind)
}
