//! What the configuration may take in memory at worst, so that a limit can be set that holds.
//!
//! ```text
//! program + UDP sockets + tcp_max_connections × a connection + pages            whatever clients do
//!         + endpoints × RECORD                                                   grows with the cluster
//! ```

use std::fmt;
use std::fs;
use std::num::NonZero;
use std::thread::available_parallelism;

use super::forwarding;
use crate::admin;
use crate::config::Config;
use crate::server::{Encryption, connection_memory, udp_memory};

const MIB: usize = 1024 * 1024;
/// The program without a cluster and without clients, octets: resident, with its threads.
const PROGRAM: usize = 20 * MIB;
/// An endpoint with its Service, slice, Pod and records, octets: 62 MiB for 150,000 while all are listed a second time
/// (docs/performance.md), and the saved state while it is written.
const ENDPOINT: usize = 450;
/// Where a process finds the limit of its container: control groups of version 2 and 1.
const CGROUP_LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// The parts of the memory that clients can make the server take, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    udp: usize,
    connections: usize,
    of_connection: usize,
    pages: usize,
    /// The cache, and what waits for upstreams.
    forwarding: usize,
    /// The configured limit, if there is one.
    limit: Option<usize>,
}

impl Budget {
    /// What this configuration allows. Workers are counted as on this machine.
    pub fn of(config: &Config) -> Self {
        let workers = match config.udp_workers {
            0 => available_parallelism().map_or(1, NonZero::get),
            workers => workers,
        };
        let encryption = if !config.https_listen.is_empty() || !config.quic_listen.is_empty() {
            Encryption::HttpsOrQuic
        } else if !config.tls_listen.is_empty() {
            Encryption::Tls
        } else {
            Encryption::None
        };
        let listeners = [config.admin, config.probes].iter().flatten().count();
        Self {
            udp: udp_memory(config.listen.len(), workers),
            connections: config.tcp_max_connections,
            of_connection: connection_memory(encryption),
            pages: listeners * admin::LISTENER_MEMORY + config.admin.map_or(0, |_| admin::LONG_PAGES_MEMORY),
            forwarding: forwarding::memory(config),
            limit: (config.memory_limit > 0).then(|| config.memory_limit.saturating_mul(MIB)),
        }
    }

    /// Everything but what grows with the cluster.
    pub fn without_records(&self) -> usize {
        let connections = self.connections.saturating_mul(self.of_connection);
        [PROGRAM, self.udp, connections, self.pages, self.forwarding].into_iter().fold(0, usize::saturating_add)
    }

    /// The endpoints for whose records the configured limit leaves room; None if there is none.
    pub fn endpoints(&self) -> Option<usize> {
        Some(self.limit?.saturating_sub(self.without_records()) / ENDPOINT)
    }

    /// The message for a configured limit that clients alone can exceed.
    pub fn refusal(&self) -> Option<String> {
        let limit = self.limit?;
        let needed = self.without_records();
        (needed >= limit).then(|| {
            format!(
                "found {}; expected more than {}, which clients can make the server take:\n{self}  lower tcp_max_connections \
                 or udp_workers, or raise the limit",
                mebibytes(limit),
                mebibytes(needed)
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
            (format!("{} connections of {of_connection} KiB, most of it in the kernel", self.connections), connections),
            ("admin pages and probes".to_owned(), self.pages),
            ("forwarded answers and questions".to_owned(), self.forwarding),
            ("in all, whatever clients do".to_owned(), self.without_records()),
        ] {
            writeln!(f, "  {:>6} MiB  {part}", mebibytes(octets))?;
        }
        match self.endpoints() {
            Some(endpoints) => writeln!(f, "  left of memory_limit for records: {endpoints} endpoints"),
            None => writeln!(f, "  and {ENDPOINT} octets for each endpoint of the cluster"),
        }
    }
}

/// Rounded up.
fn mebibytes(octets: usize) -> usize {
    octets.div_ceil(MIB)
}
