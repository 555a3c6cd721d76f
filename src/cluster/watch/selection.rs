//! What is watched, and how closely.

use std::time::Duration;

use tokio::time::Instant;

use super::retry::jittered;
use crate::cluster::api::Selectors;
use crate::cluster::objects::{POD_NAME, Scope};
use crate::telemetry::metrics::Resource;

/// The longest time, in seconds, after which the server ends a watch, which is then resumed. Bounds how long a dead link goes
/// unnoticed.
const MAX_WATCH_SECONDS: u64 = 50;

/// The configured times of a watch.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A watch on which nothing arrives for this long is stale.
    pub stale_after: Duration,
    /// How long a watch is relied on before a list verifies it; zero means for ever.
    pub reconcile_every: Duration,
}

impl Timing {
    /// How long a watch lasts: five sixths of `stale_after`, so that an idle one is resumed, and answered, in time.
    fn watch_seconds(&self) -> u32 {
        let seconds = self.stale_after.as_secs() * 5 / 6;
        seconds.clamp(1, MAX_WATCH_SECONDS) as u32
    }

    /// When to reconcile a watch whose list has just completed, if ever.
    pub(super) fn next_reconcile(&self) -> Option<Instant> {
        (!self.reconcile_every.is_zero()).then(|| Instant::now() + jittered(self.reconcile_every))
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

/// Which part of the cluster is followed, and how closely.
#[derive(Clone, Debug)]
pub struct Selection {
    pub scopes: Vec<Scope>,
    pub pods: PodSelection,
    /// Leave out Services without `clusterIP: None`.
    pub headless_only: bool,
    pub timing: Timing,
}

impl Selection {
    /// The default selection in these scopes.
    pub fn of(scopes: Vec<Scope>, timing: Timing) -> Self {
        Self { scopes, pods: PodSelection::default(), headless_only: false, timing }
    }

    /// The parameters of the watches of a resource. None if it is not watched at all.
    pub(super) fn config(&self, resource: Resource) -> Option<WatchConfig> {
        let mut selectors = Selectors::default();
        match (resource, self.pods) {
            (Resource::Services, _) if self.headless_only => selectors.fields = Some("spec.clusterIP=None".to_owned()),
            // No filter for slices: those that people make for a headless Service lack the label that says so.
            (Resource::Services | Resource::EndpointSlices, _) | (Resource::Pods, PodSelection::All) => {}
            (Resource::Pods, PodSelection::Off) => return None,
            (Resource::Pods, PodSelection::StatefulSets) => selectors.labels = Some(POD_NAME.to_owned()),
        }
        Some(WatchConfig { selectors, timeout_seconds: self.timing.watch_seconds(), is_streaming: true })
    }
}

/// The parameters of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchConfig {
    pub selectors: Selectors,
    /// How long the server is to keep it open.
    pub timeout_seconds: u32,
    /// The list is streamed as events of the watch, and not requested in pages.
    pub is_streaming: bool,
}
