//! The configuration: one TOML file, overridden by `HEADLESS_DNS_*` variables, overridden by flags.
//!
//! ```text
//! file ──┐
//! env  ──┼─▶ source::Settings (key, value, origin), weakest first ──▶ parse ──▶ Config, or every problem there is
//! flags ─┘
//! ```
//!
//! Every option is declared once, in `options!` below. The declaration yields the field of [`Config`], the key in the file,
//! the environment variable, the flag, the text of `--help`, the line that `check-config --print` shows, and the paragraph
//! in `config/headless-dns.toml`. Values are parsed once, here, into the types that the rest of the program uses.
//!
//! Durations are whole seconds. In a variable, commas separate the elements of a list; a flag is repeated. A list replaces
//! the one of a weaker source and is never appended to it.

mod conflict;
mod documented;
mod log;
mod option;
mod parse;
mod reload;
mod source;

use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use documented::documented_defaults;
use ipnet::IpNet;
pub use log::{LogFilter, LogFormat};
pub use option::Opt;
pub use reload::RELOADABLE;
use source::Settings;
pub use source::{ENV_PREFIX, Origin, Problem};

use crate::cluster::PodSelection;
use crate::dns::name::{Label, Name};
use crate::resolver::ForwardTo;
use crate::tap::{Collector, QueryFilter};
use crate::transfer::NotifyTo;

/// Declares the options by heading: `field: type = default, "--flag VALUE", parser`. The default is a TOML literal.
macro_rules! options {
    ($( $heading:literal {
        $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $default:expr, $flag:literal, $parse:expr; )+
    } )+) => {
        /// The value of every option, checked.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config { $( $( $(#[doc = $doc])+ pub $key: $type, )+ )+ }

        /// Every option, in the order of the documentation.
        pub const OPTIONS: &[Opt] = &[ $( $( Opt {
            heading: $heading,
            key: stringify!($key),
            flag: $flag,
            default: stringify!($default),
            doc: &[$($doc),+],
        }, )+ )+ ];

        /// Reads every option from `settings`. Returns `None` if an option has a problem, and adds it to `problems`.
        fn resolve(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Config> {
            $( $( let $key: Option<$type> = settings.read(stringify!($key), $parse, problems); )+ )+
            Some(Config { $( $( $key: $key?, )+ )+ })
        }

        impl Config {
            /// The keys of the options that differ from those of `other`.
            pub fn differences(&self, other: &Config) -> Vec<&'static str> {
                let is_different = [ $( $( (stringify!($key), self.$key != other.$key), )+ )+ ];
                is_different.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
            }
        }
    };
}

options! {
    "Zones and answers" {
        /// Zones to serve.
        /// One of them is the cluster domain (`--cluster-domain` of the kubelets). Several zones may serve the same
        /// cluster. A zone below another one is not allowed.
        zones: Vec<Name> = ["cluster.local"], "--zone NAME", parse::zones;
        /// Reverse zones to serve, as names or as networks.
        /// They answer PTR queries for the cluster's addresses. An address in a served zone that has no record is
        /// NXDOMAIN. A network must end on an octet (IPv4) or a nibble (IPv6): `10.0.0.0/8`, `fd00::/8`. An empty list
        /// serves none.
        reverse_zones: Vec<Name> = ["in-addr.arpa", "ip6.arpa"], "--reverse-zone NAME|NETWORK", parse::reverse_zones;
        /// TTL of records, in seconds.
        /// From 0 to 3600. Pods come and go, so caches should not keep an address for long. At 5 s a resolver still
        /// absorbs most of a busy client's queries.
        ttl: u32 = 5, "--ttl SECONDS", |value| parse::integer(value, parse::TTL);
        /// TTL of negative answers, in seconds.
        /// From 0 to 3600. It is also the MINIMUM of the SOA record, which limits how long a resolver may remember that
        /// a name does not exist (RFC 2308). The default is 1 s because a missing peer usually appears soon.
        negative_ttl: u32 = 1, "--negative-ttl SECONDS", |value| parse::integer(value, parse::TTL);
        /// Addresses of the name server `ns.dns.<zone>`, which the NS and SOA records name.
        /// An empty list means the addresses in `listen` that are not wildcards. In a cluster, give the address of the
        /// Service in front of this server.
        nameservers: Vec<IpAddr> = [], "--nameserver IP", parse::nameservers;
        /// Mailbox of the person responsible for the zone, as a domain name (the RNAME of the SOA record).
        /// The first dot stands for the `@`. Empty means `hostmaster.<zone>`.
        hostmaster: Option<Name> = "", "--hostmaster NAME", parse::hostmaster;
        /// Answer to `version.bind` and `version.server` (class CH, type TXT).
        /// Empty refuses the query: a version number mostly helps attackers.
        chaos_version: Option<String> = "", "--chaos-version TEXT", parse::chaos_text;
        /// Answer to `id.server` and `hostname.bind` (class CH, type TXT), and the NSID option (RFC 5001).
        /// Empty refuses the query. Behind a load balancer, the Pod's name shows which replica answered.
        chaos_id: Option<String> = "", "--chaos-id TEXT", parse::chaos_text;
    }
    "Endpoints" {
        /// Which Pods are watched directly: "statefulsets", "all" or "off".
        /// The address and readiness of a watched Pod are served as soon as the Pod reports them, without waiting for
        /// the EndpointSlice controller. Every watched Pod costs memory. With "off", or if listing Pods is not allowed,
        /// all endpoints come from EndpointSlices.
        pods: PodSelection = "statefulsets", "--pods WHICH", parse::pods;
        /// Whether `pod-0.service` resolves as soon as the Pod has an address, ready or not.
        /// Use it for members that must find each other before they can become ready. The Service's own name still
        /// resolves to ready Pods only. The annotation `headless-dns/not-ready-ordinals` ("true" or "false") overrides
        /// it for one Service; `publishNotReadyAddresses` goes further.
        not_ready_ordinals: bool = false, "--not-ready-ordinals BOOLEAN", parse::boolean;
        /// Whether to serve headless Services only.
        /// The names of other Services then do not exist here and take no memory. Use it when a resolver sends only
        /// headless names to this server, as in `config/Corefile`.
        headless_only: bool = false, "--headless-only BOOLEAN", parse::boolean;
    }
    "Listening" {
        /// Addresses to listen on, each over UDP and TCP.
        /// IPv6 is written `[::1]:5300`. `0.0.0.0` is every IPv4 address of the machine and `[::]` every IPv6 address;
        /// both may be given. The default needs no privileges: loopback only, unprivileged port.
        listen: Vec<SocketAddr> = ["127.0.0.1:5300"], "--listen ADDRESS:PORT", parse::listen;
        /// Whether another process may listen on the same addresses at the same time.
        /// For upgrades without downtime: start the new process with this option, under the same user, beside the old
        /// one. It starts to listen once it has synchronised; then stop the old one. The kernel assigns UDP clients to
        /// workers by client address, so one busy client keeps one worker busy. Not allowed together with
        /// `quic_listen`. Each process needs `admin` and `probes` addresses of its
        /// own.
        share_address: bool = false, "--share-address BOOLEAN", parse::boolean;
        /// Largest UDP answer, in bytes, to a client that uses EDNS.
        /// From 512 to 4096. 1232 is what fits the smallest IPv6 packet without fragmentation (DNS Flag Day 2020).
        edns_udp_size: u16 = 1232, "--edns-udp-size BYTES", |value| parse::integer(value, parse::EDNS_UDP_SIZE);
        /// Threads that answer over UDP, each with its own socket on every address.
        /// From 0 to 256. 0 means one per core that the process may use.
        udp_workers: usize = 0, "--udp-workers NUMBER", |value| parse::integer(value, parse::UDP_WORKERS);
        /// Maximum number of open TCP connections. A further one takes the place of one that makes no progress, or is closed.
        /// From 1 to 65536. Each takes a file descriptor and about 3 kB when idle. One whose client reads nothing takes up to
        /// 0.7 MB, most of it in the kernel, and 2.8 MB over HTTPS and QUIC, until it is closed after `tcp_idle_timeout`:
        /// `headless-dns check-config` adds up the worst case. Usually connections take very little.
        tcp_max_connections: usize = 1024, "--tcp-max-connections NUMBER",
            |value| parse::integer(value, parse::TCP_CONNECTIONS);
        /// Maximum number of open TCP connections per client.
        /// From 1 to 65536, and no more than `tcp_max_connections`. A client is an IPv4 address or an IPv6 /64, because
        /// one host may use every address of a /64. A forwarder such as CoreDNS is one client with many connections.
        /// With 256, no single client can lock out the others.
        tcp_max_connections_per_client: usize = 256, "--tcp-max-connections-per-client NUMBER",
            |value| parse::integer(value, parse::TCP_CONNECTIONS);
        /// Seconds after which an idle TCP connection is closed.
        /// From 1 to 120. RFC 7766 recommends a few seconds; 10 s lets resolvers reuse a connection between bursts.
        tcp_idle_timeout: Duration = 10, "--tcp-idle-timeout SECONDS",
            |value| parse::seconds(value, parse::TCP_IDLE_TIMEOUT);
        /// Seconds that the server keeps answering after SIGTERM, while it reports not ready.
        /// From 0 to 300. It gives load balancers time to notice, and must be well below the Pod's
        /// `terminationGracePeriodSeconds`. Ctrl-C skips it.
        drain_timeout: Duration = 5, "--drain-timeout SECONDS",
            |value| parse::seconds(value, parse::DRAIN_TIMEOUT);
    }
    "Encrypted transports" {
        /// Addresses to listen on for DNS over TLS (RFC 7858, usually port 853). An empty list is off.
        /// The TCP connection limits and the idle time-out apply to TLS and HTTPS too.
        tls_listen: Vec<SocketAddr> = [], "--tls-listen ADDRESS:PORT", parse::listen_if_any;
        /// Addresses to listen on for DNS over HTTPS (RFC 8484, HTTP/2, usually port 443). An empty list is off.
        https_listen: Vec<SocketAddr> = [], "--https-listen ADDRESS:PORT", parse::listen_if_any;
        /// URL path of DNS over HTTPS.
        /// With `/dns-query` the URL is `https://<name>/dns-query`, which is what clients expect.
        https_path: String = "/dns-query", "--https-path PATH", parse::url_path;
        /// Addresses to listen on for DNS over QUIC (RFC 9250, usually port 853 of UDP). An empty list is off.
        /// The TCP connection limits and the idle time-out apply to QUIC too; a connection over the limit is refused.
        quic_listen: Vec<SocketAddr> = [], "--quic-listen ADDRESS:PORT", parse::listen_if_any;
        /// File with the certificate chain of the encrypted transports, PEM.
        /// It and `tls_key` are required when one of those transports is on. Both are reloaded within seconds of a
        /// change, for example of a mounted Secret. If the new files are invalid, the old certificate stays in use.
        tls_cert: Option<PathBuf> = "", "--tls-cert FILE", parse::path;
        /// File with the private key of `tls_cert`, PEM.
        tls_key: Option<PathBuf> = "", "--tls-key FILE", parse::path;
    }
    "Cluster" {
        /// Namespaces to watch. An empty list watches all of them.
        /// If namespaces are given, nothing cluster-wide is requested, and a Role in each of them is enough.
        namespaces: Vec<Label> = [], "--namespace NAME", parse::namespaces;
        /// File with the address and credentials of the cluster.
        /// Empty means the Pod's service account, or outside a Pod the files named by the variable KUBECONFIG or
        /// `~/.kube/config`. A relative path is relative to the working directory.
        kubeconfig: Option<PathBuf> = "", "--kubeconfig FILE", parse::path;
        /// Context of the kubeconfig to use. Empty means its current context.
        context: Option<String> = "", "--context NAME", parse::text;
        /// Seconds without word from the API server after which answers are stale.
        /// From 5 to 600. Stale answers are still served, marked *Stale Answer* for clients that use EDNS, and `/readyz`
        /// and a metric report them. A watch reconnects after five sixths of this time, 50 s at most, so that a watch
        /// without changes still proves that the link works. 60 s notices a dead link within a minute, and costs each
        /// watch about one request a minute.
        stale_after: Duration = 60, "--stale-after SECONDS", |value| parse::seconds(value, parse::STALE_AFTER);
        /// Seconds between reconciliations: a full list that finds and repairs what a watch missed.
        /// From 0 to 86400, 0 is never. Each interval is shortened at random, by half at most. A watch reports every
        /// change unless something between this server and the API server's storage is faulty. Listing 10,000 Services
        /// and their slices makes the API server write tens of megabytes: fine every 15 minutes for a few replicas, but
        /// use hours for hundreds of them.
        reconcile_every: Duration = 900, "--reconcile-every SECONDS",
            |value| parse::seconds(value, parse::RECONCILE_EVERY);
    }
    "Forwarding" {
        /// Servers that are asked for names outside the zones, and for names of the cluster that are not mirrored here.
        /// Each is `ADDRESS`, `ADDRESS:PORT`, `tcp://ADDRESS`, `tls://ADDRESS#NAME` (DNS over TLS, with the name in its
        /// certificate), or a file such as `/etc/resolv.conf`, which is read again when it changes. The first that answers
        /// is asked. An empty list forwards nothing: such names are then REFUSED.
        forward: Vec<ForwardTo> = [], "--forward SERVER|FILE", parse::forward;
        /// Networks whose clients may have names forwarded. Others are refused.
        /// A server that forwards for everybody on the Internet is abused for attacks.
        forward_clients: Vec<IpNet> = ["127.0.0.0/8", "::1/128"], "--forward-clients NETWORK", parse::networks;
        /// Seconds that one forwarded question may take.
        /// From 1 to 30. Each of three attempts gets a third. Stub resolvers give up after 5 s.
        forward_timeout: Duration = 3, "--forward-timeout SECONDS", |value| parse::seconds(value, parse::FORWARD_TIMEOUT);
        /// Memory for forwarded answers, in megabytes (1,048,576 bytes).
        /// From 0 to 65536, 0 keeps none. A megabyte holds some 2,000 answers. What is not used goes first.
        forward_cache_size: usize = 8, "--forward-cache-size MEGABYTES", |value| parse::integer(value, parse::CACHE_SIZE);
        /// Seconds for which forwarded answers are served after their TTL while no upstream answers (RFC 8767).
        /// From 0 to 259200 (three days); 0 serves none. They have a TTL of 30 s and are marked *Stale Answer*.
        serve_stale: Duration = 3600, "--serve-stale SECONDS", |value| parse::seconds(value, parse::SERVE_STALE);
    }
    "Zone transfer" {
        /// Networks whose hosts may transfer the zones (AXFR and IXFR, over TCP and TLS). An empty list is off.
        /// A transfer shows every record. `config/` has examples for Knot, NSD, BIND, PowerDNS, unbound and CoreDNS.
        transfer_clients: Vec<IpNet> = [], "--transfer-clients NETWORK", parse::networks;
        /// Files with the keys (TSIG) with which those hosts have to sign their requests; without any, the address is enough.
        /// In the form of BIND's `tsig-keygen` or Knot's `keymgr -t`: hmac-sha256, hmac-sha384 or hmac-sha512. They are
        /// reloaded within seconds of a change.
        transfer_keys: Vec<PathBuf> = [], "--transfer-keys FILE", parse::paths;
        /// Secondaries that are told of each new version (NOTIFY): `ADDRESS`, `ADDRESS:PORT`, each with `#KEY` to sign with.
        /// A version is cut at most four times a second. A secondary that does not answer is told again.
        notify: Vec<NotifyTo> = [], "--notify ADDRESS:PORT#KEY", parse::notify;
        /// Number of this replica among those that secondaries follow.
        /// From 0 to 15. No two may have the same: serials are made of it. In a StatefulSet it is the ordinal of the Pod, as in
        /// `deploy/overlays/primary`. With `state`, serials rise whatever happens to the clock.
        replica: u8 = 0, "--replica NUMBER", |value| parse::integer(value, parse::REPLICA);
        /// Memory for older versions, from which differences are transferred, in megabytes (1,048,576 bytes).
        /// From 0 to 65536. A secondary whose version is no longer there gets the whole zone.
        transfer_history_size: usize = 16, "--transfer-history-size MEGABYTES", |value| parse::integer(value, parse::CACHE_SIZE);
    }
    "Public view" {
        /// Zone under which those outside may have chosen Services: `pg.db.svc.<zone>` is `pg.db.<public_origin>` there.
        /// Empty is no such view. It has the Services in `public_namespaces`, and those with the annotation `headless-dns/public`
        /// "true"; "false" keeps a Service out. Nothing in it names a zone of the cluster: it has no reverse zone, and no
        /// ExternalName that leads to a name of the cluster. It is answered as well as transferred.
        public_origin: Option<Name> = "", "--public-origin NAME", parse::public_origin;
        /// Namespaces of which every Service without that annotation is in the view.
        public_namespaces: Vec<Label> = [], "--public-namespace NAME", parse::namespaces;
        /// Names of the servers that those outside ask for the view: its NS records. At least one, none of them in the view.
        /// They are usually the secondaries that follow this server. The first is the MNAME of the SOA record too.
        public_nameservers: Vec<Name> = [], "--public-nameserver NAME", parse::hosts;
        /// Networks whose hosts may transfer the view, and no other zone. Those of `transfer_clients` may transfer it too.
        public_clients: Vec<IpNet> = [], "--public-clients NETWORK", parse::networks;
        /// Files with the keys with which those hosts have to sign, in the form of `transfer_keys`. They open the view alone.
        /// Give them keys of their own: a key of `transfer_keys` opens every zone to an address in `transfer_clients`.
        public_keys: Vec<PathBuf> = [], "--public-keys FILE", parse::paths;
        /// Secondaries that are told of each new version of the view, in the form of `notify`, which is not told of the view.
        public_notify: Vec<NotifyTo> = [], "--public-notify ADDRESS:PORT#KEY", parse::notify;
    }
    "Query log" {
        /// Queries that are logged, each with its answer in a line of the log. An empty list is off.
        /// `all`, or what a query has to have: `name=NAME` (at or below it), `client=NETWORK`, `rcode=RCODE`. Of several of one
        /// kind, one has to fit: `["rcode=NXDOMAIN", "rcode=SERVFAIL", "name=db.svc.cluster.local"]`. They need `log_level` info.
        log_queries: Vec<QueryFilter> = [], "--log-queries FILTER", parse::query_filters;
        /// One of so many of these queries is logged.
        /// From 1 to 1000000.
        log_queries_sample: u32 = 1, "--log-queries-sample NUMBER", |value| parse::integer(value, parse::LOG_SAMPLE);
        /// Lines of the query log in a second, at most. A metric counts the others.
        /// From 1 to 100000.
        log_queries_rate: u32 = 100, "--log-queries-rate LINES", |value| parse::integer(value, parse::LOG_RATE);
        /// Collector of dnstap: `unix:PATH` or `tcp:ADDRESS:PORT`. Empty is off.
        /// It is sent each query with its answer, in Frame Streams. One that is slow or away holds up nothing: what it does
        /// not take in time is left out, and a metric counts it. `chaos_id` is the identity in the frames.
        dnstap: Option<Collector> = "", "--dnstap unix:PATH|tcp:ADDRESS:PORT", parse::collector;
    }
    "Operation" {
        /// Address of the admin pages: `/` for people, `/records`, `/zone`, `/explain`, and those of `probes`; "off" for none.
        /// They are plain HTTP without authentication and show every record, so the default is loopback; leave it there.
        /// `headless-dns export` and `explain` ask it. Two clients at a time may read records.
        admin: Option<SocketAddr> = "127.0.0.1:8053", "--admin ADDRESS:PORT|off", parse::address_or_off;
        /// Address of `/livez`, `/readyz` and `/metrics` alone, for the kubelet's probes and for monitoring; "off" for none.
        /// In a Pod use `0.0.0.0:8054`. Nothing there grows with the cluster or shows a record, and the probes are answered
        /// whoever else connects. Where the machine itself asks, the same pages at the `admin` address do.
        probes: Option<SocketAddr> = "off", "--probes ADDRESS:PORT|off", parse::address_or_off;
        /// Directory in which to save the cluster's last known state for the next start. Empty is off.
        /// If the API server is unreachable at the next start, the server answers from that state at once and marks the
        /// answers stale until it has synchronised. The state is saved within seconds of a change (within 30 s in large
        /// clusters) and on shutdown. A file that is damaged, or belongs to another cluster or selection, is ignored
        /// with a warning.
        state: Option<PathBuf> = "", "--state DIR", parse::path;
        /// Memory that the process may have, in MiB, what the kernel keeps for its sockets included. 0 is no limit.
        /// From 0 to 1048576. It limits nothing by itself: the start is refused if clients alone could make the server
        /// take more, as `tcp_max_connections`, `udp_workers` and the listening addresses allow. Set it to the memory limit
        /// of the container; `headless-dns check-config` shows the calculation, and how many endpoints fit into the rest.
        memory_limit: usize = 0, "--memory-limit MIB", |value| parse::integer(value, parse::MEMORY_LIMIT);
        /// What to log: a level (error, warn, info, debug, trace) or directives such as `info,kube=debug`.
        log_level: LogFilter = "info", "--log-level LEVEL", parse::log_level;
        /// Format of the log: "text" for people, or "json" (one object per line) for log collectors.
        log_format: LogFormat = "text", "--log-format FORMAT", parse::log_format;
    }
}

impl Config {
    /// What is valid and yet likely a mistake, for a person.
    pub fn warnings(&self) -> Vec<String> {
        conflict::warnings(self)
    }

    /// Reads the defaults, `file`, the environment and the flags; later sources override earlier ones.
    ///
    /// `environment` holds all variables of the process; unrelated ones are ignored. `flags` are keys with the texts given
    /// for them.
    ///
    /// # Errors
    /// Every problem in every source, including in values that a stronger source overrides.
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
                // The sort is stable: problems with the same origin stay in the order in which they were found.
                problems.sort_by(|one, other| one.origin.cmp(&other.origin));
                Err(ConfigError { problems })
            }
        }
    }
}

/// A configuration and the source of each of its values.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub config: Config,
    settings: Settings,
}

impl Effective {
    /// The source of the value of `key`.
    pub fn origin(&self, key: &str) -> &Origin {
        self.settings.origin(key)
    }

    /// The configuration as a TOML file, with the source of each value as a comment.
    pub fn to_toml(&self) -> String {
        let lines = OPTIONS.iter().filter_map(|option| {
            let (value, origin) = self.settings.strongest(option.key)?;
            Some(format!("{} = {value}  # {origin}\n", option.key))
        });
        lines.collect()
    }
}

/// An invalid configuration: every problem that was found, one per line.
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
