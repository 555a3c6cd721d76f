//! The part of the command line that is about the built-in Kubernetes API.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueHint};

use crate::config::{ConfigError, Effective, Origin, Problem};

/// The address at which the sandbox's API listens unless told otherwise: a free port each time, named in its
/// kubeconfig.
const LISTEN: &str = "127.0.0.1:0";
/// Milliseconds that a Pod of the sandbox takes to become Ready, and to stop: long enough to watch, short enough to wait
/// for. `kubectl delete pod` looks at the Pod twice before it waits, and where it finds the next Pod of the name the second
/// time, it waits for ever.
pub const POD_DELAY: u64 = 300;

/// The flags of `serve` for the sandbox.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sandbox")]
pub struct ServeSandbox {
    /// Serve a small Kubernetes API inside this process in place of a cluster, filled from these files and folders of
    /// manifests: `--sandbox config/sandbox`
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
    /// Refuses a cluster that the file or a variable names; one that a flag names is refused by clap.
    pub(super) fn check(&self, effective: &Effective) -> Result<(), ConfigError> {
        let named = ["kubeconfig", "context"].map(|key| (key, effective.origin(key)));
        let message = "found a cluster together with --sandbox, which is one itself, allowed is either of them";
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
    /// Files and folders of manifests to apply at the start
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub manifests: Vec<PathBuf>,
    /// Loopback address to serve the API on; port 0 is any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = LISTEN, value_parser = loopback)]
    pub listen: SocketAddr,
    /// Where to write the kubeconfig [default: a temporary file, whose name is printed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig_out: Option<PathBuf>,
    /// Time from a Pod's creation to its being Ready
    #[arg(long, value_name = "MILLISECONDS", default_value_t = POD_DELAY)]
    pub pod_start_delay: u64,
    /// Time that a Pod takes to stop
    #[arg(long, value_name = "MILLISECONDS", default_value_t = POD_DELAY)]
    pub pod_stop_delay: u64,
    /// What is logged: a level, or directives such as `info,kube_sandbox=debug`
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

const EXAMPLES: &str = "\
Examples:
  headless-dns sandbox config/sandbox --kubeconfig-out /tmp/sandbox.yaml
  kubectl --kubeconfig /tmp/sandbox.yaml get pods
  headless-dns serve --kubeconfig /tmp/sandbox.yaml";

/// The API asks nobody for a password, so only this machine may reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        _ => Err("allowed is a loopback address with a port, such as 127.0.0.1:6443".to_owned()),
    }
}
