//! The objects that the index works with, reduced to the served fields. They serialize for the state on disk, in a form that
//! has nothing to do with that of the API.

mod endpoints;
mod identity;
mod labels;
mod pod;
mod service;
mod slice;

pub use endpoints::{Endpoint, Endpoints, PodRef};
pub use identity::{ObjectKey, Scope, Uid, Version};
pub use labels::Labels;
pub(super) use pod::ordinal;
pub use pod::{ContainerPort, Hostname, OwnLabels, POD_INDEX, POD_NAME, Pod, Template};
pub use service::{Families, Port, Protocol, Service, ServiceSpec, TargetPort};
pub use slice::{Slice, SlicePort};
