//! One list and watch for each kind and scope, kept alive for ever, feeding one channel.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use kube::{Api, Client};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::{Backoff, shortened};
use super::check::Check;
use super::contact::Contact;
use super::incoming::{Incoming, Kind};
use super::report::{Outage, Reporter};
use super::{
    Change, ClusterEvent, Connection, EventTimes, POD_NAME, Pod, Resource, Scope, Service, Slice, WatchId, WatchUpdate,
};
use crate::telemetry::metrics::{Label, Metrics, WatchEvent};

/// The most seconds after which the server ends a watch that we then resume. Bounds how long a link that died without a
/// word goes unnoticed (kube gives up five seconds later).
const MAX_WATCH_SECONDS: u64 = 50;

/// What is configured about watches.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A watch that says nothing for so long is silent.
    pub stale_after: Duration,
    /// How long a watch is relied on before a list checks it; zero is for ever.
    pub reconcile_every: Duration,
}

impl Timing {
    /// How long a watch lasts: five sixths of what counts as silence, so that one on which nothing changes is heard in
    /// time when it is resumed.
    fn watch_seconds(&self) -> u32 {
        let seconds = self.stale_after.as_secs() * 5 / 6;
        seconds.clamp(1, MAX_WATCH_SECONDS) as u32
    }

    /// When the watch of a list that has just ended is to be checked, if ever.
    fn next_reconcile(&self) -> Option<Instant> {
        (!self.reconcile_every.is_zero()).then(|| Instant::now() + shortened(self.reconcile_every))
    }
}

/// Lists that come before that of the Pods: of Services, and of their slices.
const FIRST_LISTS: u32 = 2;

/// What may be asked of the API, and so what RBAC has to grant, is `list` and `watch` on each.
impl Resource {
    /// API group, empty for the core one.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Services | Self::Pods => "",
            Self::EndpointSlices => "discovery.k8s.io",
        }
    }

    /// Name in URLs and in RBAC rules.
    pub fn plural(self) -> &'static str {
        self.as_str()
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Services => "Service",
            Self::EndpointSlices => "EndpointSlice",
            Self::Pods => "Pod",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}

/// Which Pods are mirrored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodSelection {
    /// None: every endpoint comes from its slice.
    Off,
    /// Those of StatefulSets.
    #[default]
    StatefulSets,
    All,
}

/// What of the cluster is followed, and how closely.
#[derive(Clone, Debug)]
pub struct Selection {
    pub scopes: Vec<Scope>,
    pub pods: PodSelection,
    /// Services without `clusterIP: None` are left out.
    pub headless_only: bool,
    pub timing: Timing,
}

impl Selection {
    /// Everything that may be served in these scopes.
    pub fn of(scopes: Vec<Scope>, timing: Timing) -> Self {
        Self { scopes, pods: PodSelection::default(), headless_only: false, timing }
    }

    /// What the API server is asked to send of a resource, as watch parameters; none where it is not watched at all.
    fn config(&self, watched: Resource) -> Option<watcher::Config> {
        let config = watcher::Config::default().timeout(self.timing.watch_seconds()).streaming_lists();
        match (watched, self.pods) {
            (Resource::Services, _) if self.headless_only => Some(config.fields("spec.clusterIP=None")),
            // No filter for slices: those made by hand for a headless Service have no label that says so.
            (Resource::Services | Resource::EndpointSlices, _) => Some(config),
            (Resource::Pods, PodSelection::Off) => None,
            (Resource::Pods, PodSelection::StatefulSets) => Some(config.labels(POD_NAME)),
            (Resource::Pods, PodSelection::All) => Some(config),
        }
    }
}

/// Follows every resource in every scope, each over a list and watch of its own, until nobody receives from `updates`
/// any more.
pub async fn follow_all(
    Connection { client, url }: &Connection,
    selection: &Selection,
    updates: mpsc::Sender<WatchUpdate>,
    metrics: &Arc<Metrics>,
) {
    let outage = Outage::default();
    let follows = selection.scopes.iter().map(|scope| async {
        let reporter = |watched| Reporter::new(watched, scope, url, &outage, metrics);
        let outlet = Outlet { updates: &updates, lists: Semaphore::new(0) };
        let pods = async {
            // What must be known before anything is answered is not to wait for Pods, the most of all objects.
            let _ = outlet.lists.acquire_many(FIRST_LISTS).await;
            follow::<Pod>(client, scope, selection, &outlet, reporter(Pod::WATCHED)).await;
        };
        tokio::join!(
            follow::<Service>(client, scope, selection, &outlet, reporter(Service::WATCHED)),
            follow::<Slice>(client, scope, selection, &outlet, reporter(Slice::WATCHED)),
            pods,
        )
    });
    futures::future::join_all(follows).await;
}

/// Where the watches of one scope tell what they hear.
struct Outlet<'a> {
    updates: &'a mpsc::Sender<WatchUpdate>,
    /// One for each list that was told to its end.
    lists: Semaphore,
}

impl Outlet<'_> {
    /// # Errors
    /// Nobody receives any more.
    async fn send(&self, news: impl Into<WatchUpdate>) -> Result<(), SendError<WatchUpdate>> {
        let news = news.into();
        let is_listed = news.event.completed_list().is_some();
        self.updates.send(news).await?;
        self.lists.add_permits(is_listed.into());
        Ok(())
    }
}

/// Follows one kind in one scope, and says when nothing is heard of it.
async fn follow<K: Kind>(
    client: &Client,
    scope: &Scope,
    selection: &Selection,
    outlet: &Outlet<'_>,
    reporter: Reporter<'_>,
) {
    let Some(config) = selection.config(K::WATCHED) else { return };
    let watch = WatchId::new(K::WATCHED, scope.clone());
    let contact = Contact::new(reporter.watch_contact());
    let tell_of_silences = async {
        let mut silences = contact.silences();
        loop {
            let since = silences.begun(selection.timing.stale_after).await;
            loop {
                // An error is the other's to notice.
                let _ = outlet.send(ClusterEvent::WatchStale { watch: watch.clone(), since }).await;
                if silences.ended_within(selection.timing.stale_after).await {
                    break;
                }
            }
            let _ = outlet.send(ClusterEvent::WatchRecovered(watch.clone())).await;
        }
    };
    tokio::select! {
        () = list_and_watch::<K>(client, &contact, scope, selection.timing, config, outlet, reporter) => {}
        () = tell_of_silences => {}
    }
}

/// Keeps a watch alive, from a list on, until nobody receives what it tells any more.
async fn list_and_watch<K: Kind>(
    client: &Client,
    contact: &Arc<Contact>,
    scope: &Scope,
    timing: Timing,
    mut config: watcher::Config,
    outlet: &Outlet<'_>,
    mut reporter: Reporter<'_>,
) {
    let client = contact.client(client);
    let api: Api<Incoming<K>> = match scope {
        Scope::All => Api::all(client),
        Scope::Namespace(namespace) => Api::namespaced(client, namespace),
    };
    let mut backoff = Backoff::new();
    let mut check = Check::new();
    let mut reconcile = None;
    // Each turn of the outer loop begins with a list.
    loop {
        let mut events = pin!(watcher::watcher(api.clone(), config.clone()));
        // The watch goes on from a whole list.
        let mut is_listed = false;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                // The watcher says nothing of a watch that was resumed and on which nothing changes.
                () = contact.steady(), if is_listed && reporter.is_in_trouble() => {
                    backoff.reset();
                    reporter.works();
                    continue;
                }
                () = at(reconcile), if is_listed && !reporter.is_in_trouble() => {
                    check.begin();
                    break;
                }
            };
            match event {
                None => break,
                Some(Ok(event)) => {
                    is_listed = !matches!(event, Event::Init | Event::InitApply(_));
                    if is_recovery(&config, &event) {
                        backoff.reset();
                        reporter.works();
                    }
                    let checked = check.take(&event);
                    if matches!(event, Event::InitDone) {
                        reconcile = timing.next_reconcile();
                    }
                    let times = times(&event, contact.last_heard());
                    let update = K::update(scope.clone(), read(event, &mut reporter));
                    if outlet.send(WatchUpdate { event: update, times }).await.is_err() {
                        return;
                    }
                    if K::WATCHED == Resource::EndpointSlices && is_listed {
                        // The controller writes many slices at a time, each as long as a hundred Pods: these come in between.
                        yield_now().await;
                    }
                    if let Some(newer) = checked {
                        let update = ClusterEvent::Reconciled { watch: WatchId::new(K::WATCHED, scope.clone()), newer };
                        if outlet.send(update).await.is_err() {
                            return;
                        }
                    }
                }
                Some(Err(error)) if !is_listed && is_filter_refused(&config, &error) => {
                    tracing::info!(resource = %K::WATCHED, %scope, "the API server does not select by field: asking for all");
                    config.field_selector = None;
                    break;
                }
                Some(Err(error)) if !is_listed && is_streaming_refused(&config, &error) => {
                    tracing::info!(resource = %K::WATCHED, %scope, "the API server does not stream lists: listing in pages");
                    config.initial_list_strategy = InitialListStrategy::ListWatch;
                    break;
                }
                Some(Err(error)) => {
                    contact.over();
                    reporter.error(&error);
                    check.fail();
                    sleep(backoff.after(&error)).await;
                    if is_position_lost(&error) {
                        break;
                    }
                }
            }
        }
    }
}

/// Waits for a moment, if there is one to wait for.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Whether an event shows that the watch does what it is for. Half a list does not: its next page may fail for ever. Nor
/// does a list in pages, while it is not known whether a watch can go on from it.
fn is_recovery<K>(config: &watcher::Config, event: &Event<K>) -> bool {
    match event {
        Event::Init | Event::InitApply(_) => false,
        Event::InitDone => config.initial_list_strategy == InitialListStrategy::StreamingList,
        Event::Apply(_) | Event::Delete(_) => true,
    }
}

/// Whether the server may refuse a list for its field selector: before Kubernetes 1.31, Services are not selected by
/// `spec.clusterIP`.
fn is_filter_refused(config: &watcher::Config, error: &watcher::Error) -> bool {
    config.field_selector.is_some()
        && matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) | watcher::Error::InitialListFailed(kube::Error::Api(status))
            if status.code == 400)
}

/// Whether the server refuses the streaming list that `config` asks for, where `error` comes before the list: before
/// Kubernetes 1.27, and later where the feature is off, the parameters of such a request are invalid.
fn is_streaming_refused(config: &watcher::Config, error: &watcher::Error) -> bool {
    config.initial_list_strategy == InitialListStrategy::StreamingList
        && matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if matches!(status.code, 400 | 404 | 405 | 406 | 415 | 422))
}

/// Whether the server cannot go on from the resourceVersion that the watch has: it was compacted (410), or it is one that
/// this server has not reached (504 *Too large resource version*, after a restore from a backup). The watcher would ask
/// for the same one for ever.
fn is_position_lost(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 400 | 410 | 422 | 504),
        watcher::Error::WatchError(status) => matches!(status.code, 410 | 500 | 504),
        watcher::Error::NoResourceVersion => true,
        _ => false,
    }
}

/// When the change happened that an event tells of, and when it was heard; none for what a list says.
fn times<K: Kind>(event: &Event<Incoming<K>>, heard: std::time::Instant) -> Option<EventTimes> {
    match event {
        Event::Apply(incoming) => Some(EventTimes { received_at: heard, changed_at: incoming.happened() }),
        Event::Delete(_) => Some(EventTimes { received_at: heard, changed_at: None }),
        Event::Init | Event::InitApply(_) | Event::InitDone => None,
    }
}

/// What an event of the watcher says to the index.
fn read<K: Kind>(event: Event<Incoming<K>>, reporter: &mut Reporter<'_>) -> Change<K> {
    let incoming = match event {
        Event::Init => {
            reporter.list_started();
            return Change::RelistStarted;
        }
        Event::InitDone => {
            reporter.list_done();
            reporter.event(WatchEvent::Relist);
            return Change::RelistDone;
        }
        Event::Delete(incoming) => {
            reporter.event(WatchEvent::Delete);
            let key = incoming.key();
            reporter.forget(&key);
            return Change::Delete(key);
        }
        Event::Apply(incoming) => {
            reporter.event(WatchEvent::Apply);
            incoming
        }
        Event::InitApply(incoming) => incoming,
    };
    let key = incoming.key();
    let (change, problems) = incoming.read(key.clone());
    reporter.malformed(&key, &problems);
    change
}
