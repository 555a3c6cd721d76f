//! Which Pods each Service selects, maintained as Services and Pods change.
//!
//! The Pods of one workload share a template and with it their labels, so selectors are matched against templates: ten
//! thousand StatefulSets are ten thousand templates, however many Pods they have. A selector is indexed by one of its labels,
//! its *anchor*, so that neither a new Service nor a new template has to be matched against all others.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::by_service::{ByService, HasServiceKey, InlineVec};
use super::store::{ObjectId, Objects};
use crate::cluster::{Labels, OwnLabels, Pod, Scope, Service, Template};
use crate::dns::name::Label;
use crate::records::ServiceKey;

/// The hash of a label and its namespace. A collision costs one more comparison.
type LabelHash = u64;

#[derive(Debug, Default)]
pub(super) struct SelectorIndex {
    templates: HashMap<Arc<Template>, TemplatePods, RandomState>,
    templates_by_label: HashMap<LabelHash, InlineVec<Arc<Template>>, RandomState>,
    selectors: ByService<Selector>,
    services_by_anchor: HashMap<LabelHash, InlineVec<Arc<Service>>, RandomState>,
    label_hasher: RandomState,
}

/// The Pods of one template, and the Services that may select them: all of them, or some by the labels that differ from Pod
/// to Pod.
#[derive(Debug, Default)]
struct TemplatePods {
    /// Sorted by the length of the name and then by name, which is by ordinal for the Pods of a StatefulSet.
    pods: Vec<ObjectId>,
    services: InlineVec<Arc<Service>>,
}

impl TemplatePods {
    /// The position of the Pod of this name, or where to insert it.
    fn position(&self, pods: &Objects<Pod>, name: &str) -> Result<usize, usize> {
        self.pods.binary_search_by(|id| {
            let other = pods.get(*id).map_or("", |pod| &pod.name);
            (other.len(), other).cmp(&(name.len(), name))
        })
    }
}

#[derive(Debug)]
struct Selector {
    service: Arc<Service>,
    anchor: LabelHash,
    templates: InlineVec<Arc<Template>>,
}

impl HasServiceKey for Selector {
    fn service_key(&self) -> Option<&ServiceKey> {
        Some(&self.service.key)
    }
}

impl SelectorIndex {
    /// The equal template that other Pods have already, or else this one.
    pub fn intern_template(&self, template: &Arc<Template>) -> Arc<Template> {
        let known = self.templates.get_key_value(template).map(|(known, _)| known);
        Arc::clone(known.unwrap_or(template))
    }

    /// Adds a Pod, whether `pods` has it yet or not.
    pub fn add_pod(&mut self, pods: &Objects<Pod>, id: ObjectId, pod: &Pod) {
        if !self.templates.contains_key(&pod.template) {
            self.add_template(&pod.template);
        }
        if let Some(group) = self.templates.get_mut(&pod.template)
            && let Err(position) = group.position(pods, &pod.name)
        {
            group.pods.insert(position, id);
        }
    }

    /// Removes a Pod that `pods` still has.
    pub fn remove_pod(&mut self, pods: &Objects<Pod>, pod: &Pod) {
        let Some(group) = self.templates.get_mut(&pod.template) else { return };
        if let Ok(position) = group.position(pods, &pod.name) {
            group.pods.remove(position);
        }
        if group.pods.is_empty() {
            self.remove_template(&pod.template);
        }
    }

    /// The Services that select a Pod that has been added.
    pub fn services_of(&self, pod: &Pod) -> impl Iterator<Item = &ServiceKey> {
        let services = self.templates.get(&pod.template).into_iter().flat_map(|group| &group.services);
        services.filter(|service| pod.is_selected_by(&service.selector)).map(|service| &service.key)
    }

    pub fn add_service(&mut self, service: &Arc<Service>) {
        let anchor = self.anchor(&service.object.namespace, &service.selector);
        let candidates = self.templates_by_label.get(&anchor).into_iter().flatten();
        let templates: InlineVec<_> = candidates.filter(|template| may_select(service, template)).cloned().collect();
        for template in &templates {
            if let Some(group) = self.templates.get_mut(template) {
                group.services.push(Arc::clone(service));
            }
        }
        self.services_by_anchor.entry(anchor).or_default().push(Arc::clone(service));
        self.selectors.insert(Selector { service: Arc::clone(service), anchor, templates });
    }

    pub fn remove_service(&mut self, key: &ServiceKey) {
        let Some(selector) = self.selectors.remove(key) else { return };
        for template in &selector.templates {
            if let Some(group) = self.templates.get_mut(template) {
                group.services.retain(|other| other.key != *key);
            }
        }
        if let Some(services) = self.services_by_anchor.get_mut(&selector.anchor) {
            services.retain(|other| other.key != *key);
            if services.is_empty() {
                self.services_by_anchor.remove(&selector.anchor);
            }
        }
    }

    /// The Pods that a Service may select, by template.
    pub fn candidates(&self, service: &ServiceKey) -> impl Iterator<Item = (&Template, &[ObjectId])> {
        let templates = self.selectors.get(service).into_iter().flat_map(|selector| &selector.templates);
        templates.filter_map(|template| Some((&**template, &*self.templates.get(template)?.pods)))
    }

    /// The Pods that have a Service as their subdomain.
    pub fn with_subdomain(&self, service: &ServiceKey) -> impl Iterator<Item = ObjectId> {
        let templates = self.templates_by_label.get(&self.hash_subdomain(service)).into_iter().flatten();
        let matching = templates.filter(|template| subdomain(template).as_ref() == Some(service));
        matching.filter_map(|template| self.templates.get(template)).flat_map(|group| group.pods.iter().copied())
    }

    /// The Services that Pods of a scope have as their subdomain.
    pub fn subdomains(&self, scope: &Scope) -> impl Iterator<Item = ServiceKey> {
        self.templates.keys().filter(|template| scope.covers(&template.namespace)).filter_map(|it| subdomain(it))
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let Self { templates, templates_by_label, selectors, services_by_anchor, .. } = self;
        templates.is_empty() && templates_by_label.is_empty() && selectors.is_empty() && services_by_anchor.is_empty()
    }

    fn add_template(&mut self, template: &Arc<Template>) {
        let mut group = TemplatePods::default();
        for label in self.label_hashes(template) {
            for service in
                self.services_by_anchor.get(&label).into_iter().flatten().filter(|it| may_select(it, template))
            {
                if let Some(selector) = self.selectors.get_mut(&service.key) {
                    group.services.push(Arc::clone(service));
                    selector.templates.push(Arc::clone(template));
                }
            }
            self.templates_by_label.entry(label).or_default().push(Arc::clone(template));
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
        for label in self.label_hashes(&template) {
            if let Some(templates) = self.templates_by_label.get_mut(&label) {
                templates.retain(|other| !Arc::ptr_eq(other, &template));
                if templates.is_empty() {
                    self.templates_by_label.remove(&label);
                }
            }
        }
    }

    /// The label by which to index a selector: the one that the fewest selectors and templates share. A selector without any
    /// label that can be an anchor is indexed by its namespace.
    fn anchor(&self, namespace: &str, selector: &Labels) -> LabelHash {
        let anchors = selector.iter().filter(|(key, _)| can_be_anchor(key));
        let hashes = anchors.map(|(key, value)| self.hash_label(namespace, key, value));
        let crowding = |label: &LabelHash| {
            let services = self.services_by_anchor.get(label).map_or(0, InlineVec::len);
            (services, self.templates_by_label.get(label).map_or(0, InlineVec::len))
        };
        hashes.min_by_key(crowding).unwrap_or_else(|| self.hash_label(namespace, "", ""))
    }

    /// Everything that a template is looked up by: the labels that can be anchors, its namespace and its subdomain.
    fn label_hashes(&self, template: &Template) -> BTreeSet<LabelHash> {
        let labels = template.labels.iter().filter(|(key, _)| can_be_anchor(key)).chain([("", "")]);
        let subdomain = subdomain(template).map(|service| self.hash_subdomain(&service));
        labels.map(|(key, value)| self.hash_label(&template.namespace, key, value)).chain(subdomain).collect()
    }

    fn hash_subdomain(&self, service: &ServiceKey) -> LabelHash {
        self.label_hasher.hash_one(service)
    }

    fn hash_label(&self, namespace: &str, key: &str, value: &str) -> LabelHash {
        self.label_hasher.hash_one((namespace, key, value))
    }
}

/// Whether selectors may be indexed by a label: Pods share it, and it is not one that a controller sets for a revision.
fn can_be_anchor(key: &str) -> bool {
    !OwnLabels::is_key(key) && !matches!(key, "controller-revision-hash" | "pod-template-hash")
}

/// The Service that the Pods of a template have as their subdomain.
pub(super) fn subdomain(template: &Template) -> Option<ServiceKey> {
    let name = Label::parse(template.subdomain.as_deref()?).ok()?;
    Some(ServiceKey::new(&Label::parse(&template.namespace).ok()?, &name))
}

/// Whether a Service's selector matches a template, disregarding the labels that differ from Pod to Pod.
fn may_select(service: &Service, template: &Template) -> bool {
    service.object.namespace == template.namespace && template.labels.have_all(OwnLabels::part(&service.selector).1)
}
