//! Workloads and Services as the controllers see them, decoded like [`super::types`].

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::types::{Condition, IntOrString, LabelSelector, Meta, null_as_default};

/// The API's default of `replicas`.
const DEFAULT_REPLICAS: i64 = 1;

/// The API's default of `revisionHistoryLimit`.
const DEFAULT_HISTORY_LIMIT: usize = 10;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    pub metadata: Meta,
    pub spec: StatefulSetSpec,
    #[serde(deserialize_with = "null_as_default")]
    pub status: StatefulSetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetSpec {
    replicas: Option<i64>,
    pub selector: LabelSelector,
    pub service_name: Option<String>,
    pub template: Value,
    pod_management_policy: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    update_strategy: UpdateStrategy,
    #[serde(deserialize_with = "null_as_default")]
    ordinals: Ordinals,
    #[serde(deserialize_with = "null_as_default")]
    pub volume_claim_templates: Vec<Value>,
    #[serde(deserialize_with = "null_as_default")]
    pub persistent_volume_claim_retention_policy: RetentionPolicy,
    #[serde(deserialize_with = "null_as_default")]
    pub min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdateStrategy {
    r#type: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    rolling_update: RollingUpdateStatefulSet,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdateStatefulSet {
    #[serde(deserialize_with = "null_as_default")]
    partition: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Ordinals {
    #[serde(deserialize_with = "null_as_default")]
    start: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetentionPolicy {
    when_deleted: Option<String>,
    when_scaled: Option<String>,
}

impl RetentionPolicy {
    pub fn deletes_with_set(&self) -> bool {
        self.when_deleted.as_deref() == Some("Delete")
    }

    pub fn deletes_when_scaled(&self) -> bool {
        self.when_scaled.as_deref() == Some("Delete")
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetStatus {
    pub current_revision: Option<String>,
}

impl StatefulSetSpec {
    /// The ordinals that have Pods.
    pub fn ordinals(&self) -> std::ops::Range<i64> {
        let start = self.ordinals.start.max(0);
        start..start.saturating_add(self.replicas())
    }

    pub fn replicas(&self) -> i64 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS).max(0)
    }

    pub fn is_parallel(&self) -> bool {
        self.pod_management_policy.as_deref() == Some("Parallel")
    }

    /// The partition of a rolling update; None for `OnDelete`.
    pub fn partition(&self) -> Option<i64> {
        let is_rolling = self.update_strategy.r#type.as_deref() != Some("OnDelete");
        is_rolling.then_some(self.update_strategy.rolling_update.partition.max(0))
    }

    pub fn history_limit(&self) -> usize {
        self.revision_history_limit.unwrap_or(DEFAULT_HISTORY_LIMIT)
    }
}

/// Annotation of a DaemonSet that counts its templates, as the API server keeps it.
pub const TEMPLATE_GENERATION_ANNOTATION: &str = "deprecated.daemonset.template.generation";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DaemonSet {
    pub metadata: Meta,
    pub spec: DaemonSetSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    pub selector: LabelSelector,
    pub template: Value,
    #[serde(deserialize_with = "null_as_default")]
    update_strategy: RollingUpdateStrategy,
    #[serde(deserialize_with = "null_as_default")]
    pub min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
}

impl DaemonSetSpec {
    pub fn history_limit(&self) -> usize {
        self.revision_history_limit.unwrap_or(DEFAULT_HISTORY_LIMIT)
    }

    /// The limits of the rolling update over so many nodes; None for `OnDelete`. Both are rounded up. If both are zero, one Pod may be
    /// unavailable.
    pub fn rolling_update(&self, nodes: i64) -> Option<Bounds> {
        const DEFAULT_UNAVAILABLE: IntOrString = IntOrString::Int(1);
        if self.update_strategy.r#type.as_deref() == Some("OnDelete") {
            return None;
        }
        let RollingUpdate { max_surge, max_unavailable } = &self.update_strategy.rolling_update;
        let max_surge = max_surge.as_ref().map_or(0, |surge| scaled(surge, nodes, true));
        let max_unavailable = scaled(max_unavailable.as_ref().unwrap_or(&DEFAULT_UNAVAILABLE), nodes, true);
        let max_unavailable = if max_surge == 0 && max_unavailable == 0 { 1 } else { max_unavailable };
        Some(Bounds { max_surge, max_unavailable })
    }

    /// How many nodes of so many may have a second Pod.
    pub fn surge(&self, nodes: i64) -> i64 {
        self.rolling_update(nodes).map_or(0, |bounds| bounds.max_surge)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSet {
    pub metadata: Meta,
    pub spec: ReplicaSetSpec,
    #[serde(deserialize_with = "null_as_default")]
    pub status: ReplicaSetStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    replicas: Option<i64>,
    pub selector: LabelSelector,
    pub template: Value,
    #[serde(deserialize_with = "null_as_default")]
    pub min_ready_seconds: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    #[serde(deserialize_with = "null_as_default")]
    pub replicas: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub ready_replicas: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub available_replicas: i64,
}

impl ReplicaSet {
    pub fn replicas(&self) -> i64 {
        self.spec.replicas.unwrap_or(DEFAULT_REPLICAS).max(0)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Deployment {
    pub metadata: Meta,
    pub spec: DeploymentSpec,
    #[serde(deserialize_with = "null_as_default")]
    pub status: DeploymentStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    replicas: Option<i64>,
    pub selector: LabelSelector,
    pub template: Value,
    #[serde(deserialize_with = "null_as_default")]
    strategy: RollingUpdateStrategy,
    #[serde(deserialize_with = "null_as_default")]
    pub min_ready_seconds: i64,
    revision_history_limit: Option<usize>,
    #[serde(deserialize_with = "null_as_default")]
    pub paused: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdateStrategy {
    r#type: Option<String>,
    #[serde(deserialize_with = "null_as_default")]
    rolling_update: RollingUpdate,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RollingUpdate {
    max_surge: Option<IntOrString>,
    max_unavailable: Option<IntOrString>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct DeploymentStatus {
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Vec<Condition>,
}

/// The limits of a rolling update in Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub max_surge: i64,
    pub max_unavailable: i64,
}

impl DeploymentSpec {
    pub fn replicas(&self) -> i64 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS).max(0)
    }

    pub fn history_limit(&self) -> usize {
        self.revision_history_limit.unwrap_or(DEFAULT_HISTORY_LIMIT)
    }

    /// The limits of the rolling update; None for `Recreate`. Surge is rounded up and unavailability down. If both are zero,
    /// one Pod may be unavailable, as no progress would be possible otherwise.
    pub fn rolling_update(&self) -> Option<Bounds> {
        const DEFAULT_PERCENT: &str = "25%";
        if self.strategy.r#type.as_deref() == Some("Recreate") {
            return None;
        }
        let default = IntOrString::String(DEFAULT_PERCENT.to_owned());
        let resolve = |value: &Option<IntOrString>, round_up| {
            scaled(value.as_ref().unwrap_or(&default), self.replicas(), round_up)
        };
        let max_surge = resolve(&self.strategy.rolling_update.max_surge, true);
        let max_unavailable = resolve(&self.strategy.rolling_update.max_unavailable, false);
        let max_unavailable = if max_surge == 0 && max_unavailable == 0 { 1 } else { max_unavailable };
        Some(Bounds { max_surge, max_unavailable: max_unavailable.min(self.replicas()) })
    }
}

/// A number of Pods, or a percentage of `total`. Other texts count as zero.
fn scaled(value: &IntOrString, total: i64, round_up: bool) -> i64 {
    const WHOLE: i64 = 100;
    match value {
        IntOrString::Int(number) => (*number).max(0),
        IntOrString::String(text) => {
            let percent: i64 =
                text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or(0).clamp(0, WHOLE);
            (percent * total + if round_up { WHOLE - 1 } else { 0 }) / WHOLE
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta,
    pub spec: ServiceSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    r#type: Option<String>,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs", deserialize_with = "null_as_default")]
    pub cluster_ips: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub ip_families: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    pub selector: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_as_default")]
    pub publish_not_ready_addresses: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    pub name: Option<String>,
    pub port: u16,
    pub target_port: Option<IntOrString>,
    pub protocol: Option<String>,
    pub app_protocol: Option<String>,
    pub node_port: Option<u16>,
}

impl ServiceSpec {
    pub fn is_external_name(&self) -> bool {
        self.r#type.as_deref() == Some("ExternalName")
    }

    pub fn is_headless(&self) -> bool {
        self.cluster_ip.as_deref() == Some("None")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn surge_is_rounded_up_unavailability_down_and_not_both_are_zero() {
        let bounds = |replicas: i64, surge: Value, unavailable: Value| {
            let spec = json!({"replicas": replicas,
                "strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}});
            let spec = DeploymentSpec::deserialize(spec).expect("a valid spec");
            let bounds = spec.rolling_update().expect("a rolling update");
            (bounds.max_surge, bounds.max_unavailable)
        };
        assert_eq!(bounds(10, json!(null), json!(null)), (3, 2));
        assert_eq!(bounds(3, json!("25%"), json!("25%")), (1, 0));
        assert_eq!(bounds(3, json!(0), json!("25%")), (0, 1));
        assert_eq!(bounds(2, json!(1), json!(5)), (1, 2));
    }
}
