//! What people type in their first minutes, beside what a cluster does with it.

use kube_sandbox::Options;

use crate::{Kubectl, finish, row};

const DAEMON_SET: &str = r#"
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: agent, image: "agent:1"}]}
"#;

/// A DNS server, which has one port for two protocols.
const DNS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: dns}
spec:
  selector: {app: dns}
  ports: [{name: udp, port: 53, protocol: UDP}, {name: tcp, port: 53, protocol: TCP}, {name: tls, port: 853}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns}
spec:
  selector: {matchLabels: {app: dns}}
  template:
    metadata: {labels: {app: dns}}
    spec:
      containers:
        - name: dns
          image: "dns:1"
          env: [{name: LEVEL, value: debug}]
          ports: [{name: udp, containerPort: 53, protocol: UDP}, {name: tcp, containerPort: 53, protocol: TCP}]
"#;

#[tokio::test]
async fn everything_is_allowed_and_kubectl_auth_says_so() {
    let Some(kubectl) = Kubectl::start().await else { return };
    assert_eq!(kubectl.out("auth can-i get pods").await, "yes\n");
    assert_eq!(kubectl.out("auth can-i create deployments.apps -n kube-system").await, "yes\n");
    assert!(kubectl.out("auth can-i --list").await.contains("*.*"));
    assert!(kubectl.out("auth whoami").await.contains("system:anonymous"));
    assert!(kubectl.out("auth whoami --as=jane --as-group=team").await.contains("[team]"));
    let token =
        kubectl.with_input("create -f -", "{apiVersion: v1, kind: ServiceAccount, metadata: {name: bot}}").await;
    assert!(token.success, "{}", token.err);
    assert!(
        kubectl.error("create token bot").await.contains("the sandbox has no authentication, so it gives no tokens")
    );
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_daemon_set_is_rolled_out_and_back() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("cordon node-b").await;
    std::fs::write(kubectl.path().join("agent.yaml"), DAEMON_SET).expect("a file");
    kubectl.out("apply -f agent.yaml").await;
    kubectl.out("rollout status ds agent --timeout=20s").await;
    assert_eq!(row(&kubectl.out("get ds").await, "agent")[1..6], ["3"; 5]);
    let nodes = async || {
        let nodes = kubectl.out("get pods -l app=agent -o jsonpath={.items[*].spec.nodeName}").await;
        let mut nodes: Vec<String> = nodes.split(' ').map(str::to_owned).collect();
        nodes.sort();
        nodes
    };
    assert_eq!(nodes().await, ["node-a", "node-b", "node-c"], "a cordon does not keep it away");
    kubectl.out("set image ds agent agent=agent:2").await;
    kubectl.out("rollout status ds agent --timeout=20s").await;
    let images = async || kubectl.out("get pods -l app=agent -o jsonpath={.items[*].spec.containers[0].image}").await;
    assert_eq!(images().await, "agent:2 agent:2 agent:2");
    assert_eq!(kubectl.out("get pods -l app=agent,pod-template-generation=2 -o name").await.lines().count(), 3);
    assert!(kubectl.out("rollout history ds agent").await.contains("\n2 "));
    kubectl.out("rollout undo ds agent").await;
    kubectl.out("rollout status ds agent --timeout=20s").await;
    assert_eq!(images().await, "agent:1 agent:1 agent:1");
    kubectl.out("rollout restart ds agent").await;
    kubectl.out("rollout status ds agent --timeout=20s").await;
    assert!(kubectl.out("describe ds agent").await.contains("SuccessfulCreate"));
    let refused = kubectl.error("drain node-a --timeout=20s").await;
    assert!(refused.contains("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)"), "{refused}");

    // Where it may not run any more, its Pod goes.
    kubectl.out("label nodes node-a node-c agent=yes").await;
    kubectl.out(r#"patch ds agent -p {"spec":{"template":{"spec":{"nodeSelector":{"agent":"yes"}}}}}"#).await;
    kubectl.out("rollout status ds agent --timeout=20s").await;
    kubectl.out("wait ds/agent --for=jsonpath={.status.numberMisscheduled}=0 --timeout=20s").await;
    assert_eq!(nodes().await, ["node-a", "node-c"]);
    kubectl.out("label nodes node-b agent=yes").await;
    kubectl.out("wait ds/agent --for=jsonpath={.status.numberAvailable}=3 --timeout=20s").await;
    kubectl.out("delete ds agent --cascade=foreground --timeout=20s").await;
    assert_eq!(kubectl.run("get pods -l app=agent").await.err, "No resources found in default namespace.\n");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn server_side_apply_keeps_protocols_apart_and_takes_away_what_is_no_longer_wanted() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let apply = async |text: &str| {
        std::fs::write(kubectl.path().join("dns.yaml"), text).expect("a file");
        kubectl.out("apply --server-side -f dns.yaml").await
    };
    apply(DNS).await;
    let ports = async || kubectl.out("get svc dns -o jsonpath={.spec.ports[*].name}").await;
    let container = async || kubectl.out("get deploy dns -o jsonpath={..containers[0].ports[*].name}{..env}").await;
    assert_eq!(ports().await, "udp tcp tls");
    assert!(container().await.starts_with("udp tcp"));
    assert_eq!(kubectl.out("get deploy dns -o jsonpath={.metadata.generation}").await, "1");
    apply(DNS).await;
    assert_eq!(kubectl.out("get deploy dns -o jsonpath={.metadata.generation}").await, "1", "nothing has changed");
    kubectl.out("label deploy dns by=hand").await;
    let less =
        DNS.replace(", {name: tls, port: 853}", "").replace("          env: [{name: LEVEL, value: debug}]\n", "");
    apply(&less).await;
    assert_eq!(ports().await, "udp tcp");
    assert_eq!(container().await, "udp tcp");
    assert_eq!(kubectl.out("get deploy -l by=hand -o name").await, "deployment.apps/dns\n");
    let managed =
        kubectl.out("get svc dns --show-managed-fields -o jsonpath={.metadata.managedFields[0].fieldsV1}").await;
    assert!(managed.contains(r#""k:{\"port\":53,\"protocol\":\"UDP\"}":{".":{}"#), "{managed}");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn taints_come_and_go_and_keep_pods_away() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("taint nodes node-a node-b special=yes:NoSchedule").await;
    kubectl.out("taint node node-b other=yes:NoSchedule").await;
    kubectl.out("create deployment web --image=web:1 --replicas=4").await;
    kubectl.out("rollout status deploy web --timeout=20s").await;
    let nodes = kubectl.out("get pods -o jsonpath={.items[*].spec.nodeName}").await;
    assert_eq!(nodes, ["node-c"; 4].join(" "));
    kubectl.out("taint nodes node-a node-b special=yes:NoSchedule-").await;
    assert_eq!(kubectl.out("get node node-a -o jsonpath={.spec.taints}").await, "");
    assert_eq!(kubectl.out("get node node-b -o jsonpath={.spec.taints[*].key}").await, "other");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_namespace_of_the_cluster_stays_and_every_namespace_has_its_account() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    let refused = kubectl.error("delete namespace default").await;
    assert!(refused.contains("namespaces \"default\" is forbidden: this namespace may not be deleted"), "{refused}");
    kubectl.out("create namespace team").await;
    kubectl.out("wait -n team serviceaccount/default --for=create --timeout=20s").await;
    kubectl.out("delete namespace team --timeout=20s").await;
    kubectl.sandbox.shutdown().await;
}

/// Typed clients read Protobuf.
#[tokio::test]
async fn a_description_shows_what_is_in_a_pod() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("run web --image=web:1 --port=80 --env=A=B").await;
    kubectl.out("wait pod/web --for=condition=Ready --timeout=20s").await;
    let described = kubectl.out("describe pod web").await;
    for (field, value) in [("Node:", "node-a/172.18.0.1"), ("A:", "B"), ("Ready:", "True"), ("State:", "Running")] {
        assert_eq!(row(&described, field)[1], value, "{described}");
    }
    let mut debug = kubectl.command("debug node/node-a --image=busybox:1 --profile=general");
    let debugged = finish(debug.spawn().expect("kubectl starts"), "debug").await;
    assert!(debugged.out.contains("Creating debugging pod"), "{}{}", debugged.out, debugged.err);
    assert_eq!(kubectl.out("get pods -o jsonpath={.items[*].spec.hostPID}").await, "true");
    kubectl.sandbox.shutdown().await;
}
