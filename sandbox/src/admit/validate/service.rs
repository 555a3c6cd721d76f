//! Services and EndpointSlices.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use crate::admit::names::{label_problem, subdomain_problem};
use crate::fields::list;
use crate::status::FieldError;

use super::rules::{Errors, PROTOCOLS, labels, one_of, port_number, unique_label};

/// Endpoints per slice, as in the API server.
const ENDPOINT_LIMIT: usize = 1000;

/// Addresses per endpoint, as in the API server.
const ADDRESS_LIMIT: usize = 100;

pub fn service(spec: &Value, errors: &mut Errors) {
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
    } else if !matches!(cluster_ip, "" | "None") && cluster_ip.parse::<IpAddr>().is_err() {
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
            name => unique_label(&format!("{path}.name"), name, &mut names, errors),
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

pub fn endpoint_slice(object: &Value, errors: &mut Errors) {
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
