//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
#[cfg(feature = "sandbox")]
mod cluster;
mod common;
#[cfg(feature = "sandbox")]
mod deploy;
mod encrypted;
mod errors;
mod fixture;
mod forwarders;
mod histories;
mod layering;
#[cfg(feature = "sandbox")]
mod lists;
mod malformed;
#[cfg(feature = "sandbox")]
mod memory;
#[cfg(feature = "sandbox")]
mod mirrored;
mod oracle;
#[cfg(feature = "sandbox")]
mod outage;
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
