//! The wiring of zone transfers: versions, who may have them, who is told.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::MIB;
use super::versions::{Afresh, VersionCutter};
use crate::authority::Authority;
use crate::config::Config;
use crate::state::SerialFile;
use crate::telemetry::metrics::Metrics;
use crate::transfer::{
    Access, HistoryLimits, KeyFiles, Keys, Notifier, NotifyStatus, NotifyTo, Policy, Primary, Secondary, versions,
};

/// Older versions from which differences are given: a quarter of an hour of changes without a pause.
const HISTORY_VERSIONS: usize = 4096;

/// What goes on beside the transfers: the keys are read again, and secondaries are told.
pub(super) struct Transfers {
    status: Arc<NotifyStatus>,
    afresh: Afresh,
    metrics: Arc<Metrics>,
    /// Ends the tasks that were begun last.
    stop: CancellationToken,
}

/// What a server is made of that hands out zones.
pub(super) struct Parts {
    pub primary: Arc<Primary>,
    pub versions: VersionCutter,
    pub transfers: Transfers,
}

impl Parts {
    /// None if nobody may have the zones.
    ///
    /// # Errors
    /// A key or the file of serials cannot be used.
    pub fn new(config: &Config, authority: &Arc<Authority>, metrics: &Arc<Metrics>) -> anyhow::Result<Option<Self>> {
        if !are_on(config) {
            return Ok(None);
        }
        let policy = policy(config)?;
        let octets = config.transfer_history_size.saturating_mul(MIB);
        let (writer, reader) = versions(HistoryLimits { versions: HISTORY_VERSIONS, octets });
        let file = match &config.state {
            Some(folder) => Some(
                SerialFile::open(folder, config.replica)
                    .with_context(|| format!("cannot keep the serial in {}", folder.display()))?,
            ),
            None => None,
        };
        let versions = VersionCutter::new(writer, config.replica, file, Arc::clone(metrics))
            .context("cannot keep the serial in the state directory")?;
        let primary = Arc::new(Primary::new(Arc::clone(authority), reader, policy, Arc::clone(metrics)));
        let (status, afresh, stop) = (Arc::default(), versions.afresh(), CancellationToken::new());
        let transfers = Transfers { status, afresh, metrics: Arc::clone(metrics), stop };
        Ok(Some(Self { primary, versions, transfers }))
    }
}

impl Transfers {
    /// What secondaries were told, for the page about transfers.
    pub fn status(&self) -> Arc<NotifyStatus> {
        Arc::clone(&self.status)
    }

    /// Follows the key files and tells secondaries, until the threads end or it is started again.
    pub fn start(&mut self, config: &Config, primary: &Arc<Primary>, runtime: &Handle) {
        self.stop.cancel();
        self.stop = CancellationToken::new();
        self.metrics.transfers().expect_secondaries(secondaries(config).iter().map(|it| it.to.address.ip()).collect());
        let notifier = Notifier {
            primary: Arc::clone(primary),
            keys: Arc::clone(primary.keys()),
            targets: secondaries(config),
            sources: config.listen.iter().map(SocketAddr::ip).collect(),
            status: Arc::clone(&self.status),
        };
        runtime.spawn(Arc::clone(primary.keys()).follow(self.stop.clone()));
        runtime.spawn(notifier.run(self.stop.clone()));
    }

    /// The next version is one that secondaries fetch whole: all records have other TTLs.
    pub fn begin_afresh(&self) {
        self.afresh.ask();
    }
}

/// An option on which the keys fail, and why.
#[derive(Debug, thiserror::Error)]
#[error("{option}: {message}")]
pub(super) struct KeyProblem {
    pub option: &'static str,
    pub message: String,
}

/// Who may have the zones. Reads the keys.
///
/// # Errors
/// A key cannot be used, or is not there.
pub(super) fn policy(config: &Config) -> Result<Policy, KeyProblem> {
    let files = KeyFiles { zones: config.transfer_keys.clone(), public: config.public_keys.clone() };
    let keys = Keys::read(files).map_err(|error| {
        let is_public = config.public_keys.iter().any(|file| file == error.file());
        let option = if is_public { "public_keys" } else { "transfer_keys" };
        KeyProblem { option, message: error.to_string() }
    })?;
    for Secondary { to, follows } in secondaries(config) {
        let option = if follows == Access::Public { "public_notify" } else { "notify" };
        if to.key.as_deref().is_some_and(|key| keys.named(key).is_none()) {
            let message = format!("found \"{to}\", but neither transfer_keys nor public_keys has such a key");
            return Err(KeyProblem { option, message });
        }
    }
    let (clients, public_clients) = (config.transfer_clients.clone(), config.public_clients.clone());
    Ok(Policy { clients, public_clients, keys })
}

/// Who is told of new versions.
fn secondaries(config: &Config) -> Vec<Secondary> {
    let of =
        |list: &[NotifyTo], follows| list.iter().cloned().map(move |to| Secondary { to, follows }).collect::<Vec<_>>();
    [of(&config.notify, Access::All), of(&config.public_notify, Access::Public)].concat()
}

/// Whether anybody may have a zone.
fn are_on(config: &Config) -> bool {
    !config.transfer_clients.is_empty() || !config.public_clients.is_empty()
}

/// Octets that older versions may take.
pub(super) fn memory(config: &Config) -> usize {
    if are_on(config) { config.transfer_history_size.saturating_mul(MIB) } else { 0 }
}
