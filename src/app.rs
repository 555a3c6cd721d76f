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
mod pace;
mod saver;
mod staleness;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinError;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::pace::Pace;
use crate::admin::{Admin, RecordsSource};
use crate::authority::{Authority, Identity, Options};
use crate::cluster::{self, Access, AccessError, News, Scope, Selection, Timing, Watched};
use crate::config::Config;
use crate::explain::{Explainer, INSPECTIONS, Inspection};
use crate::export::Records;
use crate::index::{self, Index, Repairs};
use crate::metrics::{Exporter, Metrics};
use crate::name::{Label, Name};
use crate::readiness::{Latch, Readiness};
use crate::server::{self, Responder, StreamLimits};
use crate::state::State;
use crate::table::{TableReader, TableSize, TableWriter, table};
use crate::wire::WireOptions;
use listening::Listening;
use saver::Saver;
use staleness::Staleness;

/// Updates on their way to the index. The watch waits when there are so many: memory stays bounded while the index works.
const UPDATES: usize = 1024;
/// What has to be heard in full before anything is answered. Pods are not: their slices tell of them too.
const REQUIRED: [Watched; 2] = [Watched::Services, Watched::EndpointSlices];
/// Pods that are gone are remembered for twice as long at least. The EndpointSlice controller has repeated it by then.
const FORGET_GONE_PODS: Duration = Duration::from_secs(60);
/// How soon after the last time it is found out why names are absent: a burst is told of once, and the answers come first.
const EXPLAIN: Duration = Duration::from_millis(100);
/// How long the transports may take to answer what had arrived when they were closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the state may take to be saved at the end. All time-outs together are well within the grace of a Pod.
const SAVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Units of the TCP keepalive option in a second (RFC 7828 section 3.1).
const KEEPALIVE_UNITS: u64 = 10;

/// A server that is bound and not running yet.
pub struct App {
    config: Config,
    cluster: Client,
    cluster_url: String,
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
        let (cluster, cluster_url) = connect(&config).await?;
        let selection = Mirrored::of(&config).selection;
        let state = config.state.as_deref().map(|folder| State::open(folder, &cluster_url, &selection)).transpose()?;
        let listening = Listening::new(&config)?;
        let metrics = Arc::new(Metrics::new());
        let (writer, reader) = table();
        let authority = Arc::new(Authority::new(zones(&config)?)?);
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
                let exporter = Exporter::new(Arc::clone(&metrics));
                let explainer = Explainer::new(Arc::clone(&authority), reader.clone(), index);
                let records = Records::new(authority, reader.clone());
                let admin = Admin::bind(address, readiness.clone(), exporter, records, explainer).await;
                Some(admin.with_context(|| format!("cannot listen on the admin address {address}; choose another with --admin, or none with --admin off"))?)
            }
        };
        Ok(Self {
            config,
            cluster,
            cluster_url,
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
        let Self {
            config,
            cluster,
            cluster_url,
            state,
            listening,
            responder,
            admin,
            writer,
            inspections,
            reader,
            metrics,
            readiness,
        } = self;
        let shutdown = CancellationToken::new();
        let limits = StreamLimits {
            connections: config.tcp_max_connections,
            connections_per_client: config.tcp_max_connections_per_client,
            idle: config.tcp_idle_timeout,
        };
        let unwatched = CancellationToken::new();
        let (cluster, mirrored) = ((cluster, cluster_url), Mirrored { state, ..Mirrored::of(&config) });
        let counted = Arc::clone(&metrics);
        let mirror = mirror(cluster, mirrored, writer, inspections, &readiness, counted, unwatched.clone());
        let mut mirror = tokio::spawn(mirror);
        let sockets = listening.sockets(admin.as_ref().map(Admin::address), &readiness, reader);
        let mut transports = tokio::spawn(answer(sockets, responder, limits, metrics, shutdown.clone()));
        // The admin pages tell of the drain too, so they are the last to go.
        let drained = CancellationToken::new();
        let admin = tokio::spawn(serve_admin(admin, drained.clone()));

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
            tracing::warn!("connections that were still open are cut");
            transports.abort();
        }
        unwatched.cancel();
        if !mirror.is_finished() && timeout(SAVE_TIMEOUT, &mut mirror).await.is_err() {
            tracing::warn!("the state is not saved in time; the one before stands");
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

async fn connect(config: &Config) -> Result<(Client, String), AccessError> {
    let access = Access { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
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

/// What of the cluster is mirrored, and how.
#[derive(Clone, Debug)]
pub struct Mirrored {
    pub selection: Selection,
    pub index: index::Options,
    /// Where what is known is kept for the next start.
    pub state: Option<State>,
}

impl Mirrored {
    fn of(config: &Config) -> Self {
        let &Config { pods, not_ready_ordinals, headless_only, stale_after, reconcile_every, .. } = config;
        let timing = Timing { stale_after, reconcile_every };
        Self {
            selection: Selection { scopes: Scope::of(&config.namespaces), pods, headless_only, timing },
            index: index::Options { not_ready_ordinals, headless_only },
            state: None,
        }
    }
}

/// Keeps the table as the cluster is, which a client leads to and a URL names, until `stop`. Readiness is held back, from now
/// on, until every watch has been heard in full once, or what was known at the end of the last run is served.
pub fn mirror(
    (cluster, url): (Client, String),
    mirrored: Mirrored,
    writer: TableWriter,
    inspections: mpsc::Receiver<Inspection>,
    readiness: &Readiness,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + use<> {
    let (updates, incoming) = mpsc::channel(UPDATES);
    let Mirrored { selection, index, state } = mirrored;
    let scopes = selection.scopes.iter();
    let pending: HashMap<_, _> = scopes
        .flat_map(|scope| REQUIRED.map(|watched| (watched, scope.clone())))
        .map(|(watched, scope)| {
            let latch = readiness.block(format!("{watched} of {scope}"));
            ((watched, scope), Some(latch))
        })
        .collect();
    async move {
        // The index works on a thread of its own choosing, beside the watches that feed it. Neither ends before the other.
        let index = keep_table(index, Saver::new(state), incoming, inspections, writer, pending, Arc::clone(&metrics));
        let mut index = AbortOnDropHandle::new(tokio::spawn(index));
        let follow = cluster::follow_all(cluster, &url, &selection, updates, &metrics);
        let ended = tokio::select! {
            ended = &mut index => ended,
            // No longer followed, the updates end, and with them the index.
            _ = stop.run_until_cancelled(follow) => index.await,
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the index failed");
        }
    }
}

/// The zone file of `zone`, read from the cluster itself.
///
/// # Errors
/// The credentials cannot be used, or the zone is none that the configuration serves.
pub async fn read_zone(config: Config, zone: &str) -> anyhow::Result<String> {
    let cluster = connect(&config).await?;
    let (writer, reader) = table();
    let readiness = Readiness::new();
    let records = Records::new(Arc::new(Authority::new(zones(&config)?)?), reader.clone());
    let (unasked, stop) = (mpsc::channel(INSPECTIONS).1, CancellationToken::new());
    let mirror = mirror(cluster, Mirrored::of(&config), writer, unasked, &readiness, Arc::default(), stop);
    tokio::select! {
        () = mirror => Err(anyhow!("the watch of the cluster ended by itself")),
        () = readiness.wait_ready() => {
            // Latches fall when their task does, too.
            ensure!(reader.pin().is_synchronised(), "the watch of the cluster failed");
            records.zone_file(zone).with_context(|| format!("{zone} is not served"))
        }
    }
}

/// Takes in updates and publishes what follows from them, until no watch is left.
///
/// All updates that wait are taken in before anything is derived, so that a burst costs each Service one derivation; and
/// until everything has been listed nothing is, because nobody is answered before.
async fn keep_table(
    options: index::Options,
    mut saver: Saver,
    mut incoming: mpsc::Receiver<News>,
    mut inspections: mpsc::Receiver<Inspection>,
    mut writer: TableWriter,
    mut synchronising: HashMap<(Watched, Scope), Option<Latch>>,
    metrics: Arc<Metrics>,
) {
    let (mut index, as_of) = saver.load(options).await;
    let mut staleness = Staleness::default();
    if let Some(as_of) = as_of {
        publish(&mut index, &mut writer, &metrics);
        writer.set_stale(Some(as_of));
        metrics.stale(Some(as_of));
        writer.set_synchronised();
        staleness = Staleness::of_last_run(as_of);
        // Old answers are better than none.
        synchronising.values_mut().for_each(|latch| *latch = None);
        tracing::info!(%as_of, "serving the last known state until the cluster is heard");
    }
    let mut received = Vec::with_capacity(UPDATES);
    let mut forget = interval(FORGET_GONE_PODS);
    let mut explain = interval(EXPLAIN);
    explain.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pace = Pace::new();
    let mut last_latch = None;
    loop {
        let is_due =
            synchronising.is_empty() && (index.is_touched() || last_latch.is_some() || staleness.has_changed());
        tokio::select! {
            biased;
            () = pace.rested(), if is_due => {}
            () = saver.due(), if synchronising.is_empty() => {
                saver.save(index.snapshot(), staleness.fresh_until());
                continue;
            }
            _ = explain.tick(), if index.has_reasons() => {
                writer.explain(index.take_reasons());
                continue;
            }
            count = incoming.recv_many(&mut received, UPDATES) => {
                if count == 0 {
                    break;
                }
                for news in received.drain(..) {
                    let listed = news.update.relisted().and_then(|watch| synchronising.remove(&watch));
                    staleness.take(&news.update);
                    index.apply(news);
                    if let Some(latch) = listed
                        && synchronising.is_empty()
                    {
                        last_latch = Some(latch);
                        index.distrust_restored_pods();
                    }
                }
                for Repairs { watched, scope, count } in index.take_repairs() {
                    metrics.reconcile_repairs(watched.label(), count);
                    tracing::warn!(resource = %watched, %scope, objects = count, "a list has put right what the watch had missed");
                }
                continue;
            }
            _ = forget.tick() => {
                index.forget_gone_pods();
                continue;
            }
            Some(Inspection { service, host, reply }) = inspections.recv() => {
                // Whoever asked may have gone.
                let _ = reply.send(index.describe(&service, host.as_deref()));
                continue;
            }
        }
        let began = Instant::now();
        saver.is_due |= index.is_touched();
        let size = publish(&mut index, &mut writer, &metrics);
        pace.published(began.elapsed());
        if let Some(stale) = staleness.news() {
            writer.set_stale(stale);
            metrics.stale(stale);
        }
        // Only now do the answers show what was listed.
        if last_latch.take().is_some() {
            writer.set_synchronised();
            tracing::info!(
                services = size.services,
                endpoints = size.endpoints,
                namespaces = size.namespaces,
                "synchronised with the cluster"
            );
        }
    }
    if synchronising.is_empty() {
        saver.save_last(index.snapshot(), staleness.fresh_until()).await;
    }
}

/// Puts what has changed into the table, and gives its size.
fn publish(index: &mut Index, writer: &mut TableWriter, metrics: &Metrics) -> TableSize {
    let waits = index.take_waits();
    writer.publish_each(index.take_batch(), |key| {
        if let Some((service, times)) = waits.get(key) {
            metrics.published(service.label(), times.heard, times.happened);
        }
    });
    let size = writer.size();
    metrics.table(size.services, size.endpoints, size.namespaces);
    size
}

/// What the authority serves.
fn zones(config: &Config) -> anyhow::Result<Options> {
    let names = |texts: &[String]| texts.iter().map(|text| Name::parse(text)).collect::<Result<Vec<_>, _>>();
    let name_server = if config.nameservers.is_empty() {
        config.listen.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect()
    } else {
        config.nameservers.clone()
    };
    Ok(Options {
        zones: names(&config.zones)?,
        reverse_zones: names(&config.reverse_zones)?,
        name_server,
        hostmaster: config.hostmaster.as_deref().map(Name::parse).transpose()?,
        namespaces: config.namespaces.iter().map(|name| Label::parse(name)).collect::<Result<_, _>>()?,
        identity: Identity { version: config.chaos_version.clone(), id: config.chaos_id.clone() },
        ttl: config.ttl,
        negative_ttl: config.negative_ttl,
    })
}
