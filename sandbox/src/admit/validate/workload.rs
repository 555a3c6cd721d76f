//! Workloads and Pods.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::admit::names::label_problem;
use crate::fields::list;
use crate::status::FieldError;

use super::rules::{Errors, PROTOCOLS, labels, not_negative, one_of, port_number, unique_label};

/// The fields that StatefulSets, Deployments and ReplicaSets share.
pub fn workload(spec: &Value, errors: &mut Errors) {
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

pub fn pod_spec(path: &str, spec: &Value, errors: &mut Errors) {
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
                name => unique_label(&format!("{path}.name"), name, &mut names, errors),
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
