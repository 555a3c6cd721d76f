//! What the process reports about itself: metrics and readiness.

pub mod metrics;
pub mod readiness;
