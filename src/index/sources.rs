//! Where the endpoints of a Service come from, so that they follow from one consistent view.
//!
//! ```text
//! slices ─▶ endpoints of Pods that are neither mirrored nor deleted, and of no Pod ─┐
//!                                                                                   ├─▶ one Pod for each name ─▶ endpoints
//! Pods that the Service selects, where they are authoritative ──────────────────────┘
//! ```
//!
//! A Pod's name belongs to one Pod at a time, but sources lag: the mirrored Pod may be gone while a slice names its successor,
//! one slice of a Service may have been written before its successor and another after, and a slice may name a Pod that was
//! gone before its successor was mirrored. Of several Pods of one name, the one counts that the object written last names;
//! endpoints of the others are dropped, whichever source they come from. Two Pods are never united.
//!
//! Why that is right: whoever writes an object has seen the Pod that it names. A mirrored Pod whose version is higher than that
//! of a slice existed after the slice was written, so what the slice names has gone before. The other way round the slice's
//! Pod is the newer one, unless the EndpointSlice controller was itself behind when it wrote: then it corrects the slice in a
//! moment, and nothing has to be waited for but that.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::Index;
use crate::cluster::{Endpoint, OwnLabels, Pod, Service, Slice, Template, Uid, Version};

/// The endpoints of one Service by where they come from.
pub struct EndpointSources<'a> {
    index: &'a Index,
    service: &'a Service,
    from_slices: Vec<(&'a Slice, Endpoint<'a>)>,
    /// Pods whose name belongs to another Pod.
    superseded: HashSet<Uid, RandomState>,
    /// Pods are authoritative for the Service, and a slice names some that are not mirrored, so that they may come.
    pub(super) is_awaiting_pods: bool,
}

/// What names a Pod. Of an equal version the slice counts: it may name a successor, the mirrored Pod cannot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Pod,
    Slice,
}

/// That a name belonged to a Pod when an object of this version was written. The greatest counts.
type Claim = (Version, Source, Uid);

impl Index {
    /// Where the endpoints of a Service come from.
    pub fn endpoint_sources<'a>(&'a self, service: &'a Service) -> EndpointSources<'a> {
        let mut from_slices = Vec::new();
        for slice in self.slices_of(&service.key) {
            from_slices.extend(self.pods.unshadowed_endpoints(service, slice).map(|endpoint| (slice, endpoint)));
        }
        let names_pods = from_slices.iter().any(|(_, endpoint)| endpoint.pod.is_some());
        let is_authoritative = self.pods_authoritative_for(service);
        // Mirrored Pods have different names.
        let superseded = if names_pods { self.superseded_pods(service) } else { HashSet::default() };
        if !superseded.is_empty() {
            from_slices.retain(|(_, endpoint)| endpoint.pod.as_ref().is_none_or(|pod| !superseded.contains(&pod.uid)));
        }
        let is_awaiting_pods = names_pods && is_authoritative;
        EndpointSources { index: self, service, from_slices, superseded, is_awaiting_pods }
    }

    /// The Pods of a Service whose name belongs to another Pod.
    fn superseded_pods(&self, service: &Service) -> HashSet<Uid, RandomState> {
        let is_authoritative = self.pods_authoritative_for(service);
        let mut claims = Vec::<(&str, Claim)>::new();
        for slice in self.slices_of(&service.key) {
            let named = slice.endpoints.named_pods();
            let named = named.filter(|(_, uid)| !(is_authoritative && self.pods.tombstones.contains(*uid)));
            claims.extend(named.map(|(name, uid)| (name, (slice.version, Source::Slice, uid))));
        }
        for (_, pods) in self.pods_by_template(service) {
            claims.extend(pods.filter_map(|pod| Some((&*pod.name, (pod.version, Source::Pod, pod.uid?)))));
        }
        // The Pods of a StatefulSet are nearly sorted already.
        claims.sort_unstable();
        let of_one_name = claims.chunk_by(|(one, _), (other, _)| one == other).filter(|claims| claims.len() > 1);
        let superseded = of_one_name.flat_map(|claims| {
            let newest = claims.last().map(|(_, (_, _, uid))| *uid);
            claims.iter().map(|(_, (_, _, uid))| *uid).filter(move |uid| Some(*uid) != newest)
        });
        superseded.collect()
    }

    /// The Pods that are authoritative for a Service, by template.
    fn pods_by_template<'a>(
        &'a self,
        service: &'a Service,
    ) -> impl Iterator<Item = (&'a Template, impl Iterator<Item = &'a Pod> + Clone)> {
        let is_authoritative = self.pods_authoritative_for(service);
        // The Pods of one template differ in these labels alone.
        let selects_own_labels = service.selector.iter().any(|(key, _)| OwnLabels::is_key(key));
        let is_selected = move |pod: &&Pod| !selects_own_labels || pod.is_selected_by(&service.selector);
        let candidates = is_authoritative.then(|| self.pods.candidates(&service.key)).into_iter().flatten();
        candidates.map(move |(template, pods)| (template, pods.filter(is_selected)))
    }
}

impl<'a> EndpointSources<'a> {
    /// The endpoints that only slices show, each with its slice.
    pub fn from_slices(&self) -> &[(&'a Slice, Endpoint<'a>)] {
        &self.from_slices
    }

    /// The Pods that are endpoints themselves, by template.
    pub fn pods_by_template(&self) -> impl Iterator<Item = (&'a Template, impl Iterator<Item = &'a Pod> + Clone)> {
        let is_superseded = |pod: &&Pod| pod.uid.is_some_and(|uid| self.superseded.contains(&uid));
        let groups = self.index.pods_by_template(self.service);
        groups.map(move |(template, pods)| (template, pods.filter(move |pod| !is_superseded(pod))))
    }

    /// The Pods that are endpoints themselves.
    pub fn pods(&self) -> impl Iterator<Item = &'a Pod> {
        self.pods_by_template().flat_map(|(_, pods)| pods)
    }
}
