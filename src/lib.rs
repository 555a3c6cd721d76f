//! headless-dns, an authoritative DNS server for Kubernetes headless Services.
#![forbid(unsafe_code)]

pub mod authority;
pub mod cluster;
pub mod index;
pub mod metrics;
pub mod name;
pub mod readiness;
pub mod records;
pub mod reverse;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod server;
pub mod table;
pub mod wire;
