//! Which Pods each Service selects, kept as both come and go.
//!
//! Pods of one workload share a template and with it their labels, so selectors are held against templates: ten thousand
//! StatefulSets are ten thousand templates, however many Pods they have. A selector is looked up by one of its labels, its
//! *anchor*, so that neither a new Service nor a new template is held against all others.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::cluster::{Labels, OwnLabels, Pod, Service, Template};
use crate::name::Label;
use crate::records::ServiceKey;

/// A label with its namespace, hashed: two that collide cost a comparison more.
type Pair = u64;

#[derive(Debug, Default)]
pub(super) struct Members {
    templates: HashMap<Arc<Template>, Group, RandomState>,
    templates_with: HashMap<Pair, Vec<Arc<Template>>, RandomState>,
    selectors: HashMap<ServiceKey, Selector, RandomState>,
    /// Services by their anchor.
    anchored: HashMap<Pair, Vec<ServiceKey>, RandomState>,
    /// The templates by that Service.
    naming: HashMap<ServiceKey, Vec<Arc<Template>>, RandomState>,
    pairs: RandomState,
}

/// The Pods of one template, and the Services that may select them: all or, by the labels that each Pod has for itself, some.
#[derive(Debug, Default)]
struct Group {
    /// By the length of their names and then by name, which for the Pods of a StatefulSet is by ordinal.
    pods: Vec<Arc<Pod>>,
    services: Vec<ServiceKey>,
    /// The Service that they name as their subdomain, whether it is there or not.
    subdomain: Option<ServiceKey>,
}

impl Group {
    /// Where the Pod of this name is, or would have to be.
    fn place(&self, name: &str) -> Result<usize, usize> {
        self.pods.binary_search_by(|pod| {
            let other = &*pod.object.name;
            (other.len(), other).cmp(&(name.len(), name))
        })
    }
}

#[derive(Debug)]
struct Selector {
    service: Arc<Service>,
    anchor: Pair,
    templates: Vec<Arc<Template>>,
}

impl Members {
    /// The template equal to this one that is kept already, if there is one.
    pub fn shared(&self, template: &Arc<Template>) -> Arc<Template> {
        let known = self.templates.get_key_value(template).map(|(known, _)| known);
        Arc::clone(known.unwrap_or(template))
    }

    pub fn add_pod(&mut self, pod: &Arc<Pod>) {
        if !self.templates.contains_key(&pod.template) {
            self.add_template(&pod.template);
        }
        if let Some(group) = self.templates.get_mut(&pod.template) {
            match group.place(&pod.object.name) {
                Ok(place) => group.pods[place] = Arc::clone(pod),
                Err(place) => group.pods.insert(place, Arc::clone(pod)),
            }
        }
    }

    pub fn remove_pod(&mut self, pod: &Pod) {
        let Some(group) = self.templates.get_mut(&pod.template) else { return };
        if let Ok(place) = group.place(&pod.object.name) {
            group.pods.remove(place);
        }
        if group.pods.is_empty() {
            self.remove_template(&pod.template);
        }
    }

    /// The Services that select a Pod, which has been added.
    pub fn services_of<'a>(&'a self, pod: &'a Pod) -> impl Iterator<Item = &'a ServiceKey> {
        let services = self.templates.get(&pod.template).into_iter().flat_map(|group| &group.services);
        services.filter(|key| {
            self.selectors.get(*key).is_some_and(|selector| pod.is_selected_by(&selector.service.selector))
        })
    }

    /// The Service that a Pod, which has been added, names as its subdomain.
    pub fn subdomain_of(&self, pod: &Pod) -> Option<&ServiceKey> {
        self.templates.get(&pod.template)?.subdomain.as_ref()
    }

    pub fn add_service(&mut self, service: &Arc<Service>) {
        let key = &service.key;
        let anchor = self.anchor(&service.object.namespace, &service.selector);
        let candidates = self.templates_with.get(&anchor).into_iter().flatten();
        let templates: Vec<_> = candidates.filter(|template| may_select(service, template)).cloned().collect();
        for template in &templates {
            if let Some(group) = self.templates.get_mut(template) {
                group.services.push(key.clone());
            }
        }
        self.anchored.entry(anchor).or_default().push(key.clone());
        self.selectors.insert(key.clone(), Selector { service: Arc::clone(service), anchor, templates });
    }

    pub fn remove_service(&mut self, key: &ServiceKey) {
        let Some(selector) = self.selectors.remove(key) else { return };
        for template in &selector.templates {
            if let Some(group) = self.templates.get_mut(template) {
                group.services.retain(|other| other != key);
            }
        }
        if let Some(services) = self.anchored.get_mut(&selector.anchor) {
            services.retain(|other| other != key);
            if services.is_empty() {
                self.anchored.remove(&selector.anchor);
            }
        }
    }

    /// The Pods that a Service may select, by their templates.
    pub fn candidates(&self, service: &ServiceKey) -> impl Iterator<Item = (&Template, &[Arc<Pod>])> {
        let templates = self.selectors.get(service).into_iter().flat_map(|selector| &selector.templates);
        templates.filter_map(|template| Some((&**template, &*self.templates.get(template)?.pods)))
    }

    /// The Pod of this name, if a Service selects it.
    pub fn selected(&self, service: &ServiceKey, name: &str) -> Option<&Pod> {
        let selector = self.selectors.get(service)?;
        let groups = selector.templates.iter().filter_map(|template| self.templates.get(template));
        let mut named = groups.filter_map(|group| Some(&**group.pods.get(group.place(name).ok()?)?));
        named.find(|pod| pod.is_selected_by(&selector.service.selector))
    }

    /// Whether nothing is kept of any Pod or Service.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        let Self { templates, templates_with, selectors, anchored, naming, .. } = self;
        let is_without_pods = templates.is_empty() && templates_with.is_empty() && naming.is_empty();
        is_without_pods && selectors.is_empty() && anchored.is_empty()
    }

    /// The Pods that name a Service as their subdomain.
    pub fn naming(&self, service: &ServiceKey) -> impl Iterator<Item = &Pod> {
        let templates = self.naming.get(service).into_iter().flatten();
        templates.filter_map(|template| self.templates.get(template)).flat_map(|group| &group.pods).map(|pod| &**pod)
    }

    fn add_template(&mut self, template: &Arc<Template>) {
        let mut group = Group { subdomain: subdomain(template), ..Group::default() };
        for pair in self.pairs_of(template) {
            for key in self.anchored.get(&pair).into_iter().flatten() {
                if let Some(selector) = self.selectors.get_mut(key)
                    && may_select(&selector.service, template)
                {
                    group.services.push(key.clone());
                    selector.templates.push(Arc::clone(template));
                }
            }
            self.templates_with.entry(pair).or_default().push(Arc::clone(template));
        }
        if let Some(key) = &group.subdomain {
            self.naming.entry(key.clone()).or_default().push(Arc::clone(template));
        }
        self.templates.insert(Arc::clone(template), group);
    }

    fn remove_template(&mut self, template: &Arc<Template>) {
        let Some((template, group)) = self.templates.remove_entry(template) else { return };
        for key in &group.services {
            if let Some(selector) = self.selectors.get_mut(key) {
                selector.templates.retain(|other| *other != template);
            }
        }
        for pair in self.pairs_of(&template) {
            take_from(&mut self.templates_with, &pair, &template);
        }
        if let Some(key) = &group.subdomain {
            take_from(&mut self.naming, key, &template);
        }
    }

    /// The label of a selector that the fewest others are looked up by. One that asks only for what each Pod has for itself
    /// is looked up by its namespace.
    fn anchor(&self, namespace: &str, selector: &Labels) -> Pair {
        let shared = selector.iter().filter(|(key, _)| !OwnLabels::is_key(key));
        let pairs = shared.map(|(key, value)| self.pair(namespace, key, value));
        let crowd = |pair: &Pair| {
            (self.anchored.get(pair).map_or(0, Vec::len), self.templates_with.get(pair).map_or(0, Vec::len))
        };
        pairs.min_by_key(crowd).unwrap_or_else(|| self.pair(namespace, "", ""))
    }

    /// All that a selector may be looked up by to find this template.
    fn pairs_of(&self, template: &Template) -> BTreeSet<Pair> {
        let labels = template.labels.iter().chain([("", "")]);
        labels.map(|(key, value)| self.pair(&template.namespace, key, value)).collect()
    }

    fn pair(&self, namespace: &str, key: &str, value: &str) -> Pair {
        self.pairs.hash_one((namespace, key, value))
    }
}

/// The Service that Pods of a template name as their subdomain.
fn subdomain(template: &Template) -> Option<ServiceKey> {
    let name = Label::parse(template.subdomain.as_deref()?).ok()?;
    Some(ServiceKey::new(&Label::parse(&template.namespace).ok()?, &name))
}

fn take_from<K: Eq + Hash>(map: &mut HashMap<K, Vec<Arc<Template>>, RandomState>, key: &K, template: &Arc<Template>) {
    if let Some(templates) = map.get_mut(key) {
        templates.retain(|other| other != template);
        if templates.is_empty() {
            map.remove(key);
        }
    }
}

/// Whether a selector selects Pods of this template, unless it asks for another label that they have each for themselves.
fn may_select(service: &Service, template: &Template) -> bool {
    service.object.namespace == template.namespace
        && service.selector.iter().all(|(key, value)| OwnLabels::is_key(key) || template.labels.get(key) == Some(value))
}
