//! Warm starts of the program itself: what was known is served, as stale, before the API server is heard, and gives way to the
//! truth once that is known whole.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{RData, RecordType};
use kube_sandbox::faults::{Fault, Scope, Verb};
use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::common::{exchange, extended_errors, query};
use crate::support::mirrored;
use crate::support::peers::until;
use crate::support::program::{Program, message, run_program};

/// *Stale Answer* and *Not Ready*, RFC 8914.
const STALE: u16 = 3;
const NOT_READY: u16 = 14;
const SERVING: &str = "serving the saved state until synchronised with the cluster";
const RESUMED: &str = "the watch goes on where the saved state ends; nothing has to be listed";

/// A cluster whose API server comes and goes, and the folder of a program that serves it.
struct Cluster {
    sandbox: Sandbox,
    folder: TempDir,
}

impl Cluster {
    /// With the Services `pg` at 10.0.0.1 and `gone` at 10.0.0.6 in namespace `db`.
    async fn start() -> Self {
        let options = Options { controllers: None, ..Options::default() };
        let sandbox = Sandbox::start(options).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("a file");
        let cluster = Self { sandbox, folder };
        cluster.put("pg", 1);
        cluster.put("gone", 6);
        cluster
    }

    /// The program, which has heard of the cluster or of nothing but its state.
    fn serve(&self) -> Program {
        let path = |name: &str| self.folder.path().join(name).to_str().expect("UTF-8").to_owned();
        let (kubeconfig, state) = (path("kubeconfig"), path("state"));
        Program::serve(&["--kubeconfig", &kubeconfig, "--state", &state, "--drain-timeout", "0"])
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("state/cluster.state")
    }

    /// Runs the program until it has heard of everything, and ends it.
    fn serve_once(&self) {
        let program = self.serve();
        program.until_synchronised();
        program.signal("TERM");
        let (code, log) = program.end();
        assert_eq!(code, Some(0), "{log}");
    }

    fn take_down(&self) -> u64 {
        let down = self.sandbox.faults().inject(Fault::Down { milliseconds: None }).expect("a fault");
        until("the end of the API", || TcpStream::connect(self.sandbox.address()).is_err().then_some(()));
        down
    }

    fn forbid(&self, kind: Kind) -> u64 {
        let fault = Fault::Answer { on: Scope::kind(kind), code: 403, retry_after: None, times: None };
        self.sandbox.faults().inject(fault).expect("a fault")
    }

    /// Makes the headless Service `db/NAME` have one endpoint, `NAME-0`.
    fn put(&self, name: &str, last: u8) {
        self.put_object(Kind::Service, name, mirrored::service(name));
        self.put_object(Kind::EndpointSlice, name, mirrored::slice(name, &[last]));
    }

    fn put_object(&self, kind: Kind, name: &str, object: Value) {
        let store = self.sandbox.store();
        let is_there = store.get(kind, "db", name).is_some();
        if is_there { store.update(kind, object) } else { store.create(kind, object) }.expect("a valid object");
    }
}

/// Response code, addresses and extended errors of an answer.
type Said = (ResponseCode, Vec<Ipv4Addr>, Vec<u16>);

async fn ask(program: &Program, name: &str) -> Said {
    let asked = query(&format!("{name}.db.svc.cluster.local."), RecordType::A);
    let answer = exchange(program.dns, &asked, false).await.expect("an answer");
    let addresses = answer.answers.iter().map(|record| match &record.data {
        RData::A(address) => address.0,
        other => panic!("{other}"),
    });
    let errors = extended_errors(&answer).into_iter().map(|(code, _)| code).collect();
    (answer.metadata.response_code, addresses.collect(), errors)
}

fn is_stale(said: &Said) -> bool {
    said.2.contains(&STALE)
}

fn found(last: u8, errors: &[u16]) -> Said {
    (ResponseCode::NoError, vec![Ipv4Addr::new(10, 0, 0, last)], errors.to_vec())
}

fn warnings(program: &Program) -> Vec<String> {
    let of = |level| move |entry: &Value| entry["level"] == level;
    program.log().iter().filter(|entry| of("WARN")(entry)).map(|entry| message(entry).to_owned()).collect()
}

/// T1, T2.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_the_api_server_is_away_serves_what_was_known_as_stale_until_everything_is_heard() {
    let cluster = Cluster::start().await;
    cluster.serve_once();
    let down = cluster.take_down();
    cluster.put("pg", 2);
    cluster.put("new", 9);
    for kind in [Kind::Service, Kind::EndpointSlice] {
        cluster.sandbox.store().delete(kind, "db", "gone", None).expect("it is there");
    }

    let program = cluster.serve();
    program.until_logged("the state", |entry| message(entry) == SERVING);
    until("readiness", || (program.page("/readyz").0 == 200).then_some(()));
    let is_stale_for =
        |why: &str| program.page("/readyz").1.starts_with(&format!("ok\nstale: {why} since 20")).then_some(());
    until("no contact", || is_stale_for("no contact with the API server"));
    assert_eq!(ask(&program, "pg").await, found(1, &[STALE]));
    assert_eq!(ask(&program, "gone").await, found(6, &[STALE]));
    let absent = ask(&program, "new").await;
    assert!(absent.0 == ResponseCode::NXDomain && is_stale(&absent), "{absent:?}");
    until("a number", || (!program.page("/metrics").1.contains("headless_dns_stale_seconds 0.0")).then_some(()));

    // One watch after the other: half the truth is as stale as none.
    let forbidden = cluster.forbid(Kind::EndpointSlice);
    cluster.sandbox.faults().remove(down);
    program.until_logged("the Services", |entry| message(entry) == RESUMED && entry["resource"] == "services");
    until("a refusal", || is_stale_for("the API server refuses (403 Forbidden): no word from the cluster"));
    assert_eq!(ask(&program, "pg").await, found(1, &[STALE]));

    cluster.sandbox.faults().remove(forbidden);
    program.until_synchronised();
    assert_eq!(ask(&program, "pg").await, found(2, &[]));
    assert_eq!(ask(&program, "new").await, found(9, &[]));
    let gone = ask(&program, "gone").await;
    assert!(gone.0 == ResponseCode::NXDomain && !is_stale(&gone), "{gone:?}");
    assert_eq!(program.page("/readyz"), (200, "ok\n".to_owned()));
    cluster.sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_first_is_saved_at_once_and_survives_a_process_that_is_killed() {
    let cluster = Cluster::start().await;
    let program = cluster.serve();
    program.until_synchronised();
    until("the file", || cluster.file().exists().then_some(()));
    // It is killed when dropped.
    drop(program);
    cluster.take_down();
    let program = cluster.serve();
    program.until_logged("the state", |entry| message(entry) == SERVING);
    assert_eq!(ask(&program, "pg").await, found(1, &[STALE]));
    // What was never heard of again is as old at the next start.
    let saved = fs::read(cluster.file()).expect("a file");
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));
    assert_eq!(fs::read(cluster.file()).expect("a file"), saved);
}

/// T5. A list of one object is the question by which the server is known, and a watch the request that goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_and_started_again_lists_nothing_and_learns_what_it_missed() {
    let cluster = Cluster::start().await;
    cluster.put("changed", 3);
    cluster.put("late", 4);
    cluster.put_object(Kind::Pod, "pg-0", pod());
    let program = cluster.serve();
    program.until_synchronised();
    until("the Pods", || heard_pods(&program).then_some(()));
    until("their positions", || {
        let file = fs::read(cluster.file()).ok()?;
        [&b"\x08services"[..], b"\x0eendpointslices", b"\x04pods"]
            .iter()
            .all(|name| file.windows(name.len()).any(|part| part == *name))
            .then_some(())
    });
    // It is killed when dropped.
    drop(program);
    cluster.put("changed", 5);
    for kind in [Kind::Service, Kind::EndpointSlice] {
        cluster.sandbox.store().delete(kind, "db", "late", None).expect("it is there");
    }
    let faults = cluster.sandbox.faults();
    faults.forget_requests();
    let program = cluster.serve();
    program.until_logged("the state", |entry| message(entry) == SERVING);
    program.until_synchronised();
    assert_eq!(ask(&program, "changed").await, found(5, &[]));
    assert_eq!(ask(&program, "late").await.0, ResponseCode::NXDomain);
    for resource in ["services", "endpointslices", "pods"] {
        program.until_logged(resource, |entry| message(entry) == RESUMED && entry["resource"] == resource);
    }
    let requests: Vec<_> =
        faults.requests().into_iter().map(|(request, count)| (request.verb, request.resource, count)).collect();
    let expected = [Verb::List, Verb::Watch]
        .into_iter()
        .flat_map(|verb| ["pods", "services", "endpointslices"].map(|resource| (verb, resource.to_owned(), 1)));
    assert_eq!(requests, expected.collect::<Vec<_>>());
    assert!(!heard_pods(&program), "{}", program.page("/metrics").1);
    cluster.sandbox.shutdown().await;
}

fn heard_pods(program: &Program) -> bool {
    let heard = "headless_dns_watch_events_total{resource=\"pods\",event=\"relist\"} 1\n";
    program.page("/metrics").1.contains(heard)
}

/// The ready Pod `pg-0` of a StatefulSet.
fn pod() -> Value {
    let labels = json!({ "app": "pg", "statefulset.kubernetes.io/pod-name": "pg-0" });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "namespace": "db", "name": "pg-0", "labels": labels },
        "spec": { "hostname": "pg-0", "subdomain": "pg", "containers": [{ "name": "pg", "image": "pg" }] },
        "status": {
            "podIPs": [{ "ip": "10.0.0.1" }], "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

/// T1.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_damaged_is_warned_of_by_name_and_not_served() {
    let cluster = Cluster::start().await;
    cluster.serve_once();
    let mut octets = fs::read(cluster.file()).expect("a file");
    *octets.last_mut().expect("octets") ^= 1;
    fs::write(cluster.file(), octets).expect("written");
    let down = cluster.take_down();
    let program = cluster.serve();
    program.until_logged("a warning", |entry| message(entry).contains("is ignored"));
    let expected =
        format!("the saved state in {} is ignored: it is corrupt at or after byte 16", cluster.file().display());
    assert!(warnings(&program).contains(&expected), "{:?}", warnings(&program));
    assert_eq!(ask(&program, "pg").await, (ResponseCode::ServFail, vec![], vec![NOT_READY]));
    assert_eq!(program.page("/readyz").0, 503);
    cluster.sandbox.faults().remove(down);
    program.until_synchronised();
    assert_eq!(ask(&program, "pg").await, found(1, &[]));
}

/// Pods that were known speak for themselves until slices are heard that may be younger.
#[tokio::test(flavor = "multi_thread")]
async fn pods_of_the_last_run_give_way_to_slices_where_pods_may_no_longer_be_watched() {
    let cluster = Cluster::start().await;
    cluster.put_object(Kind::Pod, "pg-0", pod());
    let mut service = mirrored::service("pg");
    service["spec"]["selector"] = json!({ "app": "pg" });
    cluster.put_object(Kind::Service, "pg", service);
    let slice = |last: u8| {
        let mut slice = mirrored::slice("pg", &[last]);
        slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] =
            "endpointslice-controller.k8s.io".into();
        let pod = cluster.sandbox.store().get(Kind::Pod, "db", "pg-0").expect("the Pod");
        slice["endpoints"][0]["targetRef"] =
            json!({ "kind": "Pod", "namespace": "db", "name": "pg-0", "uid": pod["metadata"]["uid"] });
        slice
    };
    cluster.put_object(Kind::EndpointSlice, "pg", slice(1));
    let program = cluster.serve();
    program.until_synchronised();
    until("the Pods", || heard_pods(&program).then_some(()));
    program.signal("TERM");
    assert_eq!(program.end().0, Some(0));

    let down = cluster.take_down();
    cluster.put_object(Kind::EndpointSlice, "pg", slice(2));
    let program = cluster.serve();
    program.until_logged("the state", |entry| message(entry) == SERVING);
    assert_eq!(ask(&program, "pg").await, found(1, &[STALE]));
    cluster.forbid(Kind::Pod);
    cluster.sandbox.faults().remove(down);
    program.until_synchronised();
    assert_eq!(ask(&program, "pg").await, found(2, &[]));
}

#[test]
fn a_folder_that_cannot_be_written_ends_it_and_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (file, state) = (path("kubeconfig"), path("kubeconfig/state"));
    let text = "apiVersion: v1\nkind: Config\ncurrent-context: here\nusers: [{name: me, user: {}}]\n\
                clusters: [{name: here, cluster: {server: 'http://127.0.0.1:9'}}]\n\
                contexts: [{name: here, context: {cluster: here, user: me}}]\n";
    fs::write(&file, text).expect("written");
    let ports = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let ran = run_program(&[&ports[..], &["--kubeconfig", &file, "--state", &state]].concat());
    let expected = format!(
        "error: cannot keep state in {state}: Not a directory (os error 20); set --state to a writable \
         directory, or leave it unset\n"
    );
    assert_eq!((ran.code, ran.stderr), (Some(1), expected));
}
