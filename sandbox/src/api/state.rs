//! What every handler works on.

use std::sync::Arc;
use std::time::Duration;

use crate::faults::Faults;
use crate::store::Store;

/// The API's state, shared by all requests.
pub struct Api {
    pub store: Arc<Store>,
    pub faults: Faults,
    /// Whether watches may start with the current state (`sendInitialEvents`).
    pub streaming_lists: bool,
    /// Whether objects are sent in Protobuf to whoever prefers it.
    pub protobuf: bool,
    /// How often a watch that allows bookmarks gets one.
    pub bookmark_interval: Duration,
}
