//! Runs programs: to their end, or beside the test while their output is read line by line.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::search_path;

/// Longer than anything that another process does takes, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two questions, for the process that is waited for.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(10);

/// A command with an empty environment but for `PATH`.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", search_path()).stdin(Stdio::null());
    command
}

/// The same, killed with exit code 124 when it takes longer than [`PATIENCE`].
pub fn bounded(program: &str) -> Command {
    bounded_by(PATIENCE, program)
}

/// The same for what takes longer.
pub fn bounded_by(limit: Duration, program: &str) -> Command {
    let mut command = command("timeout");
    command.args(["--foreground", &limit.as_secs().to_string(), program]);
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

/// Runs to the end, which must be a success, and returns what was printed.
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

/// Asks until there is an answer, where nothing announces the event that a test waits for.
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

/// A program that runs beside the test and is killed with it. Its output is kept line by line.
pub struct Running {
    child: Child,
    output: Arc<Output>,
}

#[derive(Default)]
struct Output {
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
        let output = Arc::<Output>::default();
        listen(child.stdout.take(), &output);
        listen(child.stderr.take(), &output);
        Self { child, output }
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lock().lines.clone()
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
        let mut output = self.output.lock();
        loop {
            if let Some(found) = find(&output.lines) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || output.ended == 2 {
                return Err(output.lines.iter().map(|line| line.text.clone()).collect());
            }
            output = self.output.more.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
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
        let ended = self.output.lock().ended == 2;
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

impl Output {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Collects the lines of a stream until its end.
fn listen(stream: Option<impl Read + Send + 'static>, output: &Arc<Output>) {
    let output = Arc::clone(output);
    let lines = stream.map(BufReader::new).into_iter().flat_map(BufReader::lines);
    thread::spawn(move || {
        for text in lines.map_while(Result::ok) {
            output.lock().lines.push(Line { at: Instant::now(), text });
            output.more.notify_all();
        }
        output.lock().ended += 1;
        output.more.notify_all();
    });
}
