//! What several tests share: a server over records made from manifests, and a client that asks it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headless_dns::authority::{Authority, Options, PublicView};
use headless_dns::cluster::{Change, ClusterEvent, Scope, read_json};
use headless_dns::dns::name::Name;
use headless_dns::dns::wire::WireOptions;
use headless_dns::index::Index;
use headless_dns::resolver::{self, Resolver};
use headless_dns::server::{self, Bound, Responder, StreamLimits};
use headless_dns::table::{TableWriter, table};
use headless_dns::telemetry::Reporting;
use headless_dns::telemetry::heartbeat::Heartbeats;
use headless_dns::telemetry::metrics::{Metrics, Transport};
use headless_dns::transfer::{HistoryLimits, Policy, Primary, VersionWriter, versions};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::support::fixture::{objects, options, query};
pub use crate::support::reference::extended_errors;

/// No answer takes so long unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The zones that tests serve, with a public view.
pub fn with_public_view() -> Options {
    let name = |text| Name::parse(text).expect("a name");
    let name_servers = ["ns1.example.org", "ns2.example.org"].map(name).to_vec();
    Options { public: Some(PublicView { origin: name("peers.example.com"), name_servers }), ..options() }
}

/// A server on a free loopback port, stopped when dropped.
pub struct Server {
    pub address: SocketAddr,
    pub index: Index,
    pub writer: TableWriter,
    /// Where it answers encrypted.
    pub encrypted: Vec<(Transport, SocketAddr)>,
    /// Done when it has stopped.
    pub running: JoinHandle<std::io::Result<()>>,
    pub metrics: Arc<Metrics>,
    pub heartbeats: Heartbeats,
    /// Cuts versions of the zones, where they are handed out.
    pub versions: Option<VersionWriter>,
    stop: DropGuard,
}

pub const LIMITS: StreamLimits =
    StreamLimits { connections: 64, connections_per_client: 32, idle: Duration::from_secs(5) };

/// Enough for every test.
const HISTORY: HistoryLimits = HistoryLimits { versions: 64, octets: 64 << 20 };

pub const WIRE: WireOptions = WireOptions { edns_udp_size: 1232, tcp_keepalive: 50 };

impl Server {
    /// A server on loopback that has heard of no object yet and is not synchronised.
    pub fn start(options: Options, limits: StreamLimits) -> Self {
        Self::listening(SocketAddr::from(([127, 0, 0, 1], 0)), options, limits)
    }

    /// The same on an address of choice.
    pub fn listening(listen: SocketAddr, options: Options, limits: StreamLimits) -> Self {
        Self::bound(server::bind(&[listen], 1).expect("a free port"), options, limits)
    }

    /// The same on sockets of choice.
    pub fn bound(bound: Bound, options: Options, limits: StreamLimits) -> Self {
        Self::answering(bound, options, limits, WIRE)
    }

    /// The same with wire options of choice.
    pub fn answering(bound: Bound, options: Options, limits: StreamLimits, wire: WireOptions) -> Self {
        Self::with(bound, Authority::new(options).expect("names that fit"), limits, wire, |responder, _| {
            (responder, None)
        })
    }

    /// A server on loopback that hands out its zones, a public view among them, and is not synchronised yet.
    pub fn primary(bound: Bound, limits: StreamLimits, policy: Policy) -> Self {
        let authority = Arc::new(Authority::new(with_public_view()).expect("names that fit"));
        let of_primary = Arc::clone(&authority);
        let mut server = Self::of(bound, authority, limits, WIRE, |responder, metrics| {
            let (writer, reader) = versions(HISTORY);
            let primary = Primary::new(of_primary, reader, policy, Arc::clone(metrics));
            (responder.transferring(Arc::new(primary)), Some(writer))
        });
        server.writer.keep_changes();
        server
    }

    /// Cuts a version of what is published.
    pub fn cut(&mut self, serial: u32) {
        let changes = self.writer.take_changes();
        self.versions.as_mut().expect("versions").cut(serial, changes);
        self.writer.set_serial(serial);
    }

    /// A server on sockets of choice that asks others for what is not its own.
    pub fn forwarding(bound: Bound, options: Options, forward: resolver::Options) -> Self {
        let authority = Authority::new(options).expect("names that fit").forwarding();
        let forward = resolver::Options { trees: authority.elsewhere_trees(), ..forward };
        Self::with(bound, authority, LIMITS, WIRE, |responder, metrics| {
            let runtime = tokio::runtime::Handle::current();
            (responder.forwarding(Resolver::start(forward, &runtime, Arc::clone(metrics)).expect("upstreams")), None)
        })
    }

    fn with(
        bound: Bound,
        authority: Authority,
        limits: StreamLimits,
        wire: WireOptions,
        extend: impl FnOnce(Responder, &Arc<Metrics>) -> (Responder, Option<VersionWriter>),
    ) -> Self {
        Self::of(bound, Arc::new(authority), limits, wire, extend)
    }

    fn of(
        bound: Bound,
        authority: Arc<Authority>,
        limits: StreamLimits,
        wire: WireOptions,
        extend: impl FnOnce(Responder, &Arc<Metrics>) -> (Responder, Option<VersionWriter>),
    ) -> Self {
        let (writer, reader) = table();
        let metrics = Arc::new(Metrics::new());
        let responder = Responder::new(authority, reader, Arc::clone(&metrics), wire);
        let (responder, versions) = extend(responder, &metrics);
        let (address, encrypted) = (bound.addresses()[0], bound.encrypted_addresses().to_vec());
        let stop = CancellationToken::new();
        let reporting = Reporting { metrics: Arc::clone(&metrics), ..Reporting::default() };
        let heartbeats = reporting.heartbeats.clone();
        let running = tokio::spawn(bound.run(Arc::new(responder), limits, reporting, stop.clone()));
        let mut index = Index::default();
        // No Pods, as far as anybody knows.
        for change in [Change::RelistStarted, Change::RelistDone] {
            index.apply(ClusterEvent::Pod(Scope::All, change));
        }
        Self { address, index, writer, metrics, heartbeats, encrypted, running, versions, stop: stop.drop_guard() }
    }

    /// Tells it to stop; it ends when what is due has been answered.
    pub fn stop(self) -> JoinHandle<std::io::Result<()>> {
        drop(self.stop);
        self.running
    }

    /// Applies manifests (several YAML documents) and publishes what follows. Panics at an object with a problem.
    pub fn apply(&mut self, manifests: &str) {
        for object in objects(manifests) {
            let (watched, json) = object;
            let (update, problems) = read_json(watched, Scope::All, &json).expect("JSON");
            assert!(problems.is_empty(), "{problems:?}");
            self.index.apply(update);
        }
        self.writer.publish(self.index.take_publications());
        self.writer.publish_reasons(self.index.take_reasons());
    }

    /// The answer to one query as [`ask`] gives it.
    pub async fn ask(&self, name: &str, record_type: RecordType) -> Message {
        exchange(self.address, &query(name, record_type), false).await.expect("an answer")
    }
}

/// Sends octets and waits for the answer's; none if none comes over TCP because the server closes the connection.
pub async fn exchange_octets(server: SocketAddr, query: &[u8], tcp: bool) -> Option<Vec<u8>> {
    timeout(PATIENCE, async {
        if tcp {
            let mut stream = TcpStream::connect(server).await.ok()?;
            stream.write_all(&framed(query)).await.ok()?;
            read_framed(&mut stream).await
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0").await.ok()?;
            // From nobody else: the port may have been that of a test to which something late is still sent.
            socket.connect(server).await.ok()?;
            socket.send(query).await.ok()?;
            let mut answer = vec![0; 65_535];
            let length = socket.recv(&mut answer).await.ok()?;
            answer.truncate(length);
            Some(answer)
        }
    })
    .await
    .expect("an answer in time")
}

/// A message as it goes over a stream, with its length before it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("a message").to_be_bytes(), message].concat()
}

/// The next message of a stream; none at its end.
pub async fn read_framed(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let length = stream.read_u16().await.ok()?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}

/// Sends a message and reads the answer.
pub async fn exchange(server: SocketAddr, query: &Message, tcp: bool) -> Option<Message> {
    let answer = exchange_octets(server, &query.to_vec().expect("a message"), tcp).await?;
    Some(Message::from_vec(&answer).expect("a message that can be read"))
}
