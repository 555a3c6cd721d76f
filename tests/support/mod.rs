//! What several tests share.

pub mod answering;
#[cfg(feature = "sandbox")]
pub mod cluster;
pub mod common;
pub mod differential;
pub mod expected;
pub mod fixture;
pub mod history;
pub mod large;
pub mod malformed;
#[cfg(feature = "sandbox")]
pub mod memory;
pub mod mirrored;
pub mod network;
pub mod oracle;
pub mod passed_on;
pub mod peers;
#[cfg(feature = "sandbox")]
pub mod program;
pub mod reasons;
pub mod rebuild;
pub mod reference;
pub mod upstream;
