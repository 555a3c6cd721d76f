//! headless-dns, an authoritative DNS server for Kubernetes headless Services.
//!
//! ```text
//! Kubernetes API ──list/watch──▶ cluster/    objects cut down at the door, one stream of changes
//!                                    │ Update
//!                                    ▼
//!                                index/      one owner, plain maps: joins, derives, says what changed
//!                                    │ (ServiceKey, ServiceRecords), one at a time
//!                                    ▼
//!                                table       the record table: one writer, lock-free readers
//!                                    ▲ pin
//!                                authority/  question in, answer out, as data: rcode, sections, why
//!                                    ▲
//!                                server/     UDP, TCP, TLS, HTTPS, QUIC: octets in, octets out
//! ```
//!
//! A query never waits for the watch, and the watch never waits for a query. Nothing from `authority` up knows Kubernetes;
//! nothing from `index` down knows DNS messages. Who may import whom stands in a table that a test holds the code to.
#![deny(unsafe_code)]
// Nothing that a packet or an object can reach may end the process.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::todo,
    clippy::unimplemented
)]

pub mod admin;
pub mod app;
pub mod authority;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod diagnose;
pub mod dns;
pub mod index;
pub mod records;
pub mod server;
pub mod state;
pub mod table;
pub mod telemetry;
