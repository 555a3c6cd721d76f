//! The sandbox's controllers on a store of their own, without the HTTP API: what a walkthrough sees step by step.

mod behaviour;
mod cascades;
mod harness;
mod histories;
mod walkthroughs;
