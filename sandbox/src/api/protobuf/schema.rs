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
    /// Set by the server, so ignored in requests.
    Skipped,
}

use Type::{Bytes, Flag, IntOrString, List, Map, Message, Number, OptionalNumber, Quantity, Skipped, Text};

/// The fields of a kind; None for kinds that are supported in JSON only.
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
    Field(8, "creationTimestamp", Skipped),
    Field(11, "labels", Map(&Text)),
    Field(12, "annotations", Map(&Text)),
    Field(14, "finalizers", List(&Text)),
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

const DEPLOYMENT: &[Field] = &[METADATA, Field(2, "spec", Message(DEPLOYMENT_SPEC)), Field(3, "status", Skipped)];

const DEPLOYMENT_SPEC: &[Field] = &[
    Field(1, "replicas", OptionalNumber),
    Field(2, "selector", Message(LABEL_SELECTOR)),
    Field(3, "template", Message(POD_TEMPLATE)),
    Field(4, "strategy", Message(&[Field(1, "type", Text)])),
    Field(5, "minReadySeconds", Number),
];

const LABEL_SELECTOR: &[Field] = &[Field(1, "matchLabels", Map(&Text))];

const POD_TEMPLATE: &[Field] = &[METADATA, Field(2, "spec", Message(POD_SPEC))];

const POD_SPEC: &[Field] = &[
    Field(2, "containers", List(&Message(CONTAINER))),
    Field(3, "restartPolicy", Text),
    Field(4, "terminationGracePeriodSeconds", OptionalNumber),
    Field(6, "dnsPolicy", Text),
    Field(16, "hostname", Text),
    Field(17, "subdomain", Text),
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
