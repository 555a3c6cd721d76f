//! Whom the NetworkPolicy of `deploy/base` lets in.

use serde_yaml_ng::Value;

use crate::peers::deploy::{rendered, the};

/// Whether a selector picks something with these labels; none picks nothing.
fn selects(selector: &Value, labels: &[(&str, &str)]) -> bool {
    let value = |key: &Value| labels.iter().find(|(label, _)| key == *label).map(|(_, value)| *value);
    let equal = selector["matchLabels"].as_mapping().into_iter().flatten();
    let expressions = selector["matchExpressions"].as_sequence().into_iter().flatten();
    selector.is_mapping()
        && equal.into_iter().all(|(key, wanted)| value(key).is_some_and(|value| wanted == value))
        && expressions.into_iter().all(|expression| {
            assert_eq!(expression["operator"], "In");
            let wanted = expression["values"].as_sequence().expect("values");
            value(&expression["key"]).is_some_and(|value| wanted.iter().any(|wanted| wanted == value))
        })
}

/// Whether a rule admits a Pod with this name as its label in this namespace.
fn admits(rule: &Value, namespace: &str, name: &str) -> bool {
    rule["from"].as_sequence().expect("peers").iter().any(|peer| {
        selects(&peer["namespaceSelector"], &[("kubernetes.io/metadata.name", namespace)])
            && (peer["podSelector"].is_null() || selects(&peer["podSelector"], &[("app.kubernetes.io/name", name)]))
    })
}

#[test]
fn metrics_are_read_by_prometheus_wherever_it_runs_and_by_whom_an_overlay_adds() {
    let metrics = |folder| Some(the(&rendered(folder)?, "NetworkPolicy")["spec"]["ingress"][1].clone());
    let Some(rule) = metrics("deploy/base") else { return };
    for (namespace, name, is_admitted) in [
        ("monitoring", "prometheus", true),
        ("monitoring", "vmagent", true),
        ("observability", "prometheus", true),
        ("openshift-monitoring", "prometheus", true),
        ("default", "prometheus-agent", true),
        ("observability", "alloy", false),
        ("default", "web", false),
        ("headless-dns", "headless-dns", false),
    ] {
        assert_eq!(admits(&rule, namespace, name), is_admitted, "{name} in {namespace}");
    }
    let other = metrics("deploy/overlays/other-monitoring").expect("kubectl is there");
    assert!(admits(&other, "observability", "alloy") && admits(&other, "default", "prometheus"));
    assert!(!admits(&other, "default", "web"));
    assert_eq!(other["from"][3]["ipBlock"]["cidr"], "192.0.2.0/24");
}

#[test]
fn the_policy_lets_anybody_ask_for_names_only_the_monitoring_for_metrics_and_nobody_for_records() {
    let Some(objects) = rendered("deploy/base") else { return };
    let policy = &the(&objects, "NetworkPolicy")["spec"];
    assert_eq!(policy["policyTypes"], serde_yaml_ng::from_str::<Value>("[Ingress]").expect("YAML"));
    let [dns, probes] = &policy["ingress"].as_sequence().expect("rules")[..] else { panic!("{policy:?}") };
    let ports = |rule: &Value| -> Vec<String> {
        let ports = rule["ports"].as_sequence().expect("ports").iter();
        ports.map(|port| port["port"].as_str().expect("the name of a port").to_owned()).collect()
    };
    assert!(dns["from"].is_null() && probes["from"].is_sequence(), "{policy:?}");
    assert_eq!(
        (ports(dns), ports(probes)),
        (vec!["dns-udp".to_owned(), "dns-tcp".to_owned()], vec!["probes".to_owned()])
    );
}
