//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
#[cfg(feature = "sandbox")]
mod cluster;
mod common;
#[cfg(feature = "sandbox")]
mod deploy;
mod encrypted;
mod errors;
mod explain;
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
mod reasons;
mod rebuild;
#[cfg(feature = "sandbox")]
mod startup;
#[cfg(feature = "sandbox")]
mod walkthroughs;
#[cfg(feature = "sandbox")]
mod watch;
mod wire;
