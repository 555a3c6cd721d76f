//! The programs that `compare.sh`, `overload.sh` and `forward.sh` use beside the servers. They measure nothing by themselves.

#[path = "../../support/mod.rs"]
mod support;

mod floor;
mod overload;
mod upstream;
mod zone;

use std::error::Error;
use std::path::Path;

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "\
tools floor ADDRESS:PORT
    answers every query with one fixed record
tools zone FOLDER
    writes clusters and queries
tools upstream hanging|lying ADDRESS:PORT
    receives queries and answers none, or each wrongly
tools overload ADDRESS:PORT QUERIES ROUNDS SECONDS TRAIN PID...
    asks a server, whose processes are PID..., more than it can answer";

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    match (command.as_str(), arguments.len()) {
        ("floor", 1) => floor::serve(&arguments.next().unwrap_or_default())?,
        ("zone", 1) => zone::write(Path::new(&arguments.next().unwrap_or_default()))?,
        ("upstream", 2) => {
            let behaviour = arguments.next().unwrap_or_default();
            upstream::serve(&behaviour, &arguments.next().unwrap_or_default())?;
        }
        ("overload", 6..) => overload::run(arguments)?,
        // A plain `cargo bench` gets here too.
        _ => println!("{USAGE}"),
    }
    Ok(())
}
