//! What may not be said in an object, and what may not be changed in it once it is there.
//!
//! Only rules that a user of Services, endpoints and workloads can run into are here; the wording is the API server's.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::names::{LABEL_LIMIT, label_problem, path_segment_problem, service_problem, subdomain_problem};
use crate::api::status::FieldError;
use crate::kind::Kind;

/// Endpoints in one slice, as in the API server.
const ENDPOINT_LIMIT: usize = 1000;

/// Addresses of one endpoint, as in the API server.
const ADDRESS_LIMIT: usize = 100;

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

type Errors = Vec<FieldError>;

/// What is wrong with the object by itself.
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
        Kind::ReplicaSet => workload(spec, &mut errors),
        Kind::PersistentVolumeClaim => {
            if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
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

/// What is wrong with the way from `current` to `object`.
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
        Kind::Deployment | Kind::ReplicaSet => {
            immutable("spec.selector", &old["selector"], &new["selector"], &mut errors)
        }
        Kind::Service => {
            let (was, is) = (&old["clusterIP"], &new["clusterIP"]);
            let leaves = new["type"] == "ExternalName";
            if !was.as_str().unwrap_or_default().is_empty() && was != is && !leaves {
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

fn labels(path: &str, labels: &Value, errors: &mut Errors) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        if !is_label_value(text) {
            let why = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                       must start and end with an alphanumeric character, no more than 63 of them";
            errors.push(FieldError::invalid(path, text, why));
        }
        if !is_label_value(key.rsplit('/').next().unwrap_or_default()) || key.is_empty() || key.ends_with('/') {
            let why = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                       alphanumeric character";
            errors.push(FieldError::invalid(path, key.as_str(), why));
        }
    }
}

fn is_label_value(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= LABEL_LIMIT
            && text.chars().all(|c| alphanumeric(c) || matches!(c, '-' | '_' | '.'))
            && text.starts_with(alphanumeric)
            && text.ends_with(alphanumeric)
}

fn service(spec: &Value, errors: &mut Errors) {
    const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of("spec.type", &spec["type"], TYPES, errors);
    let cluster_ip = spec["clusterIP"].as_str().unwrap_or_default();
    let headless = cluster_ip == "None";
    let external_name = spec["type"] == "ExternalName";
    let ports = list(&spec["ports"]);
    if ports.is_empty() && !headless && !external_name {
        errors.push(FieldError::required("spec.ports", ""));
    }
    if external_name {
        let name = spec["externalName"].as_str().unwrap_or_default();
        match subdomain_problem(name.strip_suffix('.').unwrap_or(name)) {
            Some(problem) => errors.push(FieldError::invalid("spec.externalName", name, problem)),
            None if !cluster_ip.is_empty() => {
                let why = "may not be set for ExternalName services";
                errors.push(FieldError::forbidden("spec.clusterIPs[0]", why));
            }
            None => {}
        }
    } else if !matches!(cluster_ip, "" | "None") && !is_address(cluster_ip) {
        errors.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            json!([cluster_ip]),
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ));
    }
    if headless && matches!(spec["type"].as_str(), Some("NodePort" | "LoadBalancer")) {
        let why = format!("may not be set to 'None' for {} services", spec["type"].as_str().unwrap_or_default());
        errors.push(FieldError::invalid("spec.clusterIPs[0]", json!(["None"]), why));
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        match port["name"].as_str().unwrap_or_default() {
            "" if ports.len() > 1 => errors.push(FieldError::required(format!("{path}.name"), "")),
            "" => {}
            name => {
                if let Some(problem) = label_problem(name) {
                    errors.push(FieldError::invalid(format!("{path}.name"), name, problem));
                } else if !names.insert(name) {
                    errors.push(FieldError::duplicate(format!("{path}.name"), name));
                }
            }
        }
        port_number(&format!("{path}.port"), &port["port"], errors);
        one_of(&format!("{path}.protocol"), &port["protocol"], PROTOCOLS, errors);
        if !numbers.insert((port["protocol"].as_str(), port["port"].as_u64())) {
            let value = json!({ "port": port["port"], "protocol": port["protocol"] });
            errors.push(FieldError::duplicate(path, value));
        }
    }
    labels("spec.selector", &spec["selector"], errors);
}

fn endpoint_slice(object: &Value, errors: &mut Errors) {
    const TYPES: &[&str] = &["IPv4", "IPv6", "FQDN"];
    let address_type = object["addressType"].as_str().unwrap_or_default();
    if address_type.is_empty() {
        errors.push(FieldError::required("addressType", ""));
    } else {
        one_of("addressType", &object["addressType"], TYPES, errors);
    }
    let endpoints = list(&object["endpoints"]);
    if endpoints.len() > ENDPOINT_LIMIT {
        let why = format!("must have at most {ENDPOINT_LIMIT} items");
        errors.push(FieldError::invalid("endpoints", endpoints.len(), why));
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let addresses = list(&endpoint["addresses"]);
        let path = format!("endpoints[{i}].addresses");
        if addresses.is_empty() {
            errors.push(FieldError::required(&path, "must contain at least 1 item"));
        } else if addresses.len() > ADDRESS_LIMIT {
            let why = format!("must have at most {ADDRESS_LIMIT} items");
            errors.push(FieldError::invalid(&path, addresses.len(), why));
        }
        for (j, address) in addresses.iter().enumerate() {
            let text = address.as_str().unwrap_or_default();
            let (fits, wanted) = match address_type {
                "IPv4" => (text.parse::<Ipv4Addr>().is_ok(), "must be a valid IPv4 address"),
                "IPv6" => (text.parse::<Ipv6Addr>().is_ok(), "must be a valid IPv6 address"),
                "FQDN" => (subdomain_problem(text).is_none(), "must be a valid domain name"),
                _ => continue,
            };
            if !fits {
                errors.push(FieldError::invalid(format!("{path}[{j}]"), text, wanted));
            }
        }
        if let Some(hostname) = endpoint["hostname"].as_str()
            && let Some(problem) = label_problem(hostname)
        {
            errors.push(FieldError::invalid(format!("endpoints[{i}].hostname"), hostname, problem));
        }
    }
    let mut names = BTreeSet::new();
    for (i, port) in list(&object["ports"]).iter().enumerate() {
        let name = port["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            errors.push(FieldError::duplicate(format!("ports[{i}].name"), name));
        }
        one_of(&format!("ports[{i}].protocol"), &port["protocol"], PROTOCOLS, errors);
    }
}

/// What StatefulSets, Deployments and ReplicaSets have in common.
fn workload(spec: &Value, errors: &mut Errors) {
    not_negative("spec.replicas", &spec["replicas"], errors);
    let selector = &spec["selector"];
    let template_labels = &spec["template"]["metadata"]["labels"];
    let wanted = selector["matchLabels"].as_object();
    let expressions = list(&selector["matchExpressions"]);
    if wanted.is_none_or(|labels| labels.is_empty()) && expressions.is_empty() {
        errors.push(FieldError::invalid("spec.selector", selector.clone(), "empty selector is invalid"));
    } else {
        let labels_match = wanted.into_iter().flatten().all(|(key, value)| template_labels.get(key) == Some(value));
        if !labels_match || !expressions.iter().all(|expression| expression_holds(expression, template_labels)) {
            let value = if template_labels.is_null() { json!({}) } else { template_labels.clone() };
            let why = "`selector` does not match template `labels`";
            errors.push(FieldError::invalid("spec.template.metadata.labels", value, why));
        }
    }
    labels("spec.template.metadata.labels", template_labels, errors);
    let restart = &spec["template"]["spec"]["restartPolicy"];
    one_of("spec.template.spec.restartPolicy", restart, &["Always"], errors);
    pod_spec("spec.template.spec", &spec["template"]["spec"], errors);
}

fn expression_holds(expression: &Value, labels: &Value) -> bool {
    let value = expression["key"].as_str().and_then(|key| labels.get(key));
    let listed = || value.is_some_and(|value| list(&expression["values"]).contains(value));
    match expression["operator"].as_str() {
        Some("In") => listed(),
        Some("NotIn") => !listed(),
        Some("Exists") => value.is_some(),
        Some("DoesNotExist") => value.is_none(),
        _ => false,
    }
}

fn pod_spec(path: &str, spec: &Value, errors: &mut Errors) {
    if list(&spec["containers"]).is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    one_of(&format!("{path}.restartPolicy"), &spec["restartPolicy"], &["Always", "Never", "OnFailure"], errors);
    for field in ["hostname", "subdomain"] {
        if let Some(name) = spec[field].as_str().filter(|name| !name.is_empty())
            && let Some(problem) = label_problem(name)
        {
            errors.push(FieldError::invalid(format!("{path}.{field}"), name, problem));
        }
    }
    not_negative(&format!("{path}.terminationGracePeriodSeconds"), &spec["terminationGracePeriodSeconds"], errors);
    let mut names = BTreeSet::new();
    for field in ["initContainers", "containers"] {
        for (i, container) in list(&spec[field]).iter().enumerate() {
            let path = format!("{path}.{field}[{i}]");
            match container["name"].as_str().unwrap_or_default() {
                "" => errors.push(FieldError::required(format!("{path}.name"), "")),
                name => {
                    if let Some(problem) = label_problem(name) {
                        errors.push(FieldError::invalid(format!("{path}.name"), name, problem));
                    } else if !names.insert(name) {
                        errors.push(FieldError::duplicate(format!("{path}.name"), name));
                    }
                }
            }
            if container["image"].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("{path}.image"), ""));
            }
            for (j, port) in list(&container["ports"]).iter().enumerate() {
                port_number(&format!("{path}.ports[{j}].containerPort"), &port["containerPort"], errors);
                one_of(&format!("{path}.ports[{j}].protocol"), &port["protocol"], PROTOCOLS, errors);
            }
        }
    }
}

fn port_number(path: &str, value: &Value, errors: &mut Errors) {
    let valid = value.as_u64().is_some_and(|port| (1..=u64::from(u16::MAX)).contains(&port));
    if !valid {
        errors.push(FieldError::invalid(path, value.clone(), "must be between 1 and 65535, inclusive"));
    }
}

fn not_negative(path: &str, value: &Value, errors: &mut Errors) {
    if value.as_i64().is_some_and(|number| number < 0) {
        errors.push(FieldError::invalid(path, value.clone(), "must be greater than or equal to 0"));
    }
}

/// An enumeration; unset is fine.
fn one_of(path: &str, value: &Value, supported: &'static [&'static str], errors: &mut Errors) {
    if value.as_str().is_some_and(|text| !supported.contains(&text)) {
        errors.push(FieldError::not_supported(path, value, supported));
    }
}

fn immutable(path: &str, old: &Value, new: &Value, errors: &mut Errors) {
    if old != new {
        errors.push(FieldError::invalid(path, new.clone(), "field is immutable"));
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

/// A copy of a spec without some of its fields, for comparison.
fn without(spec: &Value, fields: &[&str]) -> Value {
    let mut spec = spec.clone();
    for field in fields {
        super::remove(&mut spec, field);
    }
    spec
}

fn without_images(mut spec: Value) -> Value {
    for field in ["initContainers", "containers"] {
        for container in spec.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten() {
            super::remove(container, "image");
        }
    }
    spec
}
