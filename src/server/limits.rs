//! How many TCP connections there may be: in all, and for each client.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::StreamLimits;
use crate::metrics::{Metrics, OpenConnection, RejectReason};

/// Counts connections. Shared by all listeners.
#[derive(Debug)]
pub(super) struct Connections {
    limits: StreamLimits,
    metrics: Arc<Metrics>,
    open: AtomicUsize,
    of_client: DashMap<IpAddr, usize>,
}

/// A connection that counts until this is dropped.
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

    /// How long a connection may go without a whole query.
    pub fn idle(&self) -> Duration {
        self.limits.idle
    }

    /// Counts a new connection of `client`; none if it is one too many.
    pub fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Permit> {
        let client = client.to_canonical();
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
    pub fn idle(&self) -> Duration {
        self.connections.idle()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.connections.open.fetch_sub(1, Ordering::Relaxed);
        if let Entry::Occupied(mut of_client) = self.connections.of_client.entry(self.client) {
            *of_client.get_mut() -= 1;
            // Clients that are gone take no memory.
            if *of_client.get() == 0 {
                of_client.remove();
            }
        }
    }
}
