//! What the writer and the readers of a table share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use seize::Collector;

use super::maps::{SharedMap, new_map};
use super::reverse_index::{ReverseIndex, ServiceId};
use crate::records::reasons::Reasons;
use crate::records::{ServiceKey, ServiceRecords};

pub(super) struct Shared {
    pub services: SharedMap<ServiceKey, Arc<Published>>,
    pub keys: SharedMap<ServiceId, ServiceKey>,
    pub namespaces: SharedMap<Box<[u8]>, ()>,
    pub reverse: ReverseIndex,
    /// Apart from the records, because they change more often and no answer waits for them.
    pub reasons: SharedMap<ServiceKey, Arc<Reasons>>,
    /// The names of endpoints in all Services.
    pub endpoints: AtomicUsize,
    pub serial: AtomicU32,
    pub synchronised: AtomicBool,
    /// Since when the table may be out of date, in seconds since the Unix epoch; 0 while it is not.
    pub stale_since: AtomicI64,
}

/// A Service in the table.
pub(super) struct Published {
    pub records: ServiceRecords,
    pub id: ServiceId,
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
            stale_since: AtomicI64::new(0),
        }
    }
}

impl Shared {
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
