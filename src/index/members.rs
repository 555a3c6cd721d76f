//! Which Pods each Service selects, kept as both come and go.
//!
//! Pods of one workload share a template and with it their labels, so selectors are held against templates: ten thousand
//! StatefulSets are ten thousand templates, however many Pods they have. A selector is looked up by one of its labels, its
//! *anchor*, so that neither a new Service nor a new template is held against all others.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::by_service::{ByService, OfService};
use super::store::{Objects, Place};
use crate::cluster::{Labels, OwnLabels, Pod, Service, Template};
use crate::dns::name::Label;
use crate::records::ServiceKey;

/// A label with its namespace, hashed: two that collide cost a comparison more.
type Pair = u64;

/// One, in nearly all cases, or some.
pub(super) type Few<T> = SmallVec<[T; 2]>;

#[derive(Debug, Default)]
pub(super) struct Members {
    templates: HashMap<Arc<Template>, Group, RandomState>,
    templates_with: HashMap<Pair, Few<Arc<Template>>, RandomState>,
    selectors: ByService<Selector>,
    /// Services by their anchor.
    anchored: HashMap<Pair, Few<Arc<Service>>, RandomState>,
    pairs: RandomState,
}

/// The Pods of one template, and the Services that may select them: all or, by the labels that each Pod has for itself, some.
#[derive(Debug, Default)]
struct Group {
    /// By the length of their names and then by name, which for the Pods of a StatefulSet is by ordinal.
    pods: Vec<Place>,
    services: Few<Arc<Service>>,
}

impl Group {
    /// Where the Pod of this name is, or would have to be.
    fn position(&self, pods: &Objects<Pod>, name: &str) -> Result<usize, usize> {
        self.pods.binary_search_by(|place| {
            let other = pods.get(*place).map_or("", |pod| &pod.name);
            (other.len(), other).cmp(&(name.len(), name))
        })
    }
}

#[derive(Debug)]
struct Selector {
    service: Arc<Service>,
    anchor: Pair,
    templates: Few<Arc<Template>>,
}

impl OfService for Selector {
    fn service(&self) -> Option<&ServiceKey> {
        Some(&self.service.key)
    }
}

impl Members {
    /// The template equal to this one that is kept already, if there is one.
    pub fn shared(&self, template: &Arc<Template>) -> Arc<Template> {
        let known = self.templates.get_key_value(template).map(|(known, _)| known);
        Arc::clone(known.unwrap_or(template))
    }

    /// Adds a Pod whose place among the others this is, whether it is there yet or not.
    pub fn add_pod(&mut self, others: &Objects<Pod>, place: Place, pod: &Pod) {
        if !self.templates.contains_key(&pod.template) {
            self.add_template(&pod.template);
        }
        if let Some(group) = self.templates.get_mut(&pod.template)
            && let Err(position) = group.position(others, &pod.name)
        {
            group.pods.insert(position, place);
        }
    }

    /// Removes a Pod that is still in its place.
    pub fn remove_pod(&mut self, others: &Objects<Pod>, pod: &Pod) {
        let Some(group) = self.templates.get_mut(&pod.template) else { return };
        if let Ok(position) = group.position(others, &pod.name) {
            group.pods.remove(position);
        }
        if group.pods.is_empty() {
            self.remove_template(&pod.template);
        }
    }

    /// The Services that select a Pod, which has been added.
    pub fn services_of(&self, pod: &Pod) -> impl Iterator<Item = &ServiceKey> {
        let services = self.templates.get(&pod.template).into_iter().flat_map(|group| &group.services);
        services.filter(|service| pod.is_selected_by(&service.selector)).map(|service| &service.key)
    }

    pub fn add_service(&mut self, service: &Arc<Service>) {
        let anchor = self.anchor(&service.object.namespace, &service.selector);
        let candidates = self.templates_with.get(&anchor).into_iter().flatten();
        let templates: Few<_> = candidates.filter(|template| may_select(service, template)).cloned().collect();
        for template in &templates {
            if let Some(group) = self.templates.get_mut(template) {
                group.services.push(Arc::clone(service));
            }
        }
        self.anchored.entry(anchor).or_default().push(Arc::clone(service));
        self.selectors.insert(Selector { service: Arc::clone(service), anchor, templates });
    }

    pub fn remove_service(&mut self, key: &ServiceKey) {
        let Some(selector) = self.selectors.remove(key) else { return };
        for template in &selector.templates {
            if let Some(group) = self.templates.get_mut(template) {
                group.services.retain(|other| other.key != *key);
            }
        }
        if let Some(services) = self.anchored.get_mut(&selector.anchor) {
            services.retain(|other| other.key != *key);
            if services.is_empty() {
                self.anchored.remove(&selector.anchor);
            }
        }
    }

    /// The Pods that a Service may select, by their templates.
    pub fn candidates(&self, service: &ServiceKey) -> impl Iterator<Item = (&Template, &[Place])> {
        let templates = self.selectors.get(service).into_iter().flat_map(|selector| &selector.templates);
        templates.filter_map(|template| Some((&**template, &*self.templates.get(template)?.pods)))
    }

    /// The Pods that name a Service as their subdomain.
    pub fn naming(&self, service: &ServiceKey) -> impl Iterator<Item = Place> {
        let templates = self.templates_with.get(&self.naming_pair(service)).into_iter().flatten();
        let naming = templates.filter(|template| subdomain(template).as_ref() == Some(service));
        naming.filter_map(|template| self.templates.get(template)).flat_map(|group| group.pods.iter().copied())
    }

    /// Whether nothing is kept of any Pod or Service.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let Self { templates, templates_with, selectors, anchored, .. } = self;
        templates.is_empty() && templates_with.is_empty() && selectors.is_empty() && anchored.is_empty()
    }

    fn add_template(&mut self, template: &Arc<Template>) {
        let mut group = Group::default();
        for pair in self.pairs_of(template) {
            for service in self.anchored.get(&pair).into_iter().flatten().filter(|it| may_select(it, template)) {
                if let Some(selector) = self.selectors.get_mut(&service.key) {
                    group.services.push(Arc::clone(service));
                    selector.templates.push(Arc::clone(template));
                }
            }
            self.templates_with.entry(pair).or_default().push(Arc::clone(template));
        }
        self.templates.insert(Arc::clone(template), group);
    }

    fn remove_template(&mut self, template: &Arc<Template>) {
        let Some((template, group)) = self.templates.remove_entry(template) else { return };
        for service in &group.services {
            if let Some(selector) = self.selectors.get_mut(&service.key) {
                selector.templates.retain(|other| !Arc::ptr_eq(other, &template));
            }
        }
        for pair in self.pairs_of(&template) {
            if let Some(templates) = self.templates_with.get_mut(&pair) {
                templates.retain(|other| !Arc::ptr_eq(other, &template));
                if templates.is_empty() {
                    self.templates_with.remove(&pair);
                }
            }
        }
    }

    /// The label of a selector that the fewest others are looked up by. One that asks only for labels that are no anchors is
    /// looked up by its namespace.
    fn anchor(&self, namespace: &str, selector: &Labels) -> Pair {
        let shared = selector.iter().filter(|(key, _)| is_anchor(key));
        let pairs = shared.map(|(key, value)| self.pair(namespace, key, value));
        let crowd = |pair: &Pair| {
            (self.anchored.get(pair).map_or(0, Few::len), self.templates_with.get(pair).map_or(0, Few::len))
        };
        pairs.min_by_key(crowd).unwrap_or_else(|| self.pair(namespace, "", ""))
    }

    /// All that this template is looked up by: what a selector may ask for, and the Service that it names.
    fn pairs_of(&self, template: &Template) -> BTreeSet<Pair> {
        let labels = template.labels.iter().filter(|(key, _)| is_anchor(key)).chain([("", "")]);
        let naming = subdomain(template).map(|service| self.naming_pair(&service));
        labels.map(|(key, value)| self.pair(&template.namespace, key, value)).chain(naming).collect()
    }

    /// What the templates that name a Service are looked up by.
    fn naming_pair(&self, service: &ServiceKey) -> Pair {
        self.pairs.hash_one(service)
    }

    fn pair(&self, namespace: &str, key: &str, value: &str) -> Pair {
        self.pairs.hash_one((namespace, key, value))
    }
}

/// Whether selectors may be looked up by a label: it is one that Pods share, and not one that a controller gives to those of
/// one revision.
fn is_anchor(key: &str) -> bool {
    !OwnLabels::is_key(key) && !matches!(key, "controller-revision-hash" | "pod-template-hash")
}

/// The Service that Pods of a template name as their subdomain.
pub(super) fn subdomain(template: &Template) -> Option<ServiceKey> {
    let name = Label::parse(template.subdomain.as_deref()?).ok()?;
    Some(ServiceKey::new(&Label::parse(&template.namespace).ok()?, &name))
}

/// Whether a selector selects Pods of this template, unless it asks for another label that they have each for themselves.
fn may_select(service: &Service, template: &Template) -> bool {
    service.object.namespace == template.namespace && template.labels.have_all(OwnLabels::part(&service.selector).1)
}
