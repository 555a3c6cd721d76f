//! What the process tells about itself: its metrics, and whether it is ready.

pub mod metrics;
pub mod readiness;
