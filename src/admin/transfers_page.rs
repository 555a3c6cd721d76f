//! The page `/transfers`: the versions, the secondaries, and what they were told.

use serde::Serialize;

use crate::transfer::{NotifyStatus, Primary};

/// The page.
#[derive(Debug, Serialize)]
pub(super) struct TransfersPage {
    /// Of the newest version; none before the first.
    serial: Option<u32>,
    /// Older versions from which a difference can be transferred.
    history: usize,
    /// Transfers that run.
    running: usize,
    secondaries: Vec<Secondary>,
    notify: Vec<Notified>,
}

/// A zone of a host that has asked for it.
#[derive(Debug, Serialize)]
struct Secondary {
    address: String,
    zone: String,
    /// What it got last, or said that it has.
    serial: u32,
    /// Versions that it is behind; none if that is not known any more.
    behind: Option<usize>,
    at: String,
}

#[derive(Debug, Serialize)]
struct Notified {
    to: String,
    /// The newest version that it was told of.
    serial: u32,
    /// The newest that it has answered for every zone.
    answered: Option<u32>,
    /// Zones about whose newest version it has not answered.
    unanswered: usize,
}

impl TransfersPage {
    pub fn new(primary: &Primary, status: &NotifyStatus) -> Self {
        let versions = primary.versions().now();
        let secondaries = primary.followers().all().into_iter().map(|(address, zone, seen)| Secondary {
            address: address.to_string(),
            zone: zone.to_string(),
            serial: seen.serial,
            behind: versions.as_ref().and_then(|versions| versions.behind(seen.serial)),
            at: seen.at.to_string(),
        });
        let notified = status.all().into_iter().map(|(to, told)| Notified {
            to: to.to_string(),
            serial: told.serial,
            answered: told.answered,
            unanswered: told.unanswered,
        });
        Self {
            serial: versions.as_ref().map(|versions| versions.serial()),
            history: versions.as_ref().map_or(0, |versions| versions.history()),
            running: primary.running(),
            secondaries: secondaries.collect(),
            notify: notified.collect(),
        }
    }
}
