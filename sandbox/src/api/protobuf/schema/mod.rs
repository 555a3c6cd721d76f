//! The supported messages: field number, name in JSON, type. The numbers are those of Kubernetes' published `.proto` files.

mod pod;
mod review;
mod workload;

use serde_json::Value;

use crate::kind::Kind;

/// Field number, name in JSON and type.
#[derive(Clone, Copy)]
pub struct Field(pub u8, pub &'static str, pub Type);

/// The type of a field.
#[derive(Clone, Copy)]
pub enum Type {
    Text,
    Bytes,
    /// Zero means unset.
    Number,
    /// Zero is a valid value.
    OptionalNumber,
    Flag,
    IntOrString,
    Quantity,
    Message(&'static [Field]),
    List(&'static Type),
    Map(&'static Type),
    /// Absent is not the same as empty. In responses only.
    OptionalText,
    OptionalFlag,
    OptionalQuantity,
    OptionalMessage(&'static [Field]),
    /// A message of its own in Protobuf, whose fields are those of the object around it in JSON.
    Inline(&'static [Field]),
    /// Set by the server, so ignored in requests, as are the three that follow.
    Time,
    OptionalTime,
    /// `FieldsV1`: JSON in a message.
    Json,
    /// Left out of responses too.
    Skipped,
}

use Type::{
    Bytes, Flag, IntOrString, Json, List, Map, Message, Number, OptionalFlag, OptionalMessage, OptionalNumber,
    OptionalText, OptionalTime, Quantity, Skipped, Text, Time,
};

use pod::POD;
use workload::{CRON_JOB, DAEMON_SET, DEPLOYMENT, DISRUPTION_BUDGET, JOB, REPLICA_SET, STATEFUL_SET};

/// The fields of a kind in responses; None for kinds that are sent in JSON only.
pub fn sent(kind: Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Service => Some(SERVICE),
        Kind::EndpointSlice => Some(ENDPOINT_SLICE),
        Kind::Pod => Some(POD),
        _ => None,
    }
}

/// The fields of a body in requests, by its `apiVersion` and `kind`; None for those that are supported in JSON only.
pub fn of(type_meta: &Value) -> Option<&'static [Field]> {
    if let Some(fields) = Kind::of_object(type_meta).and_then(of_kind) {
        return Some(fields);
    }
    let group = type_meta["apiVersion"].as_str()?.split_once('/').map_or("", |(group, _)| group);
    match (group, type_meta["kind"].as_str()?) {
        // In the group and version of what is deleted.
        (_, "DeleteOptions") => Some(DELETE_OPTIONS),
        ("policy", "Eviction") => Some(&[METADATA, Field(2, "deleteOptions", OptionalMessage(DELETE_OPTIONS))]),
        ("autoscaling", "Scale") => Some(SCALE),
        (_, kind) => review::of(group, kind),
    }
}

fn of_kind(kind: Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Namespace => Some(NAMESPACE),
        Kind::PriorityClass => Some(PRIORITY_CLASS),
        Kind::ResourceQuota => Some(RESOURCE_QUOTA),
        Kind::ServiceAccount => Some(SERVICE_ACCOUNT),
        Kind::ConfigMap => Some(CONFIG_MAP),
        Kind::Secret => Some(SECRET),
        Kind::Service => Some(SERVICE),
        Kind::EndpointSlice => Some(ENDPOINT_SLICE),
        Kind::Ingress => Some(INGRESS),
        Kind::StatefulSet => Some(STATEFUL_SET),
        Kind::DaemonSet => Some(DAEMON_SET),
        Kind::Deployment => Some(DEPLOYMENT),
        Kind::ReplicaSet => Some(REPLICA_SET),
        Kind::Job => Some(JOB),
        Kind::CronJob => Some(CRON_JOB),
        Kind::Pod => Some(POD),
        Kind::PodDisruptionBudget => Some(DISRUPTION_BUDGET),
        Kind::Role | Kind::ClusterRole => Some(ROLE),
        Kind::RoleBinding | Kind::ClusterRoleBinding => Some(ROLE_BINDING),
        _ => None,
    }
}

pub const ENVELOPE: &[Field] = &[
    Field(1, "type", Message(TYPE)),
    Field(2, "raw", Bytes),
    Field(3, "contentEncoding", Text),
    Field(4, "contentType", Text),
];

const TYPE: &[Field] = &[Field(1, "apiVersion", Text), Field(2, "kind", Text)];

pub const INT_OR_STRING: &[Field] = &[Field(1, "type", Number), Field(2, "intVal", Number), Field(3, "strVal", Text)];

pub const QUANTITY: &[Field] = &[Field(1, "string", Text)];

const METADATA: Field = Field(1, "metadata", Message(OBJECT_META));

const OBJECT_META: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "generateName", Text),
    Field(3, "namespace", Text),
    Field(5, "uid", Text),
    Field(6, "resourceVersion", Text),
    Field(7, "generation", Number),
    Field(8, "creationTimestamp", Time),
    Field(9, "deletionTimestamp", OptionalTime),
    Field(10, "deletionGracePeriodSeconds", OptionalNumber),
    Field(11, "labels", Map(&Text)),
    Field(12, "annotations", Map(&Text)),
    Field(13, "ownerReferences", List(&Message(OWNER_REFERENCE))),
    Field(14, "finalizers", List(&Text)),
    Field(17, "managedFields", List(&Message(MANAGED_FIELDS))),
];

const MANAGED_FIELDS: &[Field] = &[
    Field(1, "manager", Text),
    Field(2, "operation", Text),
    Field(3, "apiVersion", Text),
    Field(4, "time", OptionalTime),
    Field(6, "fieldsType", Text),
    Field(7, "fieldsV1", Json),
    Field(8, "subresource", Text),
];

const OWNER_REFERENCE: &[Field] = &[
    Field(1, "kind", Text),
    Field(3, "name", Text),
    Field(4, "uid", Text),
    Field(5, "apiVersion", Text),
    Field(6, "controller", OptionalFlag),
    Field(7, "blockOwnerDeletion", OptionalFlag),
];

pub const LIST: &[Field] = &[Field(1, "metadata", Message(LIST_META))];

const LIST_META: &[Field] = &[
    Field(1, "selfLink", Text),
    Field(2, "resourceVersion", Text),
    Field(3, "continue", Text),
    Field(4, "remainingItemCount", OptionalNumber),
];

pub const STATUS: &[Field] = &[
    Field(1, "metadata", Message(LIST_META)),
    Field(2, "status", Text),
    Field(3, "message", Text),
    Field(4, "reason", Text),
    Field(5, "details", OptionalMessage(STATUS_DETAILS)),
    Field(6, "code", Number),
];

const STATUS_DETAILS: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "group", Text),
    Field(3, "kind", Text),
    Field(4, "causes", List(&Message(&[Field(1, "reason", Text), Field(2, "message", Text), Field(3, "field", Text)]))),
    Field(5, "retryAfterSeconds", Number),
    Field(6, "uid", Text),
];

const DELETE_OPTIONS: &[Field] = &[
    Field(1, "gracePeriodSeconds", OptionalNumber),
    Field(
        2,
        "preconditions",
        OptionalMessage(&[Field(1, "uid", OptionalText), Field(2, "resourceVersion", OptionalText)]),
    ),
    Field(3, "orphanDependents", OptionalFlag),
    Field(4, "propagationPolicy", OptionalText),
    Field(5, "dryRun", List(&Text)),
];

const SCALE: &[Field] =
    &[METADATA, Field(2, "spec", Message(&[Field(1, "replicas", Number)])), Field(3, "status", Skipped)];

const NAMESPACE: &[Field] = &[METADATA, Field(2, "spec", Skipped), Field(3, "status", Skipped)];

const SERVICE_ACCOUNT: &[Field] = &[
    METADATA,
    Field(2, "secrets", List(&Message(OBJECT_REFERENCE))),
    Field(3, "imagePullSecrets", List(&Message(LOCAL_REFERENCE))),
    Field(4, "automountServiceAccountToken", OptionalFlag),
];

/// `LocalObjectReference`.
const LOCAL_REFERENCE: &[Field] = &[Field(1, "name", Text)];

const PRIORITY_CLASS: &[Field] = &[
    METADATA,
    Field(2, "value", Number),
    Field(3, "globalDefault", Flag),
    Field(4, "description", Text),
    Field(5, "preemptionPolicy", OptionalText),
];

const RESOURCE_QUOTA: &[Field] =
    &[METADATA, Field(2, "spec", Message(RESOURCE_QUOTA_SPEC)), Field(3, "status", Skipped)];

const RESOURCE_QUOTA_SPEC: &[Field] = &[
    Field(1, "hard", Map(&Quantity)),
    Field(2, "scopes", List(&Text)),
    Field(3, "scopeSelector", OptionalMessage(&[Field(1, "matchExpressions", List(&Message(SCOPE)))])),
];

const SCOPE: &[Field] = &[Field(1, "scopeName", Text), Field(2, "operator", Text), Field(3, "values", List(&Text))];

const CONFIG_MAP: &[Field] =
    &[METADATA, Field(2, "data", Map(&Text)), Field(3, "binaryData", Map(&Bytes)), Field(4, "immutable", Flag)];

const SECRET: &[Field] = &[
    METADATA,
    Field(2, "data", Map(&Bytes)),
    Field(3, "type", Text),
    Field(4, "stringData", Map(&Text)),
    Field(5, "immutable", Flag),
];

const SERVICE: &[Field] =
    &[METADATA, Field(2, "spec", Message(SERVICE_SPEC)), Field(3, "status", Message(SERVICE_STATUS))];

const SERVICE_SPEC: &[Field] = &[
    Field(1, "ports", List(&Message(SERVICE_PORT))),
    Field(2, "selector", Map(&Text)),
    Field(3, "clusterIP", Text),
    Field(4, "type", Text),
    Field(5, "externalIPs", List(&Text)),
    Field(7, "sessionAffinity", Text),
    Field(8, "loadBalancerIP", Text),
    Field(9, "loadBalancerSourceRanges", List(&Text)),
    Field(10, "externalName", Text),
    Field(11, "externalTrafficPolicy", Text),
    Field(12, "healthCheckNodePort", Number),
    Field(13, "publishNotReadyAddresses", Flag),
    Field(17, "ipFamilyPolicy", OptionalText),
    Field(18, "clusterIPs", List(&Text)),
    Field(19, "ipFamilies", List(&Text)),
    Field(20, "allocateLoadBalancerNodePorts", OptionalFlag),
    Field(21, "loadBalancerClass", OptionalText),
    Field(22, "internalTrafficPolicy", OptionalText),
    Field(23, "trafficDistribution", OptionalText),
];

const SERVICE_STATUS: &[Field] = &[Field(1, "loadBalancer", Message(LOAD_BALANCER_STATUS))];

const LOAD_BALANCER_STATUS: &[Field] = &[Field(1, "ingress", List(&Message(LOAD_BALANCER_INGRESS)))];

const LOAD_BALANCER_INGRESS: &[Field] =
    &[Field(1, "ip", Text), Field(2, "hostname", Text), Field(3, "ipMode", OptionalText)];

const SERVICE_PORT: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "protocol", Text),
    Field(3, "port", Number),
    Field(4, "targetPort", IntOrString),
    Field(5, "nodePort", Number),
    Field(6, "appProtocol", OptionalText),
];

const ENDPOINT_SLICE: &[Field] = &[
    METADATA,
    Field(2, "endpoints", List(&Message(ENDPOINT))),
    Field(3, "ports", List(&Message(ENDPOINT_PORT))),
    Field(4, "addressType", Text),
];

const ENDPOINT: &[Field] = &[
    Field(1, "addresses", List(&Text)),
    Field(2, "conditions", Message(ENDPOINT_CONDITIONS)),
    Field(3, "hostname", OptionalText),
    Field(4, "targetRef", OptionalMessage(OBJECT_REFERENCE)),
    Field(6, "nodeName", OptionalText),
    Field(7, "zone", OptionalText),
];

const ENDPOINT_CONDITIONS: &[Field] =
    &[Field(1, "ready", OptionalFlag), Field(2, "serving", OptionalFlag), Field(3, "terminating", OptionalFlag)];

const OBJECT_REFERENCE: &[Field] = &[
    Field(1, "kind", Text),
    Field(2, "namespace", Text),
    Field(3, "name", Text),
    Field(4, "uid", Text),
    Field(5, "apiVersion", Text),
    Field(6, "resourceVersion", Text),
    Field(7, "fieldPath", Text),
];

const ENDPOINT_PORT: &[Field] = &[
    Field(1, "name", OptionalText),
    Field(2, "protocol", OptionalText),
    Field(3, "port", OptionalNumber),
    Field(4, "appProtocol", OptionalText),
];

const LABEL_SELECTOR: &[Field] =
    &[Field(1, "matchLabels", Map(&Text)), Field(2, "matchExpressions", List(&Message(REQUIREMENT)))];

/// What a label, or a field of a node, has to be.
const REQUIREMENT: &[Field] = &[Field(1, "key", Text), Field(2, "operator", Text), Field(3, "values", List(&Text))];

const INGRESS: &[Field] = &[METADATA, Field(2, "spec", Message(INGRESS_SPEC)), Field(3, "status", Skipped)];

const INGRESS_SPEC: &[Field] = &[
    Field(1, "defaultBackend", OptionalMessage(INGRESS_BACKEND)),
    Field(2, "tls", List(&Message(&[Field(1, "hosts", List(&Text)), Field(2, "secretName", Text)]))),
    Field(3, "rules", List(&Message(INGRESS_RULE))),
    Field(4, "ingressClassName", OptionalText),
];

const INGRESS_RULE: &[Field] = &[
    Field(1, "host", Text),
    Field(2, "ingressRuleValue", Type::Inline(&[Field(1, "http", OptionalMessage(HTTP_RULE))])),
];

const HTTP_RULE: &[Field] = &[Field(1, "paths", List(&Message(HTTP_PATH)))];

const HTTP_PATH: &[Field] =
    &[Field(1, "path", Text), Field(2, "backend", Message(INGRESS_BACKEND)), Field(3, "pathType", OptionalText)];

const INGRESS_BACKEND: &[Field] = &[
    Field(
        3,
        "resource",
        OptionalMessage(&[Field(1, "apiGroup", OptionalText), Field(2, "kind", Text), Field(3, "name", Text)]),
    ),
    Field(4, "service", OptionalMessage(INGRESS_SERVICE)),
];

const INGRESS_SERVICE: &[Field] =
    &[Field(1, "name", Text), Field(2, "port", Message(&[Field(1, "name", Text), Field(2, "number", Number)]))];

const ROLE: &[Field] = &[METADATA, Field(2, "rules", List(&Message(POLICY_RULE)))];

const POLICY_RULE: &[Field] = &[
    Field(1, "verbs", List(&Text)),
    Field(2, "apiGroups", List(&Text)),
    Field(3, "resources", List(&Text)),
    Field(4, "resourceNames", List(&Text)),
    Field(5, "nonResourceURLs", List(&Text)),
];

const ROLE_BINDING: &[Field] = &[
    METADATA,
    Field(2, "subjects", List(&Message(SUBJECT))),
    Field(3, "roleRef", Message(&[Field(1, "apiGroup", Text), Field(2, "kind", Text), Field(3, "name", Text)])),
];

const SUBJECT: &[Field] =
    &[Field(1, "kind", Text), Field(2, "apiGroup", Text), Field(3, "name", Text), Field(4, "namespace", Text)];
