//! What the benches share. Each compiles all of it and uses a part.
#![allow(dead_code, reason = "no bench uses all of it")]

pub mod dns;
pub mod figures;
pub mod process;
pub mod served;
pub mod workload;
