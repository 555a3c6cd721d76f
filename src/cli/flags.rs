//! The flags of the options, made from their declarations.

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, ValueHint};

use crate::config::{Config, ConfigError, Effective, OPTIONS, Opt};

/// A value for an option: its key, and the texts that were given.
type Given = (&'static str, Vec<String>);

const CONFIG: &str = "config";

/// The options of `explain`.
const ASK_KEYS: [&str; 3] = ["admin", "log_level", "log_format"];
/// The options of `export`; `--zone` there is one zone, and not one of these.
const EXPORT_KEYS: [&str; 6] = ["namespaces", "kubeconfig", "context", "admin", "log_level", "log_format"];

impl ExportOptions {
    /// The same with `further` values, which are as strong as flags.
    pub fn load_with(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        further: Option<Given>,
    ) -> Result<Effective, ConfigError> {
        self.0.load(environment, further)
    }
}

#[derive(Clone, Debug, Default)]
struct Options {
    file: Option<PathBuf>,
    given: Vec<Given>,
}

impl Options {
    fn load(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        further: Option<Given>,
    ) -> Result<Effective, ConfigError> {
        let given: Vec<Given> = self.given.iter().cloned().chain(further).collect();
        Config::load(self.file.as_deref(), environment, &given)
    }

    fn read(matches: &ArgMatches) -> Self {
        let given = |option: &'static Opt| {
            // A subcommand has flags for some of the options only.
            let texts = matches.try_get_many::<String>(option.key).ok().flatten()?;
            Some((option.key, texts.cloned().collect()))
        };
        let file = matches.get_one::<PathBuf>(CONFIG).cloned();
        Self { file, given: OPTIONS.iter().filter_map(given).collect() }
    }
}

/// Adds `--config`, and the flag of each option that `wanted` picks, to `command`.
fn add_to(command: Command, wanted: impl Fn(&Opt) -> bool) -> Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .value_name("FILE")
        .value_hint(ValueHint::FilePath)
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file (TOML) [env: HEADLESS_DNS_CONFIG]");
    let options = OPTIONS.iter().filter(|option| wanted(option));
    options.fold(command.arg(config), |command, option| command.arg(flag_of(option)))
}

fn flag_of(option: &'static Opt) -> Arg {
    let default = option.default.trim_matches(['[', ']']).replace('"', "");
    let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
    let repeatable = if option.is_list() { " [repeatable]" } else { "" };
    let sources = format!("[env: {}]{default}{repeatable}", option.variable());
    let long = option.documentation().collect::<Vec<_>>().join(" ");
    let arg = Arg::new(option.key)
        .long(option.flag())
        .value_name(option.value_name())
        .help_heading(option.heading)
        .help(format!("{}{default}{repeatable}", option.summary()))
        .long_help(format!("{long}\n{sources}"))
        .allow_negative_numbers(true);
    let arg = if option.key == "kubeconfig" { arg.value_hint(ValueHint::FilePath) } else { arg };
    arg.action(if option.is_list() { ArgAction::Append } else { ArgAction::Set })
}

macro_rules! options_as_args {
    ($(#[doc = $doc:literal])+ $options:ident, $wanted:expr) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, Default)]
        pub struct $options(Options);

        impl $options {
            /// The configuration that the file, the environment and these flags give.
            pub fn load(
                &self,
                environment: impl IntoIterator<Item = (OsString, OsString)>,
            ) -> Result<Effective, ConfigError> {
                self.0.load(environment, None)
            }
        }

        impl Args for $options {
            fn augment_args(command: Command) -> Command {
                add_to(command, $wanted)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $options {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                Ok(Self(Options::read(matches)))
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

options_as_args! {
    /// `--config` and a flag for every option.
    ServeOptions, |_| true
}
options_as_args! {
    /// `--config` and flags for the options that say what to export from where.
    ExportOptions, |option| EXPORT_KEYS.contains(&option.key)
}
options_as_args! {
    /// `--config` and flags for the options that say which server to ask.
    AskOptions, |option| ASK_KEYS.contains(&option.key)
}
