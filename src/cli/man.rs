//! Manual pages, made of the declarations that make `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man as Page;

use super::Cli;

/// What a page says of its place, beside the version.
const MANUAL: &str = "headless-dns";
/// How examples begin in `--help`.
const EXAMPLES_HEAD: &str = "Examples:\n";

/// `headless-dns man`
#[derive(Args, Debug)]
#[command(after_help = MAN_EXAMPLES)]
pub struct Man {
    /// Directory to write the pages of all commands to; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

const MAN_EXAMPLES: &str = "\
Examples:
  headless-dns man | man -l -
  headless-dns man --dir /usr/local/share/man/man1";

impl Man {
    /// What to print: the page of the program, or nothing where the pages are written.
    ///
    /// # Errors
    /// The pages cannot be written.
    pub fn run(self) -> anyhow::Result<Vec<u8>> {
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        match self.dir {
            None => Ok(page(&command)?),
            Some(dir) => {
                fs::create_dir_all(&dir)
                    .and_then(|()| command.get_subcommands().chain([&command]).try_for_each(|it| write_page(it, &dir)))
                    .with_context(|| format!("cannot write manual pages to {}", dir.display()))?;
                Ok(Vec::new())
            }
        }
    }
}

fn write_page(command: &Command, dir: &Path) -> io::Result<()> {
    fs::write(dir.join(Page::new(command.clone()).get_filename()), page(command)?)
}

/// The page of one command. What `--help` ends with is laid out as it is there.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let version = format!("{MANUAL} {}", env!("CARGO_PKG_VERSION"));
    let page = Page::new(command.clone()).source(version).manual(MANUAL);
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    page.render_synopsis_section(&mut out)?;
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut out)?;
    }
    if let Some(help) = command.get_after_help() {
        let help = help.to_string();
        let (head, text) = match help.strip_prefix(EXAMPLES_HEAD) {
            Some(examples) => ("EXAMPLES", examples),
            None => ("NOTES", help.as_str()),
        };
        writeln!(out, ".SH {head}\n.nf")?;
        for line in text.lines() {
            // A line that began with a dot or a quote would be a request (groff(7)).
            writeln!(out, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq"))?;
        }
        writeln!(out, ".fi")?;
    }
    Ok(out)
}
