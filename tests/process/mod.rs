//! The program as a process: its command line, its start, its end, and what it keeps on disk.

mod config;
#[cfg(feature = "sandbox")]
mod drain;
#[cfg(feature = "sandbox")]
mod explain;
#[cfg(feature = "sandbox")]
mod greedy;
mod manual;
#[cfg(feature = "sandbox")]
mod memory;
#[cfg(feature = "sandbox")]
mod probes;
#[cfg(feature = "sandbox")]
mod queries;
#[cfg(feature = "sandbox")]
mod reload;
#[cfg(feature = "sandbox")]
mod reload_upstreams;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(feature = "sandbox")]
mod startup;
mod state;
#[cfg(feature = "sandbox")]
mod storm;
#[cfg(feature = "sandbox")]
mod walkthroughs;
#[cfg(feature = "sandbox")]
mod warm;
#[cfg(feature = "sandbox")]
mod worst;
