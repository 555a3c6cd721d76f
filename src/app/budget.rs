//! What the configuration may take in memory at worst, so that a limit can be set that holds.
//!
//! ```text
//! program + UDP and QUIC sockets + tcp_max_connections × a connection + pages   whatever clients do
//!         + endpoints × RECORD                                                   grows with the cluster
//! ```

use std::fmt;
use std::fs;

use super::listening::udp_workers;
use super::{MIB, forwarding, taps, transfers};
use crate::admin;
use crate::config::Config;
use crate::server::{Encryption, connection_memory, quic_memory, udp_memory};

/// The program without a cluster and without clients, octets: resident, with its threads.
const PROGRAM: usize = 20 * MIB;
/// Where a process finds the limit of its container: control groups of version 2 and 1.
const CGROUP_LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The parts of the memory that clients can make the server take, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    udp: usize,
    quic: usize,
    connections: usize,
    of_connection: usize,
    pages: usize,
    /// The cache, and what waits for upstreams.
    forwarding: usize,
    /// Older versions of the zones.
    versions: usize,
    /// Queries that wait to be logged, or for a collector.
    taps: usize,
    /// The configured limit, if there is one.
    limit: Option<usize>,
}

impl Budget {
    /// An endpoint with its Service, slice, Pod and records, octets: 62 MiB for 150,000 while all are listed a second time
    /// (docs/performance.md), and the saved state while it is written.
    pub const ENDPOINT: usize = 450;

    /// What this configuration allows. Workers are counted as on this machine.
    pub fn of(config: &Config) -> Self {
        let encryption = if !config.https_listen.is_empty() || !config.quic_listen.is_empty() {
            Encryption::HttpsOrQuic
        } else if !config.tls_listen.is_empty() {
            Encryption::Tls
        } else {
            Encryption::None
        };
        let listeners = [config.admin, config.probes].iter().flatten().count();
        Self {
            udp: udp_memory(config.listen.len(), udp_workers(config)),
            quic: quic_memory(config.quic_listen.len()),
            connections: config.tcp_max_connections,
            of_connection: connection_memory(encryption),
            pages: listeners * admin::LISTENER_MEMORY + config.admin.map_or(0, |_| admin::LONG_PAGES_MEMORY),
            forwarding: forwarding::memory(config),
            versions: transfers::memory(config),
            taps: taps::memory(config),
            limit: (config.memory_limit > 0).then(|| config.memory_limit.saturating_mul(MIB)),
        }
    }

    /// Everything but what grows with the cluster.
    pub fn without_records(&self) -> usize {
        let connections = self.connections.saturating_mul(self.of_connection);
        [PROGRAM, self.udp, self.quic, connections, self.pages, self.forwarding, self.versions, self.taps]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// The endpoints for whose records the configured limit leaves room; None if there is none.
    pub fn endpoints(&self) -> Option<usize> {
        Some(self.limit?.saturating_sub(self.without_records()) / Self::ENDPOINT)
    }

    /// The message for a configured limit that clients alone can exceed.
    pub fn refusal(&self) -> Option<String> {
        let limit = self.limit?;
        self.exceeds(limit).then(|| {
            format!(
                "found {}; expected more than {}, which clients can make the server take:\n{self}  lower tcp_max_connections \
                 or udp_workers, or raise the limit",
                mebibytes(limit),
                mebibytes(self.without_records())
            )
        })
    }

    /// The warning for a limit of the container, read from its control group, that clients alone can exceed.
    pub fn warning(&self) -> Option<String> {
        let limit =
            CGROUP_LIMITS.iter().find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<usize>().ok())?;
        self.exceeds(limit).then(|| {
            let (needed, limit) = (mebibytes(self.without_records()), mebibytes(limit));
            format!(
                "clients can make the server take {needed} MiB, and its container may have {limit} MiB; lower \
                 tcp_max_connections or udp_workers, or raise the limit"
            )
        })
    }

    /// Whether clients alone can make the server take so much.
    fn exceeds(&self, limit: usize) -> bool {
        self.without_records() >= limit
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = self.connections.saturating_mul(self.of_connection);
        let of_connection = self.of_connection.div_ceil(1024);
        for (part, octets) in [
            ("the program".to_owned(), PROGRAM),
            ("UDP sockets, in the kernel".to_owned(), self.udp),
            ("QUIC sockets, most of it in the kernel".to_owned(), self.quic),
            (format!("{} connections of {of_connection} KiB, half of it in the kernel", self.connections), connections),
            ("admin pages and probes".to_owned(), self.pages),
            ("forwarded answers and questions".to_owned(), self.forwarding),
            ("older versions of the zones".to_owned(), self.versions),
            ("queries on their way to the log and to a collector".to_owned(), self.taps),
            ("in all, whatever clients do".to_owned(), self.without_records()),
        ] {
            writeln!(f, "  {:>6} MiB  {part}", mebibytes(octets))?;
        }
        match self.endpoints() {
            Some(endpoints) => writeln!(f, "  left of memory_limit for records: {endpoints} endpoints"),
            None => writeln!(f, "  and {} octets for each endpoint of the cluster", Self::ENDPOINT),
        }
    }
}

/// Rounded up.
fn mebibytes(octets: usize) -> usize {
    octets.div_ceil(MIB)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn defaults() -> Config {
        Config::load(None, Vec::<(OsString, OsString)>::new(), &[]).unwrap().config
    }

    /// The most that clients can make a server take that differs from the smallest one like this, MiB.
    fn without_records(change: impl FnOnce(&mut Config)) -> f64 {
        let mut config = Config { admin: None, probes: None, udp_workers: 1, tcp_max_connections: 1, ..defaults() };
        change(&mut config);
        Budget::of(&config).without_records() as f64 / MIB as f64
    }

    #[test]
    fn whatever_an_option_allows_is_in_the_sum() {
        let address = "127.0.0.1:853".parse().unwrap();
        let least = without_records(|_| ());
        let more = |change: fn(&mut Config)| without_records(change) - least;
        assert!((1.0..40.0).contains(&(least - PROGRAM as f64 / MIB as f64)), "{least}");
        let worker = more(|config| config.udp_workers = 2);
        assert!(
            (16.0..17.0).contains(&worker),
            "a receive buffer, which the kernel doubles, and a send buffer: {worker}"
        );
        let address_too = without_records(|config| config.listen.push(address)) - least;
        assert!((20.0..24.0).contains(&address_too), "the same, and 16 more send buffers: {address_too}");
        let connections = more(|config| config.tcp_max_connections = 1025);
        assert!((300.0..400.0).contains(&connections), "1,024 connections: {connections}");
        let tls = without_records(|config| config.tls_listen.push(address)) - least;
        assert!((0.1..0.2).contains(&tls), "64 KiB each way, encrypted: {tls}");
        let https = without_records(|config| config.https_listen.push(address)) - least;
        assert!((2.0..2.5).contains(&https), "32 largest answers: {https}");
        let quic = without_records(|config| config.quic_listen.push(address)) - least;
        assert!((20.0 + https..26.0 + https).contains(&quic), "sockets, and connections like those of HTTPS: {quic}");
        for page in [
            more(|config| config.probes = Some(([127, 0, 0, 1], 1).into())),
            more(|config| config.admin = Some(([127, 0, 0, 1], 1).into())),
        ] {
            assert!((12.0..27.0).contains(&page), "64 connections of 208 KiB, and the long pages: {page}");
        }
    }

    #[test]
    fn a_limit_is_refused_up_to_the_sum_and_leaves_room_for_records_above_it() {
        let budget = |memory_limit| Budget::of(&Config { udp_workers: 1, memory_limit, ..defaults() });
        let needed = mebibytes(budget(0).without_records());
        assert_eq!((budget(0).refusal(), budget(0).endpoints()), (None, None), "no limit is configured");
        assert!(budget(needed - 1).refusal().is_some());
        assert_eq!(budget(needed - 1).endpoints(), Some(0));
        assert_eq!(budget(needed + 1).refusal(), None);
        let endpoints = budget(needed + 10).endpoints().unwrap() - budget(needed).endpoints().unwrap();
        assert!(endpoints.abs_diff(10 * MIB / Budget::ENDPOINT) <= 1, "{endpoints}");
        assert!(budget(0).exceeds(budget(0).without_records()) && !budget(0).exceeds(budget(0).without_records() + 1));
    }
}
