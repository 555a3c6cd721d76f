//! Other name servers as secondaries, each with the example of `config/` on a free port of loopback.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::forwarder::free_address;
use super::running::{Running, bounded, command, output_of, run};

/// How long a secondary may take. It asks once a minute for the serial, one replica or the other, of which one may be away; and one that
/// was away itself is notified a minute later at the latest.
const LONGEST: Duration = Duration::from_secs(180);
/// Pause between two looks at a secondary.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Where the examples say that the replicas are.
const EXAMPLE_PORTS: [&str; 2] = ["5301", "5302"];
/// The zones of the examples.
pub const ZONES: [&str; 2] = ["cluster.local", "10.in-addr.arpa"];
/// The key of the examples.
pub const KEY: &str =
    "key secondary { algorithm hmac-sha256; secret \"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=\"; };\n";

/// The zone of the example of the public view, and its key.
pub const PUBLIC_ZONE: &str = "peers.example.com";
pub const PUBLIC_KEY: &str =
    "key public { algorithm hmac-sha256; secret \"cHVibGljLXB1YmxpYy1wdWJsaWMtcHVibGljLXB1Ymw=\"; };\n";

/// A name server that can be a secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Knot,
    Nsd,
    Bind,
    PowerDns,
    Unbound,
}

impl Kind {
    /// Its program.
    pub fn program(self) -> &'static str {
        match self {
            Kind::Knot => "knotd",
            Kind::Nsd => "nsd",
            Kind::Bind => "named",
            Kind::PowerDns => "pdns_server",
            Kind::Unbound => "unbound",
        }
    }
}

/// One that can be started and stopped, and its files.
pub struct Secondary {
    pub kind: Kind,
    pub address: SocketAddr,
    folder: TempDir,
    running: Option<Running>,
    follows_public_view: bool,
}

impl Secondary {
    /// A secondary of these replicas, not started yet.
    pub fn new(kind: Kind, replicas: [SocketAddr; 2]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let secondary = Self { kind, address: free_address(), folder, running: None, follows_public_view: false };
        secondary.configure(replicas);
        secondary
    }

    /// One that follows the public view. BIND asks for a zone of the cluster with the same key too.
    pub fn of_public_view(kind: Kind, replicas: [SocketAddr; 2]) -> Self {
        let secondary = Self { follows_public_view: true, ..Self::new(kind, replicas) };
        secondary.configure(replicas);
        secondary
    }

    /// How it is named in `notify`.
    pub fn notify(&self) -> String {
        let key = match self.kind {
            Kind::Unbound => "",
            _ if self.follows_public_view => "#public",
            _ => "#secondary",
        };
        format!("{}{key}", self.address)
    }

    pub fn start(&mut self) {
        let folder = self.folder.path();
        let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
        let configuration = file("configuration");
        let arguments = match self.kind {
            Kind::Knot => vec!["--config".to_owned(), configuration],
            Kind::Nsd | Kind::Unbound => vec!["-d".to_owned(), "-c".to_owned(), configuration],
            Kind::Bind => vec!["-g".to_owned(), "-c".to_owned(), configuration],
            Kind::PowerDns => vec![format!("--config-dir={}", folder.display())],
        };
        self.running = Some(Running::start(command(self.kind.program()).args(arguments)));
    }

    pub fn stop(&mut self) {
        self.running = None;
    }

    /// What it has said, for a test that fails.
    pub fn said(&self) -> String {
        let lines = self.running.iter().flat_map(Running::lines);
        lines.map(|line| line.text).collect::<Vec<_>>().join("\n")
    }

    /// The serial that it answers with, once it has a zone.
    pub fn serial(&self, zone: &str) -> Option<u32> {
        let port = self.address.port().to_string();
        let dig = ["@127.0.0.1", "-p", &port, "+short", "+time=2", "+tries=1", zone, "SOA"];
        run(bounded("dig").args(dig)).stdout.split(' ').nth(2)?.parse().ok()
    }

    /// The records that it has of a zone, but for the SOA record: lines without spaces that do not matter. None before it has any.
    pub fn records(&self, zone: &str) -> Option<BTreeSet<String>> {
        let text = match self.kind {
            Kind::Unbound => fs::read_to_string(self.folder.path().join(zone)).ok()?,
            _ => {
                let port = self.address.port().to_string();
                let dig = ["@127.0.0.1", "-p", &port, "+onesoa", "+nocmd", "+nostats", zone, "AXFR"];
                run(bounded("dig").args(dig)).stdout
            }
        };
        let records = lines(&text);
        (!records.is_empty()).then_some(records)
    }

    fn configure(&self, replicas: [SocketAddr; 2]) {
        let (folder, port) = (self.folder.path(), self.address.port());
        let at = folder.display();
        let example = |name: &str| match name {
            "knot.conf" if self.follows_public_view => example("knot-public.conf", replicas),
            _ if self.follows_public_view => {
                let secret = |key: &str| key.split('"').nth(1).expect("a secret").to_owned();
                example(name, replicas)
                    .replace("\"cluster.local\"", &format!("{PUBLIC_ZONE:?}"))
                    .replace("key \"secondary\"", "key \"public\"")
                    .replace("key secondary;", "key public;")
                    .replace(&secret(KEY), &secret(PUBLIC_KEY))
            }
            _ => example(name, replicas),
        };
        let (name, text) = match self.kind {
            Kind::Knot => {
                let around = format!(
                    "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\n  udp-workers: 1\n  tcp-workers: 1\n  \
                     background-workers: 2\ndatabase:\n  storage: {at}\nlog:\n  - target: stderr\n    any: info\n"
                );
                let acl = "acl:\n  - id: transfer\n    address: 127.0.0.1\n    action: transfer\n";
                let text = example("knot.conf").replacen("acl:\n", acl, 1);
                ("configuration", around + &text.replace("    acl: notify\n", "    acl: [notify, transfer]\n"))
            }
            Kind::Nsd => {
                let around = format!(
                    "server:\n ip-address: 127.0.0.1@{port}\n username: \"\"\n zonesdir: \"{at}\"\n database: \"\"\n \
                     pidfile: \"{at}/pid\"\n xfrdfile: \"{at}/xfrd\"\n xfrdir: \"{at}\"\n zonelistfile: \"{at}/zones\"\n \
                     server-count: 1\n verbosity: 1\n xfrd-reload-timeout: 0\nremote-control:\n control-enable: no\n"
                );
                let allowed = "    allow-notify:";
                let text =
                    example("nsd.conf").replace(allowed, &format!("    provide-xfr: 127.0.0.1 NOKEY\n{allowed}"));
                ("configuration", around + &text)
            }
            Kind::Bind => {
                let around = format!(
                    "options {{ directory \"{at}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; \
                     pid-file none; session-keyfile none; recursion no; notify no; allow-transfer {{ 127.0.0.1; }}; }};\n\
                     controls {{ }};\n"
                );
                ("configuration", around + &example("named.conf"))
            }
            Kind::PowerDns => {
                let database = folder.join("pdns.sqlite3");
                let text =
                    example("pdns.conf").replace("/var/lib/powerdns/pdns.sqlite3", database.to_str().expect("UTF-8"));
                let around = format!(
                    "local-address=127.0.0.1\nlocal-port={port}\nsocket-dir={at}\ndaemon=no\nguardian=no\n\
                     disable-syslog=yes\nallow-axfr-ips=127.0.0.0/8\nsetuid=\nsetgid=\n"
                );
                ("pdns.conf", around + &text)
            }
            Kind::Unbound => {
                let around = format!(
                    "server:\n interface: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n directory: \"{at}\"\n \
                     pidfile: \"\"\n use-syslog: no\n logfile: \"\"\n verbosity: 1\n do-not-query-localhost: no\n\
                     remote-control:\n control-enable: no\n"
                );
                let file = |text: String, zone: &str| {
                    let name = format!("    name: \"{zone}.\"\n");
                    text.replace(&name, &format!("{name}    zonefile: \"{zone}\"\n"))
                };
                ("configuration", around + &ZONES.into_iter().fold(example("unbound-secondary.conf"), file))
            }
        };
        fs::write(folder.join(name), text).expect("written");
        if self.kind == Kind::PowerDns {
            fill_database(folder, replicas);
        }
    }
}

/// What the comment in `config/pdns.conf` says, for both zones.
fn fill_database(folder: &Path, replicas: [SocketAddr; 2]) {
    let schema = "/usr/share/doc/pdns-backend-sqlite3/schema.sqlite3.sql";
    let database = folder.join("pdns.sqlite3");
    let make = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]); \
                database.executescript(open(sys.argv[2]).read()); database.execute('PRAGMA journal_mode = WAL')";
    output_of(bounded("python3").args(["-c", make]).arg(database).arg(schema));
    let utility = |arguments: &[&str]| {
        output_of(bounded("pdnsutil").arg(format!("--config-dir={}", folder.display())).args(arguments));
    };
    let secret = KEY.split('"').nth(1).expect("a secret");
    utility(&["import-tsig-key", "secondary", "hmac-sha256", secret]);
    for zone in ZONES {
        let [one, other] = replicas.map(|replica| replica.to_string());
        utility(&["create-slave-zone", zone, &one, &other]);
        utility(&["activate-tsig-key", zone, "secondary", "slave"]);
        utility(&["set-meta", zone, "IXFR", "1"]);
    }
}

/// An example with the replicas' places changed.
fn example(name: &str, replicas: [SocketAddr; 2]) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "config", name].iter().collect();
    let text = fs::read_to_string(path).expect("the example");
    EXAMPLE_PORTS.into_iter().zip(replicas).fold(text, |text, (port, replica)| {
        text.replace(&format!("@{port}"), &format!("@{}", replica.port()))
            .replace(&format!("port {port}"), &format!("port {}", replica.port()))
    })
}

/// The records of a zone file, but for the SOA record, as they can be compared.
pub fn lines(zone_file: &str) -> BTreeSet<String> {
    let record = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_record = |line: &String| !line.is_empty() && !line.starts_with([';', '$']) && !line.contains(" SOA ");
    zone_file.lines().map(record).filter(is_record).collect()
}

/// Waits until a secondary is where it should be. `transfers` is what a replica says of them.
pub fn wait_for(secondary: &Secondary, transfers: impl Fn() -> String, mut missing: impl FnMut() -> Option<String>) {
    let began = Instant::now();
    while let Some(missing) = missing() {
        assert!(
            began.elapsed() < LONGEST,
            "{:?} has not {missing}\nit said {}\n{}",
            secondary.kind,
            secondary.said(),
            transfers()
        );
        thread::park_timeout(BETWEEN_LOOKS);
    }
}
