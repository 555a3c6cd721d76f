//! Pods, and what is in them.

use super::Type::{
    Flag, Inline, IntOrString, List, Map, Message, Number, OptionalFlag, OptionalMessage, OptionalNumber,
    OptionalQuantity, OptionalText, OptionalTime, Quantity, Text, Time,
};
use super::{Field, LABEL_SELECTOR, LOCAL_REFERENCE, METADATA, REQUIREMENT};

pub const POD: &[Field] = &[METADATA, Field(2, "spec", Message(SPEC)), Field(3, "status", Message(STATUS))];

/// `PodTemplateSpec`.
pub const TEMPLATE: &[Field] = &[METADATA, Field(2, "spec", Message(SPEC))];

const STATUS: &[Field] = &[
    Field(1, "phase", Text),
    Field(2, "conditions", List(&Message(CONDITION))),
    Field(3, "message", Text),
    Field(4, "reason", Text),
    Field(5, "hostIP", Text),
    Field(6, "podIP", Text),
    Field(7, "startTime", OptionalTime),
    Field(8, "containerStatuses", List(&Message(CONTAINER_STATUS))),
    Field(9, "qosClass", Text),
    Field(10, "initContainerStatuses", List(&Message(CONTAINER_STATUS))),
    Field(11, "nominatedNodeName", Text),
    Field(12, "podIPs", List(&Message(&[Field(1, "ip", Text)]))),
    Field(16, "hostIPs", List(&Message(&[Field(1, "ip", Text)]))),
];

const CONDITION: &[Field] = &[
    Field(1, "type", Text),
    Field(2, "status", Text),
    Field(3, "lastProbeTime", Time),
    Field(4, "lastTransitionTime", Time),
    Field(5, "reason", Text),
    Field(6, "message", Text),
];

const CONTAINER_STATUS: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "state", Message(CONTAINER_STATE)),
    Field(3, "lastState", Message(CONTAINER_STATE)),
    Field(4, "ready", Flag),
    Field(5, "restartCount", Number),
    Field(6, "image", Text),
    Field(7, "imageID", Text),
    Field(8, "containerID", Text),
    Field(9, "started", OptionalFlag),
];

const CONTAINER_STATE: &[Field] = &[
    Field(1, "waiting", OptionalMessage(&[Field(1, "reason", Text), Field(2, "message", Text)])),
    Field(2, "running", OptionalMessage(&[Field(1, "startedAt", Time)])),
    Field(3, "terminated", OptionalMessage(TERMINATED)),
];

const TERMINATED: &[Field] = &[
    Field(1, "exitCode", Number),
    Field(2, "signal", Number),
    Field(3, "reason", Text),
    Field(4, "message", Text),
    Field(5, "startedAt", Time),
    Field(6, "finishedAt", Time),
    Field(7, "containerID", Text),
];

const SPEC: &[Field] = &[
    Field(1, "volumes", List(&Message(VOLUME))),
    Field(2, "containers", List(&Message(CONTAINER))),
    Field(3, "restartPolicy", Text),
    Field(4, "terminationGracePeriodSeconds", OptionalNumber),
    Field(5, "activeDeadlineSeconds", OptionalNumber),
    Field(6, "dnsPolicy", Text),
    Field(7, "nodeSelector", Map(&Text)),
    Field(8, "serviceAccountName", Text),
    Field(9, "serviceAccount", Text),
    Field(10, "nodeName", Text),
    Field(11, "hostNetwork", Flag),
    Field(12, "hostPID", Flag),
    Field(13, "hostIPC", Flag),
    Field(14, "securityContext", OptionalMessage(SECURITY)),
    Field(15, "imagePullSecrets", List(&Message(LOCAL_REFERENCE))),
    Field(16, "hostname", Text),
    Field(17, "subdomain", Text),
    Field(18, "affinity", OptionalMessage(AFFINITY)),
    Field(19, "schedulerName", Text),
    Field(20, "initContainers", List(&Message(CONTAINER))),
    Field(21, "automountServiceAccountToken", OptionalFlag),
    Field(22, "tolerations", List(&Message(TOLERATION))),
    Field(23, "hostAliases", List(&Message(&[Field(1, "ip", Text), Field(2, "hostnames", List(&Text))]))),
    Field(24, "priorityClassName", Text),
    Field(25, "priority", OptionalNumber),
    Field(26, "dnsConfig", OptionalMessage(DNS_CONFIG)),
    Field(27, "shareProcessNamespace", OptionalFlag),
    Field(28, "readinessGates", List(&Message(&[Field(1, "conditionType", Text)]))),
    Field(29, "runtimeClassName", OptionalText),
    Field(30, "enableServiceLinks", OptionalFlag),
    Field(31, "preemptionPolicy", OptionalText),
    Field(32, "overhead", Map(&Quantity)),
    Field(33, "topologySpreadConstraints", List(&Message(SPREAD))),
    Field(35, "setHostnameAsFQDN", OptionalFlag),
    Field(37, "hostUsers", OptionalFlag),
];

const TOLERATION: &[Field] = &[
    Field(1, "key", Text),
    Field(2, "operator", Text),
    Field(3, "value", Text),
    Field(4, "effect", Text),
    Field(5, "tolerationSeconds", OptionalNumber),
];

const DNS_CONFIG: &[Field] = &[
    Field(1, "nameservers", List(&Text)),
    Field(2, "searches", List(&Text)),
    Field(3, "options", List(&Message(&[Field(1, "name", Text), Field(2, "value", OptionalText)]))),
];

const SPREAD: &[Field] = &[
    Field(1, "maxSkew", Number),
    Field(2, "topologyKey", Text),
    Field(3, "whenUnsatisfiable", Text),
    Field(4, "labelSelector", OptionalMessage(LABEL_SELECTOR)),
    Field(5, "minDomains", OptionalNumber),
    Field(6, "nodeAffinityPolicy", OptionalText),
    Field(7, "nodeTaintsPolicy", OptionalText),
    Field(8, "matchLabelKeys", List(&Text)),
];

const AFFINITY: &[Field] = &[
    Field(1, "nodeAffinity", OptionalMessage(NODE_AFFINITY)),
    Field(2, "podAffinity", OptionalMessage(POD_AFFINITY)),
    Field(3, "podAntiAffinity", OptionalMessage(POD_AFFINITY)),
];

const NODE_AFFINITY: &[Field] = &[
    Field(
        1,
        "requiredDuringSchedulingIgnoredDuringExecution",
        OptionalMessage(&[Field(1, "nodeSelectorTerms", List(&Message(NODE_TERM)))]),
    ),
    Field(
        2,
        "preferredDuringSchedulingIgnoredDuringExecution",
        List(&Message(&[Field(1, "weight", Number), Field(2, "preference", Message(NODE_TERM))])),
    ),
];

const NODE_TERM: &[Field] =
    &[Field(1, "matchExpressions", List(&Message(REQUIREMENT))), Field(2, "matchFields", List(&Message(REQUIREMENT)))];

const POD_AFFINITY: &[Field] = &[
    Field(1, "requiredDuringSchedulingIgnoredDuringExecution", List(&Message(POD_TERM))),
    Field(
        2,
        "preferredDuringSchedulingIgnoredDuringExecution",
        List(&Message(&[Field(1, "weight", Number), Field(2, "podAffinityTerm", Message(POD_TERM))])),
    ),
];

const POD_TERM: &[Field] = &[
    Field(1, "labelSelector", OptionalMessage(LABEL_SELECTOR)),
    Field(2, "namespaces", List(&Text)),
    Field(3, "topologyKey", Text),
    Field(4, "namespaceSelector", OptionalMessage(LABEL_SELECTOR)),
    Field(5, "matchLabelKeys", List(&Text)),
    Field(6, "mismatchLabelKeys", List(&Text)),
];

const SECCOMP: &[Field] = &[Field(1, "type", Text), Field(2, "localhostProfile", OptionalText)];

/// `PodSecurityContext`.
const SECURITY: &[Field] = &[
    Field(2, "runAsUser", OptionalNumber),
    Field(3, "runAsNonRoot", OptionalFlag),
    Field(4, "supplementalGroups", List(&Number)),
    Field(5, "fsGroup", OptionalNumber),
    Field(6, "runAsGroup", OptionalNumber),
    Field(7, "sysctls", List(&Message(&[Field(1, "name", Text), Field(2, "value", Text)]))),
    Field(9, "fsGroupChangePolicy", OptionalText),
    Field(10, "seccompProfile", OptionalMessage(SECCOMP)),
];

const VOLUME: &[Field] = &[Field(1, "name", Text), Field(2, "volumeSource", Inline(VOLUME_SOURCE))];

/// The sources that the sandbox's users have; those of clouds are JSON only.
const VOLUME_SOURCE: &[Field] = &[
    Field(1, "hostPath", OptionalMessage(&[Field(1, "path", Text), Field(2, "type", OptionalText)])),
    Field(2, "emptyDir", OptionalMessage(&[Field(1, "medium", Text), Field(2, "sizeLimit", OptionalQuantity)])),
    Field(6, "secret", OptionalMessage(SECRET_VOLUME)),
    Field(10, "persistentVolumeClaim", OptionalMessage(&[Field(1, "claimName", Text), Field(2, "readOnly", Flag)])),
    Field(
        16,
        "downwardAPI",
        OptionalMessage(&[Field(1, "items", List(&Message(DOWNWARD_FILE))), Field(2, "defaultMode", OptionalNumber)]),
    ),
    Field(19, "configMap", OptionalMessage(CONFIG_MAP_VOLUME)),
    Field(
        26,
        "projected",
        OptionalMessage(&[Field(1, "sources", List(&Message(PROJECTION))), Field(2, "defaultMode", OptionalNumber)]),
    ),
];

const SECRET_VOLUME: &[Field] = &[
    Field(1, "secretName", Text),
    Field(2, "items", List(&Message(KEY_TO_PATH))),
    Field(3, "defaultMode", OptionalNumber),
    Field(4, "optional", OptionalFlag),
];

const CONFIG_MAP_VOLUME: &[Field] = &[
    Field(1, "localObjectReference", Inline(LOCAL_REFERENCE)),
    Field(2, "items", List(&Message(KEY_TO_PATH))),
    Field(3, "defaultMode", OptionalNumber),
    Field(4, "optional", OptionalFlag),
];

const PROJECTION: &[Field] = &[
    Field(1, "secret", OptionalMessage(PROJECTED_FILES)),
    Field(2, "downwardAPI", OptionalMessage(&[Field(1, "items", List(&Message(DOWNWARD_FILE)))])),
    Field(3, "configMap", OptionalMessage(PROJECTED_FILES)),
    Field(
        4,
        "serviceAccountToken",
        OptionalMessage(&[
            Field(1, "audience", Text),
            Field(2, "expirationSeconds", OptionalNumber),
            Field(3, "path", Text),
        ]),
    ),
];

const PROJECTED_FILES: &[Field] = &[
    Field(1, "localObjectReference", Inline(LOCAL_REFERENCE)),
    Field(2, "items", List(&Message(KEY_TO_PATH))),
    Field(4, "optional", OptionalFlag),
];

const KEY_TO_PATH: &[Field] = &[Field(1, "key", Text), Field(2, "path", Text), Field(3, "mode", OptionalNumber)];

const DOWNWARD_FILE: &[Field] = &[
    Field(1, "path", Text),
    Field(2, "fieldRef", OptionalMessage(FIELD_REFERENCE)),
    Field(3, "resourceFieldRef", OptionalMessage(RESOURCE_REFERENCE)),
    Field(4, "mode", OptionalNumber),
];

const FIELD_REFERENCE: &[Field] = &[Field(1, "apiVersion", Text), Field(2, "fieldPath", Text)];

const RESOURCE_REFERENCE: &[Field] =
    &[Field(1, "containerName", Text), Field(2, "resource", Text), Field(3, "divisor", Quantity)];

const CONTAINER: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "image", Text),
    Field(3, "command", List(&Text)),
    Field(4, "args", List(&Text)),
    Field(5, "workingDir", Text),
    Field(6, "ports", List(&Message(PORT))),
    Field(7, "env", List(&Message(VARIABLE))),
    Field(8, "resources", Message(&[Field(1, "limits", Map(&Quantity)), Field(2, "requests", Map(&Quantity))])),
    Field(9, "volumeMounts", List(&Message(MOUNT))),
    Field(10, "livenessProbe", OptionalMessage(PROBE)),
    Field(11, "readinessProbe", OptionalMessage(PROBE)),
    Field(12, "lifecycle", OptionalMessage(LIFECYCLE)),
    Field(13, "terminationMessagePath", Text),
    Field(14, "imagePullPolicy", Text),
    Field(15, "securityContext", OptionalMessage(CONTAINER_SECURITY)),
    Field(16, "stdin", Flag),
    Field(17, "stdinOnce", Flag),
    Field(18, "tty", Flag),
    Field(19, "envFrom", List(&Message(VARIABLES))),
    Field(20, "terminationMessagePolicy", Text),
    Field(21, "volumeDevices", List(&Message(&[Field(1, "name", Text), Field(2, "devicePath", Text)]))),
    Field(22, "startupProbe", OptionalMessage(PROBE)),
    Field(24, "restartPolicy", OptionalText),
];

const PORT: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "hostPort", Number),
    Field(3, "containerPort", Number),
    Field(4, "protocol", Text),
    Field(5, "hostIP", Text),
];

const VARIABLE: &[Field] =
    &[Field(1, "name", Text), Field(2, "value", Text), Field(3, "valueFrom", OptionalMessage(VARIABLE_SOURCE))];

const VARIABLE_SOURCE: &[Field] = &[
    Field(1, "fieldRef", OptionalMessage(FIELD_REFERENCE)),
    Field(2, "resourceFieldRef", OptionalMessage(RESOURCE_REFERENCE)),
    Field(3, "configMapKeyRef", OptionalMessage(KEY_REFERENCE)),
    Field(4, "secretKeyRef", OptionalMessage(KEY_REFERENCE)),
];

const KEY_REFERENCE: &[Field] = &[
    Field(1, "localObjectReference", Inline(LOCAL_REFERENCE)),
    Field(2, "key", Text),
    Field(3, "optional", OptionalFlag),
];

const VARIABLES: &[Field] = &[
    Field(1, "prefix", Text),
    Field(2, "configMapRef", OptionalMessage(VARIABLES_SOURCE)),
    Field(3, "secretRef", OptionalMessage(VARIABLES_SOURCE)),
];

const VARIABLES_SOURCE: &[Field] =
    &[Field(1, "localObjectReference", Inline(LOCAL_REFERENCE)), Field(2, "optional", OptionalFlag)];

const MOUNT: &[Field] = &[
    Field(1, "name", Text),
    Field(2, "readOnly", Flag),
    Field(3, "mountPath", Text),
    Field(4, "subPath", Text),
    Field(5, "mountPropagation", OptionalText),
    Field(6, "subPathExpr", Text),
    Field(7, "recursiveReadOnly", OptionalText),
];

const PROBE: &[Field] = &[
    Field(1, "handler", Inline(HANDLER)),
    Field(2, "initialDelaySeconds", Number),
    Field(3, "timeoutSeconds", Number),
    Field(4, "periodSeconds", Number),
    Field(5, "successThreshold", Number),
    Field(6, "failureThreshold", Number),
    Field(7, "terminationGracePeriodSeconds", OptionalNumber),
];

const EXEC: &[Field] = &[Field(1, "command", List(&Text))];

const HTTP_GET: &[Field] = &[
    Field(1, "path", Text),
    Field(2, "port", IntOrString),
    Field(3, "host", Text),
    Field(4, "scheme", Text),
    Field(5, "httpHeaders", List(&Message(&[Field(1, "name", Text), Field(2, "value", Text)]))),
];

const TCP_SOCKET: &[Field] = &[Field(1, "port", IntOrString), Field(2, "host", Text)];

const HANDLER: &[Field] = &[
    Field(1, "exec", OptionalMessage(EXEC)),
    Field(2, "httpGet", OptionalMessage(HTTP_GET)),
    Field(3, "tcpSocket", OptionalMessage(TCP_SOCKET)),
    Field(4, "grpc", OptionalMessage(&[Field(1, "port", Number), Field(2, "service", OptionalText)])),
];

const LIFECYCLE: &[Field] = &[Field(1, "postStart", OptionalMessage(HOOK)), Field(2, "preStop", OptionalMessage(HOOK))];

const HOOK: &[Field] = &[
    Field(1, "exec", OptionalMessage(EXEC)),
    Field(2, "httpGet", OptionalMessage(HTTP_GET)),
    Field(3, "tcpSocket", OptionalMessage(TCP_SOCKET)),
    Field(4, "sleep", OptionalMessage(&[Field(1, "seconds", Number)])),
];

const CONTAINER_SECURITY: &[Field] = &[
    Field(1, "capabilities", OptionalMessage(&[Field(1, "add", List(&Text)), Field(2, "drop", List(&Text))])),
    Field(2, "privileged", OptionalFlag),
    Field(4, "runAsUser", OptionalNumber),
    Field(5, "runAsNonRoot", OptionalFlag),
    Field(6, "readOnlyRootFilesystem", OptionalFlag),
    Field(7, "allowPrivilegeEscalation", OptionalFlag),
    Field(8, "runAsGroup", OptionalNumber),
    Field(9, "procMount", OptionalText),
    Field(11, "seccompProfile", OptionalMessage(SECCOMP)),
];
