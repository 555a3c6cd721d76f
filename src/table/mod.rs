//! The record table: one writer publishes Services, any number of readers look them up without a lock.
//!
//! ```text
//! TableWriter::publish ─▶ Shared (maps of services, namespaces, reverse index, reasons) ─▶ TableReader::pin ─▶ Table
//! ```
//!
//! The unit of publication is one Service. Its records are replaced as one immutable value, so a reader sees all of the
//! old or all of the new. What spans Services (which namespaces exist, which Services an address may lead back to) is
//! published in the same call, before a Service appears and after it is gone, so that no name is denied while another
//! answer still leads to it.
//!
//! The maps are `papaya` hash maps that share one collector: a reader pins once for a batch of look-ups, which costs one
//! memory fence, and neither waits for the writer nor makes it wait. `dashmap` was measured to look up a tenth faster, until
//! its writer was preempted inside a lock: then every query for that shard waited until it ran again. Shards of `arc-swap`ped
//! maps cost half as much again per look-up, and ten times as much per publication.
//!
//! In a large table a look-up costs the memory accesses that miss the caches: it touches entry, records, slot and label, and
//! nothing else (see `crate::records::Hosts`). An endpoint of a Service with one port takes about a hundred octets, reverse
//! names included, and one change to a Service of 5,000 is published in a tenth of a millisecond
//! (`cargo bench --bench live -- derive`).

mod address_diff;
mod changes;
mod maps;
mod reader;
mod reverse_index;
mod shared;
mod smallest;
mod writer;

use std::sync::Arc;

pub use changes::Change;
pub use reader::{KnownService, PtrTargets, Table, TableReader};
use shared::Shared;
pub use shared::{Published, TableSize};
pub use writer::{Publication, TableWriter};

/// A new, empty table that is not synchronised.
pub fn table() -> (TableWriter, TableReader) {
    let shared = Arc::new(Shared::default());
    (TableWriter::new(Arc::clone(&shared)), TableReader { shared })
}

#[cfg(test)]
mod tests;
