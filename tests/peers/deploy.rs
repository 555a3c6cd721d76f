//! The files for other programs: `kubectl kustomize` renders `deploy/`, an API takes what it renders and is asked for no more
//! than it grants.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use headless_dns::app::Budget;
use headless_dns::config::Config;
use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ResourceQuota, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube_sandbox::{Options, Sandbox};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_yaml_ng::Value;

use crate::support::peers::{self, bounded, missing, until};
use crate::support::program::Program;

pub(super) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a program prints, or `None` where it is not installed.
pub(super) fn output_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = || peers::output_of(bounded(program).args(arguments).current_dir(repository()));
    (!missing(&[program])).then(output)
}

/// The objects that a folder of `deploy/` renders to.
pub(super) fn rendered(folder: &str) -> Option<Vec<Value>> {
    let text = output_of("kubectl", &["kustomize", folder])?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    Some(documents.map(|document| Value::deserialize(document).expect("YAML")).collect())
}

pub(super) fn kinds(objects: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

pub(super) fn the<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    objects.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}

/// The configuration that the Pods run with.
fn configuration(objects: &[Value]) -> Config {
    let text = the(objects, "ConfigMap")["data"]["headless-dns.toml"].as_str().expect("the file").to_owned();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path: PathBuf = folder.path().join("headless-dns.toml");
    std::fs::write(&path, text).expect("written");
    Config::load(Some(&path), Vec::<(OsString, OsString)>::new(), &[]).expect("valid").config
}

pub(super) const WATCHED: &str = "[{apiGroups: [''], resources: [services], verbs: [list, watch]},
    {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]},
    {apiGroups: [''], resources: [pods], verbs: [list, watch]}]";

#[test]
fn the_base_may_watch_services_and_slices_of_the_cluster_and_nothing_else() {
    let Some(objects) = rendered("deploy/base") else { return };
    assert_eq!(
        kinds(&objects),
        [
            "ClusterRole",
            "ClusterRoleBinding",
            "ConfigMap",
            "Deployment",
            "Namespace",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "ResourceQuota",
            "Service",
            "ServiceAccount"
        ]
    );
    let watched: Value = serde_yaml_ng::from_str(WATCHED).expect("YAML");
    assert_eq!(the(&objects, "ClusterRole")["rules"], watched);
    assert_eq!(the(&objects, "ClusterRoleBinding")["subjects"][0]["namespace"], "headless-dns");
}

#[test]
fn the_single_namespace_may_watch_the_same_there_and_asks_for_nothing_beyond() {
    let Some(objects) = rendered("deploy/overlays/single-namespace") else { return };
    assert_eq!(
        kinds(&objects),
        [
            "ConfigMap",
            "Deployment",
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Role",
            "RoleBinding",
            "Service",
            "ServiceAccount"
        ]
    );
    let watched: Value = serde_yaml_ng::from_str(WATCHED).expect("YAML");
    assert_eq!(the(&objects, "Role")["rules"], watched);
    let namespaces: Vec<&Value> = objects.iter().map(|object| &object["metadata"]["namespace"]).collect();
    assert!(namespaces.iter().all(|namespace| *namespace == namespaces[0]), "{namespaces:?}");
    assert_eq!(the(&objects, "RoleBinding")["subjects"][0]["namespace"], *namespaces[0]);
    let variable = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(variable["name"], "HEADLESS_DNS_NAMESPACES");
    assert_eq!(variable["valueFrom"]["fieldRef"]["fieldPath"], "metadata.namespace");
}

/// Every folder that renders.
pub(super) const FOLDERS: [&str; 5] = [
    "deploy/base",
    "deploy/overlays/single-namespace",
    "deploy/overlays/sidecar-example",
    "deploy/overlays/node",
    "deploy/overlays/primary",
];

/// Whether an object is of this type: what its schema does not have would be lost.
fn has_type<T: Resource + DeserializeOwned + Serialize>(object: &Value) -> bool {
    if object["kind"] != T::KIND || object["apiVersion"] != T::API_VERSION {
        return false;
    }
    let object = serde_json::to_value(object).expect("JSON");
    let typed: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object:#}"));
    assert_eq!(serde_json::to_value(typed).expect("JSON"), object);
    true
}

/// The types are made from the schemas of Kubernetes 1.33.
#[test]
fn every_object_has_the_fields_of_its_schema_and_no_others() {
    for folder in FOLDERS {
        for object in rendered(folder).unwrap_or_default() {
            let is_known = has_type::<ClusterRole>(&object)
                || has_type::<ClusterRoleBinding>(&object)
                || has_type::<ConfigMap>(&object)
                || has_type::<DaemonSet>(&object)
                || has_type::<Deployment>(&object)
                || has_type::<Namespace>(&object)
                || has_type::<NetworkPolicy>(&object)
                || has_type::<PodDisruptionBudget>(&object)
                || has_type::<ResourceQuota>(&object)
                || has_type::<Role>(&object)
                || has_type::<RoleBinding>(&object)
                || has_type::<Service>(&object)
                || has_type::<ServiceAccount>(&object)
                || has_type::<StatefulSet>(&object);
            assert!(is_known, "{folder}: {object:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_object_is_accepted_as_it_is() {
    for folder in FOLDERS {
        let Some(objects) = rendered(folder) else { return };
        are_accepted(&objects).await;
    }
}

/// Holds that an API takes the objects as they are.
pub(super) async fn are_accepted(objects: &[Value]) {
    // Nothing changes between two commands.
    let (_sandbox, home, kubeconfig) = sandbox_with(Options { controllers: None, ..Options::default() }).await;
    let kubectl = |arguments: &[&str]| {
        let kubectl = &mut bounded("kubectl");
        let kubectl = kubectl.args(arguments).args(["--kubeconfig", &kubeconfig]);
        peers::output_of(kubectl.current_dir(repository()).env("HOME", home.path()))
    };
    // As JSON: a plain `off` is a text in YAML 1.2, and false to kubectl.
    let documents: Vec<String> =
        objects.iter().map(|object| serde_json::to_string(object).expect("JSON") + "\n").collect();
    let file = home.path().join("objects.yaml");
    std::fs::write(&file, documents.join("---\n")).expect("written");
    let file = file.to_str().expect("UTF-8");
    // Some make their namespace, some expect it.
    let namespaces: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    let is_made = objects.iter().any(|object| object["kind"] == "Namespace");
    for namespace in
        namespaces.into_iter().filter(|namespace| !is_made && !["default", "kube-system"].contains(namespace))
    {
        kubectl(&["create", "namespace", namespace]);
    }
    let created = kubectl(&["apply", "--validate=strict", "-f", file]);
    assert!(created.lines().all(|line| line.ends_with(" created")), "{created}");
    assert_eq!(created.lines().count(), documents.len(), "{created}");
    assert_eq!(kubectl(&["diff", "-f", file]), "", "nothing was left out or made into something else");
}

/// An API with nothing in it, a folder, and a kubeconfig in there.
pub(super) async fn sandbox(streaming_lists: bool) -> (Sandbox, tempfile::TempDir, String) {
    sandbox_with(Options { streaming_lists, ..Options::default() }).await
}

async fn sandbox_with(options: Options) -> (Sandbox, tempfile::TempDir, String) {
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kubeconfig = folder.path().join("kubeconfig");
    sandbox.write_kubeconfig(&kubeconfig).expect("written");
    let kubeconfig = kubeconfig.to_str().expect("UTF-8").to_owned();
    (sandbox, folder, kubeconfig)
}

/// Verb, group and resource of everything that a role grants.
fn granted(role: &Value) -> BTreeSet<[String; 3]> {
    let texts = |value: &Value| -> Vec<String> { serde_yaml_ng::from_value(value.clone()).expect("texts") };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_sequence().expect("rules") {
        for verb in texts(&rule["verbs"]) {
            for group in texts(&rule["apiGroups"]) {
                granted.extend(
                    texts(&rule["resources"]).into_iter().map(|resource| [verb.clone(), group.clone(), resource]),
                );
            }
        }
    }
    granted
}

/// Holds that the program asks for what a role grants and nothing else, all of it in this namespace (or in none).
pub(super) async fn asks_for(role: &Value, arguments: &[&str], namespace: &str) {
    let granted = granted(role);
    // A server that streams lists is asked to watch only, one that does not for both.
    for streaming_lists in [true, false] {
        let (sandbox, _folder, kubeconfig) = sandbox(streaming_lists).await;
        let program = Program::serve(&[&["--kubeconfig", &kubeconfig], arguments].concat());
        program.until_synchronised();
        let asked = || -> BTreeSet<[String; 3]> {
            let requests = sandbox.faults().requests().into_keys();
            let parts = requests.map(|request| {
                assert_eq!((request.namespace.as_str(), request.subresource.as_str()), (namespace, ""), "{request:?}");
                let verb = serde_json::to_value(request.verb).expect("a word");
                [verb.as_str().expect("a word").to_owned(), request.group, request.resource]
            });
            parts.collect()
        };
        if streaming_lists {
            assert!(asked().is_subset(&granted), "{:?}", asked());
        } else {
            until("everything that is asked for", || asked().is_superset(&granted).then_some(()));
            assert_eq!(asked(), granted);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_base_grants_what_is_asked_for() {
    let Some(objects) = rendered("deploy/base") else { return };
    asks_for(the(&objects, "ClusterRole"), &[], "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_single_namespace_grants_what_is_asked_for_and_nothing_cluster_wide_is() {
    let Some(objects) = rendered("deploy/overlays/single-namespace") else { return };
    let role = the(&objects, "Role");
    let namespace = role["metadata"]["namespace"].as_str().expect("a namespace");
    asks_for(role, &["--namespace", namespace], namespace).await;
}

#[test]
fn what_runs_in_the_pod_is_reached_from_outside_it() {
    let Some(objects) = rendered("deploy/base") else { return };
    let config = configuration(&objects);
    let probes = config.probes.expect("the kubelet needs it");
    assert!(config.admin.is_some_and(|admin| admin.ip().is_loopback()), "it shows every record");
    assert!(probes.ip().is_unspecified() && config.listen.iter().all(|listen| listen.ip().is_unspecified()));

    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let ports = container["ports"].as_sequence().expect("ports");
    let port = |name: &str| {
        let port = ports.iter().find(|port| port["name"] == name).unwrap_or_else(|| panic!("no port {name}"));
        (port["containerPort"].as_u64().expect("a number"), port["protocol"].as_str().expect("a protocol"))
    };
    let listen = u64::from(config.listen[0].port());
    assert_eq!((port("dns-udp"), port("dns-tcp")), ((listen, "UDP"), (listen, "TCP")));
    assert_eq!(port("probes"), (u64::from(probes.port()), "TCP"));
    assert_eq!(ports.len(), 3, "no other port is announced");
    for (probe, page) in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(container[probe]["httpGet"]["port"], "probes", "{probe}");
        assert_eq!(container[probe]["httpGet"]["path"], page, "{probe}");
    }
    for port in the(&objects, "Service")["spec"]["ports"].as_sequence().expect("ports") {
        assert_eq!(port["port"], 53);
        assert_eq!(port["name"], port["targetPort"]);
    }
}

/// The configuration is refused if clients alone could exceed its `memory_limit`.
#[test]
fn the_worst_that_clients_do_fits_the_memory_limit_beside_the_largest_cluster() {
    const ENDPOINTS: usize = 150_000;
    let Some(objects) = rendered("deploy/base") else { return };
    let config = configuration(&objects);
    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], format!("{}Mi", config.memory_limit));
    assert!(config.udp_workers > 0, "nodes have any number of cores");
    let budget = Budget::of(&config);
    assert_eq!(budget.refusal(), None);
    assert!(budget.endpoints().is_some_and(|endpoints| endpoints >= ENDPOINTS), "{budget}");
}

#[test]
fn every_selector_picks_the_pods() {
    for folder in ["deploy/base", "deploy/overlays/single-namespace"] {
        let Some(objects) = rendered(folder) else { return };
        let deployment = &the(&objects, "Deployment")["spec"];
        let pod = &deployment["template"];
        let labels = &pod["metadata"]["labels"];
        assert!(labels.is_mapping());
        assert_eq!(deployment["selector"]["matchLabels"], *labels);
        assert_eq!(the(&objects, "Service")["spec"]["selector"], *labels);
        assert_eq!(the(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"], *labels);
        assert_eq!(pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"], *labels);
        assert_eq!(the(&objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"], *labels);
    }
}

#[test]
fn the_pods_need_no_privilege_and_end_within_their_grace() {
    let Some(objects) = rendered("deploy/base") else { return };
    let deployment = &the(&objects, "Deployment")["spec"];
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(deployment["replicas"], 2);
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    let mounts = container["volumeMounts"].as_sequence().expect("mounts");
    let state = configuration(&objects).state.expect("a folder");
    let mount =
        mounts.iter().find(|mount| mount["mountPath"] == state.to_str().expect("UTF-8")).expect("a mount for it");
    assert!(mount["readOnly"].is_null());
    let volume = pod["volumes"].as_sequence().expect("volumes").iter().find(|volume| volume["name"] == mount["name"]);
    assert!(volume.expect("a volume")["emptyDir"].is_mapping());
    assert_eq!(pod["enableServiceLinks"], false);
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("a number");
    assert!(grace > 2 * configuration(&objects).drain_timeout.as_secs());
}

#[test]
fn the_image_is_built_without_the_sandbox_for_a_user_that_is_not_root() {
    let dockerfile = std::fs::read_to_string(repository().join("deploy/Dockerfile")).expect("the Dockerfile");
    assert!(dockerfile.contains("cargo build --profile dist --locked --no-default-features"));
    assert!(dockerfile.contains("\nUSER 65532:65532\n"));
}

/// Of ten, what `systemd-analyze security` may find exposed, in tenths: a server has its addresses and a port below 1024.
const EXPOSURE: &str = "--threshold=20";

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    let unit = std::fs::read_to_string(repository().join("deploy/systemd/headless-dns.service")).expect("the unit");
    let variables = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let variables: Vec<(OsString, OsString)> = variables.map(|(name, value)| (name.into(), value.into())).collect();
    let config = Config::load(None, variables, &[]).expect("variables that exist").config;
    assert_eq!(config.state.as_deref(), Some(Path::new("%S/headless-dns")));
    if missing(&["systemd-analyze"]) {
        return;
    }
    // A program that is not there is a mistake in a unit.
    let installed = unit.replace("/usr/bin/headless-dns", env!("CARGO_BIN_EXE_headless-dns"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("headless-dns.service");
    std::fs::write(&path, installed).expect("written");
    let verified = peers::run(bounded("systemd-analyze").args(["verify", "--man=no"]).arg(&path));
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    peers::output_of(bounded("systemd-analyze").args(["security", "--offline=yes", EXPOSURE]).arg(&path));
}
