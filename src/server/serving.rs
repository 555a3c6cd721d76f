//! What is answered and to whom: one value, which a reload replaces whole.
//!
//! ```text
//! reload ──new Serving──▶ SharedServing ──one look a batch──▶ Batch: what is in flight ends with the value that it began with
//! ```

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::authority::Authority;
use crate::resolver::Resolver;
use crate::tap::Taps;
use crate::transfer::Primary;

/// What answers are made from. It never changes; a server that is configured anew gets another one.
#[derive(Clone)]
pub struct Serving {
    pub authority: Arc<Authority>,
    /// Answers what is not ours, where that is configured.
    pub resolver: Option<Resolver>,
    /// Hands out zones, where that is configured.
    pub primary: Option<Arc<Primary>>,
    /// Shows queries, where that is configured.
    pub taps: Option<Arc<Taps>>,
}

/// The [`Serving`] of now. All clones are one.
#[derive(Clone)]
pub struct SharedServing(Arc<ArcSwap<Serving>>);

/// The [`Serving`] of one moment. Cheap: it takes no lock and counts nothing that others count.
pub type PinnedServing = Guard<Arc<Serving>>;

impl Serving {
    /// Answers from the zones alone.
    pub fn of(authority: Arc<Authority>) -> Self {
        Self { authority, resolver: None, primary: None, taps: None }
    }
}

impl SharedServing {
    pub fn new(serving: Serving) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(serving)))
    }

    /// What is in force now, for as long as a batch takes.
    pub fn pin(&self) -> PinnedServing {
        self.0.load()
    }

    /// The same, for as long as wanted.
    pub fn now(&self) -> Arc<Serving> {
        self.0.load_full()
    }

    /// Puts another one in force.
    pub fn replace(&self, serving: Serving) {
        self.0.store(Arc::new(serving));
    }
}
