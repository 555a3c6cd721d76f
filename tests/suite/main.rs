//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
mod common;
mod histories;
mod layering;
mod malformed;
mod oracle;
mod rebuild;
mod wire;
