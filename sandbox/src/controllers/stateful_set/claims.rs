//! The volume claims of a StatefulSet: one of each template per ordinal, kept when its Pod goes unless the set says
//! otherwise.
//!
//! `persistentVolumeClaimRetentionPolicy` is kept by ownerReferences, and garbage collection does the rest: a claim that goes
//! with the set is owned by the set, one that goes when its ordinal does is owned by the condemned Pod.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Crew;
use crate::controllers::actions::{Action, Target};
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::kind::Kind;
use crate::store::Object;

pub struct Claims<'a> {
    set: &'a StatefulSet,
}

impl<'a> Claims<'a> {
    pub fn of(set: &'a StatefulSet) -> Self {
        Self { set }
    }

    /// Whether the set ever lets go of a claim.
    pub fn is_managed(&self) -> bool {
        let policy = &self.set.spec.persistent_volume_claim_retention_policy;
        let has_claims = !self.set.spec.volume_claim_templates.is_empty();
        has_claims && (policy.deletes_with_set() || policy.deletes_when_scaled())
    }

    /// The claims that the Pod of this name mounts.
    pub fn make(&self, pod: &str) -> impl Iterator<Item = Value> {
        self.set.spec.volume_claim_templates.iter().map(move |template| {
            let mut claim = template.clone();
            let labels = claim["metadata"]["labels"].take();
            let mut labels = labels.as_object().cloned().unwrap_or_default();
            for (key, value) in &self.set.spec.selector.match_labels {
                labels.insert(key.clone(), json!(value));
            }
            claim["metadata"]["labels"] = Value::Object(labels);
            claim["metadata"]["namespace"] = json!(self.set.metadata.namespace);
            claim["metadata"]["name"] = json!(claim_name(template, pod));
            claim
        })
    }

    /// Points the Pod's volumes at its claims; a volume of the template with a claim's name gives way.
    pub fn mount(&self, pod: &mut Value, pod_name: &str) {
        let templates = &self.set.spec.volume_claim_templates;
        if templates.is_empty() {
            return;
        }
        let is_claimed = |volume: &Value| templates.iter().any(|claim| claim["metadata"]["name"] == volume["name"]);
        let others = pod["spec"]["volumes"].as_array().into_iter().flatten().filter(|volume| !is_claimed(volume));
        let claimed = templates.iter().map(|template| {
            let claim = claim_name(template, pod_name);
            json!({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim}})
        });
        let volumes: Vec<Value> = claimed.chain(others.cloned()).collect();
        pod["spec"]["volumes"] = json!(volumes);
    }

    /// Brings the owners of existing claims in line with the retention policy.
    pub fn settle(&self, crew: &Crew<'_>, claims: &BTreeMap<String, Object>) -> Vec<Action> {
        if !self.is_managed() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        for (ordinal, pod) in &crew.by_ordinal {
            let is_condemned = !crew.wanted.contains(ordinal);
            for template in &self.set.spec.volume_claim_templates {
                let claim = claims.get(&claim_name(template, &pod.metadata.name));
                actions.extend(claim.and_then(|claim| self.settle_one(claim, pod, is_condemned)));
            }
        }
        actions
    }

    fn settle_one(&self, claim: &Object, pod: &Pod, is_condemned: bool) -> Option<Action> {
        let policy = &self.set.spec.persistent_volume_claim_retention_policy;
        let (set, pod) = (&self.set.metadata, &pod.metadata);
        let goes_with_pod = is_condemned && policy.deletes_when_scaled();
        let goes_with_set = policy.deletes_with_set() && !goes_with_pod;
        let owner = |kind: Kind, name: &str, uid: &str| json!({"apiVersion": kind.api_version(), "kind": kind.name(), "name": name, "uid": uid});
        let wanted = [
            goes_with_set.then(|| owner(Kind::StatefulSet, &set.name, &set.uid)),
            goes_with_pod.then(|| owner(Kind::Pod, &pod.name, &pod.uid)),
        ];
        let present = claim["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
        let is_ours = |owner: &Value| owner["uid"] == set.uid.as_str() || owner["kind"] == Kind::Pod.name();
        let foreign = present.iter().filter(|owner| !is_ours(owner)).cloned();
        let wanted: Vec<Value> = foreign.chain(wanted.into_iter().flatten()).collect();
        (wanted != present).then(|| {
            let patch = json!({"metadata": {"ownerReferences": wanted}});
            Action::Merge(Target::of(Kind::PersistentVolumeClaim, claim), patch)
        })
    }
}

/// `<claim>-<pod>`.
fn claim_name(template: &Value, pod: &str) -> String {
    format!("{}-{pod}", template["metadata"]["name"].as_str().unwrap_or_default())
}
