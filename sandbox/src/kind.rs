//! The kinds of objects that the sandbox serves, and how the API names them.

/// A kind of object. The order is the order in which manifests are applied: namespaces first, then objects that others refer
/// to, then workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Namespace,
    Node,
    PriorityClass,
    StorageClass,
    ResourceQuota,
    ServiceAccount,
    Role,
    RoleBinding,
    ClusterRole,
    ClusterRoleBinding,
    ConfigMap,
    Secret,
    Service,
    Endpoints,
    EndpointSlice,
    PersistentVolumeClaim,
    NetworkPolicy,
    Ingress,
    PodDisruptionBudget,
    HorizontalPodAutoscaler,
    Lease,
    ControllerRevision,
    StatefulSet,
    DaemonSet,
    Deployment,
    ReplicaSet,
    Job,
    CronJob,
    Pod,
    Event,
}

struct Names {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Kind; 30] = [
        Kind::Namespace,
        Kind::Node,
        Kind::PriorityClass,
        Kind::StorageClass,
        Kind::ResourceQuota,
        Kind::ServiceAccount,
        Kind::Role,
        Kind::RoleBinding,
        Kind::ClusterRole,
        Kind::ClusterRoleBinding,
        Kind::ConfigMap,
        Kind::Secret,
        Kind::Service,
        Kind::Endpoints,
        Kind::EndpointSlice,
        Kind::PersistentVolumeClaim,
        Kind::NetworkPolicy,
        Kind::Ingress,
        Kind::PodDisruptionBudget,
        Kind::HorizontalPodAutoscaler,
        Kind::Lease,
        Kind::ControllerRevision,
        Kind::StatefulSet,
        Kind::DaemonSet,
        Kind::Deployment,
        Kind::ReplicaSet,
        Kind::Job,
        Kind::CronJob,
        Kind::Pod,
        Kind::Event,
    ];

    const fn names(self) -> Names {
        const fn names(
            group: &'static str,
            kind: &'static str,
            plural: &'static str,
            short: &'static [&'static str],
            namespaced: bool,
        ) -> Names {
            Names { group, version: "v1", kind, plural, short, namespaced }
        }
        const RBAC: &str = "rbac.authorization.k8s.io";
        match self {
            Kind::Namespace => names("", "Namespace", "namespaces", &["ns"], false),
            Kind::Node => names("", "Node", "nodes", &["no"], false),
            Kind::PriorityClass => names("scheduling.k8s.io", "PriorityClass", "priorityclasses", &["pc"], false),
            Kind::StorageClass => names("storage.k8s.io", "StorageClass", "storageclasses", &["sc"], false),
            Kind::ResourceQuota => names("", "ResourceQuota", "resourcequotas", &["quota"], true),
            Kind::ServiceAccount => names("", "ServiceAccount", "serviceaccounts", &["sa"], true),
            Kind::Role => names(RBAC, "Role", "roles", &[], true),
            Kind::RoleBinding => names(RBAC, "RoleBinding", "rolebindings", &[], true),
            Kind::ClusterRole => names(RBAC, "ClusterRole", "clusterroles", &[], false),
            Kind::ClusterRoleBinding => names(RBAC, "ClusterRoleBinding", "clusterrolebindings", &[], false),
            Kind::ConfigMap => names("", "ConfigMap", "configmaps", &["cm"], true),
            Kind::Secret => names("", "Secret", "secrets", &[], true),
            Kind::Service => names("", "Service", "services", &["svc"], true),
            Kind::Endpoints => names("", "Endpoints", "endpoints", &["ep"], true),
            Kind::EndpointSlice => names("discovery.k8s.io", "EndpointSlice", "endpointslices", &[], true),
            Kind::PersistentVolumeClaim => names("", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], true),
            Kind::NetworkPolicy => names("networking.k8s.io", "NetworkPolicy", "networkpolicies", &["netpol"], true),
            Kind::Ingress => names("networking.k8s.io", "Ingress", "ingresses", &["ing"], true),
            Kind::PodDisruptionBudget => names("policy", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], true),
            Kind::HorizontalPodAutoscaler => Names {
                version: "v2",
                ..names("autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], true)
            },
            Kind::Lease => names("coordination.k8s.io", "Lease", "leases", &[], true),
            Kind::ControllerRevision => names("apps", "ControllerRevision", "controllerrevisions", &[], true),
            Kind::StatefulSet => names("apps", "StatefulSet", "statefulsets", &["sts"], true),
            Kind::DaemonSet => names("apps", "DaemonSet", "daemonsets", &["ds"], true),
            Kind::Deployment => names("apps", "Deployment", "deployments", &["deploy"], true),
            Kind::ReplicaSet => names("apps", "ReplicaSet", "replicasets", &["rs"], true),
            Kind::Job => names("batch", "Job", "jobs", &[], true),
            Kind::CronJob => names("batch", "CronJob", "cronjobs", &["cj"], true),
            Kind::Pod => names("", "Pod", "pods", &["po"], true),
            Kind::Event => names("", "Event", "events", &["ev"], true),
        }
    }

    /// The name in manifests: `StatefulSet`.
    pub const fn name(self) -> &'static str {
        self.names().kind
    }

    /// The name in URLs: `statefulsets`.
    pub const fn plural(self) -> &'static str {
        self.names().plural
    }

    /// Abbreviations that kubectl accepts: `sts`.
    pub const fn short_names(self) -> &'static [&'static str] {
        self.names().short
    }

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        self.names().group
    }

    /// The version of the group: `v1`.
    pub const fn version(self) -> &'static str {
        self.names().version
    }

    /// An object's `apiVersion`: `v1`, `apps/v1`.
    pub fn api_version(self) -> String {
        let names = self.names();
        if names.group.is_empty() { names.version.to_owned() } else { format!("{}/{}", names.group, names.version) }
    }

    /// Whether objects of this kind belong to a namespace.
    pub const fn is_namespaced(self) -> bool {
        self.names().namespaced
    }

    /// Whether this kind has a `status` subresource.
    pub(crate) const fn has_status(self) -> bool {
        matches!(
            self,
            Kind::Namespace
                | Kind::Node
                | Kind::ResourceQuota
                | Kind::Service
                | Kind::PersistentVolumeClaim
                | Kind::Ingress
                | Kind::PodDisruptionBudget
                | Kind::HorizontalPodAutoscaler
                | Kind::StatefulSet
                | Kind::DaemonSet
                | Kind::Deployment
                | Kind::ReplicaSet
                | Kind::Job
                | Kind::CronJob
                | Kind::Pod
        )
    }

    /// The kind in an object's `apiVersion` and `kind`, if the sandbox has it.
    pub fn of_object(object: &serde_json::Value) -> Option<Kind> {
        let api_version = object["apiVersion"].as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::find(group, version, |kind| object["kind"] == kind.name())
    }

    /// The first kind of an API group and version for which `wanted` holds.
    pub(crate) fn find(group: &str, version: &str, wanted: impl Fn(Kind) -> bool) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| kind.group() == group && kind.version() == version && wanted(*kind))
    }
}
