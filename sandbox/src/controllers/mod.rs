//! The controllers, the scheduler and the kubelet.
//!
//! ```text
//! Store ──events──▶ World (decoded, indexed) ──keys of affected objects──▶ Queue ──one key at a time──┐
//!   ▲                                                                                                 ▼
//!   └────────────── actions::perform_all ◀──Vec<Action>── plan(objects), a pure function per controller
//! ```
//!
//! Everything runs in one task, so the controllers need no locks among themselves. The cost of an event depends on
//! what it affects, not on the size of the store: a Pod queues the kubelet, its owner and the Services that select it, each
//! once however many events there were. Controllers are level-triggered: a decision on outdated state is made again when
//! the events arrive.

mod actions;
mod addresses;
mod daemon_set;
mod deployment;
mod endpoint_slice;
mod endpoints;
mod events;
mod garbage;
mod housekeeping;
mod kubelet;
mod manager;
mod options;
mod placement;
mod pod_template;
mod queue;
mod replica_set;
mod revisions;
mod service;
mod stateful_set;
#[cfg(test)]
mod testing;
mod types;
mod workloads;
mod world;

pub use actions::mark_deleted;
pub use addresses::{Cidr, InvalidCidr};
pub use endpoint_slice::{MANAGED_BY_LABEL, MANAGER};
pub use kubelet::{POD_IP_ANNOTATION, READY_ANNOTATION, START_DELAY_ANNOTATION};
pub use manager::run;
pub use options::{DEFAULT_MAX_ENDPOINTS_PER_SLICE, Options};
pub use workloads::TEMPLATE_GENERATION_ANNOTATION;
