//! The command line.
//!
//! The flags of the options are not written down here: `flags.rs` makes them from the declarations in
//! [`crate::config`]. Exit codes: 0 fine, 1 failed while running, 2 the command line or the configuration is not valid.

pub mod commands;
mod flags;
pub mod log;
#[cfg(feature = "sandbox")]
mod sandbox;

use std::ffi::OsString;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use flags::{AskOptions, ExportOptions, ServeOptions};
#[cfg(feature = "sandbox")]
pub use sandbox::{POD_DELAY, Sandbox, ServeSandbox};

use crate::config::{ConfigError, Effective, Problem, documented_defaults};
use crate::dns::name::{Name, NameError};

/// The process did what it was asked to.
pub const EXIT_OK: u8 = 0;
/// Something failed while running.
pub const EXIT_FAILURE: u8 = 1;
/// The command line or the configuration is not valid. It is clap's code as well.
pub const EXIT_USAGE: u8 = 2;

/// Authoritative DNS for Kubernetes headless Services: every Pod of a StatefulSet by its own name.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Serve the cluster of the current kubeconfig on 127.0.0.1:5300, then ask:
    headless-dns serve
    dig @127.0.0.1 -p 5300 db-0.db.default.svc.cluster.local +short      one Pod of a StatefulSet
    dig @127.0.0.1 -p 5300 db.default.svc.cluster.local +short           every ready Pod
    dig @127.0.0.1 -p 5300 _pg._tcp.db.default.svc.cluster.local SRV     ports and names
    dig @127.0.0.1 -p 5300 -x 10.1.0.10 +short                           the name of an address
  See what is wrong with a configuration, or what results from it:
    headless-dns check-config --config headless-dns.toml --print
  Every option can be set by a file, a variable or a flag: `headless-dns serve --help`.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a cluster and answer DNS questions about it
    Serve(Serve),
    /// Run the built-in small Kubernetes API alone, for kubectl and for trying things out
    #[cfg(feature = "sandbox")]
    Sandbox(Sandbox),
    /// Check a configuration without running it
    CheckConfig(CheckConfig),
    /// Print the records of a zone as a zone file
    Export(Export),
    /// Tell why a name resolves or does not, from the Service and its Pods to the answer
    Explain(Explain),
    /// Print a completion script for a shell
    Completions(Completions),
}

/// `headless-dns serve`
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// The options.
    #[command(flatten)]
    pub options: ServeOptions,
    /// The sandbox in place of a cluster.
    #[cfg(feature = "sandbox")]
    #[command(flatten)]
    pub sandbox: ServeSandbox,
}

impl Serve {
    /// The configuration to serve with.
    pub fn load(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Effective, ConfigError> {
        let effective = self.options.load(environment)?;
        #[cfg(feature = "sandbox")]
        self.sandbox.check(&effective)?;
        Ok(effective)
    }
}

const SERVE_EXAMPLES: &str = "\
Examples:
  headless-dns serve --namespace db --namespace cache         with a Role in two namespaces
  headless-dns serve --listen 0.0.0.0:53 --listen '[::]:53'   every address of the machine
  HEADLESS_DNS_TTL=30 headless-dns serve                      the same option as --ttl 30";

/// `headless-dns check-config`
#[derive(Args, Debug)]
pub struct CheckConfig {
    /// The options, so that flags can be tried out as well.
    #[command(flatten)]
    pub options: ServeOptions,
    /// Print the effective configuration, and where each value came from
    #[arg(long)]
    pub print: bool,
    /// Print the documented defaults, as a file to start from
    #[arg(long, conflicts_with = "print")]
    pub defaults: bool,
}

impl CheckConfig {
    /// What to print if the configuration is valid.
    pub fn run(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<String, ConfigError> {
        if self.defaults {
            return Ok(documented_defaults());
        }
        let effective = self.options.load(environment)?;
        Ok(if self.print { effective.to_toml() } else { "OK\n".to_owned() })
    }
}

/// `headless-dns export`
#[derive(Args, Debug)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct Export {
    /// The options that matter here; the others come from the file and the environment.
    #[command(flatten)]
    pub options: ExportOptions,
    /// Zone to print, forward or reverse [default: the first zone of the configuration]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// Read the cluster directly rather than ask the running server at the admin address
    #[arg(long)]
    pub from_cluster: bool,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  headless-dns export                                         from the server at 127.0.0.1:8053
  headless-dns export --admin 10.0.0.5:8053 --zone 10.in-addr.arpa
  headless-dns export --from-cluster --context staging        no running server needed";

impl Export {
    /// The configuration to export with, and the zone to print. A zone that is asked for is a zone that is served,
    /// whatever the configuration says.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Effective, String), ConfigError> {
        let reverse = |zone: &str| zone.trim_end_matches('.').to_ascii_lowercase().ends_with(".arpa");
        let asked = self.zone.as_ref().map(|zone| {
            let key = if reverse(zone) { "reverse_zones" } else { "zones" };
            (key, vec![zone.clone()])
        });
        let effective = self.options.load_with(environment, asked.clone())?;
        if effective.config.admin.is_none() && !self.from_cluster {
            let message =
                "found off, so there is no server to ask; allowed is ADDRESS:PORT, or --from-cluster beside it";
            return Err(no_admin(&effective, message));
        }
        let zones = match asked {
            Some(("reverse_zones", _)) => &effective.config.reverse_zones,
            _ => &effective.config.zones,
        };
        let zone = zones.first().cloned().unwrap_or_default();
        Ok((effective, zone))
    }
}

/// `headless-dns explain`
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct Explain {
    /// The options that matter here; the others come from the file and the environment.
    #[command(flatten)]
    pub options: AskOptions,
    /// The name, fully qualified
    #[arg(value_name = "NAME", value_parser = domain_name)]
    pub name: String,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  headless-dns explain pg-0.pg.db.svc.cluster.local
  headless-dns explain 10.0.1.10.in-addr.arpa --admin 10.0.0.5:8053
  kubectl exec deploy/headless-dns -- headless-dns explain pg.db.svc.cluster.local

It asks a running server at its admin address. The exit code is 0 where the name has records, 1 where it has none.";

impl Explain {
    /// The configuration to ask with.
    pub fn load(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Effective, ConfigError> {
        let effective = self.options.load(environment)?;
        if effective.config.admin.is_none() {
            return Err(no_admin(&effective, "found off, so there is no server to ask; allowed is ADDRESS:PORT"));
        }
        Ok(effective)
    }
}

fn domain_name(text: &str) -> Result<String, NameError> {
    Name::parse(text).map(|name| name.to_string())
}

/// Why a server cannot be asked.
fn no_admin(effective: &Effective, message: &str) -> ConfigError {
    let problem = Problem::new(effective.origin("admin").clone(), "admin".to_owned(), message);
    ConfigError { problems: vec![problem] }
}

/// `headless-dns completions`
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

impl Completions {
    /// The script.
    pub fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
        script
    }
}

/// An error and what caused it, as one message for the terminal. What the message says already is not said again.
pub fn render_error(error: &dyn std::error::Error) -> String {
    let mut message = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message += &format!(": {text}");
        }
        cause = error.source();
    }
    message
}

#[cfg(test)]
mod tests;
