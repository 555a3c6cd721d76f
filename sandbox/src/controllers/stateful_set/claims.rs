//! The volume claims of a StatefulSet: one per template and ordinal, retained unless the set requests otherwise.
//!
//! `persistentVolumeClaimRetentionPolicy` is implemented with owner references and garbage collection: a claim to be deleted
//! with the set is owned by the set, one to be deleted with its ordinal by the condemned Pod.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::controllers::actions::{Action, Target};
use crate::controllers::types::Pod;
use crate::controllers::workloads::StatefulSet;
use crate::fields;
use crate::kind::Kind;
use crate::store::Object;

use super::replicas::Replicas;

pub struct Claims<'a> {
    set: &'a StatefulSet,
}

impl<'a> Claims<'a> {
    pub fn of(set: &'a StatefulSet) -> Self {
        Self { set }
    }

    /// Whether the retention policy may delete claims.
    pub fn is_managed(&self) -> bool {
        let policy = &self.set.spec.persistent_volume_claim_retention_policy;
        let has_claims = !self.set.spec.volume_claim_templates.is_empty();
        has_claims && (policy.deletes_with_set() || policy.deletes_when_scaled())
    }

    /// The claims of the Pod with this name.
    pub fn for_pod(&self, pod: &str) -> impl Iterator<Item = Value> {
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

    /// Adds volumes for the Pod's claims. They replace volumes of the template with the same name.
    pub fn mount(&self, pod: &mut Value, pod_name: &str) {
        let templates = &self.set.spec.volume_claim_templates;
        if templates.is_empty() {
            return;
        }
        let is_claimed = |volume: &Value| templates.iter().any(|claim| claim["metadata"]["name"] == volume["name"]);
        let others = fields::list(&pod["spec"]["volumes"]).iter().filter(|volume| !is_claimed(volume));
        let claimed = templates.iter().map(|template| {
            let claim = claim_name(template, pod_name);
            json!({"name": template["metadata"]["name"], "persistentVolumeClaim": {"claimName": claim}})
        });
        let volumes: Vec<Value> = claimed.chain(others.cloned()).collect();
        pod["spec"]["volumes"] = json!(volumes);
    }

    /// Updates the owners of existing claims to match the retention policy.
    pub fn update_owners(&self, replicas: &Replicas<'_>, claims: &BTreeMap<String, Object>) -> Vec<Action> {
        if !self.is_managed() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        for (ordinal, pod) in &replicas.by_ordinal {
            let is_condemned = !replicas.wanted.contains(ordinal);
            for template in &self.set.spec.volume_claim_templates {
                let claim = claims.get(&claim_name(template, &pod.metadata.name));
                actions.extend(claim.and_then(|claim| self.update_owner(claim, pod, is_condemned)));
            }
        }
        actions
    }

    fn update_owner(&self, claim: &Object, pod: &Pod, is_condemned: bool) -> Option<Action> {
        let policy = &self.set.spec.persistent_volume_claim_retention_policy;
        let (set, pod) = (&self.set.metadata, &pod.metadata);
        let by_pod = is_condemned && policy.deletes_when_scaled();
        let by_set = policy.deletes_with_set() && !by_pod;
        let owner = |kind: Kind, name: &str, uid: &str| json!({"apiVersion": kind.api_version(), "kind": kind.name(), "name": name, "uid": uid});
        let wanted = [
            by_set.then(|| owner(Kind::StatefulSet, &set.name, &set.uid)),
            by_pod.then(|| owner(Kind::Pod, &pod.name, &pod.uid)),
        ];
        let present = fields::list(&claim["metadata"]["ownerReferences"]);
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
