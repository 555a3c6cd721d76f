//! The program from outside. One binary for all, because linking is what takes time.

mod cases;
mod common;
mod fixture;
mod layering;
mod wire;
