//! The program itself, as a process: how it is started, what it logs, its pages and its end.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::peers::{Line, PATIENCE, Ran, Running, bounded, command, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_headless-dns");
/// Where the kubeconfig of a sandbox stays whose program is killed.
const TEMPORARY: &str = env!("CARGO_TARGET_TMPDIR");

/// What it says when it answers.
pub const ANSWERING: &str = "answering over UDP and TCP";
/// Serving with pages on free ports of loopback, and a log that can be read.
const SERVE: [&str; 7] = ["serve", "--admin", "127.0.0.1:0", "--probes", "127.0.0.1:0", "--log-format", "json"];
/// A free port of loopback.
const ANY: [&str; 2] = ["--listen", "127.0.0.1:0"];

fn program() -> Command {
    let mut program = command(PROGRAM);
    program.env("TMPDIR", TEMPORARY);
    program
}

/// Runs the program to its end.
pub fn run_program(arguments: &[&str]) -> Ran {
    run(bounded(PROGRAM).args(arguments))
}

/// Runs a command of the program beside the test.
pub fn start_program(arguments: &[&str]) -> Running {
    Running::start(program().args(arguments))
}

/// `headless-dns serve` on free ports of loopback.
pub struct Program {
    running: Running,
    pub dns: SocketAddr,
    pub admin: SocketAddr,
    pub probes: SocketAddr,
}

impl Program {
    /// Starts it with further arguments, and waits until it answers on its addresses.
    pub fn serve(arguments: &[&str]) -> Self {
        Self::serve_on("127.0.0.1:0", arguments)
    }

    /// The same on an address of choice.
    pub fn serve_on(listen: &str, arguments: &[&str]) -> Self {
        Self::until_told(ANSWERING, listen, arguments)
    }

    /// The same, but waits until it tells of its addresses in another way.
    pub fn until_told(told: &str, listen: &str, arguments: &[&str]) -> Self {
        let command = &mut program();
        Self::telling(told, Running::start(command.args(SERVE).args(["--listen", listen]).args(arguments)))
    }

    /// The same with a variable of the environment.
    pub fn serve_with((name, value): &(&str, std::path::PathBuf), arguments: &[&str]) -> Self {
        let command = &mut program();
        let command = command.env(name, value).args(SERVE).args(ANY);
        Self::telling(ANSWERING, Running::start(command.args(arguments)))
    }

    /// The same with a file as its standard input.
    pub fn serve_with_input(file: &Path, arguments: &[&str]) -> Self {
        let command = &mut program();
        let command = command.stdin(File::open(file).expect("a file")).args(SERVE).args(ANY);
        Self::telling(ANSWERING, Running::start(command.args(arguments)))
    }

    /// The same as a process that may have so many files open until it asks for more.
    pub fn serve_with_files(files: usize, arguments: &[&str]) -> Self {
        let limited = format!("ulimit -Sn {files} && exec \"$0\" \"$@\"");
        let command = &mut command("sh");
        let command = command.env("TMPDIR", TEMPORARY).args(["-c", &limited, PROGRAM]).args(SERVE).args(ANY);
        Self::telling(ANSWERING, Running::start(command.args(arguments)))
    }

    fn telling(told: &str, running: Running) -> Self {
        let (dns, admin, probes) = running.until(told, |lines| {
            let line = entries(lines).into_iter().find(|entry| message(entry) == told)?;
            let page = |of: &str| line[of].as_str()?.trim_start_matches("http://").trim_end_matches('/').parse().ok();
            Some((line["listen"].as_str()?.parse().ok()?, page("admin")?, page("probes")?))
        });
        Self { running, dns, admin, probes }
    }

    /// What was logged so far.
    pub fn log(&self) -> Vec<Value> {
        entries(&self.running.lines())
    }

    /// Waits for a line of the log.
    pub fn until_logged(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        self.running.until(what, |lines| entries(lines).into_iter().find(|entry| is_it(entry)))
    }

    /// Waits until every watch has synchronised.
    pub fn until_synchronised(&self) {
        self.until_logged("synchronisation", |entry| message(entry) == "synchronised with the cluster");
    }

    /// Status and text of an admin page.
    pub fn page(&self, path: &str) -> (u16, String) {
        request(self.admin, "GET", path, "")
    }

    /// The same for a page that does something. `headers` are lines with their ends.
    pub fn post(&self, path: &str, headers: &str) -> (u16, String) {
        request(self.admin, "POST", path, headers)
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.running.id()
    }

    /// Sends a signal, `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        self.running.signal(name);
    }

    /// Waits for the end, and gives the exit code and the log.
    pub fn end(self) -> (Option<i32>, String) {
        self.running.end()
    }
}

/// The text of a line of the log.
pub fn message(entry: &Value) -> &str {
    entry["message"].as_str().unwrap_or_default()
}

/// The lines of a log in JSON.
fn entries(lines: &[Line]) -> Vec<Value> {
    let read = |line: &Line| serde_json::from_str(&line.text).unwrap_or_else(|_| panic!("not a log: {}", line.text));
    lines.iter().map(read).collect()
}

/// Status and body of an HTTP page.
pub fn request(server: SocketAddr, method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    // A client of HTTP/1.0 is not sent pieces, and the connection is closed after the answer.
    stream.write_all(format!("{method} {path} HTTP/1.0\r\n{headers}\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}
