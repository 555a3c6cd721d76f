//! What a page of a large cluster costs in memory, in a process that counts what it has allocated. A binary of its own, so that
//! nothing else in it allocates meanwhile.

#[path = "support/counting.rs"]
#[allow(dead_code, reason = "octets are asked for, not blocks")]
mod counting;
#[path = "support/fixture.rs"]
#[allow(dead_code, reason = "pages are asked for over HTTP")]
mod fixture;

use std::env;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use counting::{IN_USE, PEAK};
use headless_dns::admin::{Listener, ProbeSources, Sources};
use headless_dns::authority::Authority;
use headless_dns::dns::name::Label;
use headless_dns::records::{Addresses, Hosts, ServiceKey, ServiceKind, ServiceRecords, Srv, SrvByOwner, SrvTarget};
use headless_dns::server::{Serving, SharedServing};
use headless_dns::table::{Publication, TableReader, table};
use headless_dns::telemetry::heartbeat::Heartbeats;
use headless_dns::telemetry::metrics::{Exporter, Metrics};
use headless_dns::telemetry::readiness::Readiness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Many Services: with 10,000 there are as many endpoints as Kubernetes is tested with. What a page costs is the same with fewer, and a page
/// that were kept whole would be longer than `most`.
const MANY: Cluster = Cluster { services: 2_000, endpoints: 15, most: 1024 * 1024 };
/// The number of those Services, if it is to be another one.
const SERVICES: &str = "HEADLESS_DNS_PAGE_SERVICES";
/// Services as large as Kubernetes is tested with.
const LARGE: Cluster = Cluster { services: 2, endpoints: 5_000, most: 10 * 1024 * 1024 };
/// What a page has for each endpoint at least, octets, as far as it shows endpoints: a short page would prove nothing.
const LEAST_OF_ENDPOINT: usize = 15;
const PATIENCE: Duration = Duration::from_secs(120);

struct Cluster {
    services: usize,
    /// Of each Service.
    endpoints: usize,
    /// What a page may cost, octets.
    most: usize,
}

/// The headless Service `default/dbN`, with one port.
fn service(number: usize, endpoints: usize) -> Publication {
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (number * endpoints) as u32;
    let label = |text: String| Label::parse(&text).expect("a label");
    let addresses: Vec<_> = (0..endpoints as u32).map(|i| Ipv4Addr::from(first + i).into()).collect();
    let hosts = addresses
        .iter()
        .enumerate()
        .map(|(i, address)| (label(format!("db{number:05}-{i:05}")).as_wire().to_vec(), [*address]));
    let srv: Arc<[Srv]> = (0..endpoints as u32).map(|i| Srv { port: 5432, target: SrvTarget::Host(i) }).collect();
    let records = ServiceRecords {
        addresses: Addresses::from_iter(addresses.iter().copied()),
        hosts: Hosts::from_iter(hosts),
        srv: SrvByOwner::from_iter([(Box::from(b"\x04_sql\x04_tcp".as_slice()), Arc::clone(&srv))]),
        all_srv: srv,
        ..ServiceRecords::empty(ServiceKind::Headless)
    };
    (ServiceKey::new(&label("default".to_owned()), &label(format!("db{number:05}"))), Some(records))
}

fn listener(reader: &TableReader) -> Listener {
    let authority = Arc::new(Authority::new(fixture::options()).expect("zones that fit"));
    let metrics = Arc::new(Metrics::new());
    let sources = Sources {
        probes: Arc::new(ProbeSources {
            heartbeats: Heartbeats::default(),
            readiness: Readiness::new(),
            exporter: Exporter::new(Arc::clone(&metrics)),
            table: reader.clone(),
        }),
        serving: SharedServing::new(Serving::of(authority)),
        metrics,
        // There is no index to ask.
        index: mpsc::channel(1).0,
        transfers: None,
        reload: None,
    };
    Listener::admin(([127, 0, 0, 1], 0).into(), sources).expect("a free port")
}

/// Reads a page and keeps none of it; gives its length.
async fn read(server: SocketAddr, page: &str) -> usize {
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    stream.write_all(format!("GET {page} HTTP/1.0\r\n\r\n").as_bytes()).await.expect("sent");
    let mut buffer = vec![0; 16 * 1024];
    let mut length = 0;
    loop {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time").expect("a page") {
            0 => return length,
            count => length += count,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_costs_no_more_however_many_services_there_are_and_10_mb_at_most_if_they_are_large() {
    let services = env::var(SERVICES).map_or(MANY.services, |number| number.parse().expect("a number"));
    for Cluster { services, endpoints, most } in [Cluster { services, ..MANY }, LARGE] {
        let (mut writer, reader) = table();
        writer.publish((0..services).map(|number| service(number, endpoints)));
        writer.set_synchronised();
        let listener = listener(&reader);
        let (address, stop) = (listener.address(), CancellationToken::new());
        let running = tokio::spawn(listener.run(stop.clone()));
        for page in [
            "/zone?name=cluster.local",
            "/zone?name=in-addr.arpa",
            "/records?limit=5000",
            "/services?limit=200",
            "/metrics",
        ] {
            let before = IN_USE.load(Ordering::SeqCst);
            PEAK.store(before, Ordering::SeqCst);
            let length = read(address, page).await;
            let cost = PEAK.load(Ordering::SeqCst) - before;
            let is_short = matches!(page, "/metrics" | "/services?limit=200");
            let least = if is_short { 0 } else { services * endpoints * LEAST_OF_ENDPOINT };
            assert!(length > least, "{page}: {length} octets");
            assert!(cost <= most, "{page} of {services} Services of {endpoints}: {cost} octets for one of {length}");
            println!("{page} of {services} Services of {endpoints}: {cost} octets for one of {length}");
        }
        stop.cancel();
        running.await.expect("no panic");
    }
}
