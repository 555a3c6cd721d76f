//! The sandbox on the command line: the flags of `serve --sandbox`, and the command `headless-dns sandbox`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueHint};
use kube_sandbox::kind::Kind;
use kube_sandbox::{Manifests, Options, controllers};

use super::log::Log;
use super::{commands, log};
use crate::app::{Load, Threads, cores};
use crate::config::{Config, ConfigError, Effective, LogFilter, LogFormat, Origin, Problem};

/// The default address of the sandbox's API: a free port each time, written to its kubeconfig.
const LISTEN: &str = "127.0.0.1:0";
/// Milliseconds that a Pod of the sandbox takes to become Ready, and to stop: long enough to watch, short enough to wait
/// for. `kubectl delete pod` reads the Pod twice before it waits; if the second read finds the Pod's successor, it waits
/// for ever.
const POD_DELAY: u64 = 300;

/// How long `serve` waits for the Pods of the manifests before it looks at the sandbox.
const SETTLE: Duration = Duration::from_secs(3);

/// The flags of `serve` for the sandbox.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sandbox")]
pub struct ServeSandbox {
    /// Serve a small built-in Kubernetes API instead of a cluster, filled with these manifests (files, directories, or `-` for the
    /// standard input): `--sandbox config/sandbox`
    #[arg(
        id = "sandbox",
        long = "sandbox",
        value_name = "PATH",
        num_args = 1..,
        conflicts_with_all = ["kubeconfig", "context"],
        value_hint = ValueHint::AnyPath
    )]
    pub manifests: Vec<PathBuf>,
    /// Where to write the kubeconfig of the sandbox [default: a temporary file, named in the log]
    #[arg(
        id = "sandbox_kubeconfig",
        long = "sandbox-kubeconfig",
        value_name = "FILE",
        requires = "sandbox",
        value_hint = ValueHint::FilePath
    )]
    pub kubeconfig: Option<PathBuf>,
}

impl ServeSandbox {
    /// Refuses a cluster set by the file or a variable; clap refuses one set by a flag.
    pub fn check(&self, effective: &Effective) -> Result<(), ConfigError> {
        let named = ["kubeconfig", "context"].map(|key| (key, effective.origin(key)));
        let message = "found a cluster together with --sandbox; use one or the other";
        let problems: Vec<Problem> = named
            .into_iter()
            .filter(|(_, origin)| !self.manifests.is_empty() && **origin != Origin::Default)
            .map(|(key, origin)| Problem::new(origin.clone(), key.to_owned(), message))
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

/// `headless-dns sandbox`
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Sandbox {
    /// Manifests to apply at the start: files, directories, or `-` for the standard input
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub manifests: Vec<PathBuf>,
    /// Loopback address of the API; port 0 picks a free port
    #[arg(long, value_name = "ADDRESS:PORT", default_value = LISTEN, value_parser = loopback)]
    pub listen: SocketAddr,
    /// Where to write the kubeconfig [default: a temporary file, whose name is printed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig_out: Option<PathBuf>,
    /// How long a Pod takes to become Ready
    #[arg(long, value_name = "MILLISECONDS", default_value_t = POD_DELAY)]
    pub pod_start_delay: u64,
    /// How long a Pod takes to stop
    #[arg(long, value_name = "MILLISECONDS", default_value_t = POD_DELAY)]
    pub pod_stop_delay: u64,
    /// What to log: a level, or directives such as `info,kube_sandbox=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogFilter,
}

const EXAMPLES: &str = "\
Examples:
  headless-dns sandbox config/sandbox --kubeconfig-out /tmp/sandbox.yaml
  helm template db ./chart | headless-dns sandbox -
  kubectl --kubeconfig /tmp/sandbox.yaml get pods
  headless-dns serve --kubeconfig /tmp/sandbox.yaml";

impl Sandbox {
    /// Runs the sandbox until a signal stops the process.
    pub async fn run(self) -> anyhow::Result<String> {
        log::init(&self.log_level, LogFormat::Text)?;
        // Before signals are handled: the standard input may never end.
        let manifests = Manifests::read(&self.manifests)?;
        let stop = commands::stop_signals()?;
        let controllers = pods(self.pod_start_delay, self.pod_stop_delay);
        let options = Options { listen: self.listen, controllers: Some(controllers), ..Options::default() };
        let sandbox = Running::start(options, self.kubeconfig_out, &manifests).await?;
        tracing::info!(
            "try: kubectl --kubeconfig {} get pods --all-namespaces --watch",
            sandbox.kubeconfig.path.display()
        );
        stop.requested().await;
        sandbox.api.shutdown().await;
        tracing::info!("stopped");
        Ok(String::new())
    }
}

/// Serves the configured cluster, or the sandbox if `flags` ask for it. The sandbox is reached through its kubeconfig like
/// any other cluster.
pub async fn serve(flags: ServeSandbox, config: Config, load: Load, log: Log) -> anyhow::Result<String> {
    if flags.manifests.is_empty() {
        return commands::answer(config, load, log, || {}).await;
    }
    let options = Options { controllers: Some(pods(POD_DELAY, POD_DELAY)), ..Options::default() };
    let manifests = Manifests::read(&flags.manifests)?;
    // As another process would have them.
    let threads = Threads::new("sandbox", cores())?;
    let starting = async move {
        let sandbox = Running::start(options, flags.kubeconfig, &manifests).await?;
        // A cluster that one comes to has its Pods.
        sandbox.api.settled(SETTLE).await;
        anyhow::Ok(sandbox)
    };
    let sandbox = threads.spawn(starting).await??;
    let path = sandbox.kubeconfig.path.clone();
    let of_sandbox = move |config| Config { kubeconfig: Some(path.clone()), ..config };
    let (config, load) = (of_sandbox(config), Box::new(move || load().map(&of_sandbox)));
    let commands = sandbox.commands_to_try(&config);
    let try_them = || commands.iter().for_each(|command| tracing::info!("try: {command}"));
    let answered = commands::answer(config, load, log, try_them).await;
    sandbox.api.shutdown().await;
    answered
}

/// Options of controllers whose Pods take `start` and `stop` milliseconds to start and to stop.
fn pods(start: u64, stop: u64) -> controllers::Options {
    controllers::Options {
        pod_start_delay: Duration::from_millis(start),
        pod_stop_delay: Duration::from_millis(stop),
        ..controllers::Options::default()
    }
}

/// A sandbox with manifests applied, and its kubeconfig on disk.
struct Running {
    api: kube_sandbox::Sandbox,
    kubeconfig: KubeconfigFile,
}

/// A kubeconfig at a path that the user chose is kept; a temporary one is deleted on drop.
struct KubeconfigFile {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Running {
    async fn start(options: Options, kubeconfig: Option<PathBuf>, manifests: &Manifests) -> anyhow::Result<Self> {
        let api = kube_sandbox::Sandbox::start(options).await?;
        let kubeconfig = match kubeconfig {
            Some(path) => KubeconfigFile { path, _temporary: None },
            None => {
                let folder = tempfile::Builder::new().prefix("headless-dns-sandbox-").tempdir()?;
                KubeconfigFile { path: folder.path().join("kubeconfig"), _temporary: Some(folder) }
            }
        };
        let path = kubeconfig.path.display().to_string();
        api.write_kubeconfig(&kubeconfig.path)
            .with_context(|| format!("cannot write the sandbox's kubeconfig {path}"))?;
        let objects = api.apply_read(manifests)?;
        tracing::info!(
            api = %format_args!("http://{}", api.address()),
            kubeconfig = path,
            objects,
            "the sandbox is up: a small Kubernetes API in this process, whose Pods run no containers"
        );
        Ok(Self { api, kubeconfig })
    }

    /// What to type next: how to ask for the first member of a headless Service, and how to see the Pods.
    fn commands_to_try(&self, config: &Config) -> Vec<String> {
        let member = config.zones.first().zip(self.first_member());
        let server = config.listen.first().filter(|address| address.port() != 0);
        let dig = server.zip(member).map(|(server, (zone, member))| {
            let zone = zone.to_string();
            format!("dig @{} -p {} {member}.svc.{}", server.ip(), server.port(), zone.trim_end_matches('.'))
        });
        let path = self.kubeconfig.path.display();
        dig.into_iter().chain([format!("kubectl --kubeconfig {path} get pods --watch")]).collect()
    }

    /// `db-0.db.default`: a Pod with a name of its own below a Service that there is.
    fn first_member(&self) -> Option<String> {
        let store = self.api.store();
        let (_, pods) = store.list(Kind::Pod, None);
        pods.iter().find_map(|pod| {
            let text = |part: &str, field: &str| pod[part][field].as_str();
            let (namespace, service) = (text("metadata", "namespace")?, text("spec", "subdomain")?);
            store.get(Kind::Service, namespace, service)?;
            Some(format!("{}.{service}.{namespace}", text("spec", "hostname")?))
        })
    }
}

/// The API has no authentication, so it must not be reachable from other machines.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err("expected a loopback address with a port, such as 127.0.0.1:6443".to_owned()),
    }
}
