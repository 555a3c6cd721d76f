//! What the writer and the readers of a table share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use http::StatusCode;
use jiff::Timestamp;
use seize::Collector;

use super::maps::{SharedMap, new_map};
use super::reverse_index::{ReverseIndex, ServiceId};
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords, Silence, Stale};

pub(super) struct Shared {
    pub services: SharedMap<ServiceKey, Arc<Published>>,
    pub keys: SharedMap<ServiceId, ServiceKey>,
    /// Those that have a Service, and whether one of them is public.
    pub namespaces: SharedMap<Box<[u8]>, bool>,
    pub reverse: ReverseIndex,
    /// Apart from the records, because they change more often and no answer waits for them.
    pub reasons: SharedMap<ServiceKey, Arc<Reasons>>,
    /// The names of endpoints in all Services.
    pub endpoints: AtomicUsize,
    pub serial: AtomicU32,
    pub synchronised: AtomicBool,
    /// Whether the table may be out of date, as [`pack`] writes it.
    pub stale: AtomicI64,
}

/// The records of a Service as they are, or were, in the table.
#[derive(Debug)]
pub struct Published {
    pub records: ServiceRecords,
    pub(super) id: ServiceId,
}

impl Default for Shared {
    fn default() -> Self {
        let collector = Arc::new(Collector::new());
        // The first serial is the clock, so that serials rise over a restart unless records changed more than once a second
        // for the whole time before. RFC 1982 arithmetic makes the truncation sound.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            services: new_map(&collector),
            keys: new_map(&collector),
            namespaces: new_map(&collector),
            reverse: ReverseIndex::new(&collector),
            reasons: new_map(&collector),
            endpoints: AtomicUsize::new(0),
            serial: AtomicU32::new(since_epoch.as_secs() as u32),
            synchronised: AtomicBool::new(false),
            stale: AtomicI64::new(FRESH),
        }
    }
}

/// A table that is up to date.
const FRESH: i64 = 0;
/// Bits of the silence in a packed [`Stale`]; those above are seconds since the Unix epoch.
const SILENCE_BITS: u32 = 16;
/// The silences that no status code stands for. The least status code is 100.
const UNEXPLAINED: u16 = 0;
const UNREACHABLE: u16 = 1;

/// One number, so that no reader sees the time of one silence with the cause of another.
fn pack(stale: Option<Stale>) -> i64 {
    let Some(Stale { since, silence }) = stale else { return FRESH };
    let silence = match silence {
        Silence::Unexplained => UNEXPLAINED,
        Silence::Unreachable => UNREACHABLE,
        Silence::Refused(status) => status.as_u16(),
    };
    since.as_second() << SILENCE_BITS | i64::from(silence)
}

fn unpack(packed: i64) -> Option<Stale> {
    let since = Timestamp::from_second(packed >> SILENCE_BITS).ok().filter(|_| packed != FRESH)?;
    let silence = match packed as u16 {
        UNEXPLAINED => Silence::Unexplained,
        UNREACHABLE => Silence::Unreachable,
        status => StatusCode::from_u16(status).map_or(Silence::Unexplained, Silence::Refused),
    };
    Some(Stale { since, silence })
}

impl Shared {
    pub fn stale(&self) -> Option<Stale> {
        unpack(self.stale.load(Ordering::Relaxed))
    }

    pub fn set_stale(&self, stale: Option<Stale>) {
        self.stale.store(pack(stale), Ordering::Relaxed);
    }

    pub fn size(&self) -> TableSize {
        TableSize {
            services: self.services.len(),
            endpoints: self.endpoints.load(Ordering::Relaxed),
            namespaces: self.namespaces.len(),
        }
    }
}

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub services: usize,
    /// The names of endpoints in all Services.
    pub endpoints: usize,
    pub namespaces: usize,
}
