//! The columns of each kind, in the API server's order. Columns of priority 1 are shown with `-o wide`.

use serde_json::Value;

use crate::kind::Kind;

use super::cells::*;

pub struct Column {
    pub name: &'static str,
    pub priority: u8,
    pub cell: fn(&Value) -> String,
}

const fn narrow(name: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, priority: 0, cell }
}

const fn wide(name: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, priority: 1, cell }
}

const NAME: Column = narrow("Name", name);
const AGE: Column = narrow("Age", age);

pub const fn of(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Namespace => NAMESPACE,
        Kind::Node => NODE,
        Kind::ServiceAccount => SERVICE_ACCOUNT,
        Kind::Role | Kind::ClusterRole => ROLE,
        Kind::RoleBinding | Kind::ClusterRoleBinding => ROLE_BINDING,
        Kind::ConfigMap => CONFIG_MAP,
        Kind::Secret => SECRET,
        Kind::Service => SERVICE,
        Kind::Endpoints => ENDPOINTS,
        Kind::EndpointSlice => ENDPOINT_SLICE,
        Kind::PersistentVolumeClaim => CLAIM,
        Kind::NetworkPolicy => NETWORK_POLICY,
        Kind::PodDisruptionBudget => DISRUPTION_BUDGET,
        Kind::ControllerRevision => CONTROLLER_REVISION,
        Kind::StatefulSet => STATEFUL_SET,
        Kind::DaemonSet => DAEMON_SET,
        Kind::Deployment => DEPLOYMENT,
        Kind::ReplicaSet => REPLICA_SET,
        Kind::Pod => POD,
        Kind::Event => EVENT,
        Kind::PriorityClass
        | Kind::StorageClass
        | Kind::ResourceQuota
        | Kind::Ingress
        | Kind::HorizontalPodAutoscaler
        | Kind::Lease
        | Kind::Job
        | Kind::CronJob => OTHER,
    }
}

const NAMESPACE: &[Column] = &[NAME, narrow("Status", phase), AGE];
/// Of the kinds that are stored and nothing more.
const OTHER: &[Column] = &[NAME, AGE];

const NODE: &[Column] = &[
    NAME,
    narrow("Status", node_status),
    narrow("Roles", node_roles),
    AGE,
    narrow("Version", |object| text(&object["status"]["nodeInfo"]["kubeletVersion"])),
    wide("Internal-IP", |object| node_address(object, "InternalIP")),
    wide("External-IP", |object| node_address(object, "ExternalIP")),
    wide("OS-Image", |object| or_unknown(&object["status"]["nodeInfo"]["osImage"])),
    wide("Kernel-Version", |object| or_unknown(&object["status"]["nodeInfo"]["kernelVersion"])),
    wide("Container-Runtime", |object| or_unknown(&object["status"]["nodeInfo"]["containerRuntimeVersion"])),
];

const SERVICE_ACCOUNT: &[Column] = &[NAME, narrow("Secrets", |object| count(&object["secrets"])), AGE];
const ROLE: &[Column] = &[NAME, narrow("Created At", |object| text(&object["metadata"]["creationTimestamp"]))];
const CONFIG_MAP: &[Column] = &[NAME, narrow("Data", data_count), AGE];
const SECRET: &[Column] = &[NAME, narrow("Type", |object| text(&object["type"])), narrow("Data", data_count), AGE];

const ROLE_BINDING: &[Column] = &[
    NAME,
    narrow("Role", |object| format!("{}/{}", text(&object["roleRef"]["kind"]), text(&object["roleRef"]["name"]))),
    AGE,
    wide("Users", |object| subjects(object, "User")),
    wide("Groups", |object| subjects(object, "Group")),
    wide("ServiceAccounts", |object| subjects(object, "ServiceAccount")),
];

const SERVICE: &[Column] = &[
    NAME,
    narrow("Type", |object| text(&object["spec"]["type"])),
    narrow("Cluster-IP", cluster_ip),
    narrow("External-IP", external_ip),
    narrow("Port(s)", service_ports),
    AGE,
    wide("Selector", |object| equalities(&object["spec"]["selector"])),
];

const ENDPOINTS: &[Column] = &[NAME, narrow("Endpoints", endpoints), AGE];

const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    narrow("AddressType", |object| text(&object["addressType"])),
    narrow("Ports", slice_ports),
    narrow("Endpoints", slice_endpoints),
    AGE,
];

const CLAIM: &[Column] = &[
    NAME,
    narrow("Status", claim_status),
    narrow("Volume", |object| text(&object["spec"]["volumeName"])),
    narrow("Capacity", |object| text(&object["status"]["capacity"]["storage"])),
    narrow("Access Modes", access_modes),
    narrow("StorageClass", |object| text(&object["spec"]["storageClassName"])),
    narrow("VolumeAttributesClass", |object| or_unset(&object["spec"]["volumeAttributesClassName"])),
    AGE,
    wide("VolumeMode", |object| or_unset(&object["spec"]["volumeMode"])),
];

const NETWORK_POLICY: &[Column] =
    &[NAME, narrow("Pod-Selector", |object| selector(&object["spec"]["podSelector"])), AGE];

const DISRUPTION_BUDGET: &[Column] = &[
    NAME,
    narrow("Min Available", |object| or_not_applicable(&object["spec"]["minAvailable"])),
    narrow("Max Unavailable", |object| or_not_applicable(&object["spec"]["maxUnavailable"])),
    narrow("Allowed Disruptions", |object| number(&object["status"]["disruptionsAllowed"])),
    AGE,
];

const CONTROLLER_REVISION: &[Column] =
    &[NAME, narrow("Controller", controller), narrow("Revision", |object| number(&object["revision"])), AGE];

const STATEFUL_SET: &[Column] = &[
    NAME,
    narrow("Ready", ready_of_wanted),
    AGE,
    wide("Containers", |object| container_names(template(object))),
    wide("Images", |object| container_images(template(object))),
];

const DAEMON_SET: &[Column] = &[
    NAME,
    narrow("Desired", |object| number(&object["status"]["desiredNumberScheduled"])),
    narrow("Current", |object| number(&object["status"]["currentNumberScheduled"])),
    narrow("Ready", |object| number(&object["status"]["numberReady"])),
    narrow("Up-to-date", |object| number(&object["status"]["updatedNumberScheduled"])),
    narrow("Available", |object| number(&object["status"]["numberAvailable"])),
    narrow("Node Selector", |object| equalities(&template(object)["nodeSelector"])),
    AGE,
    wide("Containers", |object| container_names(template(object))),
    wide("Images", |object| container_images(template(object))),
    wide("Selector", |object| selector(&object["spec"]["selector"])),
];

const DEPLOYMENT: &[Column] = &[
    NAME,
    narrow("Ready", ready_of_wanted),
    narrow("Up-to-date", |object| number(&object["status"]["updatedReplicas"])),
    narrow("Available", |object| number(&object["status"]["availableReplicas"])),
    AGE,
    wide("Containers", |object| container_names(template(object))),
    wide("Images", |object| container_images(template(object))),
    wide("Selector", |object| selector(&object["spec"]["selector"])),
];

const REPLICA_SET: &[Column] = &[
    NAME,
    narrow("Desired", |object| number(&object["spec"]["replicas"])),
    narrow("Current", |object| number(&object["status"]["replicas"])),
    narrow("Ready", |object| number(&object["status"]["readyReplicas"])),
    AGE,
    wide("Containers", |object| container_names(template(object))),
    wide("Images", |object| container_images(template(object))),
    wide("Selector", |object| selector(&object["spec"]["selector"])),
];

const POD: &[Column] = &[
    NAME,
    narrow("Ready", pod_ready),
    narrow("Status", pod_status),
    narrow("Restarts", pod_restarts),
    AGE,
    wide("IP", |object| or_none(&object["status"]["podIP"])),
    wide("Node", |object| or_none(&object["spec"]["nodeName"])),
    wide("Nominated Node", |object| or_none(&object["status"]["nominatedNodeName"])),
    wide("Readiness Gates", readiness_gates),
];

const EVENT: &[Column] = &[
    narrow("Last Seen", last_seen),
    narrow("Type", |object| text(&object["type"])),
    narrow("Reason", |object| text(&object["reason"])),
    narrow("Object", involved_object),
    wide("Subobject", |object| text(&object["involvedObject"]["fieldPath"])),
    wide("Source", |object| text(&object["source"]["component"])),
    narrow("Message", |object| text(&object["message"]).trim().to_owned()),
    wide("First Seen", first_seen),
    wide("Count", |object| number(&object["count"])),
    wide("Name", name),
];
