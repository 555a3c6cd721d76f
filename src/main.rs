//! Parses the command line, does what it says, and turns the outcome into an exit code.

use std::{
    env::vars_os,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use headless_dns::cli::{Cli, Command, EXIT_FAILURE, EXIT_OK, EXIT_USAGE, render_error};

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::CheckConfig(check) => match check.run(vars_os()) {
            Ok(text) => print(text.as_bytes()),
            Err(error) => fail(EXIT_USAGE, &error),
        },
        Command::Completions(completions) => print(&completions.script()),
        _ => EXIT_OK,
    };
    ExitCode::from(outcome)
}

fn print(text: &[u8]) -> u8 {
    match io::stdout().write_all(text) {
        Ok(()) => EXIT_OK,
        // The reader has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_OK,
        Err(error) => fail(EXIT_FAILURE, &error),
    }
}

fn fail(code: u8, error: &dyn std::error::Error) -> u8 {
    eprintln!("{}", render_error(error));
    code
}
