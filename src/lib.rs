//! headless-dns, an authoritative DNS server for Kubernetes headless Services.
//!
//! ```text
//! Kubernetes API ──list/watch──▶ cluster/    objects cut down at the door, one stream of changes
//!                                    │ WatchUpdate
//!                                    ▼
//!                                index/      one owner, plain maps: joins, derives, says what changed
//!                                    │ (ServiceKey, ServiceRecords), one at a time
//!                                    ▼
//!                                table       the record table: one writer, lock-free readers
//!                                    ▲ pin
//!                                authority/  question in, answer out, as data: rcode, sections, why
//!                                    ▲
//!                                server/     UDP, TCP, TLS, HTTPS, QUIC: octets in, octets out ──▶ resolver/  cache, upstreams
//! ```
//!
//! A query never waits for the watch, and the watch never waits for a query. `authority` and `server` know
//! nothing of Kubernetes; `cluster` and `index` know nothing of DNS messages. Who may import whom, which `tests/layering.rs` holds the code to; what
//! is not named is denied:
//!
//! | room | may import |
//! |---|---|
//! | `dns` | |
//! | `files` | |
//! | `records` | `dns` |
//! | `table` | `dns`, `records` |
//! | `authority` | `dns`, `records`, `table` |
//! | `telemetry` | `dns` |
//! | `transfer` | `dns`, `files`, `records`, `table`, `authority`, `telemetry` |
//! | `resolver` | `dns`, `files`, `telemetry` |
//! | `tap` | `dns`, `telemetry` |
//! | `server` | `dns`, `files`, `records`, `table`, `authority`, `resolver`, `telemetry`, `transfer`, `tap` |
//! | `cluster` | `dns`, `records`, `telemetry` |
//! | `index` | `dns`, `records`, `table`, `cluster` |
//! | `state` | `cluster`, `index` |
//! | `diagnose` | `dns`, `records`, `table`, `authority`, `resolver`, `cluster`, `index` |
//! | `config` | `dns`, `files`, `resolver`, `transfer`, `tap`, `cluster` |
//! | `admin` | `dns`, `records`, `table`, `authority`, `server`, `diagnose`, `telemetry`, `transfer` |
//! | `app` | `dns`, `records`, `table`, `authority`, `telemetry`, `transfer`, `resolver`, `tap`, `server`, `cluster`, `index`, `state`, `diagnose`, `config`, `admin` |
//! | `cli` | `dns`, `server`, `config`, `admin`, `app` |
//! | `main` | `admin`, `cli`, `server` |
//!
//! Libraries that only some rooms may use:
//!
//! | library | is for |
//! |---|---|
//! | `axum` | `admin` |
//! | `clap` | `cli`, `main` |
//! | `dashmap` | `resolver` |
//! | `domain` | `transfer` |
//! | `futures` | `cluster`, `server` |
//! | `hickory_proto` | `server` |
//! | `k8s_openapi` | `cluster` |
//! | `kube` | `cluster` |
//! | `papaya` | `resolver`, `table` |
//! | `quinn` | `server` |
//! | `rustls` | `resolver`, `server` |
//! | `tokio` | `admin`, `app`, `cli`, `cluster`, `diagnose`, `main`, `resolver`, `server`, `tap`, `telemetry`, `transfer` |
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
pub mod files;
pub mod index;
pub mod records;
pub mod resolver;
pub mod server;
pub mod state;
pub mod table;
pub mod tap;
pub mod telemetry;
pub mod transfer;
