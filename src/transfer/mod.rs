//! Versions of the zones, for secondaries: what changed from one to the next, who may have it, and who is told of it.
//!
//! ```text
//! publisher ──changes of a tick──▶ versions.rs: VersionWriter ─▶ Versions (newest + history) ─▶ notify.rs ─▶ secondaries
//!                                     └─ serial.rs                  immutable, swapped whole
//!                                                                        │
//! request ─▶ signing/ ─▶ primary.rs: may this client? ─▶ outgoing.rs: record by record
//! ```
//!
//! A version is cut a quarter of a second after the one before it at the earliest, and only when something changed. It shares the
//! records of each Service with the record table and with other versions: nothing is copied, and whoever reads a version holds up
//! neither queries nor the publisher.

mod followers;
mod notify;
mod outgoing;
mod places;
mod primary;
mod serial;
mod signing;
mod snapshot;
mod versions;

pub use followers::{Followers, Seen};
pub use notify::{Notifier, NotifyStatus, NotifyTo, Secondary, Told};
pub use outgoing::{Form, Outgoing, Step, Wanted};
pub use places::{MAX_TRANSFERS, MAX_TRANSFERS_OF_CLIENT};
pub use primary::{Denied, Policy, Primary, Request, Transfer};
pub use serial::{MOST_REPLICAS, SerialClock, TICK, is_newer};
pub use signing::{Access, KeyError, KeyFiles, Keys, Rejection, Signer, Verified};
pub use versions::{HistoryLimits, VersionReader, VersionWriter, Versions, versions};
