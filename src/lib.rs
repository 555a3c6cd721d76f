//! headless-dns, an authoritative DNS server for Kubernetes headless Services.
#![forbid(unsafe_code)]

pub mod authority;
pub mod name;
pub mod records;
pub mod reverse;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod table;
pub mod wire;
