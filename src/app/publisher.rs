//! The one owner of the index: applies updates to it and publishes to the table what follows from them.
//!
//! ```text
//! updates ─▶ Index ─▶ records ─▶ TableWriter, at the pace of throttle.rs
//!            │  ▲  └─▶ reasons for absent names, and staleness (staleness.rs)
//!            │  └─ saved state (saver.rs)
//!            └─▶ descriptions of Services, for `explain`
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::saver::{SavedState, StateSaver};
use super::staleness::Staleness;
use super::synchronisation::Synchronisation;
use super::throttle::PublishThrottle;
use super::versions::VersionCutter;
use crate::cluster::{Positions, WatchId, WatchUpdate};
use crate::diagnose::{self, Inspection};
use crate::index::{self, Index, PendingChange, Repairs};
use crate::records::{Silence, Stale};
use crate::state::State;
use crate::table::{TableSize, TableWriter};
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::Metrics;

/// Updates on their way to the index. When so many wait, the watches wait too, so that memory stays bounded.
pub(super) const UPDATES: usize = 1024;
/// Deleted Pods are remembered for at least this long and at most twice as long. By then the EndpointSlice controller has
/// removed them as well.
const EXPIRE_TOMBSTONES: Duration = Duration::from_secs(60);
/// Shortest time between two updates of the reasons for absent names: records come first, and a burst costs one update.
const PUBLISH_REASONS: Duration = Duration::from_millis(100);

/// How often the loop comes round when there is nothing to do.
const BEAT: Duration = Duration::from_secs(5);
/// A loop that has not come round for so long is stalled. Deriving every record of a large cluster takes a few seconds.
pub(super) const STALLED: Duration = Duration::from_secs(60);

/// What the publisher starts with.
pub(super) struct Setup {
    pub index: index::Options,
    pub state: Option<State>,
    pub table: TableWriter,
    pub versions: Option<VersionCutter>,
    pub metrics: Arc<Metrics>,
    pub heartbeat: Heartbeat,
    pub synchronisation: Synchronisation,
}

/// The index with what it feeds.
pub(super) struct Publisher {
    index: Index,
    table: TableWriter,
    versions: Option<VersionCutter>,
    metrics: Arc<Metrics>,
    heartbeat: Heartbeat,
    saver: StateSaver,
    staleness: Staleness,
    synchronisation: Synchronisation,
    throttle: PublishThrottle,
}

/// Applies updates and publishes what follows from them, until all senders of updates are gone. Then saves the state.
///
/// All waiting updates are applied before anything is derived, so that a burst costs each Service one derivation. Nothing is
/// derived before everything has been listed, because nothing is answered before.
pub(super) async fn run_publisher(
    mut publisher: Publisher,
    mut updates: mpsc::Receiver<WatchUpdate>,
    mut inspections: mpsc::Receiver<Inspection>,
) {
    let mut received = Vec::with_capacity(UPDATES);
    let mut beats = interval(BEAT);
    let mut tombstones = interval(EXPIRE_TOMBSTONES);
    let mut reasons = interval(PUBLISH_REASONS);
    reasons.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        publisher.heartbeat.beat(Instant::now());
        tokio::select! {
            biased;
            () = publisher.throttle.ready(), if publisher.is_due() => publisher.publish(),
            () = VersionCutter::due_if_any(publisher.versions.as_ref()), if publisher.table.has_changes() => {
                publisher.cut_version();
            }
            () = VersionCutter::is_to_begin_afresh(publisher.versions.as_ref()) => publisher.begin_versions_afresh(),
            () = publisher.saver.due(), if !publisher.synchronisation.is_listing() => {
                publisher.saver.save(publisher.index.snapshot(), publisher.staleness.fresh_until());
            }
            _ = reasons.tick(), if publisher.index.has_reasons() => {
                publisher.table.publish_reasons(publisher.index.take_reasons());
            }
            count = updates.recv_many(&mut received, UPDATES) => {
                if count == 0 {
                    break;
                }
                publisher.apply(received.drain(..));
            }
            _ = beats.tick() => {}
            _ = tombstones.tick() => publisher.index.expire_tombstones(),
            Some(Inspection { service, wanted, reply }) = inspections.recv() => {
                // The client may have gone.
                let _ = reply.send(diagnose::inspect(&publisher.index, &service, &wanted));
            }
        }
    }
    let Publisher { index, saver, staleness, synchronisation, versions, .. } = publisher;
    if let Some(versions) = versions {
        versions.end().await;
    }
    if !synchronisation.is_listing() {
        saver.save_last(index.snapshot(), staleness.fresh_until()).await;
    }
}

impl Publisher {
    /// Starts with the saved state of the last run, if there is one, and serves it as stale.
    pub async fn start(setup: Setup) -> Self {
        let Setup { index, state, mut table, versions, metrics, heartbeat, synchronisation } = setup;
        if versions.is_some() {
            table.keep_changes();
        }
        let saver = StateSaver::new(state);
        let SavedState { index, as_of } = saver.load(index).await;
        let (staleness, throttle) = (Staleness::default(), PublishThrottle::new());
        let mut publisher =
            Self { index, table, versions, metrics, heartbeat, saver, staleness, synchronisation, throttle };
        if let Some(as_of) = as_of {
            publisher.publish_records();
            publisher.cut_version();
            let stale = Stale { since: as_of, silence: Silence::default() };
            publisher.set_stale(Some(stale));
            publisher.table.set_synchronised();
            publisher.staleness = Staleness::of_saved_state(stale);
            // Stale answers are better than none.
            publisher.synchronisation.release_readiness();
            tracing::info!(%as_of, "serving the saved state until synchronised with the cluster");
        }
        publisher
    }

    /// Where the watches of the last run ended, as far as its state was saved.
    pub fn positions(&self) -> Positions {
        self.index.positions().clone()
    }

    /// Whether there is anything to publish.
    fn is_due(&self) -> bool {
        !self.synchronisation.is_listing()
            && (self.index.is_dirty() || self.synchronisation.is_listed() || self.staleness.has_changed())
    }

    fn apply(&mut self, updates: impl Iterator<Item = WatchUpdate>) {
        for update in updates {
            let synchronised = update.event.synchronises().then(|| update.event.watch());
            self.staleness.observe(&update.event);
            self.index.apply(update);
            if synchronised.is_some_and(|watch| self.synchronisation.complete(&watch)) {
                self.index.distrust_restored_pods();
            }
        }
        if self.staleness.is_of_saved_state() {
            // Nothing is published meanwhile.
            self.update_stale();
        }
        self.saver.is_due |= self.index.take_objects_changed();
        self.saver.have_moved |= self.index.take_positions_moved();
        for Repairs { watch: WatchId { resource, scope }, count } in self.index.take_repairs() {
            self.metrics.reconcile_repairs(resource, count);
            tracing::warn!(%resource, %scope, objects = count, "reconcile repaired objects that the watch missed");
        }
    }

    fn publish(&mut self) {
        let began = Instant::now();
        self.saver.is_due |= self.index.is_dirty();
        let size = self.publish_records();
        self.throttle.published(began.elapsed());
        self.staleness.end_saved_state();
        self.update_stale();
        if self.synchronisation.is_listed() {
            if self.versions.as_ref().is_some_and(|versions| !versions.has_version()) {
                // An empty cluster has a version too, and no answer has a serial of before the first.
                self.cut_version();
            }
            self.table.set_synchronised();
            self.metrics.synchronised();
            // Only now that the answers show what was listed is the last latch dropped.
            self.synchronisation = Synchronisation::Done;
            let TableSize { services, endpoints, namespaces } = size;
            tracing::info!(services, endpoints, namespaces, "synchronised with the cluster");
        }
    }

    /// Publishes the records of every changed Service. Returns the new size of the table.
    fn publish_records(&mut self) -> TableSize {
        let pending = self.index.take_pending_changes();
        self.table.publish_each(self.index.take_publications(), |key| {
            if let Some(PendingChange { service, times }) = pending.get(key) {
                self.metrics.published(service.label(), times.received_at, times.changed_at);
                let waited_us = times.received_at.elapsed().as_micros() as u64;
                tracing::debug!(service = %key, waited_us, "published");
            }
        });
        let size = self.table.size();
        self.metrics.table(size.services, size.endpoints, size.namespaces);
        size
    }

    /// Cuts a version of what is published.
    fn cut_version(&mut self) {
        if let Some(versions) = &mut self.versions {
            versions.cut(&mut self.table);
        }
    }

    /// Cuts a version that secondaries fetch whole.
    fn begin_versions_afresh(&mut self) {
        if let Some(versions) = &mut self.versions {
            versions.begin_afresh(&mut self.table);
        }
    }

    fn update_stale(&mut self) {
        if let Some(stale) = self.staleness.take_change() {
            self.set_stale(stale);
        }
    }

    /// Sets since when and why answers are stale, in the answers and in the metrics.
    fn set_stale(&mut self, stale: Option<Stale>) {
        self.table.set_stale(stale);
        self.metrics.stale(stale.map(|stale| stale.since));
    }
}
