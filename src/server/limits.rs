//! Limits on open connections, in all and for each client, and on open files, which connections need.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::telemetry::metrics::{Metrics, OpenConnection, RejectReason};

/// Limits for clients that connect, over TCP, TLS, HTTPS and QUIC together.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Open connections, over all clients.
    pub connections: usize,
    /// Open connections of one client: an IPv4 address, or an IPv6 network of 64 bits.
    pub connections_per_client: usize,
    /// How long a connection may go without a whole query, and how long a write may take.
    pub idle: Duration,
}

/// Files that the process may have open besides connections: its sockets, those to the API server, the admin pages', the log.
const OTHER_FILES: u64 = 256;

/// Raises the limit on open files to what `connections` need, if the system permits: it is often 1,024 at first, and
/// connections that take them all would leave none for the watch on the cluster.
pub fn allow_files(connections: usize) {
    let needed = OTHER_FILES.saturating_add(connections as u64);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = limit.maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit });
    if raised.is_err() || current < needed {
        tracing::warn!(
            connections,
            files = if raised.is_err() { limit.current } else { Some(current) },
            "the system allows fewer open files than TCP connections may need: raise the limit (ulimit -n, LimitNOFILE) \
             or lower tcp_max_connections"
        );
    }
}

/// Bits of an IPv6 address that its host chooses: a network of one link has the others (RFC 4291 section 2.5.4).
const INTERFACE_BITS: u32 = 64;

/// The address that a client is counted under: an IPv4 address itself, or the /64 of an IPv6 address, as a single host has
/// all addresses of its /64.
fn counted_as(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> INTERFACE_BITS << INTERFACE_BITS).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// Counts open connections. Shared by all listeners.
#[derive(Debug)]
pub(super) struct Connections {
    limits: StreamLimits,
    metrics: Arc<Metrics>,
    open: AtomicUsize,
    of_client: DashMap<IpAddr, usize>,
}

/// A place for one connection, which is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    connections: Arc<Connections>,
    client: IpAddr,
    _metric: OpenConnection,
}

impl Connections {
    pub fn new(limits: StreamLimits, metrics: Arc<Metrics>) -> Self {
        Self { limits, metrics, open: AtomicUsize::new(0), of_client: DashMap::new() }
    }

    pub fn limits(&self) -> StreamLimits {
        self.limits
    }

    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Takes a place for a connection of `client`; None if that would exceed a limit.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let client = counted_as(client);
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limits.connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.metrics.tcp_rejected(RejectReason::Total);
            return None;
        }
        let mut of_client = self.of_client.entry(client).or_insert(0);
        if *of_client >= self.limits.connections_per_client {
            drop(of_client);
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.metrics.tcp_rejected(RejectReason::Client);
            return None;
        }
        *of_client += 1;
        drop(of_client);
        Some(Permit { connections: Arc::clone(self), client, _metric: self.metrics.tcp_opened() })
    }
}

impl Permit {
    /// How long the connection may go without a whole query.
    pub fn idle(&self) -> Duration {
        self.connections.limits.idle
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut of_client) = self.connections.of_client.entry(self.client) {
            *of_client.get_mut() -= 1;
            // Clients without a connection take no memory.
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_are_one_client_and_those_of_another_are_not() {
        let limits = StreamLimits { connections: 8, connections_per_client: 2, idle: Duration::ZERO };
        let connections = Arc::new(Connections::new(limits, Arc::default()));
        let admit = |text| connections.admit(address(text));
        let first = admit("2001:db8::1").expect("the first");
        let _second = admit("2001:db8::ffff:2").expect("the second");
        assert!(admit("2001:db8::3").is_none(), "a third of one network");
        let _other = admit("2001:db8:0:1::3").expect("the first of another network");
        drop(first);
        let _third = admit("2001:db8::3").expect("one has gone");
    }

    #[test]
    fn an_ipv4_address_is_one_client_however_it_is_written() {
        assert_eq!(counted_as(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_ne!(counted_as(address("10.0.0.1")), counted_as(address("10.0.0.2")));
    }
}
