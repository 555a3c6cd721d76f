//! The sandbox's controllers on a store of their own, without the HTTP API: what a walkthrough sees step by step.
#![cfg(feature = "sandbox")]

mod behaviour;
mod cascades;
mod harness;
mod histories;
mod walkthroughs;
