//! How messages come and go: UDP, TCP, the encrypted transports, and clients that mean no good.

mod boundaries;
pub mod connections;
mod counted;
pub mod encrypted;
mod liveness;
#[cfg(feature = "sandbox")]
mod load;
pub mod neighbours;
mod notify;
mod options;
mod public_view;
mod transfers;
mod wire;
