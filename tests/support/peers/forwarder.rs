//! unbound and dnsmasq with the examples of `config/`, each on a free port of loopback, in front of a server.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use tempfile::TempDir;

use super::running::{Running, command};

/// How often to look for a port that is still free when the resolver gets to it.
const PORT_TRIES: usize = 5;

/// Where the examples say that headless-dns is.
const EXAMPLE_PORT: &str = "5300";

/// A resolver that runs, and its files.
pub struct Forwarder {
    pub address: SocketAddr,
    _running: Running,
    _folder: TempDir,
}

impl Forwarder {
    /// Starts one that says `started` when it answers. `arguments` writes its files, and gives how to run it on a port.
    fn start(program: &str, started: &str, arguments: impl Fn(&Path, u16) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for _ in 0..PORT_TRIES {
            let address = free_address();
            let running = Running::start(command(program).args(arguments(folder.path(), address.port())));
            match running.wait(|lines| lines.iter().any(|line| line.text.contains(started)).then_some(())) {
                Ok(()) => return Self { address, _running: running, _folder: folder },
                Err(said) => println!("{program} does not run on {address}: {}", said.join("\n")),
            }
        }
        panic!("{program} found no free port")
    }

    /// unbound in front of a server.
    pub fn unbound(server: SocketAddr) -> Self {
        Self::start("unbound", "start of service", |folder, port| {
            let example = example("unbound.conf", &format!("@{EXAMPLE_PORT}"), &format!("@{}", server.port()));
            let around = format!(
                "server:\n interface: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n directory: \"{}\"\n \
                 pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n verbosity: 1\nremote-control:\n control-enable: no\n",
                folder.display()
            );
            vec!["-d".to_owned(), "-c".to_owned(), write(folder, &(around + &example))]
        })
    }

    /// dnsmasq in front of a server.
    pub fn dnsmasq(server: SocketAddr) -> Self {
        Self::start("dnsmasq", "started, version", |folder, port| {
            let example = example("dnsmasq.conf", &format!("#{EXAMPLE_PORT}"), &format!("#{}", server.port()));
            let around = format!(
                "port={port}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-daemon\npid-file\n"
            );
            vec![format!("--conf-file={}", write(folder, &(around + &example)))]
        })
    }
}

/// An example with the server's place changed.
fn example(name: &str, from: &str, to: &str) -> String {
    let path = format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).expect("the example");
    assert!(text.contains(from), "{name} names another port");
    text.replace(from, to)
}

fn write(folder: &Path, text: &str) -> String {
    let path = folder.join("resolver.conf");
    fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

/// An address that was free a moment ago, over UDP and over TCP.
pub fn free_address() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = tcp.local_addr().expect("an address");
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}
