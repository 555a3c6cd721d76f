//! The only wiring: what is built from a configuration, in which order it starts, and how it ends.
//!
//! ```text
//! build ──▶ App { addresses } ──run──▶ watches ─▶ index ─▶ table ◀─ transports, admin ──shutdown──▶ drain
//! ```
//!
//! Everything that can be refused is refused in `build`: zones, credentials, addresses. After that the process lives
//! until it is told to end, with or without an API server.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use kube::Client;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::authority::{Authority, Identity, Options};
use crate::cluster::{self, Access, Scope, Update, WATCHED, Watched};
use crate::config::Config;
use crate::index::Index;
use crate::metrics::Metrics;
use crate::name::Name;
use crate::readiness::{Latch, Readiness};
use crate::server::{self, Responder, ResponderOptions, StreamLimits};
use crate::table::{TableReader, TableWriter, table};

/// Updates on their way to the index. The watch waits when there are so many: memory stays bounded while the index works.
const UPDATES: usize = 1024;
/// Units of the TCP keepalive option in a second (RFC 7828 section 3.1).
const KEEPALIVE_UNITS: u64 = 10;

/// A server that is bound and not running yet.
pub struct App {
    config: Config,
    cluster: Client,
    cluster_url: String,
    sockets: server::Bound,
    responder: Responder,
    writer: TableWriter,
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
        let access = Access { kubeconfig: config.kubeconfig.clone(), context: config.context.clone() };
        let (cluster, cluster_url) = cluster::connect(&access).await?;
        let sockets = server::bind(&config.listen)?;
        let metrics = Arc::new(Metrics::new());
        let (writer, reader) = table();
        let authority = Arc::new(Authority::new(zones(&config, sockets.addresses())?)?);
        let keepalive = config.tcp_idle_timeout.as_secs().saturating_mul(KEEPALIVE_UNITS);
        let options = ResponderOptions {
            edns_udp_size: config.edns_udp_size,
            tcp_keepalive: keepalive.try_into().unwrap_or(u16::MAX),
        };
        let responder = Responder::new(authority, reader.clone(), Arc::clone(&metrics), options);
        let readiness = Readiness::new();
        Ok(Self { config, cluster, cluster_url, sockets, responder, writer, reader, metrics, readiness })
    }

    /// The addresses that are answered on, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.sockets.addresses()
    }

    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Serves until `shutdown`, and then lets open connections end for as long as is configured.
    ///
    /// # Errors
    /// A part of the server ended by itself, which none should.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        let Self { config, cluster, cluster_url, sockets, responder, writer, metrics, readiness, .. } = self;
        let scopes = Scope::of(&config.namespaces);
        let (updates, incoming) = mpsc::channel(UPDATES);
        let synchronising = WATCHED.into_iter().flat_map(|watched| {
            scopes
                .iter()
                .map(|scope| ((watched, scope.clone()), readiness.block(format!("{watched} of {scope}"))))
                .collect::<Vec<_>>()
        });
        let index = tokio::spawn(keep_table(incoming, writer, synchronising.collect(), Arc::clone(&metrics)));
        let watches = tokio::spawn({
            let metrics = Arc::clone(&metrics);
            async move { cluster::follow_all(cluster, &cluster_url, &scopes, updates, &metrics).await }
        });
        let limits = StreamLimits {
            connections: config.tcp_max_connections,
            connections_per_client: config.tcp_max_connections_per_client,
            idle: config.tcp_idle_timeout,
        };
        let mut transports = tokio::spawn(sockets.run(Arc::new(responder), limits, metrics, shutdown.clone()));

        let ended = tokio::select! {
            () = shutdown.cancelled() => None,
            ended = index => Some(("the index", ended.err())),
            ended = watches => Some(("the watch", ended.err())),
            ended = &mut transports => Some(("the server", ended.err())),
        };
        if let Some((part, error)) = ended {
            shutdown.cancel();
            return Err(error.map_or_else(|| anyhow::anyhow!("{part} ended by itself"), Into::into))
                .with_context(|| part);
        }
        let draining = readiness.block("the server is stopping");
        if timeout(config.drain_timeout, &mut transports).await.is_err() {
            tracing::warn!("connections still open after {} s are cut", config.drain_timeout.as_secs());
            transports.abort();
        }
        drop(draining);
        Ok(())
    }
}

/// Takes in updates and publishes what follows from them, until no watch is left.
///
/// All updates that wait are taken in before anything is derived, so that a burst costs each Service one derivation.
async fn keep_table(
    mut incoming: mpsc::Receiver<Update>,
    mut writer: TableWriter,
    mut synchronising: HashMap<(Watched, Scope), Latch>,
    metrics: Arc<Metrics>,
) {
    let mut index = Index::default();
    let mut updates = Vec::with_capacity(UPDATES);
    while incoming.recv_many(&mut updates, UPDATES).await > 0 {
        let mut synchronised = Vec::new();
        for update in updates.drain(..) {
            synchronised.extend(update.relisted());
            index.apply(update);
        }
        writer.publish(index.take_batch());
        let size = writer.size();
        metrics.table(size.services, size.endpoints, size.namespaces);
        // Only now do the answers show what was listed.
        let latches: Vec<_> = synchronised.iter().filter_map(|watch| synchronising.remove(watch)).collect();
        if !latches.is_empty() && synchronising.is_empty() {
            writer.set_synchronised();
            tracing::info!(
                services = size.services,
                endpoints = size.endpoints,
                namespaces = size.namespaces,
                "synchronised with the cluster"
            );
        }
    }
}

/// What the authority serves, by the configuration and the addresses that were bound.
fn zones(config: &Config, bound: &[SocketAddr]) -> anyhow::Result<Options> {
    let names = |texts: &[String]| texts.iter().map(|text| Name::parse(text)).collect::<Result<Vec<_>, _>>();
    let name_server = if config.nameservers.is_empty() {
        bound.iter().map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect()
    } else {
        config.nameservers.clone()
    };
    Ok(Options {
        zones: names(&config.zones)?,
        reverse_zones: names(&config.reverse_zones)?,
        name_server,
        hostmaster: config.hostmaster.as_deref().map(Name::parse).transpose()?,
        identity: Identity { version: config.chaos_version.clone(), id: config.chaos_id.clone() },
        ttl: config.ttl,
        negative_ttl: config.negative_ttl,
    })
}
