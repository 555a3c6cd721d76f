//! The command line.
//!
//! The flags of the options are generated in `flags.rs` from the declarations in [`crate::config`]. Exit codes: 0 success,
//! 1 failure at run time, 2 invalid command line or configuration.

pub mod commands;
mod flags;
pub mod log;
mod man;
#[cfg_attr(not(feature = "sandbox"), path = "no_sandbox.rs")]
mod sandbox;

use std::env::vars_os;
use std::ffi::OsString;
use std::net::IpAddr;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use flags::{AskOptions, ExportOptions, ServeOptions};
pub use man::Man;
#[cfg(feature = "sandbox")]
pub use sandbox::Sandbox;
pub use sandbox::ServeSandbox;

use crate::app::{Budget, FileProblem, check_files};
use crate::config::{Config, ConfigError, Effective, Origin, Problem, documented_defaults};
use crate::dns::name::{Name, NameError};

/// Success.
pub const EXIT_OK: u8 = 0;
/// Failure at run time.
pub const EXIT_FAILURE: u8 = 1;
/// Invalid command line or configuration. clap uses the same code.
pub const EXIT_USAGE: u8 = 2;
/// A name cannot be explained, while [`EXIT_FAILURE`] says that it has no records.
pub const EXIT_UNEXPLAINED: u8 = 2;

/// Authoritative DNS for Kubernetes headless Services: every Pod of a StatefulSet resolves by its own name.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Serve the cluster of the current kubeconfig on 127.0.0.1:5300, then query it:
    headless-dns serve
    dig @127.0.0.1 -p 5300 db-0.db.default.svc.cluster.local +short      one Pod of a StatefulSet
    dig @127.0.0.1 -p 5300 db.default.svc.cluster.local +short           all ready Pods
    dig @127.0.0.1 -p 5300 _pg._tcp.db.default.svc.cluster.local SRV     their ports and names
    dig @127.0.0.1 -p 5300 -x 10.1.0.10 +short                           the name of an address
  Check a configuration and print the effective values:
    headless-dns check-config --config headless-dns.toml --print
  Every option can be set in a file, by a variable or by a flag: see `headless-dns serve --help`.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch a cluster and answer DNS queries about it
    Serve(Serve),
    /// Run only the small built-in Kubernetes API, for kubectl and experiments
    #[cfg(feature = "sandbox")]
    Sandbox(Sandbox),
    /// Check a configuration and the files that it names, without serving
    CheckConfig(CheckConfig),
    /// Print the records of a zone as a zone file
    Export(Export),
    /// Explain why a name resolves or does not, from its Service and Pods to the answer
    Explain(Explain),
    /// Make a running server load its configuration anew
    Reload(Reload),
    /// Print a shell completion script
    Completions(Completions),
    /// Print the manual page, or write those of all commands
    Man(Man),
}

/// `headless-dns serve`
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub struct Serve {
    /// The options.
    #[command(flatten)]
    pub options: ServeOptions,
    /// Flags of the sandbox, if the build has it.
    #[command(flatten)]
    pub sandbox: ServeSandbox,
}

impl Serve {
    /// Loads the configuration.
    pub fn load(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Effective, ConfigError> {
        let effective = self.options.load(environment)?;
        self.sandbox.check(&effective)?;
        budget(&effective)?;
        Ok(effective)
    }

    /// Serves until a signal stops the process.
    ///
    /// # Errors
    /// The server cannot start, or a part of it failed.
    pub async fn run(self, config: Config) -> anyhow::Result<String> {
        let log = log::init(&config.log_level, config.log_format)?;
        commands::take_signals()?;
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let Self { options, sandbox } = self;
        // The variables are those of the start: nobody can change them in another process.
        let load = move || {
            let effective = options.load(vars_os())?;
            budget(&effective)?;
            files(&effective)?;
            Ok(effective.config)
        };
        sandbox::serve(sandbox, config, Box::new(load), log).await
    }
}

const SERVE_EXAMPLES: &str = "\
Examples:
  headless-dns serve --namespace db --namespace cache         two namespaces, with a Role in each
  headless-dns serve --listen 0.0.0.0:53 --listen '[::]:53'   all addresses of the machine
  HEADLESS_DNS_TTL=30 headless-dns serve                      the same as --ttl 30";

/// `headless-dns check-config`
#[derive(Args, Debug)]
pub struct CheckConfig {
    /// All options, so that flags can be checked too.
    #[command(flatten)]
    pub options: ServeOptions,
    /// Print the effective configuration and the source of each value
    #[arg(long)]
    pub print: bool,
    /// Print the documented defaults, to start a configuration file from
    #[arg(long, conflicts_with = "print")]
    pub defaults: bool,
}

impl CheckConfig {
    /// Returns what to print if the configuration is valid and its files can be used: that it is so, and what memory it may take.
    pub fn run(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<String, ConfigError> {
        if self.defaults {
            return Ok(documented_defaults());
        }
        let effective = self.options.load(environment)?;
        if self.print {
            return Ok(effective.to_toml());
        }
        let budget = budget(&effective)?;
        files(&effective)?;
        let warnings = effective.config.warnings().into_iter().chain(budget.warning());
        let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
        Ok(format!("OK\n\nmemory that the server may take at most:\n{budget}{warnings}"))
    }
}

/// `headless-dns export`
#[derive(Args, Debug)]
#[command(after_help = EXPORT_EXAMPLES)]
pub struct Export {
    /// The options of this command; the others come from the file and the environment.
    #[command(flatten)]
    pub options: ExportOptions,
    /// Zone to print, forward or reverse [default: the first configured zone]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,
    /// Read the cluster directly instead of asking the server at the admin address
    #[arg(long)]
    pub from_cluster: bool,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  headless-dns export                                         from the server at 127.0.0.1:8053
  headless-dns export --admin 10.0.0.5:8053 --zone 10.in-addr.arpa
  headless-dns export --from-cluster --context staging        without a running server";

impl Export {
    /// Loads the configuration and the zone to print. A zone given by `--zone` replaces the configured zones, unless it is the
    /// public view.
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(Effective, Name), ConfigError> {
        let reverse = |zone: &str| zone.trim_end_matches('.').to_ascii_lowercase().ends_with(".arpa");
        let asked = self.zone.as_ref().map(|zone| {
            let key = if reverse(zone) { "reverse_zones" } else { "zones" };
            (key, vec![zone.clone()])
        });
        let environment: Vec<_> = environment.into_iter().collect();
        let configured = self.options.load(environment.iter().cloned())?;
        let public = configured
            .config
            .public_origin
            .clone()
            .filter(|origin| self.zone.as_deref().and_then(|zone| Name::parse(zone).ok()).as_ref() == Some(origin));
        let effective = match &asked {
            Some(zone) if public.is_none() => self.options.load_with(environment, Some(zone.clone()))?,
            _ => configured,
        };
        if effective.config.admin.is_none() && !self.from_cluster {
            return Err(no_admin(&effective, "found off; expected ADDRESS:PORT, or use --from-cluster"));
        }
        let zones = match asked {
            Some(("reverse_zones", _)) => &effective.config.reverse_zones,
            _ => &effective.config.zones,
        };
        match public.or_else(|| zones.first().cloned()) {
            Some(zone) => Ok((effective, zone)),
            None => {
                Err(ConfigError { problems: vec![Problem::new(Origin::Default, None, "there is no zone to print")] })
            }
        }
    }
}

/// `headless-dns explain`
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct Explain {
    /// The options of this command; the others come from the file and the environment.
    #[command(flatten)]
    pub options: AskOptions,
    /// A name, its beginning as programs in a Pod write it, or an address
    #[arg(value_name = "NAME|ADDRESS", value_parser = name_or_address)]
    pub name: String,
}

/// Checks what is to be explained. The server finds out what it means.
fn name_or_address(text: &str) -> Result<String, NameError> {
    if text.parse::<IpAddr>().is_err() {
        Name::parse(text)?;
    }
    Ok(text.to_owned())
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  headless-dns explain pg-0.pg.db.svc.cluster.local
  headless-dns explain pg-0.pg.db                             the same
  headless-dns explain redis                                  a Service, in whichever namespace it is
  headless-dns explain 10.1.0.10 --admin 10.0.0.5:8053        the names of an address
  kubectl exec deploy/headless-dns -- headless-dns explain pg.db.svc.cluster.local

The command asks a running server at its admin address. The exit code is 0 if the name has records, 1 if it has none, and 2 if that
cannot be found out.";

impl Explain {
    /// Loads the configuration.
    pub fn load(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Effective, ConfigError> {
        of_running_server(self.options.load(environment)?)
    }
}

/// `headless-dns reload`
#[derive(Args, Debug)]
#[command(after_help = RELOAD_NOTES)]
pub struct Reload {
    /// The options of this command; the others come from the file and the environment.
    #[command(flatten)]
    pub options: AskOptions,
}

const RELOAD_NOTES: &str = "\
It asks the server at the admin address, from the same machine or Pod, and prints what has changed and what needs a restart. If the
configuration is not valid, nothing changes, and the exit code is 1. SIGHUP does the same, with its report in the log.
`headless-dns check-config --defaults` says which options are reloadable.";

impl Reload {
    /// Loads the configuration.
    pub fn load(&self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Effective, ConfigError> {
        of_running_server(self.options.load(environment)?)
    }
}

/// The configuration, if it says where a running server can be asked.
fn of_running_server(effective: Effective) -> Result<Effective, ConfigError> {
    if effective.config.admin.is_none() {
        return Err(no_admin(&effective, "found off; expected ADDRESS:PORT of a running server"));
    }
    Ok(effective)
}

/// What memory the configuration may take; a problem if that is more than it says.
fn budget(effective: &Effective) -> Result<Budget, ConfigError> {
    const LIMIT: &str = "memory_limit";
    let budget = Budget::of(&effective.config);
    match budget.refusal() {
        None => Ok(budget),
        Some(message) => {
            let problem = Problem::new(effective.origin(LIMIT).clone(), LIMIT.to_owned(), message);
            Err(ConfigError { problems: vec![problem] })
        }
    }
}

/// Opens the files that the configuration names.
fn files(effective: &Effective) -> Result<(), ConfigError> {
    let problem = |FileProblem { key, message }| Problem::new(effective.origin(key).clone(), key.to_owned(), message);
    let problems: Vec<_> = check_files(&effective.config).into_iter().map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}

/// There is no admin address, so no server can be asked.
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
    /// Generates the script.
    pub fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), env!("CARGO_PKG_NAME"), &mut script);
        script
    }
}

/// Renders an error and its causes as one message, without repeating what the message already contains.
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
