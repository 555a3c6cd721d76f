//! What whoever comes from a real cluster tries: changes of Pods that have an owner, nodes and events, kinds of every sort, and what needs
//! containers.

use kube_sandbox::Options;

use crate::{Kubectl, finish, row};

#[tokio::test]
async fn pods_of_a_controller_can_be_changed_in_every_way() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("apply -f redis.yaml").await;
    kubectl.out("rollout status sts redis --timeout=20s").await;
    kubectl.out("label pod redis-0 team=x").await;
    kubectl.out("annotate pod redis-0 note=y").await;
    kubectl.out(r#"patch pod redis-0 --type=json -p [{"op":"add","path":"/metadata/labels/by","value":"json"}]"#).await;
    kubectl.out(r#"patch pod redis-0 --type=merge -p {"metadata":{"labels":{"with":"merge"}}}"#).await;
    kubectl.out(r#"patch pod redis-0 -p {"spec":{"containers":[{"name":"redis","image":"redis:8"}]}}"#).await;
    let shown =
        kubectl.out("get pod redis-0 -o jsonpath={.metadata.labels}{.metadata.annotations.note}{..image}").await;
    for text in [r#""team":"x""#, r#""by":"json""#, r#""with":"merge""#, "}y", "redis:8"] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let mut editor = kubectl.command("edit pod redis-1");
    editor.env("KUBE_EDITOR", r#"sed -i "s/  labels:/  labels:\n    edited: by-hand/""#);
    let edited = finish(editor.spawn().expect("kubectl starts"), "edit").await;
    assert_eq!(edited.out, "pod/redis-1 edited\n", "{}", edited.err);
    assert_eq!(kubectl.out("get pods -l edited=by-hand -o name").await, "pod/redis-1\n");
    // Defaults are in a Pod from the start, so that nothing but what was asked for has changed.
    assert_eq!(kubectl.out("get pod redis-2 -o jsonpath={.spec.enableServiceLinks}").await, "true");
    let generation = async || kubectl.out("get pod redis-2 -o jsonpath={.metadata.generation}").await;
    let before = generation().await;
    kubectl.out("label pod redis-2 team=x").await;
    assert_eq!(generation().await, before);
    let refused = kubectl.error(r#"patch pod redis-0 -p {"spec":{"hostname":"other"}}"#).await;
    assert!(refused.contains("pod updates may not change fields other than"), "{refused}");

    let mut patched = std::fs::read_to_string(kubectl.path().join("redis.yaml")).expect("a file");
    patched = patched.replace("replicas: 3", "replicas: 4");
    std::fs::write(kubectl.path().join("redis.yaml"), patched).expect("a file");
    let differing = kubectl.run("diff -f redis.yaml").await;
    assert!(!differing.success && differing.out.contains("+  replicas: 4"), "{}{}", differing.out, differing.err);
    assert!(kubectl.out("apply --server-side --force-conflicts -f redis.yaml").await.contains("serverside-applied"));
    kubectl.out("rollout status sts redis --timeout=20s").await;
    kubectl.out("set image sts redis redis=redis:8").await;
    kubectl.out("rollout status sts redis --timeout=20s").await;
    kubectl.out("rollout undo sts redis").await;
    kubectl.out("rollout status sts redis --timeout=20s").await;
    assert_eq!(kubectl.out("get pod redis-3 -o jsonpath={..image}").await.matches("redis:7").count(), 2);
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn readiness_is_played_with_an_annotation() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("apply -f redis.yaml").await;
    kubectl.out("rollout status sts redis --timeout=20s").await;
    kubectl.out("annotate pod redis-1 sandbox.headless-dns.io/ready=false").await;
    kubectl.out("wait pod/redis-1 --for=condition=Ready=false --timeout=20s").await;
    let described = kubectl.out("describe pod redis-1").await;
    for told in ["Scheduled", "Started container redis", "Readiness probe failed"] {
        assert!(described.contains(told), "{told}: {described}");
    }
    kubectl.out("annotate pod redis-1 sandbox.headless-dns.io/ready-").await;
    kubectl.out("wait pod/redis-1 --for=condition=Ready --timeout=20s").await;
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn it_looks_like_a_cluster() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("apply -f redis.yaml").await;
    kubectl.out("rollout status sts redis --timeout=20s").await;
    let nodes = kubectl.out("get nodes -o wide").await;
    assert_eq!(row(&nodes, "node-b")[1..3], ["Ready", "<none>"]);
    assert_eq!(row(&nodes, "node-b")[5], "172.18.0.2");
    assert!(kubectl.out("describe node node-a").await.contains("redis-"));
    let services = kubectl.out("get svc").await;
    assert_eq!(row(&services, "kubernetes")[1..5], ["ClusterIP", "10.96.0.1", "<none>", "443/TCP"]);
    // Endpoints are deprecated in this version, and clients are told.
    let endpoints = kubectl.run("get endpoints").await;
    assert!(endpoints.err.contains("v1 Endpoints is deprecated in v1.33+"), "{}", endpoints.err);
    assert_eq!(row(&endpoints.out, "kubernetes")[1], "172.18.0.4:6443");
    let addresses = kubectl.out("get pods -l app=redis -o jsonpath={range.items[*]}{.status.podIP}:6379,{end}").await;
    let mut wanted: Vec<_> = addresses.trim_end_matches(',').split(',').map(str::to_owned).collect();
    wanted.sort_by_key(|address| address.parse::<std::net::SocketAddr>().expect("an address"));
    assert_eq!(row(&endpoints.out, "redis")[1], wanted.join(","));
    assert!(kubectl.out("get endpointslices").await.contains("kubernetes"));
    let events = kubectl.out("get events").await;
    for told in ["SuccessfulCreate", "Scheduled", "Started"] {
        assert!(events.contains(told), "{told}: {events}");
    }
    // A drained node gets no Pods until it is told to take some.
    let pods = async || kubectl.out("get pods -o jsonpath={range.items[*]}{.spec.nodeName}{end}").await;
    assert!(pods().await.contains("node-a"));
    kubectl.run("drain node-a --force --timeout=20s").await;
    assert_eq!(row(&kubectl.out("get nodes").await, "node-a")[1], "Ready,SchedulingDisabled");
    kubectl.out("rollout status sts redis --timeout=20s").await;
    assert!(!pods().await.contains("node-a"));
    kubectl.out("uncordon node-a").await;
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn what_needs_containers_says_that_there_are_none() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.out("apply -f redis.yaml").await;
    for line in [
        "logs redis-9",
        "exec redis-9 -- ls",
        "attach redis-9",
        "port-forward redis-9 16379:6379",
        "cp redis-9:/etc/hosts hosts",
        "debug redis-9 --image=busybox --profile=general",
        "top pods",
        "top nodes",
    ] {
        let error = kubectl.error(line).await;
        assert!(error.contains("the sandbox runs no containers, so there is none"), "{line}: {error}");
    }
    assert!(kubectl.error("logs redis-8").await.contains("pods \"redis-8\" not found"));
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn kinds_explain_their_fields() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let pod = kubectl.out("explain pod").await;
    assert!(pod.contains("KIND:       Pod") && pod.contains("spec\t<PodSpec>"), "{pod}");
    assert!(pod.contains("https://kubernetes.io/docs/reference/kubernetes-api/"), "{pod}");
    let port = kubectl.out("explain svc.spec.ports.targetPort").await;
    assert!(port.contains("FIELD: targetPort <IntOrString>"), "{port}");
    let all = kubectl.out("explain statefulset.spec --recursive").await;
    assert!(all.contains("whenScaled\t<string>"), "{all}");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn standard_kinds_are_kept_and_others_are_refused_as_everywhere() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let object = |version: &str, kind: &str, more: &str| {
        format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: one}}\n{more}\n---\n")
    };
    let pods = "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}";
    let kinds = [
        object("apps/v1", "DaemonSet", &format!("spec: {{{pods}}}")),
        object(
            "batch/v1",
            "Job",
            "spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}",
        ),
        object("scheduling.k8s.io/v1", "PriorityClass", "value: 1"),
        object("networking.k8s.io/v1", "Ingress", "spec: {defaultBackend: {service: {name: s, port: {number: 80}}}}"),
        object("coordination.k8s.io/v1", "Lease", "spec: {holderIdentity: me}"),
        object("storage.k8s.io/v1", "StorageClass", "provisioner: nobody.example"),
        object(
            "autoscaling/v2",
            "HorizontalPodAutoscaler",
            "spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}",
        ),
    ]
    .concat();
    let applied = kubectl.with_input("apply -f -", &kinds).await;
    assert!(applied.success && applied.err.is_empty(), "{}{}", applied.out, applied.err);
    assert_eq!(kubectl.with_input("apply -f -", &kinds).await.out.matches("unchanged").count(), 7);
    assert_eq!(kubectl.out("get ds,job,pc,ing,lease,sc,hpa -o name").await.lines().count(), 7);
    let monitor = kubectl.with_input("apply -f -", &object("monitoring.coreos.com/v1", "PodMonitor", "")).await;
    assert!(monitor.err.contains("no matches for kind \"PodMonitor\""), "{}", monitor.err);
    kubectl.sandbox.shutdown().await;
}
