//! Keeps the upstreams equal to the configuration and the files that it names.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::pool::Pool;
use super::probe::supervise;
use super::upstream::{ForwardTo, Upstream, UpstreamAddress};
use crate::dns::name::Name;
use crate::telemetry::metrics::Metrics;

/// How often the files are read: they have a few lines.
const INTERVAL: Duration = Duration::from_secs(2);

/// What the upstreams are made from.
pub(super) struct Follower {
    forward: Vec<ForwardTo>,
    /// The parts of the name space in which a loop is looked for.
    trees: Vec<Name>,
    metrics: Arc<Metrics>,
    /// What went wrong when the files were last read.
    trouble: Option<Trouble>,
    supervisors: Vec<(Arc<Upstream>, AbortOnDropHandle<()>)>,
}

/// What is wrong with the files, and how often in a row it was.
#[derive(Debug, PartialEq, Eq)]
struct Trouble {
    message: String,
    times: u32,
}

impl Trouble {
    /// When it is logged: once, and not the first time, because a file that is being written may be half there.
    const LOGGED_AT: u32 = 2;

    fn after(before: Option<Self>, message: Option<String>) -> Option<Self> {
        let message = message?;
        let times = before.filter(|before| before.message == message).map_or(0, |before| before.times);
        Some(Self { message, times: times.saturating_add(1) })
    }
}

impl Follower {
    pub fn new(forward: Vec<ForwardTo>, trees: Vec<Name>, metrics: Arc<Metrics>) -> Self {
        Self { forward, trees, metrics, trouble: None, supervisors: Vec::new() }
    }

    /// The upstreams at the start. Those that are known already keep their state.
    ///
    /// # Errors
    /// A file cannot be read, or TLS cannot be set up.
    pub fn first(&self, known: &[Arc<Upstream>]) -> io::Result<Vec<Arc<Upstream>>> {
        self.upstreams(&read_upstreams(&self.forward)?, known)
    }

    /// Supervises the upstreams of `pool`, and follows the files for as long as the returned task runs.
    pub fn start(mut self, pool: Arc<Pool>, runtime: &tokio::runtime::Handle) -> JoinHandle<()> {
        runtime.spawn(async move {
            self.supervise(&pool.upstreams());
            while self.forward.iter().any(|it| matches!(it, ForwardTo::File(_))) {
                sleep(INTERVAL).await;
                let forward = self.forward.clone();
                // Reading may block on a disk, or on a file system that is no longer there.
                let Ok(addresses) = spawn_blocking(move || read_upstreams(&forward)).await else { continue };
                let replaced = addresses.and_then(|addresses| self.replace(&addresses, &pool));
                self.report(replaced);
            }
            std::future::pending().await
        })
    }

    fn report(&mut self, outcome: io::Result<()>) {
        self.trouble = Trouble::after(self.trouble.take(), outcome.err().map(|error| error.to_string()));
        if let Some(Trouble { message, times: Trouble::LOGGED_AT }) = &self.trouble {
            tracing::error!(error = message, "the upstreams cannot be read anew; those known go on");
        }
    }

    /// Replaces the upstreams if they differ. Those that stay keep their state.
    fn replace(&mut self, addresses: &[UpstreamAddress], pool: &Pool) -> io::Result<()> {
        let before = pool.upstreams();
        if before.iter().map(|upstream| &upstream.address).eq(addresses) {
            return Ok(());
        }
        let upstreams = self.upstreams(addresses, &before)?;
        let listed = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        self.supervise(&upstreams);
        pool.replace(upstreams);
        tracing::info!(upstreams = listed, "the upstreams have changed");
        Ok(())
    }

    fn upstreams(&self, addresses: &[UpstreamAddress], known: &[Arc<Upstream>]) -> io::Result<Vec<Arc<Upstream>>> {
        let upstream = |address: &UpstreamAddress| match known.iter().find(|upstream| upstream.address == *address) {
            Some(known) => Ok(Arc::clone(known)),
            None => {
                let metrics = self.metrics.register_upstream(&address.to_string());
                Ok(Arc::new(Upstream::new(address.clone(), &self.trees, metrics)?))
            }
        };
        addresses.iter().map(upstream).collect()
    }

    /// Supervises these upstreams and no others.
    fn supervise(&mut self, upstreams: &[Arc<Upstream>]) {
        let is_in_use = |one: &Arc<Upstream>| upstreams.iter().any(|other| Arc::ptr_eq(one, other));
        self.supervisors.retain(|(upstream, _)| is_in_use(upstream));
        for upstream in upstreams {
            if !self.supervisors.iter().any(|(known, _)| Arc::ptr_eq(known, upstream)) {
                let task = tokio::spawn(supervise(Arc::clone(upstream)));
                self.supervisors.push((Arc::clone(upstream), AbortOnDropHandle::new(task)));
            }
        }
    }
}

/// All upstreams, each once, the files read.
///
/// # Errors
/// A file cannot be read, or names none.
pub fn read_upstreams(forward: &[ForwardTo]) -> io::Result<Vec<UpstreamAddress>> {
    let mut addresses = Vec::new();
    for to in forward {
        let named = match to {
            ForwardTo::Server(address) => vec![address.clone()],
            ForwardTo::File(path) => read_resolv_conf(path)?,
        };
        for address in named {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    Ok(addresses)
}

fn read_resolv_conf(path: &Path) -> io::Result<Vec<UpstreamAddress>> {
    let text = crate::files::read_text(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{} cannot be read: {error}", path.display())))?;
    let addresses = name_servers(&text);
    if addresses.is_empty() {
        let message = format!("{} names no name server", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(addresses.into_iter().map(UpstreamAddress::plain).collect())
}

/// The `nameserver` lines of resolv.conf(5). An address with an interface (`fe80::1%eth0`) is left out.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_servers_of_a_resolv_conf_are_upstreams() {
        let text = "# nameserver 9.9.9.9\nsearch a.example\nnameserver 10.96.0.10\nnameserver\tfd00::a # primary\n\
                    ;nameserver 8.8.8.8\noptions ndots:5\nnameserver fe80::1%eth0\nnameservers 1.1.1.1\n";
        let expected: Vec<IpAddr> = ["10.96.0.10", "fd00::a"].map(|text| text.parse().unwrap()).to_vec();
        assert_eq!(name_servers(text), expected);
    }

    #[test]
    fn what_stays_wrong_is_counted_so_that_it_is_one_line_of_the_log() {
        let told = |text: &str| Some(text.to_owned());
        let (mut trouble, mut times) = (None, Vec::new());
        for message in [told("a"), None, told("a"), told("a"), told("a"), told("b"), told("b"), None] {
            trouble = Trouble::after(trouble, message);
            times.push(trouble.as_ref().map_or(0, |trouble| trouble.times));
        }
        assert_eq!(times, [1, 0, 1, 2, 3, 1, 2, 0]);
    }
}
