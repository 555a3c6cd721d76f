//! What watches the server: the alerts and the dashboard of `deploy/monitoring` against the metrics that a server exports, and
//! `promtool` on both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use hickory_proto::rr::RecordType;
use serde_yaml_ng::Value;

use crate::peers::deploy::{kinds, rendered, the};
use crate::support::common::{framed, query};
use crate::support::peers::{bounded, missing, output_of, until};
use crate::support::program::Program;

pub const RULES: &str = "deploy/helm/headless-dns/monitoring/rules.yaml";
const DASHBOARD: &str = "deploy/helm/headless-dns/monitoring/dashboard.json";
/// The alerts that are expected of given samples.
const CASES: &str = "tests/peers/alerts.yaml";

/// The prefix of the program's metrics.
const OURS: &str = "headless_dns_";
/// Metrics of the kubelet, which are used as well.
const OF_THE_KUBELET: [&str; 2] = ["container_memory_working_set_bytes", "container_spec_memory_limit_bytes"];
/// Labels that Prometheus adds to every metric of a Pod.
const OF_THE_POD: [&str; 3] = ["namespace", "pod", "container"];

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file))
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub fn yaml(file: &str) -> Value {
    serde_yaml_ng::from_str(&read(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value:?}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_sequence().unwrap_or_else(|| panic!("not a list: {value:?}"))
}

pub fn alerts() -> Vec<Value> {
    list(&yaml(RULES)["spec"]["groups"]).iter().flat_map(|group| list(&group["rules"]).to_vec()).collect()
}

/// What the alerts and the dashboard ask Prometheus for.
fn expressions() -> Vec<String> {
    let dashboard = yaml(DASHBOARD);
    let panels = list(&dashboard["panels"]).iter().filter(|panel| panel["type"] != "row");
    let of_panels = panels.flat_map(|panel| list(&panel["targets"])).map(|target| text(&target["expr"]).to_owned());
    let variables = list(&dashboard["templating"]["list"]).iter().filter(|variable| variable["type"] == "query");
    let of_variables = variables.map(|variable| text(&variable["query"]).to_owned());
    let of_alerts = alerts().into_iter().map(|alert| text(&alert["expr"]).to_owned());
    of_alerts.chain(of_panels).chain(of_variables).collect()
}

/// What an expression selects: a metric, and the labels with the values that it names.
struct Selector<'e> {
    metric: &'e str,
    labels: Vec<(&'e str, &'e str)>,
}

fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut selectors = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let (metric, after) = word.split_at(word.find(|c| !is_name(c)).unwrap_or(word.len()));
        let (matchers, after) = match after.strip_prefix('{') {
            Some(inside) => inside.split_once('}').expect("the end of the labels"),
            None => ("", after),
        };
        if metric.starts_with(OURS) || !matchers.is_empty() {
            let matchers = matchers.split(',').filter_map(|matcher| matcher.split_once('='));
            let labels = matchers.flat_map(|(label, values)| {
                let values = values.trim_start_matches('~').trim_matches('"').split('|');
                values.map(move |value| (label, value))
            });
            selectors.push(Selector { metric, labels: labels.collect() });
        }
        rest = after;
    }
    selectors
}

/// The labels that a scrape has, with their values, by the name of the metric.
fn exported(scrape: &str) -> BTreeMap<&str, BTreeSet<(&str, &str)>> {
    let mut exported: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in scrape.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let pairs = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
        exported.entry(name).or_default().extend(pairs.map(|(label, value)| (label, value.trim_matches('"'))));
    }
    exported
}

/// A server that forwards and that a secondary has followed, so that it has every metric there is.
fn scrape() -> String {
    let transfer = ["--transfer-clients", "127.0.0.1/32", "--notify", "127.0.0.1:9"];
    let options = ["--sandbox", "config/sandbox", "--forward", "127.0.0.1:9"];
    let program = Program::serve(&[&options[..], &transfer].concat());
    program.until_synchronised();
    transfer_zone(&program);
    program.page("/metrics").1
}

/// Transfers the zone, as a secondary of `notify` at 127.0.0.1.
pub fn transfer_zone(program: &Program) {
    let request = query("cluster.local.", RecordType::AXFR).to_vec().expect("a message");
    let mut secondary = TcpStream::connect(program.dns).expect("a connection");
    secondary.write_all(&framed(&request)).expect("sent");
    until("a secondary", || program.page("/metrics").1.contains("headless_dns_secondary_serial{").then_some(()));
}

#[test]
fn every_metric_of_the_alerts_and_the_dashboard_is_exported_with_their_labels() {
    let scrape = scrape();
    let exported = exported(&scrape);
    let mut named = BTreeSet::new();
    let expressions = expressions();
    for expression in &expressions {
        for Selector { metric, labels } in selectors(expression) {
            named.insert(metric);
            if OF_THE_KUBELET.contains(&metric) {
                continue;
            }
            let has = exported.get(metric).unwrap_or_else(|| panic!("no metric {metric}: {expression}"));
            for (label, value) in labels.into_iter().filter(|(label, _)| !OF_THE_POD.contains(label)) {
                assert!(has.contains(&(label, value)), "no {metric}{{{label}={value:?}}}: {expression}");
            }
        }
    }
    // The dashboard has all of them.
    let family =
        |name: &str| name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count").to_owned();
    let shown: BTreeSet<String> = named.into_iter().map(family).collect();
    let left_out: Vec<_> = exported.keys().filter(|name| !shown.contains(&family(name))).collect();
    assert!(left_out.is_empty(), "{left_out:?}");
}

#[test]
fn every_alert_has_its_section_of_the_operations_and_every_such_section_its_alert() {
    let document = read("docs/operations.md");
    let (_, section) = document.split_once("\n## Alerts\n").expect("a section about alerts");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let sections: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let alerts = alerts();
    assert_eq!(alerts.iter().map(|alert| text(&alert["alert"])).collect::<Vec<_>>(), sections);
    for alert in &alerts {
        let (name, annotations) = (text(&alert["alert"]), &alert["annotations"]);
        assert_eq!(annotations["runbook_url"], format!("docs/operations.md#{}", name.to_lowercase()), "{name}");
        assert!(["warning", "critical"].contains(&text(&alert["labels"]["severity"])), "{name}");
        assert!(!text(&annotations["summary"]).is_empty() && !text(&annotations["description"]).is_empty(), "{name}");
    }
}

#[test]
fn each_alert_fires_when_there_is_cause_and_not_when_there_is_none() {
    let cases = yaml(CASES);
    let expected: BTreeSet<(&str, bool)> = list(&cases["tests"])
        .iter()
        .flat_map(|test| list(&test["alert_rule_test"]))
        .map(|case| (text(&case["alertname"]), !list(&case["exp_alerts"]).is_empty()))
        .collect();
    for alert in alerts() {
        for fires in [true, false] {
            assert!(
                expected.contains(&(text(&alert["alert"]), fires)),
                "{alert:?} has no case in which it fires: {fires}"
            );
        }
    }
    if missing(&["promtool"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, contents: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, contents).expect("written");
        path
    };
    let rules = write("rules.yaml", &serde_yaml_ng::to_string(&yaml(RULES)["spec"]).expect("YAML"));
    let cases = write("alerts.yaml", &read(CASES));
    output_of(bounded("promtool").args(["check", "rules"]).arg(rules));
    output_of(bounded("promtool").args(["test", "rules"]).arg(cases));
}

#[test]
fn promtool_has_nothing_against_the_metrics() {
    if missing(&["promtool"]) {
        return;
    }
    let mut file = tempfile::tempfile().expect("a temporary file");
    std::io::Write::write_all(&mut file, scrape().as_bytes()).expect("written");
    std::io::Seek::rewind(&mut file).expect("from the start");
    assert_eq!(output_of(bounded("promtool").args(["check", "metrics"]).stdin(file)), "");
}

#[test]
fn the_monitoring_reads_the_metrics_of_the_pods_of_the_base_and_has_the_dashboard() {
    let (Some(base), Some(objects)) = (rendered("deploy/base"), rendered("deploy/monitoring")) else { return };
    assert_eq!(kinds(&objects), ["ConfigMap", "PodMonitor", "PrometheusRule"]);
    let deployment = the(&base, "Deployment");
    let pod = &deployment["spec"]["template"];
    let monitor = the(&objects, "PodMonitor");
    assert_eq!(monitor["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    assert_eq!(monitor["metadata"]["namespace"], deployment["metadata"]["namespace"]);
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["path"], "/metrics");
    let container = &pod["spec"]["containers"][0];
    assert!(list(&container["ports"]).iter().any(|port| port["name"] == endpoint["port"]));
    // Some alerts know it by its name.
    assert_eq!(container["name"], "headless-dns");

    let dashboard = the(&objects, "ConfigMap");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
    assert_eq!(text(&dashboard["data"]["headless-dns.json"]), read(DASHBOARD));
    let dashboard: serde_json::Value = serde_json::from_str(&read(DASHBOARD)).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let numbers: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(numbers.len(), panels.len(), "each panel has a number of its own");
}
