//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
#[cfg(feature = "sandbox")]
mod cluster;
mod common;
#[cfg(feature = "sandbox")]
mod deploy;
mod peers;
mod program;
#[cfg(feature = "sandbox")]
mod walkthroughs;
mod wire;
