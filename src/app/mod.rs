//! The only wiring: what is built from a configuration, in which order it starts, and how it ends.
//!
//! ```text
//! build, bind ──▶ App ──run──▶ watches ─▶ index ─▶ table ◀─ transports, admin ──shutdown──▶ drain
//! ```
//!
//! Everything that can be refused is refused in `build`: zones, credentials, addresses. After that the process lives
//! until it is told to end, with or without an API server. Only where an address is shared with another process it is
//! bound in `run`, once the cluster is known: clients that the kernel sends here would have been answered there.

mod listening;
mod mirror;
mod pace;
mod saver;
mod staleness;
mod threads;

use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::listening::Listening;
pub use self::mirror::{Mirrored, mirror};
use self::threads::Threads;
use crate::admin::{Admin, Records, Sources};
use crate::authority::{Authority, Identity, Options};
use crate::cluster::{self, Connection, CredentialError, CredentialSource};
use crate::config::Config;
use crate::diagnose::{Explainer, INSPECTIONS, Inspection};
use crate::dns::name::Name;
use crate::dns::wire::WireOptions;
use crate::server::{self, Responder, StreamLimits};
use crate::state::State;
use crate::table::{TableReader, TableWriter, table};
use crate::telemetry::metrics::{Exporter, Metrics};
use crate::telemetry::readiness::Readiness;

/// How long the transports may take to answer what had arrived when they were closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the state may take to be saved at the end. All time-outs together are well within the grace of a Pod.
const SAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Threads of the admin pages: one for a probe beside one that writes a whole zone.
const ADMIN_THREADS: usize = 2;
/// Units of the TCP keepalive option in a second (RFC 7828 section 3.1).
const KEEPALIVE_UNITS: u64 = 10;

/// A server that is bound and not running yet.
pub struct App {
    config: Config,
    cluster: Connection,
    state: Option<State>,
    listening: Listening,
    responder: Responder,
    admin: Option<Admin>,
    writer: TableWriter,
    inspections: mpsc::Receiver<Inspection>,
    reader: TableReader,
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

impl App {
    /// Binds every address and reads the credentials; nothing is sent to the API server yet.
    ///
    /// # Errors
    /// What of the configuration cannot be had, for a person to read.
    pub async fn build(config: Config) -> anyhow::Result<Self> {
        server::allow_files(config.tcp_max_connections);
        let cluster = connect(&config).await?;
        let selection = Mirrored::of(&config).selection;
        let state = config.state.as_deref().map(|folder| State::open(folder, &cluster.url, &selection)).transpose()?;
        let listening = Listening::new(&config)?;
        let metrics = Arc::new(Metrics::new());
        let (writer, reader) = table();
        let authority = Arc::new(Authority::new(served(&config))?);
        let keepalive = config.tcp_idle_timeout.as_secs().saturating_mul(KEEPALIVE_UNITS);
        let options = WireOptions {
            edns_udp_size: config.edns_udp_size,
            tcp_keepalive: keepalive.try_into().unwrap_or(u16::MAX),
        };
        let responder = Responder::new(Arc::clone(&authority), reader.clone(), Arc::clone(&metrics), options);
        let readiness = Readiness::new();
        let (index, inspections) = mpsc::channel(INSPECTIONS);
        let admin = match config.admin {
            None => None,
            Some(address) => {
                let sources = Sources {
                    readiness: readiness.clone(),
                    exporter: Exporter::new(Arc::clone(&metrics)),
                    explainer: Explainer::new(Arc::clone(&authority), reader.clone(), index),
                    records: Records::new(authority, reader.clone()),
                };
                let admin = Admin::bind(address, sources).await;
                Some(admin.with_context(|| format!("cannot listen on the admin address {address}; choose another with --admin, or none with --admin off"))?)
            }
        };
        Ok(Self {
            config,
            cluster,
            state,
            listening,
            responder,
            admin,
            writer,
            inspections,
            reader,
            metrics,
            readiness,
        })
    }

    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Serves until it is told to stop.
    ///
    /// # Errors
    /// A part of the server ended by itself, which none should, or an address that is shared cannot be had.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let shutdown = CancellationToken::new();
        let (config, readiness) = (self.config, self.readiness);
        let limits = StreamLimits {
            connections: config.tcp_max_connections,
            connections_per_client: config.tcp_max_connections_per_client,
            idle: config.tcp_idle_timeout,
        };
        let unwatched = CancellationToken::new();
        let mirrored = Mirrored { state: self.state, ..Mirrored::of(&config) };
        let (counted, unwatched_too) = (Arc::clone(&self.metrics), unwatched.clone());
        let mirror = mirror(self.cluster, mirrored, self.writer, self.inspections, &readiness, counted, unwatched_too);
        let mut mirror = tokio::spawn(mirror);
        let sockets = self.listening.sockets(self.admin.as_ref().map(Admin::address), &readiness, self.reader);
        let transports = answer(sockets, self.responder, limits, self.metrics, shutdown.clone());
        let streams = Threads::new("streams", available_parallelism().map_or(1, NonZero::get))?;
        let mut transports = streams.spawn(transports);
        // The admin pages tell of the drain too, so they are the last to go.
        let drained = CancellationToken::new();
        let admin_threads = Threads::new("admin", ADMIN_THREADS)?;
        let admin = admin_threads.spawn(serve_admin(self.admin, drained.clone()));

        let ended = tokio::select! {
            () = stop.begun() => Ok(()),
            ended = &mut mirror => Err(failure("the watch of the cluster", ended.map(Ok))),
            ended = &mut transports => Err(failure("answering", ended)),
        };
        // Whoever sends queries here learns of the end from the readiness page first, and is answered until then.
        // Nobody has been sent to a server that has not been ready.
        let was_ready = readiness.is_ready();
        let _stopping = readiness.block("the server is stopping");
        if ended.is_ok() && was_ready {
            let _ = timeout(config.drain_timeout, stop.now.cancelled()).await;
        }
        shutdown.cancel();
        if !transports.is_finished() && timeout(CLOSE_TIMEOUT, &mut transports).await.is_err() {
            tracing::warn!("closing connections that did not finish in time");
            transports.abort();
        }
        unwatched.cancel();
        if !mirror.is_finished() && timeout(SAVE_TIMEOUT, &mut mirror).await.is_err() {
            tracing::warn!("the state was not saved in time; the previous file is kept");
            mirror.abort();
        }
        drained.cancel();
        // A panic there has been logged; the end of the process is no time to fail for it.
        let _ = admin.await;
        ended
    }
}

/// How the process is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Go on answering for a while, no longer ready: what Kubernetes wants of a Pod that it takes away.
    pub drain: CancellationToken,
    /// Answer what has arrived and leave: what a person at a keyboard wants.
    pub now: CancellationToken,
}

impl Stop {
    /// Waits until either is said.
    pub async fn begun(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.now.cancelled() => {}
        }
    }
}

async fn connect(config: &Config) -> Result<Connection, CredentialError> {
    let access = CredentialSource { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
    cluster::connect(&access).await
}

/// Answers until `shutdown`, from when there are sockets.
async fn answer(
    sockets: impl Future<Output = anyhow::Result<server::Bound>>,
    responder: Responder,
    limits: StreamLimits,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let Some(sockets) = shutdown.run_until_cancelled(sockets).await else { return Ok(()) };
    sockets?.run(Arc::new(responder), limits, metrics, shutdown).await.context("answering failed")
}

async fn serve_admin(admin: Option<Admin>, shutdown: CancellationToken) {
    if let Some(admin) = admin {
        admin.run(shutdown).await;
    }
}

/// Why a part that runs for ever came to an end.
fn failure(part: &str, ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow!("{part} ended by itself"),
        Ok(Err(error)) => error,
        Err(error) => anyhow!(error).context(format!("{part} failed")),
    }
}

/// The zone file of `zone`, read from the cluster itself.
///
/// # Errors
/// The credentials cannot be used, or the zone is none that the configuration serves.
pub async fn read_zone(config: Config, zone: &Name) -> anyhow::Result<String> {
    let cluster = connect(&config).await?;
    let (writer, reader) = table();
    let readiness = Readiness::new();
    let records = Records::new(Arc::new(Authority::new(served(&config))?), reader.clone());
    let (unasked, stop) = (mpsc::channel(INSPECTIONS).1, CancellationToken::new());
    let mirror = mirror(cluster, Mirrored::of(&config), writer, unasked, &readiness, Arc::default(), stop);
    tokio::select! {
        () = mirror => Err(anyhow!("the watch of the cluster ended by itself")),
        () = readiness.wait_ready() => {
            // Latches fall when their task does, too.
            ensure!(reader.pin().is_synchronised(), "the watch of the cluster failed");
            records.zone_file(zone).with_context(|| format!("the zone {zone} is not served"))
        }
    }
}

/// What the authority serves.
fn served(config: &Config) -> Options {
    let name_server = if config.nameservers.is_empty() {
        config.listen.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect()
    } else {
        config.nameservers.clone()
    };
    Options {
        zones: config.zones.clone(),
        reverse_zones: config.reverse_zones.clone(),
        name_server,
        hostmaster: config.hostmaster.clone(),
        namespaces: config.namespaces.clone(),
        identity: Identity { version: config.chaos_version.clone(), id: config.chaos_id.clone() },
        ttl: config.ttl,
        negative_ttl: config.negative_ttl,
    }
}
