//! The server as a process of its own, and how it is asked and looked at.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube_sandbox::Sandbox;
use serde_json::Value;

use crate::PATIENCE;

/// How often a state is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// `headless-dns serve`, killed at the end.
pub struct Server {
    child: Child,
    dns: SocketAddr,
    admin: SocketAddr,
    waits: Arc<Mutex<Vec<Duration>>>,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts it beside a sandbox; it may have heard of nothing yet.
    pub fn start(sandbox: &Sandbox) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        sandbox.write_kubeconfig(&kubeconfig).expect("a file");
        // Another build of it, such as one without the sandbox.
        let program = std::env::var_os("HEADLESS_DNS").unwrap_or_else(|| env!("CARGO_BIN_EXE_headless-dns").into());
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--log-level", "info,headless_dns::app=debug"]);
        command.arg("--kubeconfig").arg(&kubeconfig).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let mut log = BufReader::new(child.stderr.take().expect("its log"));
        let (dns, admin) = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("a line") > 0, "the program ended");
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if let (Some(dns), Some(admin)) = (entry["listen"].as_str(), entry["admin"].as_str()) {
                let admin = admin.trim_start_matches("http://").trim_end_matches('/');
                break (dns.parse().expect("an address"), admin.parse().expect("an address"));
            }
        };
        let waits = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&waits);
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let entry: Value = serde_json::from_str(&line).unwrap_or_default();
                let wait = entry["waited_us"].as_u64().map(Duration::from_micros);
                told.lock().expect("no panic").extend(wait);
            }
        });
        Self { child, dns, admin, waits, _folder: folder }
    }

    /// How long each change has waited for its answer from when its event arrived, by the log; of those that were published
    /// together, the one that waited the longest.
    pub fn waits(&self) -> Vec<Duration> {
        self.waits.lock().expect("no panic").clone()
    }

    /// Leaves out what has been told so far.
    pub fn forget_waits(&self) {
        self.waits.lock().expect("no panic").clear();
    }

    /// The first address in the answer to a question for A records, over UDP.
    pub fn ask(&self, name: &str) -> Option<Ipv4Addr> {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        socket.set_read_timeout(Some(LOOK)).expect("a time limit");
        socket.send_to(&question(name), self.dns).expect("sent");
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).ok()?;
        address_in(&answer[..length])
    }

    /// Waits until a name has an address.
    pub fn until_answered(&self, name: &str) {
        until(name, || self.ask(name).is_some());
    }

    /// Waits until a metric is at least so much.
    pub fn until_metric(&self, series: &str, least: f64) {
        until(series, || self.metric(series) >= least);
    }

    /// The value of a series of metrics.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix("headless_dns_")?.strip_prefix(series));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {series} in\n{text}"))
    }

    /// CPU time that it has used so far.
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // Behind the name, which may hold anything: utime and stime are the 14th and 15th field of all.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks"));
        Duration::from_millis(ticks.sum::<u64>() * 1_000 / TICKS_A_SECOND)
    }

    /// Resident memory now and at its most, in MB.
    pub fn memory(&self) -> (f64, f64) {
        let status = self.proc("status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
            line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("it lives")
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("a connection");
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// USER_HZ, which is the same on every Linux.
const TICKS_A_SECOND: u64 = 100;

/// Waits until something is so.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::park_timeout(LOOK);
    }
}

/// A question for A records.
pub fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

/// The address of an answer's last record, where the only records are those that were asked for.
pub fn address_in(answer: &[u8]) -> Option<Ipv4Addr> {
    let answers = u16::from_be_bytes([*answer.get(6)?, *answer.get(7)?]);
    let octets = answer.last_chunk::<4>().filter(|_| answers > 0)?;
    Some(Ipv4Addr::from(*octets))
}
