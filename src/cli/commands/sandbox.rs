//! The commands that play a cluster.

use std::path::PathBuf;
use std::time::Duration;

use crate::cli::log;
use crate::cli::{self, POD_DELAY, ServeSandbox};
use crate::config::{Config, LogFormat};
use anyhow::Context;
use kube_sandbox::{Options, Sandbox, controllers};

use super::{answer, stop_signals};

/// `headless-dns serve --sandbox`: the sandbox takes the place of the cluster, reached over its kubeconfig as any other.
pub async fn serve(flags: ServeSandbox, config: Config) -> anyhow::Result<String> {
    let options = Options { controllers: Some(pods(POD_DELAY, POD_DELAY)), ..Options::default() };
    let sandbox = Started::start(options, flags.kubeconfig, &flags.manifests).await?;
    let answered = answer(Config { kubeconfig: Some(sandbox.kubeconfig.path.clone()), ..config }).await;
    sandbox.api.shutdown().await;
    answered
}

/// `headless-dns sandbox`
pub async fn sandbox(command: cli::Sandbox) -> anyhow::Result<String> {
    log::init(&command.log_level, LogFormat::Text)?;
    let stop = stop_signals()?;
    let controllers = pods(command.pod_start_delay, command.pod_stop_delay);
    let options = Options { listen: command.listen, controllers: Some(controllers), ..Options::default() };
    let sandbox = Started::start(options, command.kubeconfig_out, &command.manifests).await?;
    stop.begun().await;
    sandbox.api.shutdown().await;
    tracing::info!("stopped");
    Ok(String::new())
}

/// Controllers whose Pods take so many milliseconds to start and to stop.
fn pods(start: u64, stop: u64) -> controllers::Options {
    controllers::Options {
        pod_start_delay: Duration::from_millis(start),
        pod_stop_delay: Duration::from_millis(stop),
        ..controllers::Options::default()
    }
}

/// A sandbox with manifests applied, and its kubeconfig on disk.
struct Started {
    api: Sandbox,
    kubeconfig: KubeconfigFile,
}

/// A kubeconfig that was asked for by name stays; one of our own goes with us.
struct KubeconfigFile {
    path: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Started {
    async fn start(options: Options, kubeconfig: Option<PathBuf>, manifests: &[PathBuf]) -> anyhow::Result<Self> {
        let api = Sandbox::start(options).await?;
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
        let objects = api.apply(manifests)?;
        tracing::info!(api = %api.address(), objects, "the sandbox is up; try: kubectl --kubeconfig {path} get pods -A -w");
        Ok(Self { api, kubeconfig })
    }
}
