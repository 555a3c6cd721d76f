//! The Rust type of each kind, with the fields of the published API.

use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kind::Kind;

/// Something to be done with the type of a kind.
pub trait WithType {
    type Output;

    fn with<T: DeserializeOwned + Serialize>(self) -> Self::Output;
}

/// Does it with the type of this kind.
pub fn with_type<W: WithType>(kind: Kind, work: W) -> W::Output {
    match kind {
        Kind::Namespace => work.with::<Namespace>(),
        Kind::Node => work.with::<Node>(),
        Kind::PriorityClass => work.with::<PriorityClass>(),
        Kind::StorageClass => work.with::<StorageClass>(),
        Kind::ResourceQuota => work.with::<ResourceQuota>(),
        Kind::ServiceAccount => work.with::<ServiceAccount>(),
        Kind::Role => work.with::<Role>(),
        Kind::RoleBinding => work.with::<RoleBinding>(),
        Kind::ClusterRole => work.with::<ClusterRole>(),
        Kind::ClusterRoleBinding => work.with::<ClusterRoleBinding>(),
        Kind::ConfigMap => work.with::<ConfigMap>(),
        Kind::Secret => work.with::<Secret>(),
        Kind::Service => work.with::<Service>(),
        Kind::Endpoints => work.with::<Endpoints>(),
        Kind::EndpointSlice => work.with::<EndpointSlice>(),
        Kind::PersistentVolumeClaim => work.with::<PersistentVolumeClaim>(),
        Kind::NetworkPolicy => work.with::<NetworkPolicy>(),
        Kind::Ingress => work.with::<Ingress>(),
        Kind::PodDisruptionBudget => work.with::<PodDisruptionBudget>(),
        Kind::HorizontalPodAutoscaler => work.with::<HorizontalPodAutoscaler>(),
        Kind::Lease => work.with::<Lease>(),
        Kind::ControllerRevision => work.with::<ControllerRevision>(),
        Kind::StatefulSet => work.with::<StatefulSet>(),
        Kind::DaemonSet => work.with::<DaemonSet>(),
        Kind::Deployment => work.with::<Deployment>(),
        Kind::ReplicaSet => work.with::<ReplicaSet>(),
        Kind::Job => work.with::<Job>(),
        Kind::CronJob => work.with::<CronJob>(),
        Kind::Pod => work.with::<Pod>(),
        Kind::Event => work.with::<Event>(),
    }
}
