//! Timestamps as Kubernetes writes them.

use jiff::Timestamp;

/// The current time as Kubernetes writes it: RFC 3339 in UTC with whole seconds.
pub fn now() -> String {
    format(Timestamp::now())
}

/// RFC 3339 in UTC with whole seconds, the JSON form of `metav1.Time`.
pub fn format(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
