//! The wiring of zone transfers: versions, who may have them, who is told.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio_util::sync::CancellationToken;

use super::MIB;
use super::threads::Threads;
use super::versions::VersionCutter;
use crate::admin::TransferSources;
use crate::authority::Authority;
use crate::config::Config;
use crate::state::SerialFile;
use crate::telemetry::metrics::Metrics;
use crate::transfer::{HistoryLimits, KeyFiles, Keys, Notifier, NotifyStatus, Policy, Primary, versions};

/// Older versions from which differences are given: a quarter of an hour of changes without a pause.
const HISTORY_VERSIONS: usize = 4096;

/// What a server that hands out zones is made of.
pub(super) struct Transfers {
    pub primary: Arc<Primary>,
    status: Arc<NotifyStatus>,
    keys: Arc<Keys>,
    notifier: Notifier,
}

impl Transfers {
    /// None if nobody may have the zones.
    ///
    /// # Errors
    /// A key or the file of serials cannot be used.
    pub fn new(
        config: &Config,
        authority: &Arc<Authority>,
        metrics: &Arc<Metrics>,
    ) -> anyhow::Result<Option<(Self, VersionCutter)>> {
        if config.transfer_clients.is_empty() {
            return Ok(None);
        }
        let keys = Keys::read(KeyFiles(config.transfer_keys.clone())).context("cannot use the transfer keys")?;
        for to in &config.notify {
            let is_known = to.key.as_deref().is_none_or(|key| keys.named(key).is_some());
            ensure!(is_known, "notify has {to}, but transfer_keys has no such key");
        }
        config.notify.iter().for_each(|to| metrics.transfers().expect_secondary(to.address.ip()));
        let octets = config.transfer_history_size.saturating_mul(MIB);
        let (writer, reader) = versions(HistoryLimits { versions: HISTORY_VERSIONS, octets });
        let file = match &config.state {
            Some(folder) => Some(
                SerialFile::open(folder, config.replica)
                    .with_context(|| format!("cannot keep the serial in {}", folder.display()))?,
            ),
            None => None,
        };
        let cutter = VersionCutter::new(writer, config.replica, file, Arc::clone(metrics))
            .context("cannot keep the serial in the state directory")?;
        let policy = Policy { clients: config.transfer_clients.clone(), keys: Arc::clone(&keys) };
        let primary = Arc::new(Primary::new(Arc::clone(authority), reader, policy, Arc::clone(metrics)));
        let status = Arc::<NotifyStatus>::default();
        let notifier = Notifier {
            primary: Arc::clone(&primary),
            keys: Arc::clone(&keys),
            targets: config.notify.clone(),
            sources: config.listen.iter().map(SocketAddr::ip).collect(),
            status: Arc::clone(&status),
        };
        Ok(Some((Self { primary, status, keys, notifier }, cutter)))
    }

    /// What the page about transfers shows.
    pub fn sources(&self) -> TransferSources {
        TransferSources { primary: Arc::clone(&self.primary), status: Arc::clone(&self.status) }
    }

    /// Follows the key files and tells secondaries, until the threads end.
    pub fn start(self, threads: &Threads) {
        let stop = CancellationToken::new();
        threads.spawn(self.keys.follow(stop.clone()));
        threads.spawn(self.notifier.run(stop));
    }
}

/// Octets that older versions may take.
pub(super) fn memory(config: &Config) -> usize {
    if config.transfer_clients.is_empty() { 0 } else { config.transfer_history_size.saturating_mul(MIB) }
}
