//! The values of the chart: what is made of them, and which are refused.

use std::collections::BTreeMap;

use headless_dns::app::Budget;
use headless_dns::config::{OPTIONS, Opt};
use serde_json::json;
use serde_yaml_ng::Value;

use super::{NODE, configuration, documents, have_helm, modes, pod, render};
use crate::peers::deploy::{WATCHED, kinds, the};
use crate::support::container::Container;

/// Values that are wrong, and what the message says.
const WRONG: [(&str, &str); 43] = [
    ("{mode: daemonset}", "mode"),
    ("{replicas: two}", "replicas"),
    ("{replica: 2}", "replica"),
    ("{mode: node}", "config.forward, the address of the cluster's DNS"),
    ("{mode: sidecar}", "config.forward, the address of the cluster's DNS"),
    ("{mode: primary}", "config.transfer_clients, the networks of the secondaries"),
    ("{mode: primary, replicas: 17, config: {transfer_clients: [192.0.2.1]}}", "16 at most"),
    ("{mode: node, config: {forward: [10.96.0.10], listen: ['[fd00::a]:53']}}", "IPv4 address"),
    ("{config: {memory_limit: 256Mi}}", "memory_limit"),
    ("{config: {replica: 1}}", "replica"),
    ("{config: {forward: {a: b}}}", "forward"),
    ("{config: [ttl]}", "config"),
    ("{config: {TTL: 5}}", "TTL"),
    ("{config: {tls_listen: ['0.0.0.0:8853']}}", "tls.secretName"),
    ("{resources: {limits: {memory: 1Gi}}}", "set config.memory_limit"),
    ("{resources: {requests: {cpu: much}}}", "cpu"),
    ("{image: {tag: 'a b'}}", "tag"),
    ("{service: {type: External}}", "type"),
    // Nulls take the values of the chart away.
    ("{mode: null}", "missing property 'mode'"),
    ("{config: null}", "missing property 'config'"),
    ("{replicas: null}", "missing property 'replicas'"),
    ("{image: null}", "missing property 'image'"),
    ("{resources: {limits: null}}", "missing property 'limits'"),
    ("{service: null}", "missing property 'service'"),
    ("{networkPolicy: null}", "missing property 'networkPolicy'"),
    (
        "{mode: primary, primary: {storage: null}, config: {transfer_clients: [192.0.2.1]}}",
        "missing property 'storage'",
    ),
    // Options that the program would not start with.
    ("{config: {forwards: [192.0.2.1]}}", "forwards"),
    ("{config: {forward: 192.0.2.1}}", "/config/forward"),
    ("{config: {namespaces: 'a,b'}}", "/config/namespaces"),
    ("{config: {ttl: '5'}}", "/config/ttl"),
    ("{config: {ttl: 5.5}}", "/config/ttl"),
    ("{config: {headless_only: 'yes'}}", "/config/headless_only"),
    ("{config: {tls: {listen: '0.0.0.0:853'}}}", "tls"),
    // Ports that no Service and no probe would reach.
    ("{config: {listen: ['0.0.0.0']}}", "/config/listen"),
    ("{config: {listen: []}}", "addresses with a port"),
    ("{config: {listen: null}}", "addresses with a port"),
    ("{config: {probes: 'off'}}", "addresses with a port"),
    ("{config: {probes: null}}", "addresses with a port"),
    ("{mode: node, config: {forward: [192.0.2.1], listen: null}}", "IPv4 address"),
    // What the API would not take.
    ("{fullnameOverride: My_dns}", "fullnameOverride"),
    ("{env: [{name: A, value: 1}]}", "/env/0/value"),
    ("{podLabels: {app.kubernetes.io/name: other}}", "podLabels"),
    ("{podDisruptionBudget: {maxUnavailable: 150%}}", "maxUnavailable"),
];

#[test]
fn wrong_values_are_refused_with_a_message_that_names_them() {
    if !have_helm() {
        return;
    }
    for (values, message) in WRONG {
        let values: serde_json::Value = serde_yaml_ng::from_str(values).expect("YAML");
        let release = json!({"name": "dns", "namespace": "dns", "values": values});
        let refusal = render(&release).err().unwrap_or_else(|| panic!("not refused: {values}"));
        assert!(refusal.contains(message), "{values}: {refusal}");
    }
}

#[test]
fn a_release_whose_name_no_service_can_have_is_refused() {
    if !have_helm() {
        return;
    }
    for name in ["dns.v2", "1dns"] {
        let release = json!({"name": name, "namespace": "dns", "values": {}});
        let refusal = render(&release).err().expect("refused");
        assert!(
            refusal.contains("cannot be the name of a Service") && refusal.contains("fullnameOverride"),
            "{refusal}"
        );
        let named = json!({"name": name, "namespace": "dns", "values": {"fullnameOverride": "dns"}});
        assert!(render(&named).is_ok());
    }
    // The longest that Helm allows.
    for mode in modes() {
        let mut release = mode.release();
        release["name"] = "a".repeat(53).into();
        release["namespace"] = "my-name-space".into();
        let objects = documents(&render(&release).expect("rendered").manifests);
        let names = objects.iter().map(|object| object["metadata"]["name"].as_str().expect("a name"));
        assert!(names.into_iter().all(|name| name.len() <= 63), "{}", mode.name);
    }
}

/// A new option is one of the schema as well.
#[test]
fn the_schema_has_the_options_of_the_program_with_their_types() {
    let schema: Value =
        serde_yaml_ng::from_str(include_str!("../../../deploy/helm/headless-dns/values.schema.json")).expect("JSON");
    let properties = schema["properties"]["config"]["properties"].as_mapping().expect("options");
    let found: BTreeMap<&str, &str> = properties
        .iter()
        .filter_map(|(key, property)| {
            let definition = property["$ref"].as_str()?.strip_prefix("#/definitions/")?;
            // Addresses are texts.
            let definition = if definition == "addresses_option" { "texts_option" } else { definition };
            Some((key.as_str()?, definition))
        })
        .collect();
    let definition = |option: &Opt| match option.default.chars().next() {
        Some('[') => "texts_option",
        Some('"') => "text_option",
        Some('t' | 'f') => "flag_option",
        _ => "number_option",
    };
    // One has bounds of its own, the other is made of the Pod.
    let others = ["memory_limit", "replica"];
    let expected = OPTIONS.iter().filter(|option| !others.contains(&option.key));
    assert_eq!(found, expected.map(|option| (option.key, definition(option))).collect());
    assert!(others.iter().all(|key| properties.contains_key(*key)));
}

/// Every option is set as `config` has it, in the file and as a variable alike.
#[test]
fn the_programs_options_are_set_by_their_names() {
    if !have_helm() {
        return;
    }
    let config = json!({
        "ttl": 30, "negative_ttl": 0, "zones": ["cluster.local", "db.example"], "headless_only": false, "reverse_zones": [],
        "chaos_id": "a \"name\" <&>", "memory_limit": 512, "tcp_max_connections": 64, "forward": ["10.96.0.10"],
        "drain_timeout": 20, "log_level": "info,kube=debug", "state": "",
    });
    for mode in ["cluster", "node"] {
        let values = json!({"mode": mode, "config": config, "env": [{"name": "TZ", "value": "UTC"}]});
        let objects =
            documents(&render(&json!({"name": "a", "namespace": "b", "values": values})).expect("rendered").manifests);
        let found = configuration(&objects);
        assert_eq!((found.ttl, found.negative_ttl, found.memory_limit), (30, 0, 512), "{mode}");
        assert_eq!(found.zones.iter().map(ToString::to_string).collect::<Vec<_>>(), ["cluster.local.", "db.example."]);
        assert_eq!((found.headless_only, found.reverse_zones.len(), found.state), (false, 0, None), "{mode}");
        assert_eq!(
            (found.chaos_id.as_deref(), found.log_level.to_string().as_str()),
            (Some("a \"name\" <&>"), "info,kube=debug")
        );
        let pod = pod(&objects);
        let container = Container { objects: &objects, pod, name: "headless-dns" };
        assert_eq!(container.specification()["resources"]["limits"]["memory"], "512Mi");
        assert_eq!(pod["terminationGracePeriodSeconds"], 45, "it drains for 20 s");
        assert!(container.environment(NODE).contains(&("TZ".to_owned(), "UTC".to_owned())));
        let text = serde_yaml_ng::to_string(pod).expect("YAML");
        assert!(!text.contains("/var/lib/headless-dns"), "no state, no volume: {text}");
    }
}

#[test]
fn what_is_watched_in_some_namespaces_takes_a_role_in_each_and_nothing_cluster_wide() {
    if !have_helm() {
        return;
    }
    let values = json!({"config": {"namespaces": ["db", "cache"]}});
    let objects =
        documents(&render(&json!({"name": "dns", "namespace": "dns", "values": values})).expect("rendered").manifests);
    let roles: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "Role").collect();
    assert_eq!(roles.iter().map(|role| &role["metadata"]["namespace"]).collect::<Vec<_>>(), ["db", "cache"]);
    let watched: Value = serde_yaml_ng::from_str(WATCHED).expect("YAML");
    assert!(roles.iter().all(|role| role["rules"] == watched));
    let bindings = objects.iter().filter(|object| object["kind"] == "RoleBinding");
    assert!(bindings.into_iter().all(|binding| binding["subjects"][0]["namespace"] == "dns"));
    assert!(!kinds(&objects).iter().any(|kind| kind.starts_with("ClusterRole")), "{:?}", kinds(&objects));
}

/// Listeners that are turned on are reached: by the container, the Service and the policy.
#[test]
fn encrypted_transports_have_their_ports_and_their_certificate() {
    if !have_helm() {
        return;
    }
    let values = json!({
        "config": {"tls_listen": ["0.0.0.0:8853"], "https_listen": ["0.0.0.0:8443"], "quic_listen": ["0.0.0.0:8853"],
            "memory_limit": 2048},
        "tls": {"secretName": "dns-certificate"},
    });
    let objects =
        documents(&render(&json!({"name": "dns", "namespace": "dns", "values": values})).expect("rendered").manifests);
    let config = configuration(&objects);
    assert_eq!(Budget::of(&config).refusal(), None);
    let pod = pod(&objects);
    let mounts = pod["containers"][0]["volumeMounts"].as_sequence().expect("mounts");
    let mount = mounts.iter().find(|mount| mount["name"] == "tls").expect("a mount");
    assert!(config.tls_cert.expect("a file").starts_with(mount["mountPath"].as_str().expect("a path")));
    let ports = |ports: &Value, key: &str| -> Vec<String> {
        let ports = ports.as_sequence().expect("ports").iter();
        ports
            .map(|port| {
                format!("{} {}", port["name"].as_str().unwrap_or_default(), port[key].as_u64().expect("a number"))
            })
            .collect()
    };
    assert_eq!(
        ports(&pod["containers"][0]["ports"], "containerPort"),
        ["dns-udp 5300", "dns-tcp 5300", "dns-tls 8853", "dns-https 8443", "dns-quic 8853", "probes 8054"]
    );
    assert_eq!(
        ports(&the(&objects, "Service")["spec"]["ports"], "port"),
        ["dns-udp 53", "dns-tcp 53", "dns-tls 853", "dns-https 443", "dns-quic 853"]
    );
    let admitted = the(&objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"].as_sequence().expect("ports");
    assert_eq!(admitted.len(), 5);
}

/// The old Pod and the new one share the network of their node.
#[test]
fn an_upgrade_on_nodes_moves_the_port_of_the_probes() {
    if !have_helm() {
        return;
    }
    let probes = |revision: u32, config: serde_json::Value| {
        let values = json!({"mode": "node", "config": config});
        let release = json!({"name": "dns", "namespace": "kube-system", "revision": revision, "values": values});
        let objects = documents(&render(&release).expect("rendered").manifests);
        let port = configuration(&objects).probes.expect("an address").port();
        let container = &pod(&objects)["containers"][0];
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["port"], u64::from(port));
        }
        let annotations = &the(&objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"];
        assert_eq!(annotations["prometheus.io/port"], port.to_string());
        port
    };
    let forward = json!({"forward": ["10.96.0.10"]});
    assert_eq!([1, 2, 3].map(|revision| probes(revision, forward.clone())), [8054, 8055, 8054]);
    assert_eq!(probes(2, json!({"forward": ["10.96.0.10"], "probes": "$(NODE_IP):8056"})), 8056);
}

#[test]
fn the_notes_say_where_it_answers_and_what_is_still_to_be_done() {
    if !have_helm() {
        return;
    }
    let expected = [
        ("cluster", "kubectl -n headless-dns get service headless-dns"),
        ("namespace", "headless-dns answers for default"),
        ("primary", "kubectl -n headless-dns create secret generic headless-dns-transfer --from-file=keys"),
        ("node", "169.254.20.10:53"),
        ("sidecar", "kubectl -n default patch statefulset NAME --patch-file pod.yaml"),
    ];
    for (mode, (name, text)) in modes().iter().zip(expected) {
        assert_eq!(mode.name, name);
        let notes = render(&mode.release()).expect("rendered").notes;
        assert!(notes.contains(text), "{name}: {notes}");
    }
}
