//! The configuration: one TOML file, overridden by `HEADLESS_DNS_*` variables, overridden by flags.
//!
//! ```text
//! file ──┐
//! env  ──┼─▶ source::Settings (key, value, origin), weakest first ──▶ parse ──▶ Config, or every problem there is
//! flags ─┘
//! ```
//!
//! Every option is declared once, in `options!` below. That declaration is the field of [`Config`], the key in the
//! file, the environment variable, the flag, the text of `--help`, the line that `check-config --print` shows, and the
//! paragraph in `config/headless-dns.toml`.
//!
//! Durations are whole seconds. A list in a variable is separated by commas, a list of flags is the flag repeated.
//! A list that is given replaces the weaker one, it is never appended to it.

mod conflict;
mod parse;
mod source;

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::cluster::PodSelection;
pub use parse::LogFormat;
pub use source::{ENV_PREFIX, Origin, Problem};
use source::{Kind, Settings};

/// Declares the options: heads, then `field: type = default, "--flag VALUE", parser`. The default is a TOML literal.
macro_rules! options {
    ($( $heading:literal {
        $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, $flag:literal, $parse:expr; )+
    } )+) => {
        /// What the program runs with: every option with its final, checked value.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config { $( $( $(#[doc = $doc])+ pub $key: $type, )+ )+ }

        /// Every option, in the order in which the documentation has them.
        pub const OPTIONS: &[Opt] = &[ $( $( Opt {
            heading: $heading,
            key: stringify!($key),
            flag: $flag,
            default: stringify!($default),
            doc: &[$($doc),+],
        }, )+ )+ ];

        /// Reads every option from `settings`. `None` if one of them had a problem, which then stands in `problems`.
        fn resolve(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Config> {
            $( $( let $key: Option<$type> = settings.read(stringify!($key), $parse, problems); )+ )+
            Some(Config { $( $( $key: $key?, )+ )+ })
        }
    };
}

options! {
    "Zones and answers" {
        /// Zones that are served.
        /// One is the cluster domain of the cluster that is watched (`--cluster-domain` of its kubelets). Several names
        /// for one cluster are possible, a zone below another one is not.
        zones: Vec<String> = ["cluster.local"], "--zone NAME", parse::zones;
        /// Reverse zones that are served, as names or as networks.
        /// PTR questions for addresses of the cluster are answered from here; in a zone that is served, an unknown
        /// address is NXDOMAIN. A network ends on an octet (IPv4) or a nibble (IPv6): `10.0.0.0/8`, `fd00::/8`. An
        /// empty list serves none.
        reverse_zones: Vec<String> = ["in-addr.arpa", "ip6.arpa"], "--reverse-zone NAME|NETWORK", parse::reverse_zones;
        /// TTL of records, in seconds.
        /// From 0 to 3600. Pods come and go, so a cache should not hold on to an address for long; at 5 s a resolver
        /// still spares the server most of a busy client's questions.
        ttl: u32 = 5, "--ttl SECONDS", |value| parse::integer(value, parse::TTL);
        /// TTL of negative answers, in seconds.
        /// From 0 to 3600. It is also the MINIMUM of the SOA record, which bounds how long a resolver may remember that
        /// a name does not exist (RFC 2308). A peer that is not there yet will be there in a moment, hence 1 s.
        negative_ttl: u32 = 1, "--negative-ttl SECONDS", |value| parse::integer(value, parse::TTL);
        /// Addresses of the name server `ns.dns.<zone>`, which stands in the NS and SOA records.
        /// An empty list stands for the addresses of `listen` that are not wildcards. In a cluster, give the address of
        /// the Service in front of this server.
        nameservers: Vec<IpAddr> = [], "--nameserver IP", parse::nameservers;
        /// Mailbox of the person responsible for the zone, as a domain name (the RNAME of the SOA record).
        /// The first dot stands for the `@`. Empty is `hostmaster.<zone>`.
        hostmaster: Option<String> = "", "--hostmaster NAME", parse::hostmaster;
        /// Answer to `version.bind` and `version.server` (class CH, type TXT).
        /// Empty refuses the question: a version is of use to an attacker first of all.
        chaos_version: Option<String> = "", "--chaos-version TEXT", parse::chaos_text;
        /// Answer to `id.server` and `hostname.bind` (class CH, type TXT).
        /// Empty refuses the question. Behind a load balancer a Pod's name tells which replica answered.
        chaos_id: Option<String> = "", "--chaos-id TEXT", parse::chaos_text;
    }
    "Endpoints" {
        /// Pods that speak for themselves: "statefulsets", "all" or "off".
        /// What a mirrored Pod says of itself (address, readiness) is answered at once, without waiting for the
        /// EndpointSlice controller to repeat it. Each costs memory, and StatefulSets are those whose names are waited for.
        /// With "off", or where Pods may not be listed, every endpoint comes from its EndpointSlice.
        pods: PodSelection = "statefulsets", "--pods WHICH", parse::pods;
        /// Whether `pod-0.service` resolves as soon as the Pod has an address, ready or not.
        /// For members that must find each other in order to become ready. The bare name stays with those that are
        /// ready. The annotation `headless-dns/not-ready-ordinals` ("true" or "false") of a Service overrides it, and
        /// `publishNotReadyAddresses` goes further.
        not_ready_ordinals: bool = false, "--not-ready-ordinals BOOLEAN", parse::boolean;
        /// Whether headless Services alone are served.
        /// The names of the others then do not exist here, and need no memory: for a server that a resolver asks for
        /// headless names only, as in `config/Corefile`.
        headless_only: bool = false, "--headless-only BOOLEAN", parse::boolean;
    }
    "Listening" {
        /// Addresses to answer on, each over UDP and TCP.
        /// IPv6 is written `[::1]:5300`. `0.0.0.0` is every IPv4 address of the machine and `[::]` every IPv6 address;
        /// both may be given. The default can be tried by anyone: loopback only, no privileged port.
        listen: Vec<SocketAddr> = ["127.0.0.1:5300"], "--listen ADDRESS:PORT", parse::listen;
        /// Whether another process may answer on the same addresses at the same time.
        /// For an upgrade without a gap: the next process, with this option too and of the same user, starts beside the
        /// first, listens once it knows the cluster, and then the first is told to stop. Datagrams are spread over the
        /// processes and their workers by the client's address, not one by one, so a single busy client keeps a single
        /// worker busy. Not together with `quic_listen`; the admin pages want an address for each process.
        share_address: bool = false, "--share-address BOOLEAN", parse::boolean;
        /// Largest UDP answer, in bytes, to a client that asks with EDNS.
        /// From 512 to 4096. 1232 is what fits the smallest IPv6 packet without fragmentation (DNS Flag Day 2020).
        edns_udp_size: u16 = 1232, "--edns-udp-size BYTES", |value| parse::integer(value, parse::EDNS_UDP_SIZE);
        /// Threads that answer over UDP, each with a socket of its own on every address.
        /// From 0 to 256. 0 is one for each core that the process may use.
        udp_workers: usize = 0, "--udp-workers NUMBER", |value| parse::integer(value, parse::UDP_WORKERS);
        /// Open TCP connections over all clients; a further one is closed at once.
        /// From 1 to 65536. Each costs a file descriptor and, idle, some 3 kB; while it is busy up to 64 kB for questions
        /// and 128 kB for answers, over HTTPS up to 2 MB, and up to 512 kB of the kernel's. 1024 of them are some 700 MB,
        /// over HTTPS 2.5 GB, in the very worst case and hardly anything in the usual one.
        tcp_max_connections: usize = 1024, "--tcp-max-connections NUMBER",
            |value| parse::integer(value, parse::TCP_CONNECTIONS);
        /// Open TCP connections of one client.
        /// From 1 to 65536, and no more than `tcp_max_connections`. A client is an IPv4 address or an IPv6 /64, of which
        /// one host may have every address. A forwarder such as CoreDNS is one client with many connections; at 256 it
        /// takes more than a single one to lock the others out.
        tcp_max_connections_per_client: usize = 256, "--tcp-max-connections-per-client NUMBER",
            |value| parse::integer(value, parse::TCP_CONNECTIONS);
        /// Seconds after which a TCP connection without a question is closed.
        /// From 1 to 120. RFC 7766 asks for a few seconds; 10 s lets resolvers reuse a connection between bursts.
        tcp_idle_timeout: Duration = 10, "--tcp-idle-timeout SECONDS",
            |value| parse::seconds(value, parse::TCP_IDLE_TIMEOUT);
        /// Seconds that the server goes on answering, no longer ready, after it was told to stop.
        /// From 0 to 300. Within them load balancers notice. It must be well below the Pod's
        /// `terminationGracePeriodSeconds`. Ctrl-C does not wait.
        drain_timeout: Duration = 5, "--drain-timeout SECONDS",
            |value| parse::seconds(value, parse::DRAIN_TIMEOUT);
    }
    "Encrypted transports" {
        /// Addresses to answer on over TLS (RFC 7858, usually port 853). An empty list is off.
        /// The limits and the time-out of TCP connections hold here and for HTTPS too.
        tls_listen: Vec<SocketAddr> = [], "--tls-listen ADDRESS:PORT", parse::listen_if_any;
        /// Addresses to answer on over HTTPS (RFC 8484, HTTP/2, usually port 443). An empty list is off.
        https_listen: Vec<SocketAddr> = [], "--https-listen ADDRESS:PORT", parse::listen_if_any;
        /// Path at which HTTPS answers.
        /// `/dns-query` makes the URL `https://<name>/dns-query`, which is what clients expect.
        https_path: String = "/dns-query", "--https-path PATH", parse::url_path;
        /// Addresses to answer on over QUIC (RFC 9250, usually port 853 of UDP). An empty list is off.
        /// The number of connections over QUIC has no limit yet, and one slow handshake delays the next: open it to
        /// clients that are trusted. A connection ends after 99 answers, and its client opens another.
        quic_listen: Vec<SocketAddr> = [], "--quic-listen ADDRESS:PORT", parse::listen_if_any;
        /// File with the certificate of the encrypted transports and those of intermediate authorities, PEM.
        /// It and `tls_key` are required when one of those transports is on, and read again within seconds when they
        /// change, as a mounted Secret does. Files that are not good leave the certificate before them in use.
        tls_cert: Option<PathBuf> = "", "--tls-cert FILE", parse::path;
        /// File with the private key of `tls_cert`, PEM.
        tls_key: Option<PathBuf> = "", "--tls-key FILE", parse::path;
    }
    "Cluster" {
        /// Namespaces to watch. An empty list watches all of them.
        /// With names given, nothing cluster-wide is asked for, and a Role in each namespace is enough.
        namespaces: Vec<String> = [], "--namespace NAME", parse::namespaces;
        /// File with the address and credentials of the cluster.
        /// Empty is the Pod's own service account, and outside a Pod the files named by the variable KUBECONFIG, or
        /// `~/.kube/config`. A relative path is relative to the working directory.
        kubeconfig: Option<PathBuf> = "", "--kubeconfig FILE", parse::path;
        /// Context of the kubeconfig to use. Empty is its current context.
        context: Option<String> = "", "--context NAME", parse::text;
        /// Seconds without a word from the API server after which answers are stale.
        /// From 5 to 600. They go on all the same, and say so to clients that ask with EDNS (*Stale Answer*), as do
        /// `/readyz` and a metric. A watch is opened anew after five sixths of that time, 50 s at most, so that one on
        /// which nothing changes is heard in between; 60 s notices a dead link within a minute at the cost of a request
        /// a minute for each watch.
        stale_after: Duration = 60, "--stale-after SECONDS", |value| parse::seconds(value, parse::STALE_AFTER);
        /// Seconds after which a watch is checked, and mended, by a list of everything; at random up to half sooner.
        /// From 0 to 86400, 0 is never. A watch tells of every change, unless something between here and the API
        /// server's storage has a fault. The list of 10,000 Services and their slices is tens of megabytes for the API
        /// server to write: every 15 minutes that is little for a few replicas, hundreds of them want hours.
        reconcile_every: Duration = 900, "--reconcile-every SECONDS",
            |value| parse::seconds(value, parse::RECONCILE_EVERY);
    }
    "Operation" {
        /// Address of the admin pages: `/livez`, `/readyz`, `/metrics`, `/records` and `/zone`; "off" for none.
        /// They are plain HTTP without a password and show every record, hence loopback. In a Pod the kubelet's probes
        /// need `0.0.0.0:8053`.
        admin: Option<SocketAddr> = "127.0.0.1:8053", "--admin ADDRESS:PORT|off", parse::admin;
        /// Folder in which what is known of the cluster is kept for the next start. Empty is off.
        /// A start while the API server is away then serves the last known answers at once, as stale, until the server is
        /// heard. It is written within seconds of a change, in large clusters within half a minute, and at the end. A file
        /// that is damaged, or of another cluster or selection, is refused with a warning.
        state: Option<PathBuf> = "", "--state DIR", parse::path;
        /// What is logged: a level (error, warn, info, debug, trace) or a list of directives such as `info,kube=debug`.
        log_level: String = "info", "--log-level LEVEL", parse::log_level;
        /// Form of the log: "text" for people or "json", one object a line, for collectors.
        log_format: LogFormat = "text", "--log-format FORMAT", parse::log_format;
    }
}

/// One option as declared: everything there is to say about it but its type.
#[derive(Debug)]
pub struct Opt {
    /// The group it is documented in.
    pub heading: &'static str,
    /// The key in the file, and with it the name of the variable.
    pub key: &'static str,
    /// The flag and its value: `--ttl SECONDS`.
    flag: &'static str,
    /// The default, as written in the file.
    pub default: &'static str,
    doc: &'static [&'static str],
}

impl Opt {
    /// The option with this key.
    pub fn find(key: &str) -> Option<&'static Opt> {
        OPTIONS.iter().find(|option| option.key == key)
    }

    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}", self.key.to_ascii_uppercase())
    }

    /// The name of its flag, without the dashes.
    pub fn flag(&self) -> &'static str {
        self.flag.trim_start_matches("--").split(' ').next().unwrap_or_default()
    }

    /// What `--help` calls its value.
    pub fn value_name(&self) -> &'static str {
        self.flag.split(' ').next_back().unwrap_or_default()
    }

    /// Whether its value is a list, and its flag therefore repeatable.
    pub fn is_list(&self) -> bool {
        self.kind() == Kind::List
    }

    /// What it is for, in one line.
    pub fn summary(&self) -> &'static str {
        self.doc.first().map_or("", |line| line.trim())
    }

    /// What it is for, its bounds, and why its default is what it is; one line each as in the file.
    pub fn documentation(&self) -> impl Iterator<Item = &'static str> {
        self.doc.iter().map(|line| line.trim())
    }

    fn kind(&self) -> Kind {
        Kind::of_literal(self.default)
    }
}

impl Config {
    /// The configuration that `file`, then the environment, then the flags give.
    ///
    /// `environment` is all of the process's variables; those that don't concern this program are passed over. `flags`
    /// are keys with the texts given for them.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[(&'static str, Vec<String>)],
    ) -> Result<Effective, ConfigError> {
        let mut problems = Vec::new();
        let mut settings = Settings::defaults(&mut problems);
        let (named_file, variables) = source::variables(environment, &mut problems);
        if let Some(path) = file.or(named_file.as_deref()) {
            settings.add_file(path, &mut problems);
        }
        settings.add_variables(variables, &mut problems);
        settings.add_flags(flags, &mut problems);
        let config = resolve(&settings, &mut problems);
        if let Some(config) = &config {
            conflict::check(config, &settings, &mut problems);
        }
        match config {
            Some(config) if problems.is_empty() => Ok(Effective { config, settings }),
            _ => {
                // Stable, so that several problems of one place stay in the order in which they were found.
                problems.sort_by(|one, other| one.origin.cmp(&other.origin));
                Err(ConfigError { problems })
            }
        }
    }
}

/// A configuration together with where each of its values came from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub config: Config,
    settings: Settings,
}

impl Effective {
    /// Where the value of the option `key` came from.
    pub fn origin(&self, key: &str) -> &Origin {
        self.settings.origin(key)
    }

    /// The configuration as a TOML file that says of each value where it came from.
    pub fn to_toml(&self) -> String {
        let lines = OPTIONS.iter().filter_map(|option| {
            let (value, origin) = self.settings.strongest(option.key)?;
            Some(format!("{} = {value}  # {origin}\n", option.key))
        });
        lines.collect()
    }
}

/// The documented default configuration: the text of `config/headless-dns.toml`.
pub fn documented_defaults() -> String {
    let mut text = String::from(FILE_INTRODUCTION);
    let mut heading = "";
    for option in OPTIONS {
        if option.heading != heading {
            heading = option.heading;
            text += &format!("\n## {heading}\n");
        }
        text.push('\n');
        for line in option.documentation() {
            text += &format!("# {line}\n");
        }
        text += &format!("{} = {}\n", option.key, option.default);
    }
    text
}

const FILE_INTRODUCTION: &str = "\
# Every option of headless-dns with its default. A file holds only what differs; nothing in it is required.
#
# A variable HEADLESS_DNS_<KEY> overrides the file (lists are separated by commas), a flag overrides both (for a list it
# is repeated). Durations are whole seconds. `headless-dns check-config --config FILE --print` shows what results.
";

/// Why a configuration was refused: every problem that was found, one per line.
#[derive(Debug)]
pub struct ConfigError {
    /// The problems; there is at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
