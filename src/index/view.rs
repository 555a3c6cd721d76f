//! Queries about the objects and their joins, for the rest of this module and for `crate::diagnose`.

use std::sync::Arc;

use super::{Index, Options};
use crate::cluster::{Pod, Service, ServiceSpec, Slice};
use crate::records::ServiceKey;

impl Index {
    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn service(&self, key: &ServiceKey) -> Option<&Arc<Service>> {
        self.service_by_key.get(key)
    }

    /// The Service, if it is one that this server serves.
    pub(super) fn served_service(&self, key: &ServiceKey) -> Option<&Service> {
        self.service(key).map(|service| &**service).filter(|service| self.is_served(service))
    }

    /// Whether a Service is one of those that this server serves.
    pub fn is_served(&self, service: &Service) -> bool {
        !self.options.headless_only || service.spec == ServiceSpec::Headless
    }

    /// Whether the endpoints of a Service have names before they are ready. Those of other Services than headless ones never do.
    pub fn names_not_ready_endpoints(&self, service: &Service) -> bool {
        service.spec == ServiceSpec::Headless && service.not_ready_ordinals.unwrap_or(self.options.not_ready_ordinals)
    }

    /// Whether the public view has a Service.
    pub fn is_public(&self, service: &Service) -> bool {
        let Some(namespaces) = &self.options.public_namespaces else { return false };
        let is_chosen = || namespaces.iter().any(|namespace| namespace.as_wire() == service.key.namespace());
        service.public.unwrap_or_else(is_chosen)
    }

    pub fn slices_of(&self, key: &ServiceKey) -> impl Iterator<Item = &Slice> {
        self.slices_by_service.get(key).into_iter().flatten().map(|slice| &**slice)
    }

    /// Whether the Pods in the namespace of a Service are listed and kept up to date.
    pub fn pods_are_trusted(&self, key: &ServiceKey) -> bool {
        self.pods.are_trusted(key.namespace_text())
    }

    /// Whether the mirrored Pods are the source of a Service's endpoints.
    pub fn pods_authoritative_for(&self, service: &Service) -> bool {
        self.pods.authoritative_for(service)
    }

    /// The Pods that have a Service as their subdomain, whether it selects them or not.
    pub fn pods_with_subdomain(&self, key: &ServiceKey) -> impl Iterator<Item = &Pod> {
        self.pods.with_subdomain(key)
    }
}
