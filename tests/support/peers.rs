//! Runs other programs for the tests: `kubectl`, `dig`, `nslookup`, `unbound`, `dnsmasq`.
//!
//! A test calls [`missing`] first and returns if a program is not installed. That is reported on stderr, past the test runner.
//! `tests/install-peers.sh` installs everything. With `HEADLESS_DNS_REQUIRE_PEERS=1` a missing program is a failure.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Turns a skipped test into one that fails.
const REQUIRE: &str = "HEADLESS_DNS_REQUIRE_PEERS";

/// Nothing that another process does takes so long, on a busy machine either, unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Leaves the machine to what is waited for.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(10);

/// `PATH`, and where Debian keeps servers, which is in the path of root only.
fn search_path() -> String {
    env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}

/// Whether one of the programs is not installed, so that the test has to be skipped. Each missing program is reported once.
pub fn missing(programs: &[&str]) -> bool {
    let path = search_path();
    let is_installed = |program: &&&str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let Some(program) = programs.iter().find(|program| !is_installed(program)) else { return false };
    let advice = "install it with tests/install-peers.sh";
    assert!(env::var_os(REQUIRE).is_none_or(|value| value != "1"), "{program} is not installed: {advice}");
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert((*program).to_owned()) {
        // The test runner captures `println!` and `eprintln!` of tests that pass, but not this.
        let _ = writeln!(io::stderr(), "SKIPPED every test that needs {program}, which is not installed; {advice}");
    }
    true
}

/// A program to run, with nothing of our environment but where programs are.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", search_path()).stdin(Stdio::null());
    command
}

/// A program to run that is ended, with code 124, when it takes longer than [`PATIENCE`].
pub fn bounded(program: &str) -> Command {
    let mut command = command("timeout");
    command.args(["--foreground", &PATIENCE.as_secs().to_string(), program]);
    command
}

/// A program that ran to its end.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |octets| String::from_utf8(octets).expect("text");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What a program prints that has to succeed.
pub fn output_of(command: &mut Command) -> String {
    let Ran { code, stdout, stderr } = run(command);
    assert_eq!(code, Some(0), "{command:?}: {stdout}{stderr}");
    stdout
}

/// What `dig` prints when it asks this server; the arguments are written as on a command line.
pub fn dig(server: SocketAddr, arguments: &str) -> String {
    let (address, port) = (format!("@{}", server.ip()), server.port().to_string());
    output_of(bounded("dig").args([&address, "-p", &port]).args(arguments.split(' ')))
}

/// What `dig +short` prints, without the order.
pub fn dig_short(server: SocketAddr, question: &str) -> BTreeSet<String> {
    dig(server, &format!("+short {question}")).lines().map(str::to_owned).collect()
}

/// The response code that `dig` shows.
pub fn dig_status(server: SocketAddr, question: &str) -> String {
    let printed = dig(server, question);
    let status = printed.split_once("status: ").and_then(|(_, rest)| rest.split_once(','));
    status.unwrap_or_else(|| panic!("no status: {printed}")).0.to_owned()
}

/// Asks until it is so, which is the event that a test waits for: nothing tells when a cache or a watch has moved on.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        thread::park_timeout(BETWEEN_QUESTIONS);
    }
}

/// A line that a running program printed, and when it was read.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Instant,
    pub text: String,
}

/// A program that runs beside the test and ends with it; what it prints is kept line by line.
pub struct Running {
    child: Child,
    heard: Arc<Heard>,
}

#[derive(Default)]
struct Heard {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Default)]
struct Lines {
    lines: Vec<Line>,
    /// Of stdout and stderr, those that have ended.
    ended: usize,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let heard = Arc::<Heard>::default();
        listen(child.stdout.take(), &heard);
        listen(child.stderr.take(), &heard);
        Self { child, heard }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.heard.lock().lines.clone()
    }

    /// Waits for lines in which `find` finds something.
    ///
    /// # Panics
    /// They don't come in time, or the program ends without them.
    pub fn until<T>(&self, what: &str, find: impl Fn(&[Line]) -> Option<T>) -> T {
        self.wait(find).unwrap_or_else(|said| panic!("{what} did not come; what came is:\n{}", said.join("\n")))
    }

    /// Waits for lines in which `find` finds something; if they don't come, gives all that did.
    pub fn wait<T>(&self, find: impl Fn(&[Line]) -> Option<T>) -> Result<T, Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = self.heard.lock();
        loop {
            if let Some(found) = find(&heard.lines) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.ended == 2 {
                return Err(heard.lines.iter().map(|line| line.text.clone()).collect());
            }
            heard = self.heard.more.wait_timeout(heard, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, `TERM` or `INT`.
    pub fn signal(&self, name: &str) {
        output_of(bounded("sh").args(["-c", "kill -s $0 $1", name, &self.child.id().to_string()]));
    }

    /// Waits for the end, and gives the exit code and what was printed.
    pub fn end(mut self) -> (Option<i32>, String) {
        let said = self.wait(|_| None::<()>).expect_err("nothing is looked for").join("\n");
        let ended = self.heard.lock().ended == 2;
        assert!(ended, "it does not end; so far it said:\n{said}");
        (self.child.wait().expect("an exit code").code(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what a stream says, until its end.
fn listen(stream: Option<impl Read + Send + 'static>, heard: &Arc<Heard>) {
    let heard = Arc::clone(heard);
    let lines = stream.map(BufReader::new).into_iter().flat_map(BufReader::lines);
    thread::spawn(move || {
        for text in lines.map_while(Result::ok) {
            heard.lock().lines.push(Line { at: Instant::now(), text });
            heard.more.notify_all();
        }
        heard.lock().ended += 1;
        heard.more.notify_all();
    });
}
