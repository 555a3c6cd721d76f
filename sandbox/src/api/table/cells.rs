//! The values of cells.

use std::cmp::Reverse;

use serde_json::Value;

use crate::deletion;
use crate::fields::{self, list};

use super::age;

/// Endpoints and ports that a cell lists before `+ N more...`.
const SHOWN_IN_SLICE: usize = 3;

pub fn name(object: &Value) -> String {
    text(&object["metadata"]["name"])
}

pub fn age(object: &Value) -> String {
    age::since(&object["metadata"]["creationTimestamp"])
}

pub fn phase(object: &Value) -> String {
    text(&object["status"]["phase"])
}

/// Text unchanged, numbers in decimal, null as the empty text.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub fn number(value: &Value) -> String {
    value.as_i64().unwrap_or(0).to_string()
}

pub fn or_none(value: &Value) -> String {
    or(value, "<none>")
}

pub fn or_unset(value: &Value) -> String {
    or(value, "<unset>")
}

pub fn or_unknown(value: &Value) -> String {
    or(value, "<unknown>")
}

pub fn or_not_applicable(value: &Value) -> String {
    or(value, "N/A")
}

fn or(value: &Value, missing: &str) -> String {
    match text(value) {
        empty if empty.is_empty() => missing.to_owned(),
        text => text,
    }
}

pub fn count(value: &Value) -> String {
    list(value).len().to_string()
}

pub fn data_count(object: &Value) -> String {
    let entries = |field: &str| object[field].as_object().map_or(0, |map| map.len());
    (entries("data") + entries("binaryData")).to_string()
}

pub fn subjects(object: &Value, kind: &str) -> String {
    let of_kind = list(&object["subjects"]).iter().filter(|subject| subject["kind"] == kind);
    joined(of_kind.map(|subject| match subject["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{}", text(&subject["name"])),
        None => text(&subject["name"]),
    }))
}

pub fn cluster_ip(object: &Value) -> String {
    or_none(&object["spec"]["clusterIP"])
}

pub fn external_ip(object: &Value) -> String {
    let spec = &object["spec"];
    let declared = || joined(list(&spec["externalIPs"]).iter().map(text));
    match spec["type"].as_str() {
        Some("ExternalName") => or_none(&spec["externalName"]),
        Some("LoadBalancer") => {
            let given = joined(
                list(&object["status"]["loadBalancer"]["ingress"])
                    .iter()
                    .map(|ingress| or(&ingress["ip"], ingress["hostname"].as_str().unwrap_or_default())),
            );
            if given.is_empty() { "<pending>".to_owned() } else { given }
        }
        _ => or(&Value::String(declared()), "<none>"),
    }
}

pub fn service_ports(object: &Value) -> String {
    let ports = list(&object["spec"]["ports"]).iter().map(|port| {
        let (number, protocol) = (text(&port["port"]), text(&port["protocol"]));
        match port["nodePort"].as_u64() {
            Some(node_port) if node_port > 0 => format!("{number}:{node_port}/{protocol}"),
            _ => format!("{number}/{protocol}"),
        }
    });
    or(&Value::String(joined(ports)), "<none>")
}

/// `Ready`, and what keeps Pods away.
pub fn node_status(object: &Value) -> String {
    let conditions = list(&object["status"]["conditions"]);
    let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
    let ready = match ready.map(|condition| condition["status"] == "True") {
        None => "Unknown",
        Some(true) => "Ready",
        Some(false) => "NotReady",
    };
    if object["spec"]["unschedulable"] == true { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

pub fn node_roles(object: &Value) -> String {
    const ROLE: &str = "node-role.kubernetes.io/";
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    let roles = labels.filter_map(|(label, _)| label.strip_prefix(ROLE)).map(str::to_owned);
    or(&Value::String(joined(roles)), "<none>")
}

pub fn node_address(object: &Value, kind: &str) -> String {
    let addresses = list(&object["status"]["addresses"]);
    let address = addresses.iter().find(|address| address["type"] == kind);
    or_none(address.map_or(&Value::Null, |address| &address["address"]))
}

/// `10.0.0.1:80,10.0.0.2:80 + 1 more...`: the ready addresses with each port.
pub fn endpoints(object: &Value) -> String {
    let of_subset = |subset: &Value| -> Vec<String> {
        let addresses = list(&subset["addresses"]).iter().map(|address| text(&address["ip"]));
        let ports = list(&subset["ports"]);
        if ports.is_empty() {
            return addresses.collect();
        }
        addresses.flat_map(|ip| ports.iter().map(move |port| format!("{ip}:{}", text(&port["port"])))).collect()
    };
    let all: Vec<String> = list(&object["subsets"]).iter().flat_map(of_subset).collect();
    if all.is_empty() { "<none>".to_owned() } else { shortened(all.into_iter()) }
}

pub fn slice_ports(object: &Value) -> String {
    let ports = list(&object["ports"]);
    if ports.is_empty() {
        return "<unset>".to_owned();
    }
    shortened(ports.iter().map(|port| or(&port["port"], "*")))
}

pub fn slice_endpoints(object: &Value) -> String {
    let addresses: Vec<String> =
        list(&object["endpoints"]).iter().flat_map(|endpoint| list(&endpoint["addresses"])).map(text).collect();
    if addresses.is_empty() {
        return "<unset>".to_owned();
    }
    shortened(addresses.into_iter())
}

/// The first few values, and how many more there are.
fn shortened(values: impl ExactSizeIterator<Item = String>) -> String {
    let more = values.len().saturating_sub(SHOWN_IN_SLICE);
    let shown = joined(values.take(SHOWN_IN_SLICE));
    if more == 0 { shown } else { format!("{shown} + {more} more...") }
}

pub fn claim_status(object: &Value) -> String {
    if deletion::is_terminating(object) { "Terminating".to_owned() } else { phase(object) }
}

pub fn access_modes(object: &Value) -> String {
    joined(list(&object["status"]["accessModes"]).iter().map(|mode| match mode.as_str().unwrap_or_default() {
        "ReadWriteOnce" => "RWO".to_owned(),
        "ReadOnlyMany" => "ROX".to_owned(),
        "ReadWriteMany" => "RWX".to_owned(),
        "ReadWriteOncePod" => "RWOP".to_owned(),
        other => other.to_owned(),
    }))
}

pub fn controller(object: &Value) -> String {
    let Some(owner) = fields::controller(object) else { return "<none>".to_owned() };
    let api_version = text(&owner["apiVersion"]);
    let kind = text(&owner["kind"]).to_ascii_lowercase();
    match api_version.split_once('/') {
        Some((group, _)) => format!("{kind}.{group}/{}", text(&owner["name"])),
        None => format!("{kind}/{}", text(&owner["name"])),
    }
}

/// `2/3`, for a StatefulSet or Deployment.
pub fn ready_of_wanted(object: &Value) -> String {
    format!("{}/{}", number(&object["status"]["readyReplicas"]), number(&object["spec"]["replicas"]))
}

/// The Pod spec of a workload's template.
pub fn template(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]
}

pub fn container_names(pod_spec: &Value) -> String {
    joined(list(&pod_spec["containers"]).iter().map(|container| text(&container["name"])))
}

pub fn container_images(pod_spec: &Value) -> String {
    joined(list(&pod_spec["containers"]).iter().map(|container| text(&container["image"])))
}

/// `app=web,tier=cache`.
pub fn equalities(labels: &Value) -> String {
    let pairs = labels.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value)));
    or(&Value::String(joined(pairs)), "<none>")
}

pub fn selector(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = labels.map(|(key, value)| format!("{key}={}", text(value)));
    let expressions = list(&selector["matchExpressions"]).iter().map(|expression| {
        let key = text(&expression["key"]);
        let values = || joined(list(&expression["values"]).iter().map(text));
        match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values()),
            Some("NotIn") => format!("{key} notin ({})", values()),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key,
        }
    });
    or(&Value::String(joined(equal.chain(expressions))), "<none>")
}

pub fn pod_ready(object: &Value) -> String {
    let ready = list(&object["status"]["containerStatuses"]).iter().filter(|status| status["ready"] == true).count();
    format!("{ready}/{}", list(&object["spec"]["containers"]).len())
}

/// The state of a Pod: `Terminating`, else the reason why a container waits or terminated, else the phase.
pub fn pod_status(object: &Value) -> String {
    let status = &object["status"];
    if deletion::is_terminating(object) {
        return if status["reason"] == "NodeLost" { "Unknown" } else { "Terminating" }.to_owned();
    }
    let of_containers = list(&status["containerStatuses"]).iter().rev().find_map(|container| {
        let state = &container["state"];
        let reason = state["waiting"]["reason"].as_str().or_else(|| state["terminated"]["reason"].as_str());
        reason.filter(|reason| !reason.is_empty()).map(str::to_owned)
    });
    let own = status["reason"].as_str().map(str::to_owned);
    of_containers.or(own).unwrap_or_else(|| phase(object))
}

pub fn pod_restarts(object: &Value) -> String {
    let statuses = list(&object["status"]["containerStatuses"]);
    let restarts: i64 = statuses.iter().filter_map(|status| status["restartCount"].as_i64()).sum();
    let ended = statuses.iter().map(|status| &status["lastState"]["terminated"]["finishedAt"]);
    match ended.filter(|time| time.is_string()).min_by_key(|time| Reverse(time.as_str())) {
        Some(last) if restarts > 0 => format!("{restarts} ({} ago)", age::since(last)),
        _ => restarts.to_string(),
    }
}

pub fn readiness_gates(object: &Value) -> String {
    let gates = list(&object["spec"]["readinessGates"]);
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let conditions = list(&object["status"]["conditions"]);
    let open = gates.iter().filter(|gate| {
        conditions.iter().any(|condition| condition["type"] == gate["conditionType"] && condition["status"] == "True")
    });
    format!("{}/{}", open.count(), gates.len())
}

pub fn last_seen(object: &Value) -> String {
    first_time(object, [&object["series"]["lastObservedTime"], &object["lastTimestamp"], &object["eventTime"]])
}

pub fn first_seen(object: &Value) -> String {
    first_time(object, [&object["firstTimestamp"], &object["eventTime"]])
}

/// The age of the first time that is set, or of the object.
fn first_time<const N: usize>(object: &Value, times: [&Value; N]) -> String {
    let time = times.into_iter().find(|time| time.is_string());
    age::since(time.unwrap_or(&object["metadata"]["creationTimestamp"]))
}

pub fn involved_object(object: &Value) -> String {
    let involved = &object["involvedObject"];
    format!("{}/{}", text(&involved["kind"]).to_ascii_lowercase(), text(&involved["name"]))
}

fn joined(values: impl Iterator<Item = String>) -> String {
    values.collect::<Vec<_>>().join(",")
}
