//! Keeps the record table equal to the cluster.
//!
//! ```text
//! cluster::follow_all ──WatchUpdate──▶ run_publisher (publisher.rs) ──▶ TableWriter
//! ```

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::publisher::{Publisher, STALLED, Setup, UPDATES, run_publisher};
use super::synchronisation::Synchronisation;
use super::versions::VersionCutter;
use crate::cluster::{self, Connection, Feed, Scope, Selection, Timing};
use crate::config::Config;
use crate::diagnose::Inspection;
use crate::index;
use crate::state::State;
use crate::table::TableWriter;
use crate::telemetry::Reporting;
use crate::telemetry::readiness::Readiness;

/// Which part of the cluster is mirrored, and how.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    pub selection: Selection,
    pub index: index::Options,
    /// Where the state is saved for the next start, if anywhere.
    pub state: Option<State>,
}

impl MirrorConfig {
    /// Takes everything but the state from the configuration.
    pub(super) fn new(config: &Config) -> Self {
        let &Config { pods, not_ready_ordinals, headless_only, stale_after, reconcile_every, .. } = config;
        let public_namespaces = config.public_origin.as_ref().map(|_| config.public_namespaces.clone().into());
        let timing = Timing { stale_after, reconcile_every };
        Self {
            selection: Selection { scopes: Scope::of(&config.namespaces), pods, headless_only, timing },
            index: index::Options { not_ready_ordinals, headless_only, pods, public_namespaces },
            state: None,
        }
    }
}

/// A cluster, and the table that mirrors it.
pub struct Mirror {
    pub connection: Connection,
    pub config: MirrorConfig,
    pub table: TableWriter,
    /// Cuts versions of the zones, where they are handed out.
    pub versions: Option<VersionCutter>,
    /// Questions about the index.
    pub inspections: mpsc::Receiver<Inspection>,
    pub reporting: Reporting,
}

impl Mirror {
    /// Keeps the table up to date until `stop`. From this call on, readiness is blocked until every required watch has been
    /// listed or the saved state is served.
    pub fn run(self, readiness: &Readiness, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let Self {
            connection,
            config: MirrorConfig { selection, index, state },
            table,
            versions,
            inspections,
            reporting,
        } = self;
        let Reporting { metrics, heartbeats } = reporting;
        let synchronisation = Synchronisation::start(&selection.scopes, readiness);
        let (updates, incoming) = mpsc::channel(UPDATES);
        async move {
            let heartbeat = heartbeats.register("the index", STALLED);
            let metrics_of_setup = Arc::clone(&metrics);
            let setup = Setup { index, state, table, versions, metrics: metrics_of_setup, heartbeat, synchronisation };
            let publisher = Publisher::start(setup).await;
            let feed = Feed { positions: publisher.positions(), updates };
            // A task of its own: the index and the watches that feed it run in parallel. Neither ends before the other.
            let mut publisher = AbortOnDropHandle::new(tokio::spawn(run_publisher(publisher, incoming, inspections)));
            let follow = cluster::follow_all(&connection, &selection, feed, &metrics);
            let ended = tokio::select! {
                ended = &mut publisher => ended,
                // Dropping the watches closes the channel, which ends the publisher.
                _ = stop.run_until_cancelled(follow) => publisher.await,
            };
            if let Err(error) = ended {
                tracing::error!(%error, "publishing to the record table failed");
            }
        }
    }
}
