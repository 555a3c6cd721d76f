//! Graceful deletion, as far as the API and the controllers share it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::time;

/// The finalizer that keeps an owner until its dependents are gone (`propagationPolicy: Foreground`).
pub const FOREGROUND: &str = "foregroundDeletion";

/// The API's default of `terminationGracePeriodSeconds`.
pub const DEFAULT_GRACE_SECONDS: i64 = 30;

/// Whether the object is being deleted.
pub fn is_terminating(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// Sets `deletionTimestamp`, which is the end of the grace period, and `deletionGracePeriodSeconds`.
pub fn schedule(object: &mut Value, grace_seconds: i64, now: Timestamp) {
    let end = now.saturating_add(SignedDuration::from_secs(grace_seconds)).unwrap_or(Timestamp::MAX);
    object["metadata"]["deletionTimestamp"] = json!(time::format(end));
    object["metadata"]["deletionGracePeriodSeconds"] = json!(grace_seconds);
}
