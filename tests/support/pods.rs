//! A node and a Pod on it, as network namespaces, and containers in them. The cluster's DNS is Knot, at the address of its
//! Service; the API is the sandbox.
//!
//! ```text
//!   Pod 10.77.0.2 ────cable──── 10.77.0.1 node, with the cluster's DNS at 10.96.0.10
//! ```
//!
//! This needs the rights of root; a container has those that its manifest gives it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_yaml_ng::Value;
use tempfile::TempDir;

use crate::support::container::Container;
use crate::support::network::Network;
use crate::support::peers::{Ran, Running, command, missing, output_of, run, until};

/// Where the manifests say that the cluster's DNS is.
const CLUSTER_DNS: &str = "10.96.0.10";
const PROGRAM: &str = env!("CARGO_BIN_EXE_headless-dns");

/// What the cluster's DNS knows of the world.
const WORLD: &str = "$ORIGIN .
@ 60 SOA ns. host. 1 3600 600 86400 60
@ 60 NS ns.
ns 60 A 10.96.0.10
www.example.com. 60 A 192.0.2.80
";
/// What it knows of the cluster: names that no other server here has.
const CLUSTER: &str = "$ORIGIN cluster.local.
@ 60 SOA ns.dns host 1 3600 600 86400 5
@ 60 NS ns.dns
ns.dns 60 A 10.96.0.10
kubernetes.default.svc 5 A 10.96.0.1
web.other.svc 5 A 10.96.7.7
";

#[derive(Clone, Copy)]
pub enum Side {
    Node,
    Pod,
}

impl Side {
    pub const fn address(self) -> &'static str {
        match self {
            Self::Node => "10.77.0.1",
            Self::Pod => "10.77.0.2",
        }
    }
}

pub struct Pods {
    network: Network,
    folder: TempDir,
    /// What ends with the value.
    running: Vec<Running>,
}

impl Pods {
    /// A Pod with this resolv.conf, and its node. None if this machine cannot have them; that is reported.
    pub fn new(resolv_conf: &str) -> Option<Self> {
        if missing(&["ip", "kubectl", "knotd", "capsh", "setcap", "busybox"]) {
            return None;
        }
        let network = Network::new()?;
        let mut pods = Self { network, folder: tempfile::tempdir().expect("a temporary folder"), running: Vec::new() };
        // The users of containers read it.
        allow(pods.folder.path(), 0o755);
        for name in ["etc", "busybox", "dns"] {
            fs::create_dir(pods.path(name)).expect("made");
        }
        pods.write("etc/resolv.conf", resolv_conf);
        pods.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: dns\n");
        pods.make_images();
        output_of(pods.command(Side::Node, "ip").args(["addr", "add", CLUSTER_DNS, "dev", "lo"]));
        output_of(pods.command(Side::Pod, "ip").args(["route", "add", "default", "via", Side::Node.address()]));
        pods.start_dns();
        Some(pods)
    }

    /// The programs of the images: ours with the capability that the Dockerfile gives it, and busybox's.
    fn make_images(&self) {
        let program = self.path("headless-dns");
        fs::copy(PROGRAM, &program).expect("copied");
        allow(&program, 0o755);
        output_of(command("setcap").arg("cap_net_bind_service=+p").arg(program));
        output_of(command("busybox").args(["--install", "-s"]).arg(self.path("busybox")));
    }

    fn start_dns(&mut self) {
        self.write("dns/world.zone", WORLD);
        self.write("dns/cluster.zone", CLUSTER);
        let folder = self.path("dns").display().to_string();
        let configuration = format!(
            "server:\n  listen: {CLUSTER_DNS}@53\n  rundir: {folder}\n\
             database:\n  storage: {folder}\n\
             log:\n  - target: stderr\n    any: info\n\
             template:\n  - id: default\n    storage: {folder}\n\
             zone:\n  - domain: .\n    file: world.zone\n  - domain: cluster.local\n    file: cluster.zone\n"
        );
        self.write("dns/knot.conf", &configuration);
        let knot = Running::start(self.command(Side::Node, "knotd").arg("--config").arg(self.path("dns/knot.conf")));
        until_said(&knot, "server started");
        self.running.push(knot);
    }

    /// Starts an API with these objects, on the loopback of one side.
    pub fn start_api(&mut self, side: Side, objects: &[Value]) {
        let documents = objects.iter().map(|object| serde_yaml_ng::to_string(object).expect("YAML"));
        self.write("objects.yaml", &documents.collect::<Vec<_>>().join("---\n"));
        let kubeconfig = self.path("kubeconfig");
        let api = &mut self.command(side, PROGRAM);
        let api = api.arg("sandbox").arg(self.path("objects.yaml")).arg("--kubeconfig-out").arg(&kubeconfig);
        self.running.push(Running::start(api));
        let is_written = || fs::read_to_string(&kubeconfig).is_ok_and(|text| text.contains("server:"));
        until("a kubeconfig", || is_written().then_some(()));
        allow(&kubeconfig, 0o644);
    }

    /// What kubectl prints.
    pub fn kubectl(&self, side: Side, arguments: &[&str]) -> String {
        let kubectl = &mut self.command(side, "kubectl");
        output_of(
            kubectl.arg("--kubeconfig").arg(self.path("kubeconfig")).args(arguments).env("HOME", self.folder.path()),
        )
    }

    /// Sets the sysctls of a Pod.
    pub fn set_sysctls(&self, pod: &Value) {
        for sysctl in pod["securityContext"]["sysctls"].as_sequence().into_iter().flatten() {
            let [name, value] = ["name", "value"].map(|key| sysctl[key].as_str().expect("text"));
            let file = format!("/proc/sys/{}", name.replace('.', "/"));
            output_of(self.command(Side::Pod, "sh").args(["-c", "echo \"$0\" >\"$1\"", value, &file]));
        }
    }

    /// Starts a container. Its variables are the manifest's, these, and the one that names the API.
    pub fn start(&self, side: Side, container: &Container, variables: &[(&str, &str)]) -> Running {
        let (program, path) = match container.command() {
            None => (self.path("headless-dns"), String::new()),
            Some(name) => (self.path("busybox").join(name), self.path("busybox").display().to_string()),
        };
        let kubeconfig = ("HEADLESS_DNS_KUBECONFIG".to_owned(), self.path("kubeconfig").display().to_string());
        let shell =
            format!("{}capsh=$(command -v capsh)\nexport PATH='{path}'\nexec $capsh \"$@\"", container.mounts());
        let mut command = self.after(side, &shell);
        command.envs(container.environment(Side::Node.address())).envs([kubeconfig]).envs(variables.iter().copied());
        command.args(container.privileges()).arg(format!("--shell={}", program.display())).arg("--");
        Running::start(command.args(container.arguments()))
    }

    /// Runs a program of the Pod's, with the Pod's resolv.conf.
    pub fn run_in_pod(&self, program: &str, arguments: &[&str]) -> Ran {
        run(self.application(program).args(arguments))
    }

    /// The same beside the test.
    pub fn start_in_pod(&self, program: &str, arguments: &[&str]) -> Running {
        Running::start(self.application(program).args(arguments))
    }

    fn application(&self, program: &str) -> Command {
        let etc = self.path("etc").display().to_string();
        let shell =
            format!("for file in '{etc}'/*; do mount --bind \"$file\" \"/etc/${{file##*/}}\"; done\nexec \"$@\"");
        let mut command = self.after(Side::Pod, &shell);
        command.arg(program).env("HOME", self.folder.path());
        command
    }

    /// What a probe finds when the kubelet asks.
    pub fn probe(&self, side: Side, probe: &Value) -> Ran {
        let get = &probe["httpGet"];
        let (port, path) = (get["port"].as_u64().expect("a number"), get["path"].as_str().expect("a path"));
        let url = format!("http://{}:{port}{path}", side.address());
        run(self.command(Side::Node, "busybox").args(["wget", "-q", "-O", "-", &url]))
    }

    /// Runs a shell command on the node, with busybox's programs.
    pub fn run_on_node(&self, shell: &str) -> Ran {
        let shell = format!("export PATH='{}'\n{shell}", self.path("busybox").display());
        run(self.command(Side::Node, "busybox").args(["sh", "-c", &shell]))
    }

    /// A command on one side, with the rights of root.
    fn command(&self, side: Side, program: &str) -> Command {
        let namespace = match side {
            Side::Node => &self.network.server,
            Side::Pod => &self.network.clients,
        };
        let mut command = command("nsenter");
        command.arg(format!("--net={}", namespace.file())).arg(program);
        command
    }

    /// A script on one side, in a mount namespace of its own. It takes the arguments that are added.
    fn after(&self, side: Side, shell: &str) -> Command {
        let mut command = self.command(side, "unshare");
        command.args(["--mount", "sh", "-e", "-c", shell, "sh"]);
        command
    }

    /// Makes a file, and returns where it is.
    pub fn file(&self, name: &str, text: &str) -> String {
        self.write(name, text);
        self.path(name).display().to_string()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }
}

/// Waits until a program has printed this.
pub fn until_said(running: &Running, what: &str) {
    running.until(what, |lines| lines.iter().any(|line| line.text.contains(what)).then_some(()));
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}
