//! The wiring: what is built from a configuration, in which order it starts, and how it ends.
//!
//! ```text
//! App::build   credentials, addresses, zones: whatever can be refused is refused here
//!   └▶ run     mirror.rs: watches ─▶ index ─▶ table ◀─ transports (listening.rs), admin
//!        └▶ shutdown.rs: drain, then each task in its order
//! ```
//!
//! Once built, the server runs until it is told to stop, with or without an API server. Addresses are bound in `build`, except
//! one that is shared with another process: it is bound in `run` after synchronisation, because from then on the kernel
//! sends clients here that the other process would have answered.

mod budget;
mod files;
mod forwarding;
mod listening;
mod mirror;
mod publisher;
mod reload;
mod saver;
mod shutdown;
mod staleness;
mod synchronisation;
mod taps;
mod threads;
mod throttle;
mod transfers;
mod versions;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::budget::Budget;
pub use self::files::{FileProblem, check_files};
use self::forwarding::Upstreams;
use self::listening::{Listening, Pages};
pub use self::mirror::{Mirror, MirrorConfig};
use self::reload::Reloadable;
pub use self::reload::{Load, Reloading, SetLogFilter};
pub use self::shutdown::Stop;
use self::shutdown::{Stoppable, Tasks};
use self::taps::TapStarter;
pub use self::threads::{Threads, cores};
use self::transfers::Transfers;
pub use self::versions::VersionCutter;
use crate::admin::{Listener, ProbeSources, Records, Sources};
use crate::authority::{Authority, Identity, Options, PublicView};
use crate::cluster::{self, Connection, CredentialError, CredentialSource};
use crate::config::Config;
use crate::diagnose::INSPECTIONS;
use crate::dns::name::Name;
use crate::dns::wire::WireOptions;
use crate::server::{self, Responder, Serving, SharedServing, StreamLimits};
use crate::state::State;
use crate::table::{TableReader, table};
use crate::telemetry::Reporting;
use crate::telemetry::heartbeat::Heartbeats;
use crate::telemetry::metrics::{Exporter, Metrics};
use crate::telemetry::readiness::Readiness;

/// Octets of a mebibyte, in which memory is configured.
const MIB: usize = 1024 * 1024;
/// Threads of the admin pages: one for each client that may read records at a time.
const ADMIN_THREADS: usize = 2;
/// Threads of the probes, which wait for no other page.
const PROBE_THREADS: usize = 1;
/// How long [`read_zone`] waits for the cluster, and how often it says meanwhile what for.
const READ_LIMIT: Duration = Duration::from_secs(60);
const READ_PROGRESS: Duration = Duration::from_secs(5);
/// Units of the TCP keepalive option in a second (RFC 7828 section 3.1).
const KEEPALIVE_UNITS: u64 = 10;

/// A server that is bound and not running yet.
pub struct App {
    config: Config,
    mirror: Mirror,
    listening: Listening,
    responder: Responder,
    serving: SharedServing,
    upstreams: Option<Upstreams>,
    transfers: Option<Transfers>,
    tap_starter: TapStarter,
    reloading: Reloading,
    admin: Option<Listener>,
    probes: Option<Listener>,
    table: TableReader,
    reporting: Reporting,
    readiness: Readiness,
}

impl App {
    /// Binds every address that is not shared and reads the credentials. Sends nothing to the API server yet.
    ///
    /// # Errors
    /// The part of the configuration that cannot be used, for a person to read.
    pub async fn build(config: Config, reloading: Reloading) -> anyhow::Result<Self> {
        server::allow_files(config.tcp_max_connections + forwarding::files(&config));
        if let Some(warning) = Budget::of(&config).warning() {
            tracing::warn!("{warning}");
        }
        let connection = connect(&config).await?;
        let mut mirrored = MirrorConfig::new(&config);
        if let Some(folder) = &config.state {
            mirrored.state = Some(State::open(folder, &connection.url, &mirrored.selection)?);
        }
        let listening = Listening::new(&config)?;
        let (metrics, readiness) = (Arc::new(Metrics::new()), Readiness::new());
        let reporting = Reporting { metrics: Arc::clone(&metrics), heartbeats: Heartbeats::default() };
        let (writer, table) = table();
        let authority = Arc::new(forwarding::authority(&config, Authority::new(served(&config))?));
        metrics.expect_zones(authority.all_zones().map(|zone| zone.apex().to_string()));
        let upstreams = Upstreams::start(&config, &authority, &metrics)?;
        let parts = transfers::Parts::new(&config, &authority, &metrics)?;
        let (primary, versions, transfers) = match parts {
            Some(transfers::Parts { primary, versions, transfers }) => (Some(primary), Some(versions), Some(transfers)),
            None => (None, None, None),
        };
        let resolver = upstreams.as_ref().map(|upstreams| upstreams.resolver.clone());
        let mut tap_starter = TapStarter::new(&metrics);
        let taps = tap_starter.start(&config, None)?;
        let serving = SharedServing::new(Serving { authority, resolver, primary, taps });
        let responder = Responder::of(serving.clone(), table.clone(), Arc::clone(&metrics), wire_options(&config));
        let (index, inspections) = mpsc::channel(INSPECTIONS);
        let probe_sources = Arc::new(ProbeSources {
            heartbeats: reporting.heartbeats.clone(),
            readiness: readiness.clone(),
            exporter: Exporter::new(Arc::clone(&metrics)),
            table: table.clone(),
        });
        let sources = Sources {
            probes: Arc::clone(&probe_sources),
            serving: serving.clone(),
            metrics: Arc::clone(&metrics),
            index,
            transfers: transfers.as_ref().map(Transfers::status),
            reload: Some(reloading.handle()),
        };
        let admin = bind_pages("admin", config.admin, |address| Listener::admin(address, sources))?;
        let probes = bind_pages("probes", config.probes, |address| Listener::probes(address, probe_sources))?;
        let reporting_of_mirror = reporting.clone();
        let mirror = Mirror {
            connection,
            config: mirrored,
            table: writer,
            versions,
            inspections,
            reporting: reporting_of_mirror,
        };
        Ok(Self {
            config,
            mirror,
            listening,
            responder,
            serving,
            upstreams,
            transfers,
            tap_starter,
            reloading,
            admin,
            probes,
            table,
            reporting,
            readiness,
        })
    }

    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Runs until it is told to stop.
    ///
    /// # Errors
    /// A task ended by itself, a shared address cannot be bound, or threads cannot be started.
    pub async fn run(self, stop: Stop) -> anyhow::Result<()> {
        let Self {
            config,
            mirror,
            listening,
            responder,
            serving,
            upstreams,
            mut transfers,
            tap_starter,
            reloading,
            admin,
            probes,
            table,
            reporting,
            readiness,
        } = self;
        let mirror = Stoppable::spawn(|stop| mirror.run(&readiness, stop));
        let pages =
            Pages { admin: admin.as_ref().map(Listener::address), probes: probes.as_ref().map(Listener::address) };
        let sockets = listening.sockets(pages, &readiness, table);
        let (limits, drain_timeout) = (stream_limits(&config), config.drain_timeout);
        let streams = Threads::new("streams", cores())?;
        if let (Some(transfers), Some(primary)) = (&mut transfers, &serving.now().primary) {
            transfers.start(&config, primary, streams.handle());
        }
        let transports = Stoppable::spawn_on(&streams, |stop| async move {
            let Some(sockets) = stop.run_until_cancelled(sockets).await else { return Ok(()) };
            sockets?.run(Arc::new(responder), limits, reporting, stop).await.context("answering failed")
        });
        let (admin_threads, probe_threads) =
            (Threads::new("admin", ADMIN_THREADS)?, Threads::new("probes", PROBE_THREADS)?);
        let runtime = streams.handle().clone();
        let shown = serving.clone();
        let reloadable = Reloadable { running: config, serving, upstreams, transfers, tap_starter, runtime };
        admin_threads.spawn(reloading.run(reloadable));
        let admin = Stoppable::spawn_on(&admin_threads, |stop| serve_pages(admin, stop));
        let probes = Stoppable::spawn_on(&probe_threads, |stop| serve_pages(probes, stop));
        let ended = Tasks { transports, mirror, pages: [admin, probes] }.run(&stop, &readiness, drain_timeout).await;
        // Every query has been answered.
        if let Some(taps) = &shown.now().taps {
            taps.end().await;
        }
        ended
    }
}

/// Reads the zone from the cluster and returns its zone file.
///
/// # Errors
/// The credentials cannot be used, the cluster is not listed in a minute, or the configuration does not serve the zone.
pub async fn read_zone(config: Config, zone: &Name) -> anyhow::Result<String> {
    let connection = connect(&config).await?;
    let (writer, reader) = table();
    let readiness = Readiness::new();
    let records = Records::new(Arc::new(Authority::new(served(&config))?), reader.clone());
    let (_, inspections) = mpsc::channel(INSPECTIONS);
    let config = MirrorConfig::new(&config);
    let reporting = Reporting::default();
    let mirror = Mirror { connection, config, table: writer, versions: None, inspections, reporting };
    tokio::select! {
        () = mirror.run(&readiness, CancellationToken::new()) => Err(anyhow!("the watch of the cluster ended by itself")),
        () = readiness.wait_ready() => {
            // A task that fails drops its latches too.
            ensure!(reader.pin().is_synchronised(), "the watch of the cluster failed");
            records.zone_file(zone).with_context(|| format!("the zone {zone} is not served"))
        }
        problem = read_in_vain(&readiness) => Err(problem),
    }
}

/// Binds the address of `option`, if there is one.
fn bind_pages(
    option: &str,
    address: Option<SocketAddr>,
    bind: impl FnOnce(SocketAddr) -> io::Result<Listener>,
) -> anyhow::Result<Option<Listener>> {
    let Some(address) = address else { return Ok(None) };
    let bound = bind(address).with_context(|| {
        format!("cannot listen on the {option} address {address}; choose another with --{option}, or none with --{option} off")
    })?;
    Ok(Some(bound))
}

async fn serve_pages(listener: Option<Listener>, stop: CancellationToken) {
    if let Some(listener) = listener {
        listener.run(stop).await;
    }
}

/// Logs from time to time what has not been listed yet. Returns when it has taken too long.
async fn read_in_vain(readiness: &Readiness) -> anyhow::Error {
    let began = Instant::now();
    while began.elapsed() < READ_LIMIT {
        sleep(READ_PROGRESS).await;
        let (seconds, pending) = (began.elapsed().as_secs(), readiness.pending().join(", "));
        tracing::info!(seconds, pending, "still reading the cluster");
    }
    let pending = readiness.pending().join(", ");
    anyhow!("the cluster was not read in {} s: no complete list of {pending}; the log says why", READ_LIMIT.as_secs())
}

async fn connect(config: &Config) -> Result<Connection, CredentialError> {
    let source = CredentialSource { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
    cluster::connect(&source).await
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
        public: config.public_origin.clone().map(|origin| {
            let name_servers = config.public_nameservers.clone();
            PublicView { origin, name_servers }
        }),
        name_server,
        hostmaster: config.hostmaster.clone(),
        namespaces: config.namespaces.clone(),
        headless_only: config.headless_only,
        identity: Identity { version: config.chaos_version.clone(), id: config.chaos_id.clone() },
        ttl: config.ttl,
        negative_ttl: config.negative_ttl,
    }
}

fn wire_options(config: &Config) -> WireOptions {
    let keepalive = config.tcp_idle_timeout.as_secs().saturating_mul(KEEPALIVE_UNITS);
    WireOptions { edns_udp_size: config.edns_udp_size, tcp_keepalive: keepalive.try_into().unwrap_or(u16::MAX) }
}

fn stream_limits(config: &Config) -> StreamLimits {
    StreamLimits {
        connections: config.tcp_max_connections,
        connections_per_client: config.tcp_max_connections_per_client,
        idle: config.tcp_idle_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn reading_a_cluster_in_vain_ends_after_a_minute_and_says_what_is_missing() {
        let readiness = Readiness::new();
        let _latch = readiness.block("services of all namespaces");
        let began = Instant::now();
        let problem = read_in_vain(&readiness).await.to_string();
        assert_eq!(began.elapsed().as_secs(), READ_LIMIT.as_secs());
        assert!(problem.contains("no complete list of services of all namespaces"), "{problem}");
    }
}
