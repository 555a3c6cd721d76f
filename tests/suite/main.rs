//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
#[cfg(feature = "sandbox")]
mod cluster;
mod common;
#[cfg(feature = "sandbox")]
mod deploy;
mod encrypted;
mod fixture;
mod forwarders;
mod histories;
mod layering;
mod malformed;
#[cfg(feature = "sandbox")]
mod memory;
#[cfg(feature = "sandbox")]
mod mirrored;
mod oracle;
mod peers;
mod pods;
#[cfg(feature = "sandbox")]
mod program;
mod readers;
mod rebuild;
#[cfg(feature = "sandbox")]
mod startup;
mod state;
#[cfg(feature = "sandbox")]
mod walkthroughs;
#[cfg(feature = "sandbox")]
mod warm;
#[cfg(feature = "sandbox")]
mod watch;
mod wire;
