//! The supported messages: field number, name in JSON, type. The numbers are those of Kubernetes' published `.proto` files.

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
    OptionalMessage(&'static [Field]),
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

/// The fields of a kind in responses; None for kinds that are sent in JSON only.
pub fn sent(kind: Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Service => Some(SERVICE),
        Kind::EndpointSlice => Some(ENDPOINT_SLICE),
        Kind::Pod => Some(POD),
        _ => None,
    }
}

/// The fields of a kind in requests; None for kinds that are supported in JSON only.
pub fn of(kind: Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Namespace => Some(NAMESPACE),
        Kind::ServiceAccount => Some(SERVICE_ACCOUNT),
        Kind::ConfigMap => Some(CONFIG_MAP),
        Kind::Secret => Some(SECRET),
        Kind::Service => Some(SERVICE),
        Kind::Deployment => Some(DEPLOYMENT),
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

const NAMESPACE: &[Field] = &[METADATA, Field(2, "spec", Skipped), Field(3, "status", Skipped)];

const SERVICE_ACCOUNT: &[Field] = &[METADATA];

const CONFIG_MAP: &[Field] =
    &[METADATA, Field(2, "data", Map(&Text)), Field(3, "binaryData", Map(&Bytes)), Field(4, "immutable", Flag)];

const SECRET: &[Field] = &[
    METADATA,
    Field(2, "data", Map(&Bytes)),
    Field(3, "type", Text),
    Field(4, "stringData", Map(&Text)),
    Field(5, "immutable", Flag),
];

const SERVICE: &[Field] = &[METADATA, Field(2, "spec", Message(SERVICE_SPEC)), Field(3, "status", Skipped)];

const SERVICE_SPEC: &[Field] = &[
    Field(1, "ports", List(&Message(SERVICE_PORT))),
    Field(2, "selector", Map(&Text)),
    Field(3, "clusterIP", Text),
    Field(4, "type", Text),
    Field(5, "externalIPs", List(&Text)),
    Field(7, "sessionAffinity", Text),
    Field(10, "externalName", Text),
    Field(13, "publishNotReadyAddresses", Flag),
    Field(17, "ipFamilyPolicy", Text),
    Field(18, "clusterIPs", List(&Text)),
    Field(19, "ipFamilies", List(&Text)),
];

const SERVICE_PORT: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "protocol", Text),
    Field(3, "port", Number),
    Field(4, "targetPort", IntOrString),
    Field(5, "nodePort", Number),
    Field(6, "appProtocol", Text),
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

const DEPLOYMENT: &[Field] = &[METADATA, Field(2, "spec", Message(DEPLOYMENT_SPEC)), Field(3, "status", Skipped)];

const DEPLOYMENT_SPEC: &[Field] = &[
    Field(1, "replicas", OptionalNumber),
    Field(2, "selector", Message(LABEL_SELECTOR)),
    Field(3, "template", Message(POD_TEMPLATE)),
    Field(4, "strategy", Message(&[Field(1, "type", Text)])),
    Field(5, "minReadySeconds", Number),
];

const LABEL_SELECTOR: &[Field] = &[Field(1, "matchLabels", Map(&Text))];

const POD: &[Field] = &[METADATA, Field(2, "spec", Message(POD_SPEC)), Field(3, "status", Message(POD_STATUS))];

const POD_STATUS: &[Field] = &[
    Field(1, "phase", Text),
    Field(2, "conditions", List(&Message(POD_CONDITION))),
    Field(3, "message", Text),
    Field(4, "reason", Text),
    Field(5, "hostIP", Text),
    Field(6, "podIP", Text),
    Field(7, "startTime", OptionalTime),
    Field(9, "qosClass", Text),
    Field(11, "nominatedNodeName", Text),
    Field(12, "podIPs", List(&Message(&[Field(1, "ip", Text)]))),
];

const POD_CONDITION: &[Field] = &[
    Field(1, "type", Text),
    Field(2, "status", Text),
    Field(3, "lastProbeTime", Time),
    Field(4, "lastTransitionTime", Time),
    Field(5, "reason", Text),
    Field(6, "message", Text),
];

const POD_TEMPLATE: &[Field] = &[METADATA, Field(2, "spec", Message(POD_SPEC))];

const POD_SPEC: &[Field] = &[
    Field(2, "containers", List(&Message(CONTAINER))),
    Field(3, "restartPolicy", Text),
    Field(4, "terminationGracePeriodSeconds", OptionalNumber),
    Field(6, "dnsPolicy", Text),
    Field(16, "hostname", Text),
    Field(17, "subdomain", Text),
    Field(20, "initContainers", List(&Message(CONTAINER))),
];

const CONTAINER: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "image", Text),
    Field(3, "command", List(&Text)),
    Field(4, "args", List(&Text)),
    Field(5, "workingDir", Text),
    Field(6, "ports", List(&Message(CONTAINER_PORT))),
    Field(7, "env", List(&Message(&[Field(1, "name", Text), Field(2, "value", Text)]))),
    Field(8, "resources", Message(&[Field(1, "limits", Map(&Quantity)), Field(2, "requests", Map(&Quantity))])),
    Field(14, "imagePullPolicy", Text),
    Field(24, "restartPolicy", OptionalText),
];

const CONTAINER_PORT: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "hostPort", Number),
    Field(3, "containerPort", Number),
    Field(4, "protocol", Text),
    Field(5, "hostIP", Text),
];

const DISRUPTION_BUDGET: &[Field] =
    &[METADATA, Field(2, "spec", Message(DISRUPTION_BUDGET_SPEC)), Field(3, "status", Skipped)];

const DISRUPTION_BUDGET_SPEC: &[Field] = &[
    Field(1, "minAvailable", IntOrString),
    Field(2, "selector", Message(LABEL_SELECTOR)),
    Field(3, "maxUnavailable", IntOrString),
];

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
