//! The Kubernetes API: lists and watches objects, reduces each to the fields that are served, and reports what changed.
//!
//! ```text
//! connection   kubeconfig or service account ─▶ Connection { client, url }
//!                  │
//! watch/       list and watch of each resource and scope: liveness, backoff, reconcile, reports
//! api/         requests, and what comes back: lists, and watches frame by frame
//!                  │ JSON or Protobuf
//! decoding/    the API's form of an object, field by field, none of which can fail the list that it came in
//!                  │
//! objects/     Service, Slice, Pod: what the index works with
//!                  │
//! update       WatchUpdate ─▶ one channel to the index
//! position     how far a watch has come, where it may go on after a restart
//! ```
//!
//! Nothing above this room knows `kube` or `k8s_openapi`; nothing in it knows DNS beyond the form of a label.

mod api;
mod connection;
mod decoding;
mod objects;
mod position;
mod resource;
mod update;
mod watch;

pub use connection::{Connection, CredentialError, CredentialSource, connect};
pub use decoding::{Encoding, read_json, read_object};
pub use objects::{
    ContainerPort, Endpoint, Endpoints, Families, Hostname, Labels, ObjectKey, OwnLabels, POD_INDEX, POD_NAME, Pod,
    PodRef, Port, Protocol, Scope, Service, ServiceSpec, Slice, SlicePort, TargetPort, Template, Uid, Version,
};
pub use position::{Position, Witness};
pub use update::{Change, ClusterEvent, EventTimes, Positions, WatchId, WatchUpdate};
pub use watch::{Feed, PodSelection, Selection, Timing, follow_all};

pub use crate::telemetry::metrics::Resource;
