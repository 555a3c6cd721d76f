//! Validation of objects and of changes to them, with the wording of the API server.
//!
//! This is a selection: the rules that a user of Services, endpoints and workloads is likely to hit.

mod rules;
mod service;
mod workload;

use serde_json::{Value, json};

use crate::fields::{list, remove};
use crate::kind::Kind;
use crate::status::FieldError;

use super::names::{label_problem, path_segment_problem, service_problem, subdomain_problem};
use rules::{Errors, immutable, labels, not_negative, one_of};
use service::{endpoint_slice, service};
use workload::{pod_spec, workload};

/// The errors in an object.
pub fn object(kind: Kind, object: &Value) -> Errors {
    let mut errors = Errors::new();
    metadata(kind, &object["metadata"], &mut errors);
    let spec = &object["spec"];
    match kind {
        Kind::Service => service(spec, &mut errors),
        Kind::EndpointSlice => endpoint_slice(object, &mut errors),
        Kind::Pod => pod_spec("spec", spec, &mut errors),
        Kind::StatefulSet => {
            workload(spec, &mut errors);
            let policy = &spec["podManagementPolicy"];
            one_of("spec.podManagementPolicy", policy, &["OrderedReady", "Parallel"], &mut errors);
            let strategy = &spec["updateStrategy"];
            one_of("spec.updateStrategy.type", &strategy["type"], &["OnDelete", "RollingUpdate"], &mut errors);
            let partition = &strategy["rollingUpdate"]["partition"];
            not_negative("spec.updateStrategy.rollingUpdate.partition", partition, &mut errors);
            not_negative("spec.ordinals.start", &spec["ordinals"]["start"], &mut errors);
        }
        Kind::Deployment => {
            workload(spec, &mut errors);
            one_of("spec.strategy.type", &spec["strategy"]["type"], &["Recreate", "RollingUpdate"], &mut errors);
        }
        Kind::ReplicaSet | Kind::DaemonSet => workload(spec, &mut errors),
        Kind::PersistentVolumeClaim => {
            if list(&spec["accessModes"]).is_empty() {
                errors.push(FieldError::required("spec.accessModes", "at least 1 access mode is required"));
            }
            if spec["resources"]["requests"]["storage"].is_null() {
                errors.push(FieldError::required("spec.resources[storage]", ""));
            }
        }
        _ => {}
    }
    errors
}

/// The errors in an update from `current` to `object`.
pub fn change(kind: Kind, current: &Value, object: &Value) -> Errors {
    let mut errors = Errors::new();
    let (old, new) = (&current["spec"], &object["spec"]);
    match kind {
        Kind::StatefulSet => {
            const MUTABLE: &[&str] = &[
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ];
            if without(old, MUTABLE) != without(new, MUTABLE) {
                errors.push(FieldError::forbidden(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                     'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                     'minReadySeconds' are forbidden",
                ));
            }
        }
        Kind::Deployment | Kind::ReplicaSet | Kind::DaemonSet => {
            immutable("spec.selector", &old["selector"], &new["selector"], &mut errors)
        }
        Kind::Service => {
            let (was, is) = (&old["clusterIP"], &new["clusterIP"]);
            let becomes_external = new["type"] == "ExternalName";
            if !was.as_str().unwrap_or_default().is_empty() && was != is && !becomes_external {
                let value = json!([is]);
                errors.push(FieldError::invalid("spec.clusterIPs[0]", value, "may not change once set"));
            }
        }
        Kind::EndpointSlice => {
            immutable("addressType", &current["addressType"], &object["addressType"], &mut errors);
        }
        Kind::Pod => {
            const MUTABLE: &[&str] =
                &["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations", "schedulingGates"];
            if without_images(without(old, MUTABLE)) != without_images(without(new, MUTABLE)) {
                errors.push(FieldError::forbidden(
                    "spec",
                    "pod updates may not change fields other than `spec.containers[*].image`,\
                     `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to \
                     existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                     previously negative)",
                ));
            }
        }
        Kind::PersistentVolumeClaim => {
            const MUTABLE: &[&str] = &["resources", "volumeName", "volumeAttributesClassName", "storageClassName"];
            if without(old, MUTABLE) != without(new, MUTABLE) {
                let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for \
                           bound claims";
                errors.push(FieldError::forbidden("spec", why));
            }
        }
        _ => {}
    }
    errors
}

fn metadata(kind: Kind, metadata: &Value, errors: &mut Errors) {
    let problem_of = match kind {
        Kind::Service => service_problem,
        Kind::Namespace => label_problem,
        Kind::Role | Kind::RoleBinding | Kind::ClusterRole | Kind::ClusterRoleBinding => path_segment_problem,
        _ => subdomain_problem,
    };
    match metadata["name"].as_str() {
        None | Some("") => errors.push(FieldError::required("metadata.name", "name or generateName is required")),
        Some(name) => {
            if let Some(problem) = problem_of(name) {
                errors.push(FieldError::invalid("metadata.name", name, problem));
            }
        }
    }
    labels("metadata.labels", &metadata["labels"], errors);
}

/// A copy of a spec without some of its fields, for comparison.
fn without(spec: &Value, fields: &[&str]) -> Value {
    let mut spec = spec.clone();
    for field in fields {
        remove(&mut spec, field);
    }
    spec
}

fn without_images(mut spec: Value) -> Value {
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            remove(container, "image");
        }
    }
    spec
}
