//! The newest version of the zones, and the differences that lead to it.

use std::collections::VecDeque;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::snapshot::Snapshot;
use crate::table::Change;

/// What is kept of older versions. The oldest go first.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    pub versions: usize,
    /// Of the records that only the history has.
    pub octets: usize,
}

/// What changed from one version to the next.
#[derive(Debug)]
pub(super) struct Cut {
    /// The serial of the version before.
    pub previous: u32,
    pub changes: Box<[Change]>,
    octets: usize,
}

/// One moment's versions: the newest whole, and the differences that lead to it.
#[derive(Debug)]
pub struct Versions {
    serial: u32,
    pub(super) newest: Snapshot,
    /// In order. The last leads to the newest.
    cuts: Vec<Arc<Cut>>,
}

/// What the writer and the readers share.
#[derive(Debug)]
struct Shared {
    current: ArcSwapOption<Versions>,
    serial: watch::Sender<Option<u32>>,
}

/// Cuts versions.
#[derive(Debug)]
pub struct VersionWriter {
    shared: Arc<Shared>,
    limits: HistoryLimits,
    newest: Snapshot,
    /// The serial of the newest version, once there is one.
    serial: Option<u32>,
    cuts: VecDeque<Arc<Cut>>,
    octets: usize,
}

/// Reads the versions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VersionReader(Arc<Shared>);

/// No version yet.
pub fn versions(limits: HistoryLimits) -> (VersionWriter, VersionReader) {
    let shared = Arc::new(Shared { current: ArcSwapOption::empty(), serial: watch::Sender::new(None) });
    let reader = VersionReader(Arc::clone(&shared));
    let (newest, cuts) = (Snapshot::default(), VecDeque::new());
    (VersionWriter { shared, limits, newest, serial: None, cuts, octets: 0 }, reader)
}

impl VersionWriter {
    /// Whether there is a version.
    pub fn has_version(&self) -> bool {
        self.serial.is_some()
    }

    /// Cuts a version with a serial that is newer than all before. Readers have it from now on; nobody is told yet.
    pub fn cut(&mut self, serial: u32, changes: Vec<Change>) {
        self.newest = self.newest.with(&changes);
        if let Some(previous) = self.serial.replace(serial) {
            let octets = changes.iter().map(octets).sum();
            self.octets += octets;
            self.cuts.push_back(Arc::new(Cut { previous, changes: changes.into(), octets }));
        }
        while self.cuts.len() > self.limits.versions || self.octets > self.limits.octets {
            let Some(oldest) = self.cuts.pop_front() else { break };
            self.octets -= oldest.octets;
        }
        let versions = Versions { serial, newest: self.newest.clone(), cuts: self.cuts.iter().cloned().collect() };
        self.shared.current.store(Some(Arc::new(versions)));
    }

    /// Tells who waits for versions of the newest. What they ask next has to be answered with its serial already.
    pub fn announce(&self) {
        self.shared.serial.send_replace(self.serial);
    }

    /// Forgets the history: from here on there is no difference from any earlier version, so that secondaries fetch the next one
    /// whole.
    pub fn forget_history(&mut self) {
        (self.serial, self.octets) = (None, 0);
        self.cuts.clear();
    }

    /// Versions that the history leads from, and the octets that it takes.
    pub fn history(&self) -> (usize, usize) {
        (self.cuts.len(), self.octets)
    }
}

/// What a change makes the history take: the records after it are in the table, or another change's records before.
fn octets(change: &Change) -> usize {
    size_of::<Change>() + change.before.as_ref().map_or(0, |before| before.records.octets())
}

impl VersionReader {
    /// The versions as they are now; None before the first.
    pub fn now(&self) -> Option<Arc<Versions>> {
        self.0.current.load_full()
    }

    /// The serial of the newest version that was announced, and each later one.
    pub fn serials(&self) -> watch::Receiver<Option<u32>> {
        self.0.serial.subscribe()
    }
}

impl Versions {
    /// The serial of the newest.
    pub fn serial(&self) -> u32 {
        self.serial
    }

    /// How many older versions there is a difference from.
    pub fn history(&self) -> usize {
        self.cuts.len()
    }

    /// The cuts that lead from the version with this serial to the newest; None if it is not known.
    pub(super) fn since(&self, serial: u32) -> Option<&[Arc<Cut>]> {
        // Most secondaries are a version or two behind.
        let first = self.cuts.iter().rposition(|cut| cut.previous == serial)?;
        self.cuts.get(first..)
    }

    /// How many versions a secondary is behind that has this one; None if it is not known.
    pub fn behind(&self, serial: u32) -> Option<usize> {
        if serial == self.serial { Some(0) } else { self.since(serial).map(<[_]>::len) }
    }
}
