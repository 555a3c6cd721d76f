//! Queries about the objects and their joins, for the rest of this module and for `crate::diagnose`.

use super::Index;
use crate::cluster::{Endpoint, OwnLabels, Pod, Service, ServiceSpec, Slice, Template};
use crate::records::ServiceKey;

impl Index {
    pub fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.service_by_key.get(key).map(|service| &**service)
    }

    /// The Service, if it is one that this server serves.
    pub(super) fn served_service(&self, key: &ServiceKey) -> Option<&Service> {
        self.service(key).filter(|service| self.is_served(service))
    }

    /// Whether a Service is one of those that this server serves.
    pub fn is_served(&self, service: &Service) -> bool {
        !self.options.headless_only || service.spec == ServiceSpec::Headless
    }

    /// Whether the endpoints of a Service have names before they are ready.
    pub fn names_not_ready_endpoints(&self, service: &Service) -> bool {
        service.not_ready_ordinals.unwrap_or(self.options.not_ready_ordinals)
    }

    pub fn slices_of(&self, key: &ServiceKey) -> impl Iterator<Item = &Slice> {
        self.slices_by_service.get(key).into_iter().flatten().map(|slice| &**slice)
    }

    /// Whether the mirrored Pods are the source of a Service's endpoints.
    pub fn pods_authoritative_for(&self, service: &Service) -> bool {
        self.pods.authoritative_for(service)
    }

    /// The endpoints of a Service that only its slices show: no mirrored or deleted Pod shadows them.
    pub fn unshadowed_endpoints<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = Endpoint> {
        self.slices_of(&service.key).flat_map(|slice| self.pods.unshadowed_endpoints(service, slice))
    }

    /// The Pods that are authoritative for a Service.
    pub fn selected_pods<'a>(&'a self, service: &'a Service) -> impl Iterator<Item = &'a Pod> {
        self.pods_by_template(service).flat_map(|(_, pods)| pods)
    }

    /// The Pods that are authoritative for a Service, by template.
    pub(super) fn pods_by_template<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = (&'a Template, impl Iterator<Item = &'a Pod> + Clone)> {
        let is_authoritative = self.pods_authoritative_for(service);
        // The Pods of one template differ in these labels alone.
        let selects_own_labels = service.selector.iter().any(|(key, _)| OwnLabels::is_key(key));
        let is_selected = move |pod: &&Pod| !selects_own_labels || pod.is_selected_by(&service.selector);
        let candidates = self.pods.candidates(&service.key).filter(move |_| is_authoritative);
        candidates.map(move |(template, pods)| (template, pods.filter(is_selected)))
    }

    /// The Pods that have a Service as their subdomain, whether it selects them or not.
    pub fn pods_with_subdomain(&self, key: &ServiceKey) -> impl Iterator<Item = &Pod> {
        self.pods.with_subdomain(key)
    }
}
