//! headless-dns, an authoritative DNS server for Kubernetes headless Services.
#![forbid(unsafe_code)]

#[cfg(feature = "sandbox")]
pub mod sandbox;
