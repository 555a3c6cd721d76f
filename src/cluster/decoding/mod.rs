//! From the API's form of objects to ours, in either of its encodings.
//!
//! ```text
//! JSON ───────┐  a Raw struct of Fields, declared once for both encodings (protobuf::message), texts borrowed
//! Protobuf ───┴─▶ Kind::read ─▶ Service, Slice or Pod, in an Incoming
//!                   tolerant: a malformed field is a value     essential field malformed: unreadable, one warning
//!                                                              other field malformed: left out, one warning
//! envelope: Page, Event, Status, which objects come in
//! ```

mod envelope;
mod incoming;
mod metadata;
mod pod;
mod port;
mod protobuf;
mod service;
mod slice;
mod text;
mod tolerant;

pub(super) use envelope::{DecodeError, Page, Status, WireEvent};
pub use incoming::{Encoding, read_json, read_object};
pub(super) use incoming::{Incoming, Kind};

#[cfg(test)]
mod tests;
