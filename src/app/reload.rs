//! A new configuration for the running server.
//!
//! ```text
//! SIGHUP, POST /reload ─▶ load: file, environment, flags ─▶ prepare: keys, upstreams ─▶ one Serving in place of another
//!                              │ not valid                       │ cannot be used         (server/serving.rs)
//!                              └──────── nothing changes ◀───────┘
//! ```
//!
//! Whatever can be refused is refused before anything changes. Queries that are being answered, transfers that run and questions in
//! flight end with what they began with.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::forwarding::{self, Upstreams};
use super::served;
use super::taps::TapStarter;
use super::transfers::{self, Transfers};
use crate::admin::{ReloadHandle, ReloadRequests, reload_requests};
use crate::authority::Authority;
use crate::config::{Config, ConfigError, LogFilter};
use crate::resolver::Resolver;
use crate::server::{Serving, SharedServing};
use crate::transfer::Primary;

/// Options on which it depends what secondaries get, and who is told of it.
const OF_TRANSFERS: [&str; 5] = ["ttl", "negative_ttl", "transfer_clients", "transfer_keys", "notify"];
/// Of these, those that are in every record.
const OF_RECORDS: [&str; 2] = ["ttl", "negative_ttl"];

/// Loads the configuration once more, from where the first one came.
pub type Load = Box<dyn Fn() -> Result<Config, ConfigError> + Send>;
/// Sets which lines are logged from now on.
pub type SetLogFilter = Box<dyn Fn(&LogFilter) + Send>;

/// What reloading needs from the command line.
pub struct Reloading {
    load: Load,
    set_log_filter: SetLogFilter,
    handle: ReloadHandle,
    requests: ReloadRequests,
}

impl Reloading {
    pub fn new(load: Load, set_log_filter: SetLogFilter) -> Self {
        let (handle, requests) = reload_requests();
        Self { load, set_log_filter, handle, requests }
    }

    /// Where to ask for it.
    pub fn handle(&self) -> ReloadHandle {
        self.handle.clone()
    }

    /// Reloads `reloadable` whenever that is asked for.
    pub(super) async fn run(self, reloadable: Reloadable) {
        let Self { load, set_log_filter, mut requests, .. } = self;
        let mut reloader = Reloader { load, set_log_filter, reloadable };
        while let Some(request) = requests.next().await {
            // Reading files may block. A panic in it has been logged.
            let Ok((next, outcome)) = spawn_blocking(move || reloader.reload()).await else { return };
            reloader = next;
            request.answer(outcome);
        }
    }
}

/// What a running server takes anew.
pub(super) struct Reloadable {
    /// The configuration that is in force.
    pub running: Config,
    pub serving: SharedServing,
    pub upstreams: Option<Upstreams>,
    pub transfers: Option<Transfers>,
    pub tap_starter: TapStarter,
    /// Where keys are followed and secondaries told.
    pub runtime: Handle,
}

struct Reloader {
    load: Load,
    set_log_filter: SetLogFilter,
    reloadable: Reloadable,
}

impl Reloader {
    /// Reloads, and says in a sentence what has come of it.
    fn reload(mut self) -> (Self, Result<String, String>) {
        let loaded = (self.load)().map_err(anyhow::Error::from);
        let outcome = match loaded.and_then(|newer| self.reloadable.take(&newer).map(|report| (newer, report))) {
            Ok((newer, report)) => {
                (self.set_log_filter)(&self.reloadable.running.log_level);
                tracing::info!("{report}");
                newer.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
                Ok(report)
            }
            Err(error) => {
                let text = format!("{error:#}");
                // One line of the log for all problems.
                let problems = text.replace("\n  ", "; ");
                tracing::error!(error = problems, "not reloaded; the configuration of before stays in force");
                Err(format!("not reloaded: {text}"))
            }
        };
        (self, outcome)
    }
}

impl Reloadable {
    /// Takes what can be taken of a newer configuration. Returns what has changed and what needs a restart.
    ///
    /// # Errors
    /// A part of it cannot be used. Nothing has changed then.
    fn take(&mut self, newer: &Config) -> anyhow::Result<String> {
        let wanted = self.within_reach(newer);
        let mut changed = self.running.differences(&wanted);
        let before = self.serving.now();
        let authority = Arc::new(forwarding::authority(&wanted, Authority::new(served(&wanted))?));
        let resolver = match &self.upstreams {
            Some(upstreams) => Some(upstreams.reloaded(&wanted, &authority)?),
            None => None,
        };
        let primary = match &before.primary {
            Some(primary) => Some(next_primary(primary, &wanted, &authority, &mut changed)?),
            None => None,
        };
        let taps = self.tap_starter.start(&wanted, before.taps.as_ref())?;
        // Nothing fails from here on.
        self.put_in_force(&wanted, &changed, Serving { authority, resolver, primary, taps }, &before);
        let report = report(&changed, &wanted.differences(newer));
        self.running = wanted;
        Ok(report)
    }

    /// The running configuration with what a newer one changes without a restart.
    fn within_reach(&self, newer: &Config) -> Config {
        let mut wanted = self.running.reloaded(newer);
        // What was off at the start has no threads, and no memory was planned for it.
        if self.upstreams.is_none() {
            wanted.forward.clone_from(&self.running.forward);
        }
        if self.transfers.is_none() {
            wanted.transfer_clients.clone_from(&self.running.transfer_clients);
            wanted.transfer_keys.clone_from(&self.running.transfer_keys);
            wanted.notify.clone_from(&self.running.notify);
        }
        wanted
    }

    fn put_in_force(&mut self, wanted: &Config, changed: &[&str], next: Serving, before: &Serving) {
        let Serving { authority, resolver, primary, taps } = next;
        if let (Some(upstreams), Some(resolver)) = (&mut self.upstreams, &resolver) {
            upstreams.resolver = resolver.clone();
        }
        let resolver = resolver.filter(|_: &Resolver| !wanted.forward.is_empty());
        self.serving.replace(Serving { authority, resolver, primary: primary.clone(), taps });
        if let (Some(transfers), Some(primary), Some(before)) = (&mut self.transfers, &primary, &before.primary) {
            if !Arc::ptr_eq(primary, before) {
                transfers.start(wanted, primary, &self.runtime);
            }
            if changed.iter().any(|key| OF_RECORDS.contains(key)) {
                transfers.begin_afresh();
            }
        }
    }
}

/// The primary for another configuration: the one of before if nothing is different for it. Adds the keys to what has changed if
/// their files have other content.
fn next_primary(
    before: &Arc<Primary>,
    wanted: &Config,
    authority: &Arc<Authority>,
    changed: &mut Vec<&'static str>,
) -> anyhow::Result<Arc<Primary>> {
    const KEYS: &str = "transfer_keys";
    let policy = transfers::policy(wanted)?;
    if !policy.keys.are_same(before.keys()) && !changed.contains(&KEYS) {
        changed.push(KEYS);
    }
    let is_same = !changed.iter().any(|key| OF_TRANSFERS.contains(key));
    Ok(if is_same { Arc::clone(before) } else { Arc::new(before.reloaded(Arc::clone(authority), policy)) })
}

fn report(changed: &[&str], needs_restart: &[&str]) -> String {
    let mut report = match changed {
        [] => "reloaded: nothing changed".to_owned(),
        changed => format!("reloaded: changed {}", changed.join(", ")),
    };
    if !needs_restart.is_empty() {
        report += &format!("; needs a restart: {}", needs_restart.join(", "));
    }
    report
}
