//! The program from outside. One binary for all, because linking is what takes time.

mod answering;
mod cases;
#[cfg(feature = "sandbox")]
mod cluster;
mod common;
mod connections;
#[cfg(feature = "sandbox")]
mod deploy;
mod differential;
#[cfg(feature = "sandbox")]
mod drain;
mod encrypted;
mod errors;
mod explain;
mod fixture;
mod forwarders;
mod generated;
mod histories;
mod large;
mod layering;
#[cfg(feature = "sandbox")]
mod lists;
#[cfg(feature = "sandbox")]
mod load;
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
mod said;
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
