//! The controllers on a store without the HTTP API: each controller, cascading deletion, the walkthroughs of the manifests,
//! and random histories.

mod behaviour;
mod cascades;
mod harness;
mod histories;
mod walkthroughs;
