//! The first synchronisation, which holds back readiness.

use std::collections::HashMap;

use super::staleness::REQUIRED;
use crate::cluster::{Scope, WatchId};
use crate::telemetry::readiness::{Latch, Readiness};

/// How far the first synchronisation has come.
///
/// ```text
/// Listing ──the last required list completes──▶ Listed ──what was listed is published──▶ Done
/// ```
pub(super) enum Synchronisation {
    /// The required watches whose objects are not all known yet. Each holds its readiness latch, unless saved state is served.
    Listing(HashMap<WatchId, Option<Latch>>),
    /// Everything is listed; the records are not published yet. Holds the last latch.
    Listed {
        _latch: Option<Latch>,
    },
    Done,
}

impl Synchronisation {
    /// Blocks readiness for each required watch.
    pub fn start(scopes: &[Scope], readiness: &Readiness) -> Self {
        let watches = scopes.iter().flat_map(|scope| REQUIRED.map(|resource| WatchId::new(resource, scope.clone())));
        let block = |watch: WatchId| {
            let latch = readiness.block(format!("{} of {}", watch.resource, watch.scope));
            (watch, Some(latch))
        };
        Self::Listing(watches.map(block).collect())
    }

    /// Whether a required list is still missing.
    pub fn is_listing(&self) -> bool {
        matches!(self, Self::Listing(_))
    }

    pub fn is_listed(&self) -> bool {
        matches!(self, Self::Listed { .. })
    }

    /// Drops the latches: the server is ready with its saved state.
    pub fn release_readiness(&mut self) {
        if let Self::Listing(watches) = self {
            watches.values_mut().for_each(|latch| *latch = None);
        }
    }

    /// Records that all objects of a watch are known. Returns true if it was the last required one.
    pub fn complete(&mut self, watch: &WatchId) -> bool {
        let Self::Listing(watches) = self else { return false };
        match watches.remove(watch) {
            Some(_latch) if watches.is_empty() => {
                *self = Self::Listed { _latch };
                true
            }
            _ => false,
        }
    }
}
