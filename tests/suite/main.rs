//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
mod common;
mod histories;
mod layering;
mod malformed;
#[cfg(feature = "sandbox")]
mod mirrored;
mod oracle;
mod readers;
mod rebuild;
#[cfg(feature = "sandbox")]
mod watch;
mod wire;
