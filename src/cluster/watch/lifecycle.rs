//! The life of one watch: lists, events, errors, and the state of trust that follows from them (drawn in [`super::trust`]).
//!
//! A watch begins with a list, or in doubt at the position at which the last run of this program ended.
//!
//! After every error there is a pause. An error that shows that the watch cannot be resumed is followed by a list; after any other,
//! the watch is resumed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::doubt::{Doubts, Lost, Witnesses};
use super::errors::Error;
use super::events::{Event, Follower, events};
use super::reconcile::Reconcile;
use super::report::{Outage, Reporter};
use super::retry::RetryPolicy;
use super::selection::{Selection, Timing, WatchConfig};
use super::sink::{EventSink, SinkClosed};
use super::staleness::{Staleness, sleep_until_some};
use super::trust::{Happening, Trust, TrustRecord};
use crate::cluster::api::{Api, Server};
use crate::cluster::connection::Connection;
use crate::cluster::decoding::Kind;
use crate::cluster::objects::Scope;
use crate::cluster::position::Position;
use crate::cluster::update::{Change, ClusterEvent, EventTimes, Positions, WatchId, WatchUpdate};
use crate::records::Silence;
use crate::telemetry::metrics::{Metrics, Resource, WatchEvent};

/// What the watches of one scope share.
pub(super) struct WatchContext<'a> {
    pub connection: &'a Connection,
    pub selection: &'a Selection,
    pub scope: &'a Scope,
    pub positions: &'a Positions,
    pub sink: &'a EventSink<'a>,
    pub outage: &'a Outage,
    pub server: &'a Arc<Server>,
    pub metrics: &'a Arc<Metrics>,
}

/// What follows a step of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Continue,
    Relist,
}

/// A list and watch of one kind in one scope.
pub(super) struct Watch<'a, K: Kind> {
    id: WatchId,
    api: Api<K>,
    config: WatchConfig,
    timing: Timing,
    trust: Arc<TrustRecord>,
    witnesses: Arc<Witnesses>,
    /// The position of the saved state, until the watch has shown that it goes on from there, or was listed anew.
    restored: Option<u64>,
    retry: RetryPolicy,
    reconcile: Reconcile,
    /// When the next reconcile is due, if ever.
    reconcile_at: Option<Instant>,
    reporter: Reporter<'a>,
    /// What was reported last.
    silence: Silence,
    sink: &'a EventSink<'a>,
}

impl<'a, K: Kind> Watch<'a, K> {
    /// Follows the kind until the sink is closed, if it is selected at all. Also reports when the watch goes stale and when
    /// it recovers.
    pub async fn follow(context: &WatchContext<'a>) {
        let Some(config) = context.selection.config(K::RESOURCE) else { return };
        let id = WatchId::new(K::RESOURCE, context.scope.clone());
        let position = context.positions.get(&id).filter(|position| position.is_proof());
        if position.is_none() {
            wait_before_list::<K>(context.sink).await;
        }
        let watch = Self::new(context, config, position);
        let (id, trust, stale_after) = (watch.id.clone(), Arc::clone(&watch.trust), watch.timing.stale_after);
        tokio::select! {
            SinkClosed = watch.run() => {}
            SinkClosed = report_staleness(&id, &trust, stale_after, context.sink) => {}
        }
    }

    fn new(context: &WatchContext<'a>, config: WatchConfig, position: Option<&Position>) -> Self {
        let id = WatchId::new(K::RESOURCE, context.scope.clone());
        let start = if position.is_some() { Trust::Doubted { has_told: false } } else { Trust::Listing };
        let trust = TrustRecord::new(context.metrics.register_watch(K::RESOURCE), start);
        let witnesses = position.map(|position| Witnesses::of_saved_state(Arc::clone(&position.witnesses)));
        Self {
            api: Api::new(context.connection.client.clone(), context.scope, Arc::clone(context.server)),
            config,
            timing: context.selection.timing,
            trust,
            witnesses: Arc::new(witnesses.unwrap_or_default()),
            restored: position.map(|position| position.version),
            retry: RetryPolicy::new(),
            reconcile: Reconcile::new(),
            reconcile_at: None,
            reporter: Reporter::new(id.clone(), &context.connection.url, context.outage, context.metrics),
            silence: Silence::default(),
            sink: context.sink,
            id,
        }
    }

    async fn run(mut self) -> SinkClosed {
        let mut from = self.restored;
        loop {
            if let Err(closed) = self.list_and_watch(from.take()).await {
                return closed;
            }
            self.restored = None;
            wait_before_list::<K>(self.sink).await;
            self.trust.record(Happening::ListStarted);
        }
    }

    /// One list and the watch that follows it, or the watch from a position, until it is time for another list.
    async fn list_and_watch(&mut self, from: Option<u64>) -> Result<(), SinkClosed> {
        let (api, config) = (self.api.clone(), self.config.clone());
        let (trust, witnesses) = (Arc::clone(&self.trust), Arc::clone(&self.witnesses));
        let doubts = Doubts { api: &api, selectors: &config.selectors, trust: &trust, witnesses: &witnesses };
        let mut lost = pin!(doubts.lost());
        let follower = Follower { api: api.clone(), config: config.clone(), trust: Arc::clone(&trust) };
        let mut events = pin!(events(follower, from));
        loop {
            let next = tokio::select! {
                // Whether the watch is proven comes last, after the events that prove it.
                biased;
                lost = &mut lost => self.on_lost(&lost).await,
                () = sleep_until_some(self.reconcile_at), if trust.trust().is_current() => self.on_reconcile_due(),
                // An idle watch that was resumed has no event.
                () = trust.steady(), if self.has_recovered() => self.on_recovery().await?,
                () = trust.steady(), if self.restored.is_some() && trust.trust().is_current() => self.on_resumed().await?,
                event = events.next() => match event {
                    Some(Ok(event)) => self.on_event(event).await?,
                    Some(Err(error)) => self.on_error(&error).await?,
                    None => Next::Relist,
                },
                () = trust.became_current() => self.on_current().await?,
            };
            if next == Next::Relist {
                return Ok(());
            }
        }
    }

    async fn on_event(&mut self, event: Event<K>) -> Result<Next, SinkClosed> {
        let reconciled = self.reconcile.observe(&event);
        self.witnesses.observe(&event, self.trust.trust().is_doubted());
        match &event {
            Event::ListStarted => self.trust.record(Happening::ListStarted),
            Event::Listed(_) | Event::Bookmark(_) => {}
            Event::ListCompleted(_) => self.reconcile_at = self.timing.next_reconcile(),
            Event::Applied(_) | Event::Deleted(_) => _ = self.on_recovery().await?,
        }
        let is_listed = matches!(event, Event::ListCompleted(_));
        let (times, position) = (self.times(&event), self.position(&event));
        let event = match self.change(event) {
            Some(change) => K::event(self.id.scope.clone(), change),
            None => ClusterEvent::WatchReached(self.id.clone()),
        };
        self.sink.send(WatchUpdate { event, times, position }).await?;
        if is_listed {
            self.on_listed().await?;
        }
        if K::RESOURCE == Resource::EndpointSlices && self.trust.trust() != Trust::Listing {
            // The controller writes many slices at a time, each as long as a hundred Pods. Let the Pods come in between.
            yield_now().await;
        }
        if let Some(newer) = reconciled {
            self.sink.send(ClusterEvent::Reconciled { watch: self.id.clone(), newer }).await?;
        }
        Ok(Next::Continue)
    }

    async fn on_listed(&mut self) -> Result<(), SinkClosed> {
        self.trust.record(Happening::ListCompleted);
        // A list in pages has yet to show that a watch can be resumed from it.
        if self.config.is_streaming {
            self.on_recovery().await?;
        }
        Ok(())
    }

    async fn on_error(&mut self, error: &Error) -> Result<Next, SinkClosed> {
        if self.trust.trust() == Trust::Listing && self.drop_refused_parameter(error) {
            return Ok(Next::Relist);
        }
        self.trust.broken();
        self.reporter.error(error);
        self.reconcile.cancel();
        self.report_silence(error.silence()).await?;
        sleep(self.retry.pause_after(error)).await;
        Ok(if error.is_position_lost() { Next::Relist } else { Next::Continue })
    }

    async fn on_lost(&mut self, lost: &Lost) -> Next {
        self.reporter.lost(lost);
        self.reconcile.cancel();
        sleep(self.retry.pause_before_relist()).await;
        Next::Relist
    }

    /// Whether a watch that is steady has recovered. Part of a list does not show it.
    fn has_recovered(&self) -> bool {
        self.retry.has_failed() && self.trust.trust() != Trust::Listing
    }

    async fn on_recovery(&mut self) -> Result<Next, SinkClosed> {
        self.retry.reset();
        self.reporter.recovered();
        self.report_silence(Silence::default()).await?;
        Ok(Next::Continue)
    }

    /// Reports why there is no word from the cluster, unless that was reported last.
    async fn report_silence(&mut self, silence: Silence) -> Result<(), SinkClosed> {
        if std::mem::replace(&mut self.silence, silence) != silence {
            self.sink.send(ClusterEvent::WatchSilence { watch: self.id.clone(), silence }).await?;
        }
        Ok(())
    }

    /// A watch that began at a saved position is on the same server, and has been open for long enough to tell what was missed: the API
    /// server has it at hand when it accepts the watch.
    async fn on_resumed(&mut self) -> Result<Next, SinkClosed> {
        self.restored = None;
        self.reconcile_at = self.timing.next_reconcile();
        self.reporter.resumed();
        self.sink.send(ClusterEvent::WatchResumed(self.id.clone())).await?;
        Ok(Next::Continue)
    }

    async fn on_current(&mut self) -> Result<Next, SinkClosed> {
        self.witnesses.confirm();
        if self.trust.trust() == Trust::Proven {
            self.sink.send(ClusterEvent::WatchProven(self.id.clone())).await?;
        }
        Ok(Next::Continue)
    }

    fn on_reconcile_due(&mut self) -> Next {
        self.reconcile.start();
        Next::Relist
    }

    /// Adapts to an older API server. Returns false if that is not what the error is about.
    fn drop_refused_parameter(&mut self, error: &Error) -> bool {
        let WatchId { resource, scope } = &self.id;
        if self.config.selectors.fields.is_some() && error.may_refuse_field_selector() {
            tracing::info!(%resource, %scope, "the API server does not support the field selector; requesting all objects");
            self.config.selectors.fields = None;
        } else if self.config.is_streaming && error.may_refuse_streaming_list() {
            tracing::info!(%resource, %scope, "the API server does not support streaming lists; listing in pages");
            self.config.is_streaming = false;
        } else {
            return false;
        }
        true
    }

    /// When an object changed, and when that arrived. None for a list, and for what was missed while this program did not run.
    fn times(&self, event: &Event<K>) -> Option<EventTimes> {
        let changed_at = match event {
            _ if self.restored.is_some() => return None,
            Event::Applied(incoming) => incoming.changed_at,
            Event::Deleted(_) => None,
            Event::ListStarted | Event::Listed(_) | Event::ListCompleted(_) | Event::Bookmark(_) => return None,
        };
        Some(EventTimes { received_at: self.trust.clock.last_word(), changed_at })
    }

    /// How far the watch has come with an event.
    fn position(&self, event: &Event<K>) -> Option<Position> {
        let reached = match event {
            Event::ListCompleted(position) | Event::Bookmark(position) => position,
            Event::Applied(object) | Event::Deleted(object) => &object.resource_version,
            Event::ListStarted | Event::Listed(_) => return None,
        };
        Some(Position { version: reached.parse().ok()?, witnesses: self.witnesses.get() })
    }

    /// Counts the event, and reports what is malformed about its object. None if it changes none.
    fn change(&mut self, event: Event<K>) -> Option<Change<K>> {
        let incoming = match event {
            Event::Bookmark(_) => return None,
            Event::ListStarted => {
                self.reporter.list_started();
                return Some(Change::RelistStarted);
            }
            Event::ListCompleted(_) => {
                self.reporter.list_completed();
                self.reporter.event(WatchEvent::Relist);
                return Some(Change::RelistDone);
            }
            Event::Deleted(incoming) => {
                self.reporter.event(WatchEvent::Delete);
                let key = incoming.key;
                self.reporter.forget(&key);
                // A Pod has its deletionTimestamp before it is removed, even if it is deleted by force: `podStrategy` in
                // kube-apiserver is graceful with any grace period. One without lives on, and has lost the label.
                let lives_on = self.config.selectors.labels.is_some() && !incoming.is_terminating;
                return Some(if lives_on { Change::Deselect(key) } else { Change::Delete(key) });
            }
            Event::Applied(incoming) => {
                self.reporter.event(WatchEvent::Apply);
                incoming
            }
            Event::Listed(incoming) => {
                self.reporter.object_listed();
                incoming
            }
        };
        let key = incoming.key.clone();
        let (change, problems) = incoming.into_change();
        self.reporter.malformed(&key, &problems);
        Some(change)
    }
}

/// Pods are the most numerous objects, and are not needed before the first answer.
async fn wait_before_list<K: Kind>(sink: &EventSink<'_>) {
    if K::RESOURCE == Resource::Pods {
        sink.first_watches_synchronised().await;
    }
}

/// Reports each transition of the staleness of a watch.
async fn report_staleness(
    watch: &WatchId,
    trust: &TrustRecord,
    stale_after: Duration,
    sink: &EventSink<'_>,
) -> SinkClosed {
    let mut monitor = trust.clock.monitor(stale_after);
    loop {
        let event = match monitor.next().await {
            Staleness::Stale { since } => {
                trust.gone_stale();
                ClusterEvent::WatchStale { watch: watch.clone(), since }
            }
            Staleness::Fresh => ClusterEvent::WatchRecovered(watch.clone()),
        };
        if let Err(closed) = sink.send(event).await {
            return closed;
        }
    }
}
