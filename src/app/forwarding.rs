//! The wiring of what is asked elsewhere: the resolver, and its threads.

use std::sync::Arc;

use anyhow::Context;

use super::MIB;
use super::threads::{Threads, cores};
use crate::authority::Authority;
use crate::config::Config;
use crate::resolver::{self, CacheLimits, MAX_IN_FLIGHT, Resolver, WAITING_MEMORY};
use crate::telemetry::metrics::Metrics;

/// Threads that ask upstreams: they wait most of the time.
const MOST_THREADS: usize = 2;

/// The resolver of a server that forwards, and the threads on which it asks.
pub(super) struct Upstreams {
    pub resolver: Resolver,
    _threads: Threads,
}

impl Upstreams {
    /// None if nothing is forwarded.
    ///
    /// # Errors
    /// A file that names upstreams cannot be read, TLS cannot be set up, or the threads cannot be started.
    pub fn start(config: &Config, authority: &Authority, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Self>> {
        if config.forward.is_empty() {
            return Ok(None);
        }
        let threads = Threads::new("resolver", cores().min(MOST_THREADS))?;
        let options = options(config, authority);
        let resolver = Resolver::start(options, threads.handle(), Arc::clone(metrics)).context("cannot forward")?;
        Ok(Some(Self { resolver, _threads: threads }))
    }

    /// The resolver for another configuration.
    ///
    /// # Errors
    /// A file that names upstreams cannot be read, or TLS cannot be set up.
    pub fn reloaded(&self, config: &Config, authority: &Authority) -> anyhow::Result<Resolver> {
        self.resolver.reloaded(options(config, authority)).context("cannot forward")
    }
}

fn options(config: &Config, authority: &Authority) -> resolver::Options {
    resolver::Options {
        forward: config.forward.clone(),
        clients: config.forward_clients.clone(),
        cache: CacheLimits { octets: cache_octets(config), stale: config.serve_stale },
        timeout: config.forward_timeout,
        in_flight: MAX_IN_FLIGHT,
        trees: authority.elsewhere_trees(),
    }
}

/// Files that the sockets to upstreams may need.
pub(super) fn files(config: &Config) -> usize {
    if config.forward.is_empty() { 0 } else { MAX_IN_FLIGHT }
}

/// Octets that the cache may take, and the queries that wait for upstreams.
pub(super) fn memory(config: &Config) -> usize {
    if config.forward.is_empty() { 0 } else { cache_octets(config).saturating_add(WAITING_MEMORY) }
}

fn cache_octets(config: &Config) -> usize {
    config.forward_cache_size.saturating_mul(MIB)
}

/// The authority of this server: one that forwards leaves to others what it does not mirror.
pub(super) fn authority(config: &Config, authority: Authority) -> Authority {
    if config.forward.is_empty() { authority } else { authority.forwarding() }
}
