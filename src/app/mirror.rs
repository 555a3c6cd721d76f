//! The table kept as the cluster is: watches feed the index, and the index what it makes of them to the table.
//!
//! ```text
//! watches ──WatchUpdate──▶ keep_table: Index ──▶ TableWriter       paced, in batches (pace.rs)
//!                     │  ▲    └─▶ reasons, staleness         beside the records (staleness.rs)
//!                     ▼  └─ state of the last run (saver.rs)
//!                   explanations for whoever asks
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::pace::Pace;
use super::saver::Saver;
use super::staleness::Staleness;
use crate::cluster::{self, Connection, Resource, Scope, Selection, Timing, WatchId, WatchUpdate};
use crate::config::Config;
use crate::diagnose::{self, Inspection};
use crate::index::{self, Index, PendingChange, Repairs};
use crate::state::State;
use crate::table::{TableSize, TableWriter};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::{Latch, Readiness};

/// Updates on their way to the index. The watch waits when there are so many: memory stays bounded while the index works.
const UPDATES: usize = 1024;
/// What has to be heard in full before anything is answered. Pods are not: their slices tell of them too.
pub(super) const REQUIRED: [Resource; 2] = [Resource::Services, Resource::EndpointSlices];
/// Pods that are gone are remembered for twice as long at least. The EndpointSlice controller has repeated it by then.
const FORGET_GONE_PODS: Duration = Duration::from_secs(60);
/// How soon after the last time it is found out why names are absent: a burst is told of once, and the answers come first.
const EXPLAIN: Duration = Duration::from_millis(100);

/// What of the cluster is mirrored, and how.
#[derive(Clone, Debug)]
pub struct Mirrored {
    pub selection: Selection,
    pub index: index::Options,
    /// Where what is known is kept for the next start.
    pub state: Option<State>,
}

impl Mirrored {
    /// What a configuration says of it, without the state.
    pub(super) fn of(config: &Config) -> Self {
        let &Config { pods, not_ready_ordinals, headless_only, stale_after, reconcile_every, .. } = config;
        let timing = Timing { stale_after, reconcile_every };
        Self {
            selection: Selection { scopes: Scope::of(&config.namespaces), pods, headless_only, timing },
            index: index::Options { not_ready_ordinals, headless_only },
            state: None,
        }
    }
}

/// Keeps the table as the cluster is, until `stop`. Readiness is held back, from now
/// on, until every watch has been heard in full once, or what was known at the end of the last run is served.
pub fn mirror(
    connection: Connection,
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
        .flat_map(|scope| REQUIRED.map(|resource| WatchId::new(resource, scope.clone())))
        .map(|watch| {
            let latch = readiness.block(format!("{} of {}", watch.resource, watch.scope));
            (watch, Some(latch))
        })
        .collect();
    async move {
        // The index works on a thread of its own choosing, beside the watches that feed it. Neither ends before the other.
        let index = keep_table(index, Saver::new(state), incoming, inspections, writer, pending, Arc::clone(&metrics));
        let mut index = AbortOnDropHandle::new(tokio::spawn(index));
        let follow = cluster::follow_all(&connection, &selection, updates, &metrics);
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

/// Takes in updates and publishes what follows from them, until no watch is left.
///
/// All updates that wait are taken in before anything is derived, so that a burst costs each Service one derivation; and
/// until everything has been listed nothing is, because nobody is answered before.
async fn keep_table(
    options: index::Options,
    mut saver: Saver,
    mut incoming: mpsc::Receiver<WatchUpdate>,
    mut inspections: mpsc::Receiver<Inspection>,
    mut writer: TableWriter,
    mut synchronising: HashMap<WatchId, Option<Latch>>,
    metrics: Arc<Metrics>,
) {
    let (mut index, as_of) = saver.load(options).await;
    let mut staleness = Staleness::default();
    if let Some(as_of) = as_of {
        publish(&mut index, &mut writer, &metrics);
        set_stale(&mut writer, &metrics, Some(as_of));
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
        let is_due = synchronising.is_empty() && (index.is_dirty() || last_latch.is_some() || staleness.has_changed());
        tokio::select! {
            biased;
            () = pace.rested(), if is_due => {}
            () = saver.due(), if synchronising.is_empty() => {
                saver.save(index.snapshot(), staleness.fresh_until());
                continue;
            }
            _ = explain.tick(), if index.has_reasons() => {
                writer.publish_reasons(index.take_reasons());
                continue;
            }
            count = incoming.recv_many(&mut received, UPDATES) => {
                if count == 0 {
                    break;
                }
                for update in received.drain(..) {
                    let listed = update.event.completed_list().and_then(|watch| synchronising.remove(&watch));
                    staleness.take(&update.event);
                    index.apply(update);
                    if let Some(latch) = listed
                        && synchronising.is_empty()
                    {
                        last_latch = Some(latch);
                        index.distrust_restored_pods();
                    }
                }
                saver.is_due |= index.take_objects_changed();
                for Repairs { watch: WatchId { resource, scope }, count } in index.take_repairs() {
                    metrics.reconcile_repairs(resource, count);
                    tracing::warn!(%resource, %scope, objects = count, "a list has put right what the watch had missed");
                }
                continue;
            }
            _ = forget.tick() => {
                index.expire_tombstones();
                continue;
            }
            Some(Inspection { service, host, reply }) = inspections.recv() => {
                // Whoever asked may have gone.
                let _ = reply.send(diagnose::describe(&index, &service, host.as_deref()));
                continue;
            }
        }
        let began = Instant::now();
        saver.is_due |= index.is_dirty();
        let size = publish(&mut index, &mut writer, &metrics);
        pace.published(began.elapsed());
        if let Some(stale) = staleness.news() {
            set_stale(&mut writer, &metrics, stale);
        }
        // Only now do the answers show what was listed. The latch falls after that: transports that wait for it run on other
        // threads, and look at the table at once.
        if let Some(_latch) = last_latch.take() {
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
    let pending = index.take_pending_changes();
    writer.publish_each(index.take_publications(), |key| {
        if let Some(PendingChange { service, times }) = pending.get(key) {
            metrics.published(service.label(), times.received_at, times.changed_at);
            tracing::debug!(service = %key, waited_us = times.received_at.elapsed().as_micros() as u64, "answered");
        }
    });
    let size = writer.size();
    metrics.table(size.services, size.endpoints, size.namespaces);
    size
}

/// Says since when the answers are stale, to whoever asks for them and to whoever looks after them.
fn set_stale(writer: &mut TableWriter, metrics: &Metrics, since: Option<Timestamp>) {
    writer.set_stale(since);
    metrics.stale(since);
}
