//! A small Kubernetes API on loopback: enough of an API server, its controllers and a kubelet that `kubectl`, the watch
//! loop of this program, and a person following a walkthrough cannot tell it from a test cluster.
//!
//! ```text
//! kubectl, kube-rs ──HTTP──▶ api ──┐
//! manifests ───────────────────────┴──▶ admit ──▶ store ◀──▶ controllers
//! tests ──▶ faults ──▶ api                          │
//!                       └──── lists and watches ◀───┘
//! ```

mod admit;
mod api;
pub mod controllers;
pub mod faults;
pub mod kind;
pub mod manifests;
pub mod server;
pub mod store;

pub use api::status::ApiError;
pub use server::{Options, Sandbox, StartError};

/// The present time as Kubernetes writes it, RFC 3339 in UTC with whole seconds.
pub fn now() -> String {
    k8s_openapi::jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
