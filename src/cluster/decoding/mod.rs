//! From the API's form of objects to ours.
//!
//! ```text
//! JSON ─▶ Incoming<K>: a Raw struct of Fields ─▶ Kind::read ─▶ Service, Slice or Pod
//!             tolerant: a malformed field is a value     essential field malformed: unreadable, one warning
//!                                                        other field malformed: left out, one warning
//! ```

mod incoming;
mod metadata;
mod pod;
mod port;
mod service;
mod slice;
mod tolerant;

pub use incoming::read_json;
pub(super) use incoming::{Incoming, Kind};
