//! Parses the command line, runs the command, and turns the outcome into an exit code.

use std::env::vars_os;
use std::error::Error;
use std::future::Future;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use headless_dns::admin::ExplanationText;
use headless_dns::cli::commands;
use headless_dns::cli::{Cli, Command, EXIT_FAILURE, EXIT_OK, EXIT_UNEXPLAINED, EXIT_USAGE, render_error};
use headless_dns::server::allow_low_ports;
use tokio::runtime::Builder;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(serve) => match serve.load(vars_os()) {
            Ok(effective) => {
                allow_low_ports();
                run(serve.run(effective.config))
            }
            Err(error) => fail(EXIT_USAGE, &error),
        },
        #[cfg(feature = "sandbox")]
        Command::Sandbox(sandbox) => run_on(Builder::new_multi_thread(), EXIT_FAILURE, sandbox.run()),
        Command::CheckConfig(check) => match check.run(vars_os()) {
            Ok(text) => print(text.as_bytes()),
            Err(error) => fail(EXIT_USAGE, &error),
        },
        Command::Export(export) => match export.load(vars_os()) {
            Ok((effective, zone)) => run(commands::export(export, effective.config, zone)),
            Err(error) => fail(EXIT_USAGE, &error),
        },
        Command::Explain(explain) => match explain.load(vars_os()) {
            Ok(effective) => run_or(EXIT_UNEXPLAINED, commands::explain(explain, effective.config)),
            Err(error) => fail(EXIT_USAGE, &error),
        },
        Command::Reload(reload) => match reload.load(vars_os()) {
            Ok(effective) => run(commands::reload(effective.config)),
            Err(error) => fail(EXIT_USAGE, &error),
        },
        Command::Completions(completions) => print(&completions.script()),
        Command::Man(man) => match man.run() {
            Ok(page) => print(&page),
            Err(error) => fail(EXIT_FAILURE, error.as_ref()),
        },
    };
    ExitCode::from(outcome)
}

/// Runs an asynchronous command and prints its output. All that it does by itself, which is to follow the cluster and to keep the
/// index, happens on one thread: on several, nearly every event of a watch wakes another thread, which costs more than the event.
fn run<T: Into<Printed>>(command: impl Future<Output = anyhow::Result<T>>) -> u8 {
    run_or(EXIT_FAILURE, command)
}

/// The same with this exit code if it fails.
fn run_or<T: Into<Printed>>(failure: u8, command: impl Future<Output = anyhow::Result<T>>) -> u8 {
    run_on(Builder::new_current_thread(), failure, command)
}

fn run_on<T: Into<Printed>>(mut threads: Builder, failure: u8, command: impl Future<Output = anyhow::Result<T>>) -> u8 {
    let outcome = match threads.enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(printed) => {
            let Printed { text, code } = printed.into();
            print(text.as_bytes()).max(code)
        }
        Err(error) => fail(failure, error.as_ref()),
    }
}

/// The output of a command, and the exit code if it can be printed.
struct Printed {
    text: String,
    code: u8,
}

impl From<String> for Printed {
    fn from(text: String) -> Self {
        Self { text, code: EXIT_OK }
    }
}

impl From<ExplanationText> for Printed {
    fn from(ExplanationText { resolves, text }: ExplanationText) -> Self {
        Self { text, code: if resolves { EXIT_OK } else { EXIT_FAILURE } }
    }
}

fn print(text: &[u8]) -> u8 {
    match io::stdout().write_all(text) {
        Ok(()) => EXIT_OK,
        // The reader has stopped reading, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_OK,
        Err(error) => fail(EXIT_FAILURE, &error),
    }
}

fn fail(code: u8, error: &dyn Error) -> u8 {
    eprintln!("{}", render_error(error));
    code
}
