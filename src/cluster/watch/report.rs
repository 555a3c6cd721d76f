//! What metrics and the log report of a watch: every event and error is counted; each problem is logged once, with what to do
//! about it, and once more when it is over.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::doubt::Lost;
use super::errors::{Error, is_outage};
use crate::cluster::objects::{ObjectKey, Scope};
use crate::cluster::update::WatchId;
use crate::telemetry::metrics::{Metrics, Resource, WatchErrorReason, WatchEvent};

/// How many malformed objects are remembered, so that their warnings are not repeated with each update. A warning about
/// further ones may be repeated; memory stays bounded.
const MAX_REMEMBERED: usize = 1024;

/// A problem of the server that all its watches have at the same time. It is logged once, not once per watch.
#[derive(Default)]
pub(super) struct Outage(Mutex<Option<WatchErrorReason>>);

impl Outage {
    /// Returns false if another watch has reported it already.
    fn start(&self, reason: WatchErrorReason) -> bool {
        self.lock().replace(reason) != Some(reason)
    }

    fn end(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<WatchErrorReason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The problem that a watch has.
struct Problem {
    reason: WatchErrorReason,
    failures: u64,
}

/// A malformed object whose warning has been logged.
struct Warned {
    /// A hash of what is wrong with it.
    problems: u64,
    /// The number of the list that last contained it, or after which it last changed.
    list: u64,
}

/// Counts the events and errors of one watch, and logs its problems.
pub(super) struct Reporter<'a> {
    watch: WatchId,
    /// URL of the API server.
    url: &'a str,
    outage: &'a Outage,
    metrics: &'a Arc<Metrics>,
    /// The problem logged last, until it is over.
    problem: Option<Problem>,
    warned: HashMap<ObjectKey, Warned>,
    /// How many lists have started.
    lists: u64,
    /// How many objects the current list has so far.
    listed: u64,
}

impl<'a> Reporter<'a> {
    pub fn new(watch: WatchId, url: &'a str, outage: &'a Outage, metrics: &'a Arc<Metrics>) -> Self {
        Self { watch, url, outage, metrics, problem: None, warned: HashMap::new(), lists: 0, listed: 0 }
    }

    /// The watch works.
    pub fn recovered(&mut self) {
        if let Some(Problem { reason, failures }) = self.problem.take() {
            if is_outage(reason) {
                self.outage.end();
            }
            let WatchId { resource, scope } = &self.watch;
            tracing::info!(%resource, %scope, failures, "the watch works again");
        }
    }

    /// The watch goes on from the saved state.
    pub fn resumed(&self) {
        let WatchId { resource, scope } = &self.watch;
        tracing::info!(%resource, %scope, "the watch goes on where the saved state ends; nothing has to be listed");
    }

    pub fn event(&self, event: WatchEvent) {
        self.metrics.watch_event(self.watch.resource, event);
    }

    pub fn error(&mut self, error: &Error) {
        let reason = error.reason();
        self.metrics.watch_error(self.watch.resource, reason);
        if let Some(problem) = self.problem.as_mut().filter(|problem| problem.reason == reason) {
            problem.failures += 1;
            return;
        }
        self.problem = Some(Problem { reason, failures: 1 });
        if is_outage(reason) && !self.outage.start(reason) {
            return;
        }
        let advice = self.advice(reason, error);
        let (error, WatchId { resource, scope }) = (error.root_cause(), &self.watch);
        // A compaction is normal, and the list that follows makes up for it.
        if reason == WatchErrorReason::Gone {
            tracing::info!(%resource, %scope, error, "{advice}");
        } else {
            tracing::warn!(%resource, %scope, error, "{advice}");
        }
    }

    /// The watch cannot go on where it stopped, because the server is not the one of before.
    pub fn lost(&mut self, lost: &Lost) {
        self.metrics.watch_error(self.watch.resource, WatchErrorReason::Gone);
        let WatchId { resource, scope } = &self.watch;
        if matches!(lost, Lost::WentBack { .. }) {
            tracing::warn!(%resource, %scope, reason = %lost, "the API server was restored from a backup, or replaced; relisting");
        } else {
            tracing::info!(%resource, %scope, reason = %lost, "the API server may not be the one of before; relisting");
        }
    }

    /// Reports an object of which all or a part cannot be served, once until its problems change.
    pub fn malformed(&mut self, key: &ObjectKey, problems: &[String]) {
        if problems.is_empty() {
            self.forget(key);
            return;
        }
        let hash = self.warned.hasher().hash_one(problems);
        let known = self.warned.get_mut(key);
        let is_known = known.is_some();
        if let Some(warned) = known {
            warned.list = self.lists;
            if std::mem::replace(&mut warned.problems, hash) == hash {
                return;
            }
        }
        self.metrics.malformed(self.watch.resource);
        let kind = self.watch.resource.kind();
        tracing::warn!(%kind, object = %key, problems = problems.join("; "), "malformed object: parts of it cannot be served");
        if !is_known && self.warned.len() < MAX_REMEMBERED {
            self.warned.insert(key.clone(), Warned { problems: hash, list: self.lists });
        }
    }

    pub fn list_started(&mut self) {
        self.lists += 1;
        self.listed = 0;
    }

    pub fn object_listed(&mut self) {
        self.listed += 1;
    }

    /// The list is complete: objects that it does not contain are gone.
    pub fn list_completed(&mut self) {
        self.warned.retain(|_, warned| warned.list == self.lists);
        // The API server lists a namespace that does not exist as an empty one.
        if let WatchId { resource: Resource::Services, scope: Scope::Namespace(namespace) } = &self.watch
            && self.lists == 1
            && self.listed == 0
        {
            tracing::info!(%namespace, "the namespace has no Service yet; does it exist?");
        }
    }

    /// The object is gone, or well-formed.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.warned.remove(key);
    }

    /// What happened, and what an operator can do about it.
    fn advice(&self, reason: WatchErrorReason, error: &Error) -> String {
        let (url, WatchId { resource, scope }) = (self.url, &self.watch);
        match reason {
            WatchErrorReason::Forbidden => {
                let verb = if matches!(error, Error::ListFailed(_)) { "list" } else { "watch" };
                let resource = match resource.group() {
                    "" => resource.plural().to_owned(),
                    group => format!("{}.{group}", resource.plural()),
                };
                let role = match scope {
                    Scope::All => "a ClusterRole".to_owned(),
                    Scope::Namespace(namespace) => format!("a Role in namespace {namespace}"),
                };
                format!(
                    "forbidden: this account cannot {verb} {resource} in {scope}; grant it list and watch on {resource} with {role}; retrying"
                )
            }
            WatchErrorReason::Unauthorized => format!(
                "the API server at {url} does not accept the credentials: check the user in the kubeconfig or the token of the service account; retrying"
            ),
            WatchErrorReason::Unreachable => format!(
                "no answer from the API server at {url}: check that it is running, and the address and certificate in the kubeconfig; retrying"
            ),
            WatchErrorReason::Gone => "the watch fell too far behind; relisting".to_owned(),
            WatchErrorReason::Throttled => "the API server asks for fewer requests; retrying less often".to_owned(),
            WatchErrorReason::Server => "the API server reports an internal error; retrying".to_owned(),
            WatchErrorReason::Malformed | WatchErrorReason::Other => {
                format!("unexpected response from {url}, is it an API server? retrying")
            }
        }
    }
}
