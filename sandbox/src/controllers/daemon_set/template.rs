//! The Pods of a DaemonSet as they are made.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::controllers::actions::Action;
use crate::controllers::placement::{NODE_NAME, UNSCHEDULABLE};
use crate::controllers::pod_template::pod_from_template;
use crate::controllers::revisions::{REVISION_LABEL, Revision};
use crate::controllers::types::PodSpec;
use crate::controllers::workloads::{DaemonSet, TEMPLATE_GENERATION_ANNOTATION};
use crate::kind::Kind;

/// Label with the generation of the template, from the time before revisions.
const TEMPLATE_GENERATION_LABEL: &str = "pod-template-generation";

/// What every Pod of a DaemonSet tolerates of its node, and one with the node's network beside it.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    (UNSCHEDULABLE, "NoSchedule"),
];
const TOLERATED_WITH_HOST_NETWORK: (&str, &str) = ("node.kubernetes.io/network-unavailable", "NoSchedule");

/// A Pod of the set, without its node.
pub struct Template {
    pod: Value,
    pub spec: PodSpec,
}

impl Template {
    pub fn of(set: &DaemonSet, revision: &Revision) -> Self {
        let mut pod = pod_from_template(&revision.template, Kind::DaemonSet, &set.metadata);
        pod["metadata"]["labels"][REVISION_LABEL] = json!(revision.hash);
        if let Some(generation) = set.metadata.annotations.get(TEMPLATE_GENERATION_ANNOTATION) {
            pod["metadata"]["labels"][TEMPLATE_GENERATION_LABEL] = json!(generation);
        }
        let with_host_network = (pod["spec"]["hostNetwork"] == true).then_some(TOLERATED_WITH_HOST_NETWORK);
        let mut tolerations = pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default();
        for (key, effect) in TOLERATED.into_iter().chain(with_host_network) {
            let toleration = json!({"key": key, "operator": "Exists", "effect": effect});
            if !tolerations.contains(&toleration) {
                tolerations.push(toleration);
            }
        }
        pod["spec"]["tolerations"] = json!(tolerations);
        // A template that cannot be read places no Pods anywhere else than one without conditions.
        let spec = PodSpec::deserialize(&pod["spec"]).unwrap_or_default();
        Self { pod, spec }
    }

    /// Creates the Pod of a node. The scheduler is told by an affinity where it belongs, which replaces that of the template.
    pub fn create(&self, node: &str) -> Action {
        let mut pod = self.pod.clone();
        let name = json!({"key": NODE_NAME, "operator": "In", "values": [node]});
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": [{"matchFields": [name]}]});
        Action::Create(Kind::Pod, pod)
    }
}
