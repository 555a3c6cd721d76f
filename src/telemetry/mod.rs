//! What the process reports about itself: metrics, readiness, and the heartbeats of its loops.

pub mod heartbeat;
pub mod metrics;
pub mod readiness;

use std::sync::Arc;

use self::heartbeat::Heartbeats;
use self::metrics::Metrics;

/// Where running parts report how they are. All clones are one.
#[derive(Clone, Debug, Default)]
pub struct Reporting {
    pub metrics: Arc<Metrics>,
    pub heartbeats: Heartbeats,
}
