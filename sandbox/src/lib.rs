//! A small Kubernetes cluster on loopback, in one process: an API server, the controllers of workloads and endpoints, a
//! kubelet that runs nothing, and fault injection. `kubectl` and kube-rs work with it as with a test cluster.
//!
//! ```text
//! kubectl, kube-rs ──HTTP──▶ api ──┐
//! manifests ───────────────────────┴──▶ admit ──▶ store ◀──▶ controllers
//! tests ──▶ faults ──▶ api                          │
//!                       └──── lists and watches ◀───┘
//! ```
//!
//! [`Sandbox::start`] is the entry point. The README of the package says what is implemented and how it differs from a real
//! cluster.

mod admit;
mod api;
pub mod controllers;
mod deletion;
pub mod faults;
mod fields;
mod generate_name;
mod in_process;
pub mod kind;
mod kind_type;
mod manifests;
mod server;
mod status;
pub mod store;
mod time;
mod verb;

pub use api::encode_message;
pub use in_process::InProcess;
pub use manifests::{ManifestError, Manifests, Origin};
pub use server::{Options, Sandbox, StartError};
pub use status::ApiError;
pub use time::now;
