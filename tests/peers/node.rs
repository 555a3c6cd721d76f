//! `deploy/overlays/node`: what the manifest says, and a Pod that asks its node, through an upgrade.

use std::ffi::OsString;

use headless_dns::app::Budget;
use headless_dns::config::Config;
use serde_yaml_ng::Value;

use super::deploy::{WATCHED, asks_for, kinds, rendered, the};
use crate::support::container::Container;
use crate::support::peers::{Running, missing, until};
use crate::support::pods::{Pods, Side, until_said};
use crate::support::program::ANSWERING;

const FOLDER: &str = "deploy/overlays/node";
/// Where something is to be found.
const CLUSTER: &str = "deploy/overlays/sidecar-example";
const ADDRESS: &str = "169.254.20.10";
/// What the kubelet gives a Pod whose `clusterDNS` this is.
const RESOLV_CONF: &str = "nameserver 169.254.20.10
search default.svc.cluster.local svc.cluster.local cluster.local
options ndots:5
";

fn container<'m>(objects: &'m [Value], name: &'m str) -> Container<'m> {
    Container { objects, pod: &the(objects, "DaemonSet")["spec"]["template"]["spec"], name }
}

fn configuration(container: &Container) -> Config {
    let variables = container.environment(Side::Node.address()).into_iter();
    let options = variables.filter(|(name, _)| name.starts_with("HEADLESS_DNS_"));
    let options: Vec<(OsString, OsString)> = options.map(|(name, value)| (name.into(), value.into())).collect();
    Config::load(None, options, &[]).expect("valid").config
}

#[test]
fn the_node_may_watch_services_slices_and_pods_and_runs_on_every_node() {
    let Some(objects) = rendered(FOLDER) else { return };
    assert_eq!(kinds(&objects), ["ClusterRole", "ClusterRoleBinding", "DaemonSet", "ServiceAccount"]);
    let watched: Value = serde_yaml_ng::from_str(WATCHED).expect("YAML");
    assert_eq!(the(&objects, "ClusterRole")["rules"], watched);
    let account = the(&objects, "ServiceAccount");
    let subject = &the(&objects, "ClusterRoleBinding")["subjects"][0];
    assert_eq!(subject["name"], account["metadata"]["name"]);
    assert_eq!(subject["namespace"], account["metadata"]["namespace"]);
    let set = &the(&objects, "DaemonSet")["spec"];
    let pod = &set["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(set["selector"]["matchLabels"], set["template"]["metadata"]["labels"]);
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    assert_eq!(pod["tolerations"], serde_yaml_ng::from_str::<Value>("[{operator: Exists}]").expect("YAML"));
    assert_eq!(pod["dnsPolicy"], "Default", "it would ask itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_granted_what_is_asked_for() {
    let Some(objects) = rendered(FOLDER) else { return };
    asks_for(the(&objects, "ClusterRole"), &["--headless-only", "true"], "").await;
}

#[test]
fn two_pods_may_be_on_a_node_and_the_probes_are_asked_where_they_listen() {
    let Some(objects) = rendered(FOLDER) else { return };
    let set = &the(&objects, "DaemonSet")["spec"];
    assert_eq!(set["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 0);
    assert!(
        set["minReadySeconds"].as_u64() >= Some(10),
        "the old Pod may answer the probes of a new one that cannot start"
    );
    let server = container(&objects, "headless-dns");
    let config = configuration(&server);
    assert!(config.share_address && config.admin.is_none());
    let probes = config.probes.expect("the kubelet needs it");
    assert_eq!(
        probes.ip().to_string(),
        Side::Node.address(),
        "the kubelet asks the address of a Pod, which is its node's"
    );
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(server.specification()[probe]["httpGet"]["port"], u64::from(probes.port()), "{probe}");
    }
    assert_eq!(set["template"]["metadata"]["annotations"]["prometheus.io/port"], probes.port().to_string());
    for name in ["address", "headless-dns"] {
        assert!(container(&objects, name).specification()["ports"].is_null(), "they would be ports of the node");
    }
    let grace = set["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > 2 * config.drain_timeout.as_secs());
    let limit = &server.specification()["resources"]["limits"]["memory"];
    assert_eq!(*limit, format!("{}Mi", config.memory_limit));
    assert_eq!(Budget::of(&config).refusal(), None);
}

#[test]
fn who_reads_from_the_network_may_bind_a_port_and_who_may_change_addresses_reads_nothing() {
    let Some(objects) = rendered(FOLDER) else { return };
    for (name, capability, user) in [("headless-dns", "NET_BIND_SERVICE", 65532), ("address", "NET_ADMIN", 0)] {
        let container = container(&objects, name);
        let context = &container.specification()["securityContext"];
        let expected = format!("{{drop: [ALL], add: [{capability}]}}");
        assert_eq!(context["capabilities"], serde_yaml_ng::from_str::<Value>(&expected).expect("YAML"), "{name}");
        assert_eq!(context["runAsUser"], user, "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
    }
    let dockerfile = include_str!("../../deploy/Dockerfile");
    assert!(dockerfile.contains("\nRUN setcap cap_net_bind_service=+p "));
}

/// A Pod of the DaemonSet: who keeps the address, and the server.
struct OnNode {
    address: Running,
    server: Running,
}

impl OnNode {
    /// Starts one, with another port for its probes than the manifest's if there is one on the node already.
    fn start(pods: &Pods, objects: &[Value], probes: u16) -> Self {
        let keeper = container(objects, "address");
        let address = pods.start(Side::Node, &keeper, &[]);
        let started = keeper.specification()["startupProbe"]["exec"]["command"][2].as_str().expect("a script");
        until("the address", || pods.run_on_node(started).code.filter(|code| *code == 0));
        let probes = format!("{}:{probes}", Side::Node.address());
        let server = pods.start(Side::Node, &container(objects, "headless-dns"), &[("HEADLESS_DNS_PROBES", &probes)]);
        until_said(&server, ANSWERING);
        Self { address, server }
    }

    /// Ends as the kubelet ends it: what started last ends first.
    fn end(self) {
        for running in [self.server, self.address] {
            running.signal("TERM");
            let (code, said) = running.end();
            assert_eq!(code, Some(0), "{said}");
        }
    }
}

/// F1, F2.
#[test]
fn a_pod_asks_its_node_and_an_upgrade_loses_no_query() {
    let (Some(objects), Some(cluster)) = (rendered(FOLDER), rendered(CLUSTER)) else { return };
    if missing(&["dig", "dnsperf", "getent"]) {
        return;
    }
    let Some(mut pods) = Pods::new(RESOLV_CONF) else { return };
    pods.start_api(Side::Node, &cluster);
    pods.kubectl(Side::Node, &["rollout", "status", "statefulset/redis", "--timeout=60s"]);
    let address = pods.kubectl(Side::Node, &["get", "pod", "redis-0", "--output", "jsonpath={.status.podIP}"]);
    let has_address =
        || pods.run_on_node("ip address show dev lo").stdout.contains(&format!("inet {ADDRESS}/32 scope host"));
    assert!(!has_address());

    let first = OnNode::start(&pods, &objects, 8054);
    let ready = container(&objects, "headless-dns");
    assert_eq!(pods.probe(Side::Node, &ready.specification()["readinessProbe"]).code, Some(0));
    for (name, address) in
        [("redis-0.redis", address.as_str()), ("web.other", "10.96.7.7"), ("www.example.com", "192.0.2.80")]
    {
        let ran = pods.run_in_pod("dig", &["+search", "+short", name]);
        assert_eq!(ran.stdout.trim_end(), address, "{name}: {ran:?}");
    }

    let queries = pods.file(
        "queries",
        "redis-0.redis.default.svc.cluster.local A\nweb.other.svc.cluster.local A\nwww.example.com A\n",
    );
    let load = ["--output=L", "dnsperf", "-s", ADDRESS, "-d", &queries, "-Q", "500", "-c", "20", "-l", "120"];
    let load = pods.start_in_pod("stdbuf", &load);
    until_said(&load, "Sending queries");
    let second = OnNode::start(&pods, &objects, 8055);
    first.end();
    assert!(has_address(), "the successor listens there");
    let ran = pods.run_in_pod("getent", &["ahosts", "redis-0.redis"]);
    assert!(ran.stdout.starts_with(&address), "{ran:?}");
    load.signal("INT");
    let (_, figures) = load.end();
    for expected in ["Queries lost:         0 (0.00%)", "NOERROR", "(100.00%)\n  Average packet size"] {
        assert!(figures.contains(expected), "{expected}: {figures}");
    }

    second.end();
    assert!(!has_address(), "nobody listens there");
}
