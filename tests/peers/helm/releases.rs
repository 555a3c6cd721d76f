//! Releases in an API, from `helm install` to `helm uninstall`.

use std::collections::BTreeSet;

use kube_sandbox::Sandbox;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CHART, ask, documents, have_helm, modes, render};
use crate::peers::deploy::sandbox;
use crate::support::peers::{bounded, output_of, until};

/// What a chart may have, for `kubectl get`.
const KINDS: &str = "serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,configmaps,services,networkpolicies,\
     poddisruptionbudgets,resourcequotas,deployments,daemonsets,statefulsets";

/// An API with the namespace of a release.
struct Cluster {
    _sandbox: Sandbox,
    home: TempDir,
    kubeconfig: String,
}

impl Cluster {
    async fn with_namespace(namespace: &str) -> Self {
        let (sandbox, home, kubeconfig) = sandbox(true).await;
        let cluster = Self { _sandbox: sandbox, home, kubeconfig };
        if !["default", "kube-system"].contains(&namespace) {
            cluster.kubectl(&["create", "namespace", namespace]);
        }
        cluster
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        let kubectl = &mut bounded("kubectl");
        output_of(kubectl.args(arguments).args(["--kubeconfig", &self.kubeconfig]).env("HOME", self.home.path()))
    }

    /// What Helm does with a release: `install`, `upgrade`, `rollback`, `uninstall`.
    fn helm(&self, action: &str, release: &Value) -> Value {
        ask(&json!({
            "ask": "change", "chart": CHART, "kubeconfig": self.kubeconfig, "action": action, "release": release,
        }))
    }

    /// The objects of a release, as `Kind/name`.
    fn objects(&self, release: &str) -> BTreeSet<String> {
        let selector = format!("app.kubernetes.io/instance={release},app.kubernetes.io/managed-by=Helm");
        let template = "--output=jsonpath={range .items[*]}{.kind}/{.metadata.name}{\"\\n\"}{end}";
        let found = self.kubectl(&["get", KINDS, "--all-namespaces", "--selector", &selector, template]);
        found.lines().map(str::to_owned).collect()
    }
}

/// The objects that Helm makes of a release.
fn wanted(release: &Value) -> BTreeSet<String> {
    let objects = documents(&render(release).expect("rendered").manifests);
    let text = |value: &serde_yaml_ng::Value| value.as_str().expect("a text").to_owned();
    objects.iter().map(|object| format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_a_release_in_every_mode() {
    if !have_helm() {
        return;
    }
    for mode in modes() {
        let cluster = Cluster::with_namespace(mode.namespace).await;
        let installed = cluster.helm("install", &mode.release());
        assert_eq!(installed["name"], mode.release, "{installed}");
        assert_eq!(cluster.objects(mode.release), wanted(&mode.release()), "{}", mode.name);
    }
}

/// What the values no longer ask for goes with the upgrade, and comes back with the rollback.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_upgraded_rolled_back_and_removed() {
    if !have_helm() {
        return;
    }
    let cluster = Cluster::with_namespace("dns").await;
    let release = |values: Value| json!({"name": "headless-dns", "namespace": "dns", "values": values});
    let before = release(json!({
        "config": {"tls_listen": ["0.0.0.0:8853"]}, "tls": {"secretName": "certificate"},
        "env": [{"name": "TZ", "value": "UTC"}],
    }));
    let of_deployment = |path: &str| {
        cluster.kubectl(&["get", "deployment", "headless-dns", "-n", "dns", &format!("--output=jsonpath={{{path}}}")])
    };
    let ports =
        || cluster.kubectl(&["get", "service", "headless-dns", "-n", "dns", "--output=jsonpath={.spec.ports[*].name}"]);
    let options = || cluster.kubectl(&["get", "configmap", "headless-dns", "-n", "dns", "--output=jsonpath={.data}"]);
    let is_as_before = |when: &str| {
        assert_eq!(of_deployment(".spec.replicas"), "2", "{when}");
        assert_eq!(ports(), "dns-udp dns-tcp dns-tls", "{when}");
        assert_eq!(of_deployment(".spec.template.spec.containers[0].ports[*].name"), "dns-udp dns-tcp dns-tls probes");
        assert_eq!(of_deployment(".spec.template.spec.volumes[*].name"), "config state tls");
        assert_eq!(of_deployment(".spec.template.spec.containers[0].env[*].name"), "TZ");
        assert!(options().contains("tls_listen") && !options().contains("negative_ttl"), "{when}: {}", options());
    };
    cluster.helm("install", &before);
    is_as_before("installed");

    let after = release(json!({"replicas": 3, "config": {"negative_ttl": 7}}));
    let upgraded = cluster.helm("upgrade", &after);
    assert_eq!(upgraded["revision"], 2, "{upgraded}");
    cluster.kubectl(&["rollout", "status", "deployment", "headless-dns", "-n", "dns", "--timeout=30s"]);
    assert_eq!(of_deployment(".spec.replicas"), "3");
    assert_eq!(ports(), "dns-udp dns-tcp");
    assert_eq!(of_deployment(".spec.template.spec.containers[0].ports[*].name"), "dns-udp dns-tcp probes");
    assert_eq!(of_deployment(".spec.template.spec.volumes[*].name"), "config state");
    assert_eq!(of_deployment(".spec.template.spec.containers[0].env[*].name"), "");
    assert!(options().contains("negative_ttl = 7") && !options().contains("tls_listen"), "{}", options());

    cluster.helm("rollback", &after);
    is_as_before("rolled back");
    cluster.helm("uninstall", &before);
    assert_eq!(cluster.objects("headless-dns"), BTreeSet::new());
    assert_eq!(cluster.kubectl(&["get", "secrets", "-n", "dns", "--output=name"]), "", "no history is left");
    until("the last Pod", || cluster.kubectl(&["get", "pods", "-n", "dns", "--output=name"]).is_empty().then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_goes_from_each_mode_to_the_next() {
    if !have_helm() {
        return;
    }
    let cluster = Cluster::with_namespace("dns").await;
    let release = |values: Value| json!({"name": "headless-dns", "namespace": "dns", "values": values});
    let mut action = "install";
    for mode in modes().iter().chain(&modes()[..1]) {
        let release = release(mode.values());
        cluster.helm(action, &release);
        assert_eq!(cluster.objects("headless-dns"), wanted(&release), "{}", mode.name);
        action = "upgrade";
    }
}
