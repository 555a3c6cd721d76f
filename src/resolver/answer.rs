//! An answer from elsewhere, with where it comes from: for clients, and in words for a person.

use std::fmt;
use std::sync::Arc;

use super::cache::Entry;
use super::pool::Failure;
use crate::dns::wire::encode::CopiedTtl;

/// The TTL of an answer whose time is over, seconds (RFC 8767 section 4).
const STALE_TTL: u32 = 30;

/// An answer from elsewhere, or why there is none.
pub enum Resolved {
    Answer(Given),
    Failed(Failure),
}

/// An answer as it is given.
pub struct Given {
    pub entry: Arc<Entry>,
    pub origin: Origin,
}

/// Where an answer comes from.
pub enum Origin {
    Upstream,
    Cache {
        /// For how many seconds it has been there.
        age: u32,
    },
    /// The cache, although its time is over.
    Stale {
        /// Why no upstream has given a newer one, if one was asked.
        why: Option<Arc<str>>,
    },
}

impl Given {
    /// What becomes of the TTLs of its records.
    pub fn ttl(&self) -> CopiedTtl {
        match self.origin {
            Origin::Upstream => CopiedTtl::Aged(0),
            Origin::Cache { age } => CopiedTtl::Aged(age),
            Origin::Stale { .. } => CopiedTtl::Expired(STALE_TTL),
        }
    }
}

impl fmt::Display for Given {
    /// `asked 10.96.0.10, which answered NXDOMAIN in 2 ms`, and before it, where that was not just now:
    /// `from the cache, 12 s left: …` or `stale, from the cache: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry, origin } = self;
        match origin {
            Origin::Upstream => {}
            Origin::Cache { age } => write!(f, "from the cache, {} s left: ", entry.lifetime().saturating_sub(*age))?,
            Origin::Stale { .. } => f.write_str("stale, from the cache: ")?,
        }
        let (upstream, took) = (&entry.source.upstream, entry.source.took.as_millis());
        write!(f, "asked {upstream}, which answered {} in {took} ms", entry.response.rcode())
    }
}
