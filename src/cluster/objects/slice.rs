//! EndpointSlices.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::endpoints::Endpoints;
use super::identity::{ObjectKey, Version};
use crate::records::ServiceKey;

/// The served fields of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    pub object: ObjectKey,
    pub version: Version,
    /// When the change was made for which it was last written, in nanoseconds since 1970, if its controller has said so.
    pub triggered: Option<NonZeroU64>,
    /// The Service named in its label, if there is one.
    pub service: Option<ServiceKey>,
    pub endpoints: Endpoints,
    pub ports: Vec<SlicePort>,
}

/// A port that every endpoint of the slice has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlicePort {
    /// The two labels `_port._protocol` in wire form; None for an unnamed port.
    pub owner: Option<Box<[u8]>>,
    pub port: u16,
}
