//! headless-dns, an authoritative DNS server for Kubernetes headless Services.
#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod metrics;
pub mod readiness;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod telemetry;
