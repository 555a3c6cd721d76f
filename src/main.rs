//! Parses the command line, does what it says, and turns the outcome into an exit code.

use std::{
    env::vars_os,
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use headless_dns::{
    admin::fetch_zone,
    cli::{Cli, Command, EXIT_FAILURE, EXIT_OK, EXIT_USAGE, Export, render_error},
};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::CheckConfig(check) => check.run(vars_os()).map_or_else(usage, |text| print(text.as_bytes())),
        Command::Completions(completions) => print(&completions.script()),
        Command::Export(export) if !export.from_cluster => export_from_server(&export),
        _ => EXIT_OK,
    };
    ExitCode::from(outcome)
}

/// Prints a zone of a running server.
fn export_from_server(export: &Export) -> u8 {
    let (effective, zone) = match export.load(vars_os()) {
        Ok(loaded) => loaded,
        Err(error) => return usage(error),
    };
    let Some(admin) = effective.config.admin else {
        return fail(
            EXIT_USAGE,
            "admin is \"off\", so there is no server to ask; use --from-cluster, or --admin ADDRESS:PORT",
        );
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(EXIT_FAILURE, error),
    };
    match runtime.block_on(fetch_zone(admin, &zone)) {
        Ok(file) => print(file.as_bytes()),
        Err(error) => fail(EXIT_FAILURE, error),
    }
}

fn print(text: &[u8]) -> u8 {
    match io::stdout().write_all(text) {
        Ok(()) => EXIT_OK,
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_OK,
        Err(error) => fail(EXIT_FAILURE, error),
    }
}

fn usage(error: impl Error + 'static) -> u8 {
    fail(EXIT_USAGE, error)
}

fn fail(code: u8, error: impl Into<Box<dyn Error>>) -> u8 {
    eprintln!("{}", render_error(&*error.into()));
    code
}
