//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
#[cfg(feature = "sandbox")]
mod cluster;
mod common;
#[cfg(feature = "sandbox")]
mod deploy;
mod forwarders;
mod layering;
mod peers;
#[cfg(feature = "sandbox")]
mod program;
#[cfg(feature = "sandbox")]
mod startup;
#[cfg(feature = "sandbox")]
mod walkthroughs;
mod wire;
