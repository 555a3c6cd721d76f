//! The server as a process of its own, and its DNS and metrics from outside.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use kube_sandbox::Sandbox;

use crate::PATIENCE;
use crate::peers::free_address;
use crate::support::dns;
use crate::support::process::Process;

/// Between two looks at a state.
const POLL: Duration = Duration::from_millis(20);

/// An executable of the server.
pub struct Build {
    pub name: String,
    path: PathBuf,
}

impl Build {
    /// The one that Cargo has built beside this bench.
    pub fn this() -> Self {
        Self { name: "this build".to_owned(), path: env!("CARGO_BIN_EXE_headless-dns").into() }
    }

    /// Reads `[NAME=]PATH`.
    pub fn parse(text: &str) -> Self {
        let (name, path) = text.split_once('=').unwrap_or((text, text));
        Self { name: name.to_owned(), path: path.into() }
    }
}

/// `headless-dns serve`, killed at the end.
pub struct Server {
    child: Child,
    pub process: Process,
    pub dns: SocketAddr,
    admin: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it with further options; it does not wait for anything.
    pub fn start(sandbox: &Sandbox, build: &Build, options: &[&str]) -> Self {
        Self::start_on(free_address(), sandbox, build, options)
    }

    /// The same on an address of choice.
    pub fn start_on(dns: SocketAddr, sandbox: &Sandbox, build: &Build, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        sandbox.write_kubeconfig(&kubeconfig).expect("a file");
        let admin = free_address();
        let mut command = Command::new(&build.path);
        command.args(["serve", "--log-level", "error", "--listen", &dns.to_string(), "--admin", &admin.to_string()]);
        command.arg("--kubeconfig").arg(&kubeconfig).args(options);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", build.path.display()));
        Self { process: Process(child.id()), child, dns, admin, _folder: folder }
    }

    /// Waits until a name has an address.
    pub fn until_answered(&self, name: &str) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(POLL)).expect("a time limit");
        let mut response = [0; 512];
        until(name, || {
            socket.send_to(&dns::query(name, dns::A), self.dns).expect("sent");
            socket.recv(&mut response).is_ok_and(|length| dns::last_address(&response[..length]).is_some())
        });
    }

    /// Waits until a metric is at least so much.
    pub fn until_metric(&self, series: &str, least: f64) {
        until(series, || self.metric(series).is_some_and(|value| value >= least));
    }

    /// The value of a series; None before the server has it.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let metrics = self.metrics().ok()?;
        let line = metrics.lines().find_map(|line| line.strip_prefix("headless_dns_")?.strip_prefix(series))?;
        line.trim().parse().ok()
    }

    fn metrics(&self) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::park_timeout(POLL);
    }
}
