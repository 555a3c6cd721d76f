//! Random histories: after any sequence of changes, the slices follow from the Services and Pods alone.

use std::time::Duration;

use jiff::Timestamp;
use kube_sandbox::controllers::{Options, READY_ANNOTATION, mark_deleted};
use kube_sandbox::kind::Kind;
use kube_sandbox::store::Store;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::harness::{NAMESPACE, headless, is_ready, is_terminating, quick, start, text};

/// One change to the cluster. The sets of names are small, so that changes affect each other.
#[derive(Clone, Debug)]
enum Step {
    ApplyService {
        name: usize,
        app: usize,
        publish_not_ready: bool,
        named_port: bool,
    },
    DeleteService(usize),
    CreatePod {
        name: usize,
        app: usize,
        subdomain: usize,
        port: u16,
        ready: bool,
    },
    DeletePod(usize),
    RemovePod(usize),
    LabelPod {
        name: usize,
        app: usize,
    },
    AnnotatePod {
        name: usize,
        ready: bool,
    },
    DeleteSlice(usize),
    CorruptSlice(usize),
    Compact,
    /// The controllers process some keys, so that the next step falls between them.
    LetRun,
    /// The controllers process all keys, and time passes: Pods start and stop.
    LetSettle,
}

fn step() -> impl Strategy<Value = Step> {
    let (services, pods, apps) = (0..3_usize, 0..8_usize, 0..2_usize);
    prop_oneof![
        3 => (services.clone(), apps.clone(), any::<bool>(), any::<bool>()).prop_map(|(name, app, publish_not_ready, named_port)| {
            Step::ApplyService { name, app, publish_not_ready, named_port }
        }),
        1 => services.clone().prop_map(Step::DeleteService),
        6 => (pods.clone(), apps.clone(), services, 80..82_u16, any::<bool>()).prop_map(|(name, app, subdomain, port, ready)| {
            Step::CreatePod { name, app, subdomain, port, ready }
        }),
        2 => pods.clone().prop_map(Step::DeletePod),
        1 => pods.clone().prop_map(Step::RemovePod),
        2 => (pods.clone(), apps).prop_map(|(name, app)| Step::LabelPod { name, app }),
        2 => (pods, any::<bool>()).prop_map(|(name, ready)| Step::AnnotatePod { name, ready }),
        1 => (0..4_usize).prop_map(Step::DeleteSlice),
        1 => (0..4_usize).prop_map(Step::CorruptSlice),
        1 => Just(Step::Compact),
        3 => Just(Step::LetRun),
        4 => Just(Step::LetSettle),
    ]
}

/// Performs a step. It has no effect if its object is missing or already exists.
async fn perform(step: &Step, store: &Store) {
    const APPS: [&str; 2] = ["a", "b"];
    let nth_slice = |index: usize| store.list(Kind::EndpointSlice, Some(NAMESPACE)).1.get(index).cloned();
    match *step {
        Step::ApplyService { name, app, publish_not_ready, named_port } => {
            let name = format!("service-{name}");
            let target = if named_port { json!("main") } else { json!(9000) };
            let mut service = headless(&name, APPS[app], json!([{"name": "main", "port": 80, "targetPort": target}]));
            service["spec"]["publishNotReadyAddresses"] = json!(publish_not_ready);
            let spec = service["spec"].clone();
            if store.create(Kind::Service, service).is_err() {
                let _ = store.modify(Kind::Service, NAMESPACE, &name, |service| service["spec"] = spec.clone());
            }
        }
        Step::DeleteService(name) => {
            let _ = store.delete(Kind::Service, NAMESPACE, &format!("service-{name}"), None);
        }
        Step::CreatePod { name, app, subdomain, port, ready } => {
            let name = format!("pod-{name}");
            let pod = json!({
                "metadata": {
                    "namespace": NAMESPACE, "name": name, "labels": {"app": APPS[app]},
                    "annotations": {READY_ANNOTATION: ready.to_string()},
                },
                "spec": {
                    "hostname": name, "subdomain": format!("service-{subdomain}"),
                    "containers": [{"name": "main", "ports": [{"name": "main", "containerPort": port}]}],
                },
            });
            let _ = store.create(Kind::Pod, pod);
        }
        Step::DeletePod(name) => {
            let mark = |pod: &mut Value| mark_deleted(Kind::Pod, pod, Timestamp::now());
            let _ = store.modify(Kind::Pod, NAMESPACE, &format!("pod-{name}"), mark);
        }
        Step::RemovePod(name) => {
            let _ = store.delete(Kind::Pod, NAMESPACE, &format!("pod-{name}"), None);
        }
        Step::LabelPod { name, app } => {
            let label = |pod: &mut Value| pod["metadata"]["labels"]["app"] = json!(APPS[app]);
            let _ = store.modify(Kind::Pod, NAMESPACE, &format!("pod-{name}"), label);
        }
        Step::AnnotatePod { name, ready } => {
            let annotate =
                |pod: &mut Value| pod["metadata"]["annotations"][READY_ANNOTATION] = json!(ready.to_string());
            let _ = store.modify(Kind::Pod, NAMESPACE, &format!("pod-{name}"), annotate);
        }
        Step::DeleteSlice(index) => {
            if let Some(slice) = nth_slice(index) {
                let _ = store.delete(Kind::EndpointSlice, NAMESPACE, &text(&slice["metadata"]["name"]), None);
            }
        }
        Step::CorruptSlice(index) => {
            if let Some(slice) = nth_slice(index) {
                let corrupt = |slice: &mut Value| slice["endpoints"] = json!([{"addresses": ["192.0.2.66"]}]);
                let _ = store.modify(Kind::EndpointSlice, NAMESPACE, &text(&slice["metadata"]["name"]), corrupt);
            }
        }
        Step::Compact => store.compact(),
        Step::LetRun => {
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
        // Paused time advances as soon as all tasks are idle.
        Step::LetSettle => tokio::time::sleep(Duration::from_millis(2)).await,
    }
}

/// An endpoint as a line of text, with its Service and port.
type Line = String;

/// The endpoints that follow from the Services and Pods.
fn expected_endpoints(store: &Store) -> Vec<Line> {
    let mut lines = Vec::new();
    for service in store.list(Kind::Service, Some(NAMESPACE)).1 {
        let spec = &service["spec"];
        for pod in store.list(Kind::Pod, Some(NAMESPACE)).1 {
            let Some(ip) = pod["status"]["podIP"].as_str() else { continue };
            if pod["metadata"]["labels"]["app"] != spec["selector"]["app"] {
                continue;
            }
            let (serving, terminating) = (is_ready(&pod), is_terminating(&pod));
            let ready = spec["publishNotReadyAddresses"] == true || (serving && !terminating);
            let is_named = pod["spec"]["subdomain"] == service["metadata"]["name"];
            let hostname = if is_named { &pod["spec"]["hostname"] } else { &Value::Null };
            let is_by_name = spec["ports"][0]["targetPort"] == "main";
            let port =
                if is_by_name { &pod["spec"]["containers"][0]["ports"][0]["containerPort"] } else { &json!(9000) };
            let (service, uid) = (&service["metadata"]["name"], &pod["metadata"]["uid"]);
            lines.push(format!("{service} {port} {hostname} \"{ip}\" {uid} {ready} {serving} {terminating}"));
        }
    }
    lines.sort();
    lines
}

/// The endpoints in the slices.
fn present_endpoints(store: &Store) -> Vec<Line> {
    let mut lines = Vec::new();
    for slice in store.list(Kind::EndpointSlice, Some(NAMESPACE)).1 {
        let service = &slice["metadata"]["labels"]["kubernetes.io/service-name"];
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let (port, hostname, ip) = (&slice["ports"][0]["port"], &endpoint["hostname"], &endpoint["addresses"][0]);
            let [ready, serving, terminating] =
                ["ready", "serving", "terminating"].map(|name| &endpoint["conditions"][name]);
            let uid = &endpoint["targetRef"]["uid"];
            lines.push(format!("{service} {port} {hostname} {ip} {uid} {ready} {serving} {terminating}"));
        }
    }
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_the_slices_follow_from_services_and_pods(steps in prop::collection::vec(step(), 1..60)) {
        const MAX_ENDPOINTS: usize = 2;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let sandbox = start(Options { max_endpoints_per_slice: MAX_ENDPOINTS, ..quick() });
            for step in &steps {
                perform(step, &sandbox.store).await;
            }
            sandbox.until("agreement of slices with Services and Pods", |sandbox| {
                let is_settled = sandbox.pods().values().all(|pod| pod["status"]["podIP"].is_string() && !is_terminating(pod));
                let annotations_hold = sandbox.pods().values().all(|pod| {
                    is_ready(pod) == (pod["metadata"]["annotations"][READY_ANNOTATION] != "false")
                });
                let agrees = expected_endpoints(&sandbox.store) == present_endpoints(&sandbox.store);
                let services = sandbox.store.list(Kind::Service, Some(NAMESPACE)).1;
                let mut slices = services.iter().map(|service| sandbox.slices(&text(&service["metadata"]["name"])));
                let all_have_slices = slices.all(|slices| !slices.is_empty());
                (is_settled && annotations_hold && agrees && all_have_slices).then_some(())
            }).await;
            for slice in sandbox.store.list(Kind::EndpointSlice, Some(NAMESPACE)).1 {
                prop_assert!(slice["endpoints"].as_array().map_or(0, Vec::len) <= MAX_ENDPOINTS);
            }
            Ok(())
        })?;
    }
}
