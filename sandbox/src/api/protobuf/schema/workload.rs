//! What makes Pods.

use super::Type::{
    Flag, IntOrString, List, Map, Message, Number, OptionalFlag, OptionalMessage, OptionalNumber, OptionalText,
    Quantity, Skipped, Text,
};
use super::pod::TEMPLATE;
use super::{Field, LABEL_SELECTOR, METADATA};

const fn with_spec(spec: &'static [Field]) -> [Field; 3] {
    [METADATA, Field(2, "spec", Message(spec)), Field(3, "status", Skipped)]
}

const SELECTOR: super::Type = OptionalMessage(LABEL_SELECTOR);

pub const DEPLOYMENT: &[Field] = &with_spec(&[
    Field(1, "replicas", OptionalNumber),
    Field(2, "selector", SELECTOR),
    Field(3, "template", Message(TEMPLATE)),
    Field(4, "strategy", Message(DEPLOYMENT_STRATEGY)),
    Field(5, "minReadySeconds", Number),
    Field(6, "revisionHistoryLimit", OptionalNumber),
    Field(7, "paused", Flag),
    Field(9, "progressDeadlineSeconds", OptionalNumber),
]);

const DEPLOYMENT_STRATEGY: &[Field] =
    &[Field(1, "type", Text), Field(2, "rollingUpdate", OptionalMessage(ROLLING_UPDATE))];

/// Of Deployments and DaemonSets alike.
const ROLLING_UPDATE: &[Field] = &[Field(1, "maxUnavailable", IntOrString), Field(2, "maxSurge", IntOrString)];

pub const REPLICA_SET: &[Field] = &with_spec(&[
    Field(1, "replicas", OptionalNumber),
    Field(2, "selector", SELECTOR),
    Field(3, "template", Message(TEMPLATE)),
    Field(4, "minReadySeconds", Number),
]);

pub const STATEFUL_SET: &[Field] = &with_spec(&[
    Field(1, "replicas", OptionalNumber),
    Field(2, "selector", SELECTOR),
    Field(3, "template", Message(TEMPLATE)),
    Field(4, "volumeClaimTemplates", List(&Message(CLAIM))),
    Field(5, "serviceName", Text),
    Field(6, "podManagementPolicy", Text),
    Field(
        7,
        "updateStrategy",
        Message(&[
            Field(1, "type", Text),
            Field(2, "rollingUpdate", OptionalMessage(&[Field(1, "partition", OptionalNumber)])),
        ]),
    ),
    Field(8, "revisionHistoryLimit", OptionalNumber),
    Field(9, "minReadySeconds", Number),
    Field(
        10,
        "persistentVolumeClaimRetentionPolicy",
        OptionalMessage(&[Field(1, "whenDeleted", Text), Field(2, "whenScaled", Text)]),
    ),
    Field(11, "ordinals", OptionalMessage(&[Field(1, "start", Number)])),
]);

const CLAIM: &[Field] = &with_spec(&[
    Field(1, "accessModes", List(&Text)),
    Field(2, "resources", Message(&[Field(1, "limits", Map(&Quantity)), Field(2, "requests", Map(&Quantity))])),
    Field(3, "volumeName", Text),
    Field(4, "selector", SELECTOR),
    Field(5, "storageClassName", OptionalText),
    Field(6, "volumeMode", OptionalText),
]);

pub const DAEMON_SET: &[Field] = &with_spec(&[
    Field(1, "selector", SELECTOR),
    Field(2, "template", Message(TEMPLATE)),
    Field(3, "updateStrategy", Message(DEPLOYMENT_STRATEGY)),
    Field(4, "minReadySeconds", Number),
    Field(6, "revisionHistoryLimit", OptionalNumber),
]);

pub const JOB: &[Field] = &with_spec(JOB_SPEC);

const JOB_SPEC: &[Field] = &[
    Field(1, "parallelism", OptionalNumber),
    Field(2, "completions", OptionalNumber),
    Field(3, "activeDeadlineSeconds", OptionalNumber),
    Field(4, "selector", SELECTOR),
    Field(5, "manualSelector", OptionalFlag),
    Field(6, "template", Message(TEMPLATE)),
    Field(7, "backoffLimit", OptionalNumber),
    Field(8, "ttlSecondsAfterFinished", OptionalNumber),
    Field(9, "completionMode", OptionalText),
    Field(10, "suspend", OptionalFlag),
];

pub const CRON_JOB: &[Field] = &with_spec(&[
    Field(1, "schedule", Text),
    Field(2, "startingDeadlineSeconds", OptionalNumber),
    Field(3, "concurrencyPolicy", Text),
    Field(4, "suspend", OptionalFlag),
    Field(5, "jobTemplate", Message(&[METADATA, Field(2, "spec", Message(JOB_SPEC))])),
    Field(6, "successfulJobsHistoryLimit", OptionalNumber),
    Field(7, "failedJobsHistoryLimit", OptionalNumber),
    Field(8, "timeZone", OptionalText),
]);

pub const DISRUPTION_BUDGET: &[Field] = &with_spec(&[
    Field(1, "minAvailable", IntOrString),
    Field(2, "selector", SELECTOR),
    Field(3, "maxUnavailable", IntOrString),
    Field(4, "unhealthyPodEvictionPolicy", OptionalText),
]);
