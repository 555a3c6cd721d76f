//! Fault injection: how a test makes the sandbox's API refuse requests, stall, lose events or go away.
//!
//! A test in the same process injects a [`Fault`] through [`Faults::inject`], another process as JSON over HTTP
//! (`POST /sandbox/faults`, see the README of the package). Some faults happen once, immediately (a cut, a compaction, a
//! restore); the others stay active until they are used up or removed. The same handle counts the requests that the API
//! received, so that a test can compare a client with the RBAC permissions that it claims to need.

mod fault;
mod handle;

pub(crate) use fault::Site;
pub use fault::{Cut, Fault, FaultError, Missed, RequestRecord, Scope};
pub use handle::Faults;
pub(crate) use handle::Verdict;

pub use crate::verb::Verb;
