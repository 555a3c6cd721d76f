//! The watched resources in the terms of the API. `list` and `watch` on each is all that is ever requested, and so all that
//! RBAC has to grant.

use std::fmt;

use crate::telemetry::metrics::{Label, Resource};

impl Resource {
    /// API group, empty for the core one.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Services | Self::Pods => "",
            Self::EndpointSlices => "discovery.k8s.io",
        }
    }

    /// Name in URLs and in RBAC rules; the label in metrics is the same.
    pub fn plural(self) -> &'static str {
        self.as_str()
    }

    /// The resource with this name.
    pub fn of_plural(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|resource| resource.plural() == name)
    }

    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Services => "Service",
            Self::EndpointSlices => "EndpointSlice",
            Self::Pods => "Pod",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.plural())
    }
}
