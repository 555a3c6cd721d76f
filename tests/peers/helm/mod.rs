//! The Helm chart, rendered by Helm's own engine: beside what `kubectl kustomize` makes of `deploy/` for the same mode, against the
//! schemas of Kubernetes, with values that are wrong, and installed into an API.

use std::ffi::OsString;
use std::io::{Seek, Write};

use headless_dns::config::Config;
use serde::Deserialize;
use serde_json::json;
use serde_yaml_ng::{Mapping, Value};

use crate::peers::deploy::{FOLDERS, are_accepted, kinds, rendered, repository, the};
use crate::support::container::Container;
use crate::support::peers::{bounded, missing, output_of, python};

mod releases;
mod values;

const CHART: &str = "deploy/helm/headless-dns";
/// The oldest and the newest release of Kubernetes whose schemas are looked at. All modes need 1.29 at most.
const VERSIONS: [&str; 2] = ["1.29", "1.37"];
/// What Helm adds to an object, and to selectors so that two releases are told apart.
const OF_HELM: [&str; 4] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "helm.sh/chart"];

/// The address of a node, which stands in a configuration made here.
const NODE: &str = "192.0.2.9";

/// A mode as it is installed, and the folder of `deploy/` that is the same.
struct Mode {
    name: &'static str,
    folder: &'static str,
    release: &'static str,
    namespace: &'static str,
    /// What cannot be known beforehand.
    values: serde_json::Value,
}

fn modes() -> [Mode; 5] {
    let mode = |name, folder, release, namespace, values| Mode { name, folder, release, namespace, values };
    let transfer = json!({"config": {
        "transfer_clients": ["192.0.2.0/24"],
        "notify": ["192.0.2.10#secondary", "192.0.2.11#secondary"],
        "reverse_zones": ["10.0.0.0/8"],
        "nameservers": ["192.0.2.1"],
    }});
    let node = json!({"nameOverride": "headless-dns-node", "config": {"forward": ["tcp://10.96.0.10"]}});
    let sidecar = json!({"config": {"forward": ["10.96.0.10"]}});
    [
        mode("cluster", "deploy/base", "headless-dns", "headless-dns", json!({})),
        mode("namespace", "deploy/overlays/single-namespace", "headless-dns", "default", json!({})),
        mode("primary", "deploy/overlays/primary", "headless-dns", "headless-dns", transfer),
        mode("node", "deploy/overlays/node", "headless-dns-node", "kube-system", node),
        mode("sidecar", "deploy/overlays/sidecar-example", "headless-dns-sidecar", "default", sidecar),
    ]
}

impl Mode {
    fn values(&self) -> serde_json::Value {
        let mut values = self.values.clone();
        values["mode"] = self.name.into();
        values
    }

    fn release(&self) -> serde_json::Value {
        json!({"name": self.release, "namespace": self.namespace, "values": self.values()})
    }

    /// The objects of the chart.
    fn installed(&self) -> Vec<Value> {
        documents(&render(&self.release()).unwrap_or_else(|error| panic!("{}: {error}", self.name)).manifests)
    }
}

/// The answer of `helm.py`.
fn ask(question: &serde_json::Value) -> serde_json::Value {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(question.to_string().as_bytes()).expect("written");
    file.rewind().expect("from the start");
    let python = python();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/helm.py");
    let command = &mut bounded(python.to_str().expect("UTF-8"));
    // Where Helm keeps what it has found out about a server.
    let home = tempfile::tempdir().expect("a temporary folder");
    let answer = output_of(command.arg(script).current_dir(repository()).env("HOME", home.path()).stdin(file));
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

#[derive(Deserialize)]
struct Rendered {
    manifests: String,
    notes: String,
}

/// What Helm makes of a release, or why it refuses.
fn render(release: &serde_json::Value) -> Result<Rendered, String> {
    let answer = ask(&json!({"ask": "render", "chart": CHART, "release": release}));
    match answer["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(serde_json::from_value(answer).expect("manifests and notes")),
    }
}

fn documents(text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    let documents = documents.map(|document| Value::deserialize(document).expect("YAML"));
    documents.filter(|document| !document.is_null()).collect()
}

fn have_helm() -> bool {
    !missing(&["kubectl", "kubernetes-validate"])
}

/// The Pods that the objects make.
fn pod(objects: &[Value]) -> &Value {
    let workload = objects.iter().find(|object| object["spec"]["template"].is_mapping()).expect("a workload");
    &workload["spec"]["template"]["spec"]
}

/// The configuration that the program runs with, from its file and its variables.
fn configuration(objects: &[Value]) -> Config {
    let container = Container { objects, pod: pod(objects), name: "headless-dns" };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("headless-dns.toml");
    let files = objects.iter().filter_map(|object| object["data"]["headless-dns.toml"].as_str());
    std::fs::write(&path, files.collect::<String>()).expect("written");
    let variables = container.environment(NODE).into_iter().filter(|(name, _)| name.starts_with("HEADLESS_DNS_"));
    let variables: Vec<(OsString, OsString)> = variables.map(|(name, value)| (name.into(), value.into())).collect();
    Config::load(Some(&path), variables, &[]).unwrap_or_else(|error| panic!("{error}")).config
}

/// Takes out of an object what differs between the two: the labels that Helm needs, the options (which are compared as a whole), and
/// the sum of the options by which a change rolls the Pods.
fn strip(value: &mut Value) {
    if let Some(list) = value.as_sequence_mut() {
        let is_option = |item: &Value| item["name"].as_str().is_some_and(|name| name.starts_with("HEADLESS_DNS_"));
        list.retain(|item| !is_option(item));
        list.iter_mut().for_each(strip);
    }
    let Some(map) = value.as_mapping_mut() else { return };
    for key in OF_HELM.into_iter().chain(["checksum/config", "headless-dns.toml"]) {
        map.remove(key);
    }
    map.iter_mut().for_each(|(_, value)| strip(value));
    map.retain(|_, value| {
        !value.as_mapping().is_some_and(Mapping::is_empty) && !value.as_sequence().is_some_and(Vec::is_empty)
    });
}

/// The objects as they are compared, as text with sorted keys, in one order. An object's own labels are of the tool; those of Pods and of selectors are looked at.
fn comparable(objects: &[Value]) -> Vec<String> {
    let mut objects = objects.to_vec();
    // Kustomize adds a hash of the contents to the name.
    let hashed = objects.iter().filter(|object| object["kind"] == "ConfigMap");
    let hashed: Vec<String> =
        hashed.filter_map(|object| object["metadata"]["name"].as_str()).map(str::to_owned).collect();
    for object in &mut objects {
        strip(object);
        if let Some(metadata) = object["metadata"].as_mapping_mut() {
            metadata.remove("labels");
        }
        let mut text = serde_yaml_ng::to_string(object).expect("YAML");
        for name in &hashed {
            text = text.replace(name.as_str(), name.split_inclusive("-dns").next().expect("a part"));
        }
        *object = serde_yaml_ng::from_str(&text).expect("YAML");
    }
    // Helm leaves the namespace to `--create-namespace`.
    objects.retain(|object| object["kind"] != "Namespace");
    let order = |object: &Value| format!("{:?} {:?}", object["kind"], object["metadata"]["name"]);
    objects.sort_by_key(order);
    let sorted = |object: &Value| serde_json::to_value(object).and_then(|object| serde_json::to_string_pretty(&object));
    objects.iter().map(|object| sorted(object).expect("JSON")).collect()
}

#[test]
fn the_chart_installs_what_kustomize_does_in_every_mode() {
    if !have_helm() {
        return;
    }
    for mode in modes().into_iter().filter(|mode| mode.name != "sidecar") {
        let (installed, kustomized) = (mode.installed(), rendered(mode.folder).expect("kubectl is there"));
        let (helm, kustomize) = (comparable(&installed), comparable(&kustomized));
        let without_namespace: Vec<&str> = kinds(&kustomized).into_iter().filter(|kind| *kind != "Namespace").collect();
        assert_eq!(kinds(&installed), without_namespace, "{}", mode.name);
        for (helm, kustomize) in helm.iter().zip(&kustomize) {
            assert_eq!(helm, kustomize, "{}", mode.name);
        }
        assert_eq!(configuration(&installed), configuration(&kustomized), "{}", mode.name);
    }
}

/// The patch that the chart gives for injection by hand, as `kubectl patch` applies it, beside the component of kustomize.
#[test]
fn the_sidecar_that_is_injected_by_hand_is_that_of_the_component() {
    if !have_helm() {
        return;
    }
    let mode = modes().into_iter().find(|mode| mode.name == "sidecar").expect("a mode");
    let (installed, kustomized) = (mode.installed(), rendered(mode.folder).expect("kubectl is there"));
    assert_eq!(kinds(&installed), ["ConfigMap", "Role", "RoleBinding"]);
    for kind in ["Role", "RoleBinding"] {
        let [helm, kustomize] = [&installed, &kustomized].map(|objects| comparable(&[the(objects, kind).clone()]));
        assert_eq!(helm, kustomize);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let patch = the(&installed, "ConfigMap")["data"]["pod.yaml"].as_str().expect("a patch");
    std::fs::write(path("pod.yaml"), patch).expect("written");
    let application = include_str!("../../../deploy/overlays/sidecar-example/redis.yaml");
    std::fs::write(
        path("set.yaml"),
        serde_yaml_ng::to_string(the(&documents(application), "StatefulSet")).expect("YAML"),
    )
    .expect("written");
    let kubectl = &mut bounded("kubectl");
    kubectl.args(["patch", "--local", "-o", "yaml", "-f", &path("set.yaml"), "--patch-file", &path("pod.yaml")]);
    let mut patched = documents(&output_of(kubectl.env("HOME", folder.path())));
    patched[0]["metadata"]["namespace"] = mode.namespace.into();
    let set = the(&kustomized, "StatefulSet").clone();
    assert_eq!(comparable(&patched), comparable(&[set]));
    assert_eq!(configuration(&patched), configuration(&kustomized));
}

#[test]
fn kubernetes_knows_every_field_of_every_object_in_old_and_new_releases() {
    if !have_helm() {
        return;
    }
    let monitored = json!({"name": "dns", "namespace": "dns", "values": {"monitoring": {"enabled": true}}});
    let monitored = documents(&render(&monitored).expect("rendered").manifests);
    let installed = modes().iter().flat_map(Mode::installed).chain(monitored).collect::<Vec<_>>();
    let kustomized = FOLDERS.iter().flat_map(|folder| rendered(folder).expect("kubectl is there"));
    let objects: Vec<Value> = installed.into_iter().chain(kustomized).collect();
    for version in VERSIONS {
        assert_eq!(ask(&json!({"ask": "validate", "version": version, "objects": objects})), json!([]), "{version}");
    }
    let mut wrong = the(&objects, "Deployment").clone();
    wrong["spec"]["template"]["spec"]["containers"][0]["ressources"] = 1.into();
    let answer = ask(&json!({"ask": "validate", "version": VERSIONS[0], "objects": [wrong]}));
    assert!(answer[0].as_str().is_some_and(|message| message.contains("ressources")), "{answer}");
}

#[test]
fn helm_has_nothing_against_the_chart_in_any_mode() {
    if !have_helm() {
        return;
    }
    for mode in modes() {
        assert_eq!(ask(&json!({"ask": "lint", "chart": CHART, "values": mode.values()})), json!([]), "{}", mode.name);
    }
    let chart: Value =
        serde_yaml_ng::from_str(include_str!("../../../deploy/helm/headless-dns/Chart.yaml")).expect("YAML");
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

/// What the Prometheus Operator and Grafana are given is what `deploy/monitoring` gives them.
#[test]
fn the_chart_has_the_monitoring_of_kustomize() {
    if !have_helm() {
        return;
    }
    let release =
        json!({"name": "headless-dns", "namespace": "headless-dns", "values": {"monitoring": {"enabled": true}}});
    let (installed, kustomized) = (
        documents(&render(&release).expect("rendered").manifests),
        rendered("deploy/monitoring").expect("kubectl is there"),
    );
    for kustomized in &kustomized {
        let same = |object: &&Value| {
            object["kind"] == kustomized["kind"] && object["metadata"]["name"] == kustomized["metadata"]["name"]
        };
        let installed = installed.iter().find(same).unwrap_or_else(|| panic!("{kustomized:?}"));
        assert_eq!(installed["metadata"]["labels"]["release"], kustomized["metadata"]["labels"]["release"]);
        assert_eq!(
            installed["metadata"]["labels"]["grafana_dashboard"],
            kustomized["metadata"]["labels"]["grafana_dashboard"]
        );
        assert_eq!(comparable(std::slice::from_ref(installed)), comparable(std::slice::from_ref(kustomized)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_accepts_what_the_chart_renders_as_it_is() {
    if !have_helm() {
        return;
    }
    for mode in modes() {
        are_accepted(&mode.installed()).await;
    }
}
