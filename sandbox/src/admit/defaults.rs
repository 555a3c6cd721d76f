//! Defaulting: the values that the API server sets where a manifest has none, and those that it keeps in an update.

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::controllers::TEMPLATE_GENERATION_ANNOTATION;
use crate::deletion::DEFAULT_GRACE_SECONDS;
use crate::kind::Kind;

/// Default of `revisionHistoryLimit`.
const REVISION_HISTORY_LIMIT: u32 = 10;

/// Default of a Deployment's `progressDeadlineSeconds`.
const PROGRESS_DEADLINE_SECONDS: u32 = 600;

/// Default mode of files from ConfigMaps and Secrets.
const FILE_MODE: u32 = 0o644;

/// Defaults of a probe.
const PROBE: [(&str, u32); 4] =
    [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)];

/// Sets the defaults of missing fields.
pub fn fill(kind: Kind, object: &mut Value) {
    match kind {
        Kind::Namespace => namespace(object),
        Kind::Service => service(&mut object["spec"]),
        Kind::EndpointSlice => {
            for port in items(object, "ports") {
                set(port, "name", "");
                set(port, "protocol", "TCP");
            }
        }
        Kind::StatefulSet => stateful_set(&mut object["spec"]),
        Kind::DaemonSet => daemon_set(&mut object["spec"]),
        Kind::Deployment => deployment(&mut object["spec"]),
        Kind::ReplicaSet => {
            set(&mut object["spec"], "replicas", 1);
            pod_spec(template(&mut object["spec"]));
        }
        Kind::Pod => {
            pod_spec(&mut object["spec"]);
            set(&mut object["spec"], "enableServiceLinks", true);
        }
        Kind::Job => object.pointer_mut("/spec/template/spec").map_or((), pod_spec),
        Kind::CronJob => object.pointer_mut("/spec/jobTemplate/spec/template/spec").map_or((), pod_spec),
        Kind::PersistentVolumeClaim => set(&mut object["spec"], "volumeMode", "Filesystem"),
        Kind::Secret => secret(object),
        Kind::RoleBinding | Kind::ClusterRoleBinding => {
            set(&mut object["roleRef"], "apiGroup", kind.group());
            for subject in items(object, "subjects") {
                if subject["kind"] != "ServiceAccount" {
                    set(subject, "apiGroup", kind.group());
                }
            }
        }
        _ => {}
    }
}

/// Sets the status of a new object.
pub fn initial_status(kind: Kind, object: &mut Value) {
    let status = match kind {
        Kind::Namespace => json!({ "phase": "Active" }),
        Kind::Service => json!({ "loadBalancer": {} }),
        Kind::Pod => json!({ "phase": "Pending", "qosClass": "BestEffort" }),
        Kind::PersistentVolumeClaim => json!({ "phase": "Pending" }),
        Kind::StatefulSet => json!({ "replicas": 0, "availableReplicas": 0 }),
        Kind::ReplicaSet => json!({ "replicas": 0 }),
        Kind::DaemonSet => json!({
            "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
        }),
        Kind::Deployment => json!({}),
        _ => return,
    };
    // Clients written in Go send an empty status.
    if object["status"].as_object().is_none_or(|given| given.is_empty()) {
        object["status"] = status;
    }
}

/// Keeps values that were allocated when the object was created and that a manifest does not contain: the addresses of a
/// Service, the node of a Pod, the volume of a claim.
pub fn keep_allocated(kind: Kind, current: &Value, object: &mut Value) {
    let fields: &[&str] = match kind {
        Kind::Service if object["spec"]["type"] != "ExternalName" => {
            &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]
        }
        Kind::Pod => &["nodeName", "serviceAccountName", "hostname", "subdomain"],
        Kind::PersistentVolumeClaim => &["volumeName", "storageClassName"],
        _ => &[],
    };
    for field in fields {
        if let Some(value) = current["spec"].get(*field)
            && object["spec"].is_object()
        {
            set(&mut object["spec"], field, value.clone());
        }
    }
    if kind == Kind::Namespace {
        object["spec"] = current["spec"].clone();
    }
}

/// Counts the templates of a DaemonSet in its annotation, whatever a client has written there.
pub fn count_template(kind: Kind, current: Option<&Value>, object: &mut Value) {
    if kind != Kind::DaemonSet {
        return;
    }
    let number = |current: &Value| {
        let before = current["metadata"]["annotations"][TEMPLATE_GENERATION_ANNOTATION].as_str();
        let before: i64 = before.and_then(|text| text.parse().ok()).unwrap_or(1);
        before + i64::from(current["spec"]["template"] != object["spec"]["template"])
    };
    let number = current.map_or(1, number);
    object["metadata"]["annotations"][TEMPLATE_GENERATION_ANNOTATION] = json!(number.to_string());
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
    set(object, "spec", json!({ "finalizers": ["kubernetes"] }));
}

fn service(spec: &mut Value) {
    set(spec, "type", "ClusterIP");
    set(spec, "sessionAffinity", "None");
    for port in items(spec, "ports") {
        set(port, "protocol", "TCP");
        let number = port["port"].clone();
        set(port, "targetPort", number);
    }
    if spec["type"] == "ExternalName" {
        return;
    }
    set(spec, "internalTrafficPolicy", "Cluster");
    if matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if let Some(first) = spec["clusterIPs"].get(0).cloned() {
        set(spec, "clusterIP", first);
    }
    if let Some(address) = spec["clusterIP"].as_str().filter(|address| !address.is_empty()).map(str::to_owned) {
        set(spec, "clusterIPs", json!([address]));
    }
    set(spec, "ipFamilyPolicy", if spec["ipFamilies"][1].is_null() { "SingleStack" } else { "RequireDualStack" });
    let dual_stack = spec["ipFamilyPolicy"] != "SingleStack";
    let families = match spec["ipFamilies"][0].as_str() {
        Some("IPv6") if dual_stack => json!(["IPv6", "IPv4"]),
        _ if dual_stack => json!(["IPv4", "IPv6"]),
        Some(family) => json!([family]),
        None => json!(["IPv4"]),
    };
    spec["ipFamilies"] = families;
}

fn stateful_set(spec: &mut Value) {
    set(spec, "replicas", 1);
    set(spec, "podManagementPolicy", "OrderedReady");
    set(spec, "revisionHistoryLimit", REVISION_HISTORY_LIMIT);
    set(spec, "updateStrategy", json!({}));
    set(&mut spec["updateStrategy"], "type", "RollingUpdate");
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        set(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
        set(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0);
    }
    set(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    for event in ["whenDeleted", "whenScaled"] {
        set(&mut spec["persistentVolumeClaimRetentionPolicy"], event, "Retain");
    }
    for claim in items(spec, "volumeClaimTemplates") {
        set(claim, "spec", json!({}));
        set(&mut claim["spec"], "volumeMode", "Filesystem");
        set(claim, "status", json!({ "phase": "Pending" }));
    }
    pod_spec(template(spec));
}

fn daemon_set(spec: &mut Value) {
    set(spec, "revisionHistoryLimit", REVISION_HISTORY_LIMIT);
    set(spec, "updateStrategy", json!({}));
    set(&mut spec["updateStrategy"], "type", "RollingUpdate");
    if spec["updateStrategy"]["type"] == "RollingUpdate" {
        set(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
        for (bound, number) in [("maxSurge", 0), ("maxUnavailable", 1)] {
            set(&mut spec["updateStrategy"]["rollingUpdate"], bound, number);
        }
    }
    pod_spec(template(spec));
}

fn deployment(spec: &mut Value) {
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", REVISION_HISTORY_LIMIT);
    set(spec, "progressDeadlineSeconds", PROGRESS_DEADLINE_SECONDS);
    set(spec, "strategy", json!({}));
    set(&mut spec["strategy"], "type", "RollingUpdate");
    if spec["strategy"]["type"] == "RollingUpdate" {
        set(&mut spec["strategy"], "rollingUpdate", json!({}));
        for bound in ["maxSurge", "maxUnavailable"] {
            set(&mut spec["strategy"]["rollingUpdate"], bound, "25%");
        }
    }
    pod_spec(template(spec));
}

/// The Pod spec of a workload's template, which decoding has added if it was missing.
fn template(spec: &mut Value) -> &mut Value {
    &mut spec["template"]["spec"]
}

fn pod_spec(spec: &mut Value) {
    set(spec, "restartPolicy", "Always");
    set(spec, "dnsPolicy", "ClusterFirst");
    set(spec, "schedulerName", "default-scheduler");
    set(spec, "securityContext", json!({}));
    set(spec, "terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS);
    for list in ["initContainers", "containers"] {
        for one in items(spec, list) {
            container(one);
        }
    }
    for volume in items(spec, "volumes") {
        let has_source = volume.as_object().is_some_and(|fields| fields.len() > 1);
        if !has_source {
            set(volume, "emptyDir", json!({}));
        }
        for source in ["configMap", "secret", "projected", "downwardAPI"] {
            if let Some(source) = volume.get_mut(source) {
                set(source, "defaultMode", FILE_MODE);
            }
        }
    }
}

fn container(container: &mut Value) {
    let pull = match container["image"].as_str().unwrap_or_default() {
        digest if digest.contains('@') => "IfNotPresent",
        // A colon before the last slash belongs to a registry's port.
        image => match image.rsplit('/').next().and_then(|last| last.split_once(':')) {
            Some((_, tag)) if tag != "latest" => "IfNotPresent",
            _ => "Always",
        },
    };
    set(container, "imagePullPolicy", pull);
    set(container, "resources", json!({}));
    set(container, "terminationMessagePath", "/dev/termination-log");
    set(container, "terminationMessagePolicy", "File");
    for port in items(container, "ports") {
        set(port, "protocol", "TCP");
    }
    for variable in items(container, "env") {
        if let Some(reference) = variable.pointer_mut("/valueFrom/fieldRef") {
            set(reference, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe) else { continue };
        for (field, value) in PROBE {
            set(probe, field, value);
        }
        if let Some(request) = probe.get_mut("httpGet") {
            set(request, "path", "/");
            set(request, "scheme", "HTTP");
        }
    }
}

fn secret(object: &mut Value) {
    set(object, "type", "Opaque");
    let Some(Value::Object(texts)) = object.as_object_mut().and_then(|fields| fields.remove("stringData")) else {
        return;
    };
    for (key, text) in texts {
        let bytes = ByteString(text.as_str().unwrap_or_default().as_bytes().to_vec());
        object["data"][key] = json!(bytes);
    }
}

/// Sets a field that is missing or null. A value that is not an object is left to validation.
fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(fields) = object.as_object_mut()
        && fields.get(field).is_none_or(Value::is_null)
    {
        fields.insert(field.to_owned(), value.into());
    }
}

fn items<'a>(object: &'a mut Value, field: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}
