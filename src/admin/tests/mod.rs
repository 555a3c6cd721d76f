//! The pages as a client sees them.

mod page;
mod readers;
mod reload;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::MAX_HEAD;
use super::*;
use crate::authority::{Authority, Options};
use crate::dns::name::{Label, Name};
use crate::records::{Addresses, ServiceKey, ServiceKind, ServiceRecords, Silence, Stale};
use crate::server::{Serving, SharedServing};
use crate::table::{Publication, TableReader, TableWriter, table};
use crate::telemetry::heartbeat::Heartbeats;
use crate::telemetry::metrics::{Exporter, Metrics};
use crate::telemetry::readiness::Readiness;

const LONG: Duration = Duration::from_secs(20);

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn authority() -> Authority {
    Authority::new(Options::of_tests()).expect("zones that fit")
}

fn label(text: &str) -> Label {
    Label::parse(text).expect("a label")
}

/// The Service `namespace/service` with one virtual address.
fn service(namespace: &str, service: &str, address: [u8; 4]) -> Publication {
    let records = ServiceRecords {
        addresses: Addresses::from_iter([address.into()]),
        ..ServiceRecords::empty(ServiceKind::ClusterIp)
    };
    (ServiceKey::new(&label(namespace), &label(service)), Some(records))
}

/// Serves `a/x`, `a/y` and `b/x`.
struct Running {
    address: SocketAddr,
    probes: SocketAddr,
    reader: TableReader,
    heartbeats: Heartbeats,
    readiness: Readiness,
    writer: TableWriter,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        let (mut writer, reader) = table();
        writer.publish([
            service("a", "x", [10, 0, 0, 2]),
            service("a", "y", [10, 0, 0, 3]),
            service("b", "x", [10, 0, 0, 1]),
        ]);
        writer.set_synchronised();
        let (readiness, authority) = (Readiness::new(), Arc::new(authority()));
        let (heartbeats, metrics) = (Heartbeats::default(), Arc::new(Metrics::new()));
        let probes = Arc::new(ProbeSources {
            heartbeats: heartbeats.clone(),
            readiness: readiness.clone(),
            exporter: Exporter::new(Arc::clone(&metrics)),
            table: reader.clone(),
        });
        let sources = Sources {
            probes: Arc::clone(&probes),
            serving: SharedServing::new(Serving::of(authority)),
            metrics: Arc::clone(&metrics),
            // There is no index to ask.
            index: mpsc::channel(1).0,
            transfers: None,
            reload: None,
        };
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let admin = Listener::admin(loopback, sources).expect("bound");
        let probe_listener = Listener::probes(loopback, probes).expect("bound");
        let (address, probes, shutdown) = (admin.address(), probe_listener.address(), CancellationToken::new());
        tokio::spawn(probe_listener.run(shutdown.clone()));
        let task = tokio::spawn(admin.run(shutdown.clone()));
        Self { address, probes, reader, heartbeats, readiness, writer, metrics, shutdown, task }
    }

    /// The whole answer to `GET target`: status code, head, body.
    async fn get(&self, target: &str, headers: &str) -> (u16, String, String) {
        self.get_at(self.address, target, headers).await
    }

    async fn get_at(&self, address: SocketAddr, target: &str, headers: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {target} HTTP/1.0\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer)).await.expect("in time").expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn page(&self, target: &str) -> Value {
        let (status, _, body) = self.get(target, "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("a page")
    }
}

/// The beginning of the zone file.
const ZONE: &str = "cluster.local.\t5\tIN\tSOA\tns.dns.cluster.local. hostmaster.cluster.local. ";

fn keys(page: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let services = page["services"].as_array().expect("a list").iter();
    services.map(|service| format!("{}/{}", text(&service["namespace"]), text(&service["service"]))).collect()
}

#[tokio::test]
async fn it_is_alive_before_it_is_ready_and_says_what_is_pending() {
    let admin = Running::start().await;
    let latch = admin.readiness.block("services in all namespaces");
    assert_eq!(admin.get("/livez", "").await.0, 200);
    let (status, _, body) = admin.get("/readyz", "").await;
    assert_eq!((status, body.as_str()), (503, "pending: services in all namespaces\n"));
    drop(latch);
    let (status, _, body) = admin.get("/readyz", "").await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn it_is_not_alive_while_a_worker_or_the_index_is_stalled_and_names_it() {
    let admin = Running::start().await;
    // It is late at once, until it beats from then on.
    let worker = admin.heartbeats.register("UDP worker 0 on 127.0.0.1:53", Duration::ZERO);
    let _index = admin.heartbeats.register("the index", Duration::from_secs(60));
    for address in [admin.address, admin.probes] {
        let (status, _, body) = admin.get_at(address, "/livez", "").await;
        assert_eq!((status, body.as_str()), (503, "stalled: UDP worker 0 on 127.0.0.1:53 for 0 s\n"));
        assert_eq!(admin.get_at(address, "/readyz", "").await.0, 200, "that is another question");
    }
    worker.beat(std::time::Instant::now() + LONG);
    assert_eq!(admin.get_at(admin.probes, "/livez", "").await.2, "ok\n");
}

/// T2.
#[tokio::test]
async fn it_stays_ready_while_it_is_stale_and_says_since_when() {
    let mut admin = Running::start().await;
    let since = jiff::Timestamp::from_second(1_795_226_645).expect("a time");
    admin.writer.set_stale(Some(Stale { since, silence: Silence::Unreachable }));
    let (status, _, body) = admin.get("/readyz", "").await;
    assert_eq!(
        (status, body.as_str()),
        (200, "ok\nstale: no contact with the API server since 2026-11-21T02:04:05Z\n")
    );
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let admin = Running::start().await;
    let (_, head, body) = admin.get("/metrics", "").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("# TYPE headless_dns_requests_total counter\n"), "{body}");
    let (_, head, body) = admin.get("/metrics", "accept: application/openmetrics-text;version=1.0.0,*/*\r\n").await;
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn records_come_page_by_page() {
    let admin = Running::start().await;
    let first = admin.page("/records?limit=2").await;
    assert_eq!(keys(&first), ["a/x", "a/y"]);
    let token = first["continue"].as_str().expect("there is more");
    let second = admin.page(&format!("/records?limit=2&continue={token}")).await;
    assert_eq!((keys(&second), &second["continue"]), (vec!["b/x".to_owned()], &Value::Null));
    assert_eq!(admin.page("/records?limit=3").await["continue"], Value::Null);
}

#[tokio::test]
async fn records_are_chosen_by_namespace_and_service() {
    let admin = Running::start().await;
    assert_eq!(keys(&admin.page("/records?namespace=a").await), ["a/x", "a/y"]);
    assert_eq!(keys(&admin.page("/records?service=x").await), ["a/x", "b/x"]);
    assert_eq!(keys(&admin.page("/records?service=x&namespace=b").await), ["b/x"]);
    assert!(keys(&admin.page("/records?namespace=c").await).is_empty());
}

#[tokio::test]
async fn records_are_written_as_people_know_them() {
    let admin = Running::start().await;
    let (_, _, body) = admin.get("/records?namespace=b", "").await;
    let expected = r#"{"services":[{"namespace":"b","service":"x","kind":"ClusterIP","names":[{"name":"x.b.svc.cluster.local.","records":[{"type":"A","ttl":5,"data":"10.0.0.1"}]},{"name":"1.0.0.10.in-addr.arpa.","records":[{"type":"PTR","ttl":5,"data":"x.b.svc.cluster.local."}]}]}]}"#;
    assert_eq!(body, expected);
}

#[tokio::test]
async fn parameters_that_are_not_allowed_are_refused_with_those_that_are() {
    let admin = Running::start().await;
    for (target, message) in [
        ("/records?name=a", "unknown field `name`, expected one of `namespace`, `service`, `limit`, `continue`"),
        ("/records?limit=0", "limit: found 0; expected a whole number from 1 to 5000"),
        ("/records?limit=many", "invalid digit"),
        ("/records?continue=a", r#"continue: found "a"; expected the value of "continue" on the previous page"#),
        ("/zone?zone=a", "unknown field `zone`, expected `name`"),
        ("/zone", "missing field `name`"),
    ] {
        let (status, _, body) = admin.get(target, "").await;
        assert!(status == 400 && body.contains(message), "{target}: {status} {body}");
    }
}

#[tokio::test]
async fn a_zone_is_found_in_any_case_and_an_unknown_one_names_those_that_are_served() {
    let admin = Running::start().await;
    let (status, head, body) = admin.get("/zone?name=Cluster.Local.", "").await;
    assert!(status == 200 && body.starts_with(ZONE), "{status} {body}");
    assert!(head.contains("content-type: text/dns"), "{head}");
    let (status, _, body) = admin.get("/zone?name=example.com", "").await;
    assert_eq!(
        (status, body.as_str()),
        (404, "name: found \"example.com\", the served zones are cluster.local, in-addr.arpa\n")
    );
}

#[tokio::test]
async fn the_root_lists_the_pages_and_so_does_an_unknown_one() {
    let admin = Running::start().await;
    for (target, expected) in [("/", 200), ("/healthz", 404)] {
        let (status, _, body) = admin.get(target, "").await;
        assert_eq!(status, expected);
        assert!(
            ["/livez", "/readyz", "/metrics", "/records", "/zone", "/explain"].iter().all(|page| body.contains(page)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out_however_many_they_are() {
    let admin = Running::start().await;
    let mut silent = Vec::new();
    for _ in 0..2 * PLACES.all {
        silent.push(TcpStream::connect(admin.address).await.expect("connected"));
    }
    assert_eq!(admin.get("/livez", "").await.0, 200);
}

#[tokio::test]
async fn the_address_of_the_probes_shows_no_record() {
    let admin = Running::start().await;
    for page in ["/livez", "/readyz", "/metrics", "/"] {
        assert_eq!(admin.get_at(admin.probes, page, "").await.0, 200, "{page}");
    }
    for page in ["/records", "/zone?name=cluster.local", "/explain?name=x.a.svc.cluster.local"] {
        let (status, _, body) = admin.get_at(admin.probes, page, "").await;
        assert!(status == 404 && !body.contains("10.0.0.2"), "{page}: {status} {body}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let admin = Running::start().await;
    let long = format!("x-long: {}\r\n", "x".repeat(2 * MAX_HEAD));
    assert_eq!(admin.get("/livez", &long).await.0, 431);
}

#[tokio::test]
async fn stopping_ends_idle_connections_too() {
    let admin = Running::start().await;
    let idle = TcpStream::connect(admin.address).await.expect("connected");
    assert_eq!(admin.get("/livez", "").await.0, 200);
    admin.shutdown.cancel();
    timeout(LONG, admin.task).await.expect("stopped in time").expect("no panic");
    drop(idle);
}

#[tokio::test]
async fn a_zone_can_be_fetched_from_a_running_server() {
    let admin = Running::start().await;
    let zone = fetch_zone(admin.address, &name("cluster.local")).await.expect("the zone");
    assert!(zone.starts_with(ZONE), "{zone}");
    let wildcard = SocketAddr::from(([0, 0, 0, 0], admin.address.port()));
    assert!(fetch_zone(wildcard, &name("cluster.local")).await.is_ok());
    let error = fetch_zone(admin.address, &name("example.com")).await.expect_err("not served");
    assert!(error.to_string().contains("the served zones are cluster.local, in-addr.arpa"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let error = fetch_zone(address, &name("cluster.local")).await.expect_err("nobody");
    assert!(error.to_string().contains(&format!("no server answers at the admin address {address}")), "{error}");
}

/// With the clock paused, time passes as soon as everybody waits.
#[tokio::test(start_paused = true)]
async fn a_client_that_asks_nothing_or_asks_too_slowly_is_cut_off() {
    let admin = Running::start().await;
    for said in ["", "GET /livez HTTP/1.1\r\nhost: te"] {
        let mut stream = TcpStream::connect(admin.address).await.expect("connected");
        stream.write_all(said.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the server ends the connection");
        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn a_name_is_explained_and_the_status_tells_whether_it_resolves() {
    let admin = Running::start().await;
    for (name, status, text) in [
        ("x.a.svc.cluster.local", 200, "x.a.svc.cluster.local. resolves\n  A 10.0.0.2\n"),
        ("z.a.svc.cluster.local", 404, "z.a.svc.cluster.local. does not resolve: NXDOMAIN\n"),
        ("no%20name", 400, "name: \"no name\" may hold letters"),
    ] {
        let (found, _, body) = admin.get(&format!("/explain?name={name}"), "").await;
        assert!(found == status && body.starts_with(text), "{found} {body}");
    }
    let (status, _, body) = admin.get("/explain", "").await;
    assert_eq!(status, 400);
    assert!(body.contains("missing field `name`"), "{body}");
    let explanation = fetch_explanation(admin.address, "z.a.svc.cluster.local").await.expect("an explanation");
    assert!(!explanation.resolves && explanation.text.contains("NXDOMAIN"), "{explanation:?}");
}
