//! Allocation of cluster IPs and node ports.
//!
//! Unlike in a real cluster, where the API server allocates them during creation, a controller sets them shortly after a
//! Service was written. Allocated values are tracked by events, which covers addresses set by the user.

use std::collections::HashMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::addresses::Cursor;
use super::options::Options;
use super::workloads::Service;

/// The default of kube-apiserver's `--service-node-port-range`.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

const NONE: &str = "None";

pub struct ServiceAddresses {
    dual_stack: bool,
    v4: Cursor,
    v6: Cursor,
    next_node_port: u16,
    /// Number of Services with each address and node port. Users may give several Services the same one.
    addresses: HashMap<IpAddr, usize>,
    node_ports: HashMap<u16, usize>,
}

impl ServiceAddresses {
    pub fn new(options: &Options) -> Self {
        Self {
            dual_stack: options.dual_stack,
            v4: Cursor::new(options.service_cidr),
            v6: Cursor::new(options.service_cidr_v6),
            next_node_port: *NODE_PORTS.start(),
            addresses: HashMap::new(),
            node_ports: HashMap::new(),
        }
    }

    /// Sets missing fields as the type of the Service requires: `ipFamilyPolicy`, `ipFamilies`, `clusterIP`, `clusterIPs` and
    /// node ports. Idempotent.
    ///
    /// If the range is exhausted, the Service stays without an address and a warning is logged.
    pub fn allocate(&mut self, service: &mut Value) {
        let kind = service["spec"]["type"].as_str().unwrap_or("ClusterIP").to_owned();
        if kind == "ExternalName" || !service["spec"].is_object() {
            return;
        }
        let families = self.set_families(service);
        if service["spec"]["clusterIP"] == NONE {
            service["spec"]["clusterIPs"] = json!([NONE]);
            return;
        }
        self.allocate_cluster_ips(service, &families);
        if kind == "NodePort" || kind == "LoadBalancer" {
            self.allocate_node_ports(service);
        }
    }

    /// Tracks the addresses and ports of a Service. Must be called for every change, with the old and the new state.
    pub fn observe(&mut self, before: Option<&Service>, after: Option<&Service>) {
        if let Some(after) = after {
            addresses(after).for_each(|address| *self.addresses.entry(address).or_default() += 1);
            node_ports(after).for_each(|port| *self.node_ports.entry(port).or_default() += 1);
        }
        if let Some(before) = before {
            addresses(before).for_each(|address| release(&mut self.addresses, address));
            node_ports(before).for_each(|port| release(&mut self.node_ports, port));
        }
    }

    /// Sets the IP families with the API server's defaults, and returns them.
    fn set_families(&self, service: &mut Value) -> Vec<&'static str> {
        let spec = &mut service["spec"];
        let given: Vec<String> =
            strings(&spec["clusterIPs"]).chain(spec["clusterIP"].as_str()).map(str::to_owned).collect();
        let given = given.iter().filter_map(|address| address.parse::<IpAddr>().ok());
        let mut families: Vec<&'static str> = Vec::new();
        let named = strings(&spec["ipFamilies"]).map(|family| if family == "IPv6" { "IPv6" } else { "IPv4" });
        for family in named.chain(given.map(family_of)) {
            if !families.contains(&family) {
                families.push(family);
            }
        }
        if families.is_empty() {
            families.push("IPv4");
        }
        // A headless Service without a selector may have endpoints of any family.
        let is_open = spec["clusterIP"] == NONE && spec["selector"].as_object().is_none_or(serde_json::Map::is_empty);
        let default_policy = if families.len() > 1 || is_open { "RequireDualStack" } else { "SingleStack" };
        let policy = spec["ipFamilyPolicy"].as_str().unwrap_or(default_policy).to_owned();
        let wants_both = policy == "RequireDualStack" || (policy == "PreferDualStack" && self.dual_stack);
        if wants_both && families.len() == 1 {
            families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" });
        }
        spec["ipFamilyPolicy"] = json!(policy);
        spec["ipFamilies"] = json!(families);
        families
    }

    fn allocate_cluster_ips(&mut self, service: &mut Value, families: &[&str]) {
        let spec = &mut service["spec"];
        let given: Vec<&str> = strings(&spec["clusterIPs"]).collect();
        let mut addresses: Vec<String> = if given.is_empty() {
            spec["clusterIP"].as_str().filter(|address| !address.is_empty()).map(str::to_owned).into_iter().collect()
        } else {
            given.into_iter().map(str::to_owned).collect()
        };
        let Self { v4, v6, addresses: taken, .. } = self;
        for family in families.iter().skip(addresses.len()) {
            let cursor = if *family == "IPv6" { &mut *v6 } else { &mut *v4 };
            let Some(address) = cursor.next_free(|address| taken.contains_key(address)) else {
                tracing::warn!(
                    "cannot allocate a cluster IP for Service {}: no {family} address left in the range",
                    service["metadata"]["name"]
                );
                return;
            };
            addresses.push(address.to_string());
        }
        service["spec"]["clusterIP"] = json!(addresses.first());
        service["spec"]["clusterIPs"] = json!(addresses);
    }

    fn allocate_node_ports(&mut self, service: &mut Value) {
        for port in service["spec"]["ports"].as_array_mut().into_iter().flatten() {
            if port["nodePort"].as_u64().unwrap_or(0) == 0
                && let Some(free) = self.next_node_port()
            {
                port["nodePort"] = json!(free);
            }
        }
    }

    fn next_node_port(&mut self) -> Option<u16> {
        for _ in NODE_PORTS {
            let port = self.next_node_port;
            self.next_node_port = if port == *NODE_PORTS.end() { *NODE_PORTS.start() } else { port + 1 };
            if !self.node_ports.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}

fn addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    service.spec.cluster_ips.iter().filter_map(|address| address.parse().ok())
}

fn node_ports(service: &Service) -> impl Iterator<Item = u16> {
    service.spec.ports.iter().filter_map(|port| port.node_port)
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// The family of an address in the terms of `ipFamilies`.
pub fn family_of(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use crate::controllers::testing::object;

    use super::*;

    fn allocated(dual_stack: bool, spec: Value) -> Value {
        let mut addresses = ServiceAddresses::new(&Options { dual_stack, ..Options::default() });
        let mut service = json!({"metadata": {"name": "web"}, "spec": spec});
        addresses.allocate(&mut service);
        let once = service.clone();
        addresses.allocate(&mut service);
        assert_eq!(service, once, "allocating again changes nothing");
        service["spec"].take()
    }

    #[test]
    fn each_type_of_service_gets_its_addresses_and_ports() {
        let plain = allocated(false, json!({"ports": [{"port": 80}]}));
        assert_eq!(plain["clusterIPs"], json!(["10.96.0.1"]));
        assert_eq!((&plain["ipFamilies"], &plain["ipFamilyPolicy"]), (&json!(["IPv4"]), &json!("SingleStack")));
        assert_eq!(plain["ports"][0]["nodePort"], Value::Null);

        let node_port =
            allocated(false, json!({"type": "NodePort", "ports": [{"port": 80}, {"port": 81, "nodePort": 30900}]}));
        assert_eq!(node_port["ports"][0]["nodePort"], 30000);
        assert_eq!(node_port["ports"][1]["nodePort"], 30900);

        let headless = allocated(false, json!({"clusterIP": "None", "selector": {"app": "db"}}));
        assert_eq!((&headless["clusterIP"], &headless["clusterIPs"]), (&json!("None"), &json!(["None"])));

        let external = json!({"type": "ExternalName", "externalName": "example.com"});
        assert_eq!(allocated(false, external.clone()), external);
    }

    #[test]
    fn families_follow_policy_address_and_cluster() {
        let families = |dual_stack, spec| allocated(dual_stack, spec)["ipFamilies"].take();
        assert_eq!(families(true, json!({})), json!(["IPv4"]));
        assert_eq!(families(true, json!({"ipFamilyPolicy": "PreferDualStack"})), json!(["IPv4", "IPv6"]));
        assert_eq!(families(false, json!({"ipFamilyPolicy": "PreferDualStack"})), json!(["IPv4"]));
        assert_eq!(families(true, json!({"clusterIP": "fd00::9"})), json!(["IPv6"]));
        assert_eq!(
            families(true, json!({"ipFamilies": ["IPv6"], "ipFamilyPolicy": "RequireDualStack"})),
            json!(["IPv6", "IPv4"])
        );
        assert_eq!(families(false, json!({"clusterIP": "None"})), json!(["IPv4", "IPv6"]));
        assert_eq!(families(true, json!({"clusterIP": "None", "selector": {"a": "b"}})), json!(["IPv4"]));
    }

    #[test]
    fn an_address_in_use_is_not_allocated_again() {
        let mut addresses = ServiceAddresses::new(&Options::default());
        let taken: Service = object(&json!({"metadata": {"name": "a"}, "spec": {"clusterIPs": ["10.96.0.1"]}}));
        addresses.observe(None, Some(&taken));
        let mut service = json!({"metadata": {"name": "b"}, "spec": {}});
        addresses.allocate(&mut service);
        assert_eq!(service["spec"]["clusterIP"], "10.96.0.2");
    }
}
