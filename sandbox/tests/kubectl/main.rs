//! The sandbox with a real `kubectl`: commands of a user and their output. Without `kubectl` on the path the tests are skipped,
//! with one line on standard error.

mod cluster;
mod newcomer;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use kube_sandbox::{Options, Sandbox};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// Bound on every command.
const TIMEOUT: Duration = Duration::from_secs(30);

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: redis, labels: {app: redis}}
spec:
  clusterIP: None
  selector: {app: redis}
  ports: [{name: redis, port: 6379}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: redis}
spec:
  serviceName: redis
  replicas: 3
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec: {containers: [{name: redis, image: "redis:7"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: redis-9, labels: {app: redis}}
spec: {hostname: redis-9, subdomain: redis, containers: [{name: redis, image: "redis:7"}]}
status: {podIP: 10.1.2.3, phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;

/// A sandbox, and a home folder for kubectl that contains the manifests.
struct Kubectl {
    sandbox: Sandbox,
    home: TempDir,
}

struct Printed {
    out: String,
    err: String,
    success: bool,
}

impl Kubectl {
    /// A sandbox without controllers, where objects stay as they are written. None if there is no kubectl.
    async fn start() -> Option<Self> {
        Self::start_with(Options { controllers: None, ..Options::default() }).await
    }

    async fn start_with(options: Options) -> Option<Self> {
        let mut probe = Command::new("kubectl");
        probe.args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null());
        if !probe.status().await.is_ok_and(|status| status.success()) {
            let is_required = std::env::var_os("HEADLESS_DNS_REQUIRE_PEERS").is_some_and(|value| value == "1");
            assert!(!is_required, "no kubectl on the path: install it with tests/install-peers.sh");
            static SKIPPED: Once = Once::new();
            // A direct write, as the test runner captures the output of `eprintln!`.
            SKIPPED.call_once(|| drop(writeln!(std::io::stderr(), "skipped: no kubectl on the path")));
            return None;
        }
        let sandbox = Sandbox::start(options).await.expect("a free port");
        let home = tempfile::tempdir().expect("a folder");
        sandbox.write_kubeconfig(&home.path().join("config")).expect("a file");
        std::fs::write(home.path().join("redis.yaml"), MANIFESTS).expect("a file");
        Some(Self { sandbox, home })
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("kubectl");
        command.args(line.split_whitespace()).current_dir(self.home.path()).kill_on_drop(true);
        command.env("KUBECONFIG", self.home.path().join("config")).env("HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, line: &str) -> Printed {
        finish(self.command(line).spawn().expect("kubectl starts"), line).await
    }

    /// The output of a command that must succeed without warnings.
    async fn out(&self, line: &str) -> String {
        let printed = self.run(line).await;
        assert!(printed.success && printed.err.is_empty(), "kubectl {line}: {}{}", printed.out, printed.err);
        printed.out
    }

    /// The error of a command that must fail.
    async fn error(&self, line: &str) -> String {
        let printed = self.run(line).await;
        assert!(!printed.success, "kubectl {line} should fail and printed {}", printed.out);
        printed.err
    }

    async fn with_input(&self, line: &str, input: &str) -> Printed {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).await.expect("kubectl reads");
        drop(stdin);
        finish(child, line).await
    }

    fn path(&self) -> &Path {
        self.home.path()
    }
}

async fn finish(child: Child, line: &str) -> Printed {
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("kubectl {line} hangs")).expect("kubectl ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Printed { out: text(&output.stdout), err: text(&output.stderr), success: output.status.success() }
}

/// The words of the line that starts with `name`.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in\n{table}")).split_whitespace().collect()
}

#[tokio::test]
async fn manifests_are_applied_changed_and_deleted() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let applied = kubectl.out("apply -f redis.yaml").await;
    assert_eq!(applied, "service/redis created\nstatefulset.apps/redis created\npod/redis-9 created\n");
    assert_eq!(kubectl.out("apply -f redis.yaml").await.matches("unchanged").count(), 3);

    let changed = MANIFESTS.replace("replicas: 3", "replicas: 5");
    std::fs::write(kubectl.path().join("redis.yaml"), changed).expect("a file");
    assert!(kubectl.out("apply -f redis.yaml").await.contains("statefulset.apps/redis configured"));
    assert_eq!(row(&kubectl.out("get sts").await, "redis")[1], "0/5");
    assert!(kubectl.out("apply --server-side --force-conflicts -f redis.yaml").await.contains("serverside-applied"));
    assert!(kubectl.out("replace -f redis.yaml").await.contains("service/redis replaced"));

    kubectl.out("delete -f redis.yaml --wait").await;
    assert_eq!(kubectl.run("get sts,svc,pods").await.err, "No resources found in default namespace.\n");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn kubectl_applies_over_objects_from_files_without_a_warning() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.sandbox.apply(&[kubectl.path().join("redis.yaml")]).expect("applied");
    assert_eq!(kubectl.out("apply -f redis.yaml").await.matches("unchanged").count(), 3);
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn objects_are_printed_in_every_format() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.out("apply -f redis.yaml").await;
    let pods = kubectl.out("get pods -o wide").await;
    assert_eq!(
        pods.lines().next().expect("a header").split_whitespace().collect::<Vec<_>>().join(" "),
        "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES"
    );
    let shown = row(&pods, "redis-9");
    assert_eq!((shown[2], shown[5]), ("Running", "10.1.2.3"));
    let services = kubectl.out("get svc").await;
    let shown = row(&services, "redis");
    assert_eq!(shown[1..5], ["ClusterIP", "None", "<none>", "6379/TCP"]);
    assert_eq!(kubectl.out("get pods -o name").await, "pod/redis-9\n");
    assert_eq!(kubectl.out("get pods redis-9 -o jsonpath={.status.podIP}").await, "10.1.2.3");
    assert!(kubectl.out("get sts redis -o yaml").await.contains("\n  podManagementPolicy: OrderedReady\n"));
    assert!(kubectl.out("get pods -A -l app=redis,app!=web").await.contains("redis-9"));
    assert_eq!(kubectl.out("get pods --field-selector status.podIP=10.1.2.3 -o name").await, "pod/redis-9\n");
    assert!(kubectl.out("describe pod redis-9").await.contains("10.1.2.3"));
    assert!(kubectl.out("describe svc redis").await.contains("6379/TCP"));
    assert!(kubectl.out("get all").await.contains("statefulset.apps/redis"));
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn every_command_that_changes_objects_works() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.out("apply -f redis.yaml").await;
    kubectl.out("scale sts redis --replicas=2").await;
    assert_eq!(kubectl.out("get sts redis -o jsonpath={.spec.replicas}").await, "2");
    kubectl.out(r#"patch sts redis --type=json -p [{"op":"replace","path":"/spec/replicas","value":4}]"#).await;
    kubectl.out(r#"patch sts redis --type=merge -p {"metadata":{"labels":{"a":"b"}}}"#).await;
    kubectl
        .out(r#"patch sts redis -p {"spec":{"template":{"spec":{"containers":[{"name":"redis","image":"redis:8"}]}}}}"#)
        .await;
    kubectl
        .out(r#"patch sts redis --subresource=status --type=merge -p {"status":{"replicas":4,"readyReplicas":3}}"#)
        .await;
    let shown = kubectl.out("get sts redis -o wide --show-labels").await;
    assert_eq!(row(&shown, "redis")[1], "3/4");
    assert_eq!(row(&shown, "redis")[4..], ["redis:8", "a=b"]);
    kubectl.out("label pod redis-9 team=x").await;
    kubectl.out("annotate pod redis-9 note=y").await;
    kubectl.out("rollout restart sts redis").await;
    kubectl.out("wait --for=condition=Ready pod/redis-9 --timeout=5s").await;
    assert_eq!(kubectl.out("get pods -l team=x -o jsonpath={.items[0].metadata.annotations.note}").await, "y");
    kubectl.sandbox.shutdown().await;
}

/// A user's commands on Pods that a controller has made.
#[tokio::test]
async fn the_generators_of_kubectl_create_work() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    for line in [
        "create namespace team",
        "create -n team configmap c --from-literal=a=b",
        "create -n team secret generic s --from-literal=a=b",
        "create -n team service clusterip headless --clusterip=None",
        "create -n team service externalname away --external-name=db.example.com",
        "create -n team serviceaccount reader",
        "create -n team deployment web --image=web:1 --port=80 --replicas=0",
        "create -n team job once --image=job:1 -- run",
        "create -n team cronjob daily --image=job:1 --schedule=@daily -- run",
        "create -n team ingress web --rule=web.example/*=web:80",
        "create -n team quota few --hard=pods=10,requests.memory=1Gi",
        "create -n team poddisruptionbudget web --selector=app=web --min-available=1",
        "create priorityclass high --value=1000",
        "create clusterrole reader --verb=list,watch --resource=services,endpointslices",
        "create clusterrolebinding reader --clusterrole=reader --serviceaccount=team:reader",
    ] {
        assert!(kubectl.out(line).await.trim_end().ends_with("created"), "{line}");
    }
    assert_eq!(kubectl.out("get -n team cm c -o jsonpath={.data.a}").await, "b");
    assert_eq!(
        kubectl.out("get clusterrole reader -o jsonpath={.rules[*].apiGroups}").await,
        r#"[""] ["discovery.k8s.io"]"#
    );
    assert_eq!(row(&kubectl.out("get -n team svc").await, "away")[3], "db.example.com");
    kubectl.out("delete namespace team").await;
    assert!(kubectl.error("get namespace team").await.contains("namespaces \"team\" not found"));
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn errors_name_the_object_and_the_field() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.out("apply -f redis.yaml").await;
    assert_eq!(kubectl.error("get svc nope").await, "Error from server (NotFound): services \"nope\" not found\n");
    assert!(kubectl.error("create -f redis.yaml").await.contains("services \"redis\" already exists"));
    assert!(
        kubectl
            .error("get pods -n default --field-selector spec.hostname=a")
            .await
            .contains("field label not supported")
    );
    let service = |spec: &str| format!("{{apiVersion: v1, kind: Service, metadata: {{name: bad}}, spec: {spec}}}");
    let unknown = kubectl.with_input("apply -f -", &service("{portz: []}")).await;
    assert!(!unknown.success && unknown.err.contains("unknown field \"spec.portz\""), "{}", unknown.err);
    let invalid = kubectl.with_input("apply -f -", &service("{ports: [{port: 0}]}")).await;
    assert!(!invalid.success && invalid.err.contains("spec.ports[0].port: Invalid value: 0"), "{}", invalid.err);
    let immutable = kubectl.error(r#"patch sts redis -p {"spec":{"serviceName":"x"}}"#).await;
    assert!(immutable.contains("updates to statefulset spec for fields other than"), "{immutable}");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn a_watch_prints_changes_as_they_happen() {
    let Some(kubectl) = Kubectl::start().await else { return };
    kubectl.out("apply -f redis.yaml").await;
    let mut child = kubectl.command("get pods -w").spawn().expect("kubectl starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = async || {
        let line = tokio::time::timeout(TIMEOUT, lines.next_line()).await.expect("a line").expect("readable");
        line.expect("not the end").split_whitespace().take(3).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(next().await, "NAME READY STATUS");
    assert_eq!(next().await, "redis-9 0/1 Running");
    kubectl.out(r#"patch pod redis-9 --subresource=status --type=merge -p {"status":{"phase":"Failed"}}"#).await;
    assert_eq!(next().await, "redis-9 0/1 Failed");
    child.kill().await.expect("kubectl ends");
    kubectl.sandbox.shutdown().await;
}

#[tokio::test]
async fn rollouts_and_waits_complete_with_controllers() {
    let Some(kubectl) = Kubectl::start_with(Options::default()).await else { return };
    kubectl.out("create namespace team").await;
    kubectl.out("apply -n team -f redis.yaml").await;
    kubectl.out("rollout status -n team sts redis --timeout=20s").await;
    // The set has adopted the bare Pod redis-9 and deletes it once the others are Ready.
    kubectl.out("wait -n team sts/redis --for=jsonpath={.status.replicas}=3 --timeout=20s").await;
    assert_eq!(row(&kubectl.out("get -n team sts").await, "redis")[1], "3/3");
    kubectl.out("scale -n team sts redis --replicas=1").await;
    kubectl.out("wait -n team --for=delete pod/redis-2 --timeout=20s").await;
    kubectl.out("wait -n team sts/redis --for=jsonpath={.status.replicas}=1 --timeout=20s").await;
    kubectl.out("rollout restart -n team sts redis").await;
    kubectl.out("rollout status -n team sts redis --timeout=20s").await;
    assert!(kubectl.out("rollout history -n team sts redis").await.contains("REVISION"));
    assert!(kubectl.out("get -n team endpointslices").await.contains("6379"));

    kubectl.out("create -n team deployment web --image=web:1 --replicas=2").await;
    kubectl.out("rollout status -n team deployment web --timeout=20s").await;
    kubectl.out("wait -n team --for=condition=Available deployment/web --timeout=20s").await;
    kubectl.out("delete namespace team --timeout=20s").await;
    let left = kubectl.run("get -n team pods,pvc,sts,endpoints,endpointslices,events").await;
    assert_eq!(left.err.lines().last(), Some("No resources found in team namespace."));
    kubectl.sandbox.shutdown().await;
}
