//! Counts of zone transfers and of notifications.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::labels::{NotifyOutcome, TransferForm, TransferRejection};
use super::{Metrics, increment};

/// Counts of the primary.
#[derive(Debug, Default)]
pub struct Transfers {
    pub(super) done: [AtomicU64; TransferForm::COUNT],
    pub(super) aborted: AtomicU64,
    pub(super) octets: AtomicU64,
    pub(super) rejected: [AtomicU64; TransferRejection::COUNT],
    pub(super) notifies: [AtomicU64; NotifyOutcome::COUNT],
    pub(super) versions: AtomicU64,
    pub(super) serial: AtomicU64,
    pub(super) history: AtomicU64,
    pub(super) history_octets: AtomicU64,
    secondaries: Mutex<Secondaries>,
}

/// The serial that each secondary that is notified has of each zone that it has asked for.
pub(super) type Secondaries = BTreeMap<IpAddr, BTreeMap<String, u32>>;

impl Transfers {
    /// Counts a transfer that came to its end, with what was sent.
    pub fn done(&self, form: TransferForm, octets: u64) {
        increment(&self.done[form.index()]);
        self.octets.fetch_add(octets, Relaxed);
    }

    /// Counts one that did not.
    pub fn aborted(&self, octets: u64) {
        increment(&self.aborted);
        self.octets.fetch_add(octets, Relaxed);
    }

    /// Counts a request that was not granted.
    pub fn rejected(&self, reason: TransferRejection) {
        increment(&self.rejected[reason.index()]);
    }

    /// Counts a notification of one secondary about one version of a zone.
    pub fn notified(&self, outcome: NotifyOutcome) {
        increment(&self.notifies[outcome.index()]);
    }

    /// These are the secondaries that are notified, so that they are expected to follow.
    pub fn expect_secondaries(&self, expected: Vec<IpAddr>) {
        let expected: Vec<_> = expected.iter().map(IpAddr::to_canonical).collect();
        let mut secondaries = self.secondaries();
        secondaries.retain(|secondary, _| expected.contains(secondary));
        for secondary in expected {
            secondaries.entry(secondary).or_default();
        }
    }

    /// A client has this version of a zone. Of others than those that are expected nothing is kept.
    pub fn secondary_has(&self, client: IpAddr, zone: &impl Display, serial: u32) {
        if let Some(zones) = self.secondaries().get_mut(&client) {
            zones.insert(zone.to_string(), serial);
        }
    }

    pub(super) fn secondaries(&self) -> MutexGuard<'_, Secondaries> {
        self.secondaries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version was cut, and the history has so many, of so many octets.
    pub fn cut(&self, serial: u32, history: usize, octets: usize) {
        increment(&self.versions);
        self.serial.store(serial.into(), Relaxed);
        self.history.store(history as u64, Relaxed);
        self.history_octets.store(octets as u64, Relaxed);
    }
}

impl Metrics {
    /// Counts of the primary.
    pub fn transfers(&self) -> &Transfers {
        &self.transfers
    }
}
