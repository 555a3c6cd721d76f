//! What is said of a watch that does not go well: each trouble once, with what to do about it, and its end.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::core::Status;
use kube::runtime::watcher::Error;

use super::contact::EndedAtOnce;
use super::{ObjectKey, Resource, Scope};
use crate::telemetry::metrics::{Metrics, WatchAge, WatchErrorReason, WatchEvent};

/// Malformed objects that are remembered so as not to be warned of again at each update. Beyond it a warning may be
/// repeated; memory stays bounded.
const REMEMBERED: usize = 1024;

/// The trouble that all watches of one server have at the same time. It is said once, not once by each of them.
#[derive(Default)]
pub(super) struct Outage(Mutex<Option<WatchErrorReason>>);

impl Outage {
    /// Whether nobody has said so yet.
    fn begins(&self, reason: WatchErrorReason) -> bool {
        self.lock().replace(reason) != Some(reason)
    }

    fn ends(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<WatchErrorReason>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A malformed object that was warned of.
struct Warned {
    /// A hash of its problems.
    problems: u64,
    /// The list in which, or after which, it was last seen.
    list: u64,
}

/// Counts what one watch does, and logs its troubles.
pub(super) struct Reporter<'a> {
    watched: Resource,
    scope: &'a Scope,
    url: &'a str,
    outage: &'a Outage,
    metrics: &'a Arc<Metrics>,
    /// The trouble that was logged last and is not over, and how often it has come since.
    trouble: Option<(WatchErrorReason, u64)>,
    warned: HashMap<ObjectKey, Warned>,
    /// How many lists have begun.
    lists: u64,
}

impl<'a> Reporter<'a> {
    pub fn new(
        watched: Resource,
        scope: &'a Scope,
        url: &'a str,
        outage: &'a Outage,
        metrics: &'a Arc<Metrics>,
    ) -> Self {
        Self { watched, scope, url, outage, metrics, trouble: None, warned: HashMap::new(), lists: 0 }
    }

    /// Where to note each time that the server is heard on this watch.
    pub fn watch_contact(&self) -> WatchAge {
        self.metrics.register_watch(self.watched)
    }

    /// Whether a trouble was told whose end was not.
    pub fn is_in_trouble(&self) -> bool {
        self.trouble.is_some()
    }

    /// The watch does what it is for.
    pub fn works(&mut self) {
        if let Some((reason, failures)) = self.trouble.take() {
            if is_outage(reason) {
                self.outage.ends();
            }
            tracing::info!(resource = %self.watched, scope = %self.scope, failures, "the watch works again");
        }
    }

    pub fn event(&self, event: WatchEvent) {
        self.metrics.watch_event(self.watched, event);
    }

    pub fn error(&mut self, error: &Error) {
        let reason = reason(error);
        self.metrics.watch_error(self.watched, reason);
        match &mut self.trouble {
            Some((known, failures)) if *known == reason => *failures += 1,
            trouble => {
                *trouble = Some((reason, 1));
                if is_outage(reason) && !self.outage.begins(reason) {
                    return;
                }
                let advice = self.advice(reason, error);
                let error = innermost(error);
                // A position that was compacted away is a normal thing; the list that follows mends it.
                if reason == WatchErrorReason::Gone {
                    tracing::info!(resource = %self.watched, scope = %self.scope, error, "{advice}");
                } else {
                    tracing::warn!(resource = %self.watched, scope = %self.scope, error, "{advice}");
                }
            }
        }
    }

    /// An object, or a part of it, that cannot be served: one warning until its problems are others.
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
        self.metrics.malformed(self.watched);
        let kind = self.watched.kind();
        tracing::warn!(%kind, object = %key, problems = problems.join("; "), "the object has parts that cannot be served");
        if !is_known && self.warned.len() < REMEMBERED {
            self.warned.insert(key.clone(), Warned { problems: hash, list: self.lists });
        }
    }

    /// A list begins.
    pub fn list_started(&mut self) {
        self.lists += 1;
    }

    /// The list is whole: what is not in it is gone.
    pub fn list_done(&mut self) {
        self.warned.retain(|_, warned| warned.list == self.lists);
    }

    /// The object is gone, or nothing is wrong with it.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.warned.remove(key);
    }

    /// What a person can do about an error.
    fn advice(&self, reason: WatchErrorReason, error: &Error) -> String {
        let resource = match self.watched.group() {
            "" => self.watched.plural().to_owned(),
            group => format!("{}.{group}", self.watched.plural()),
        };
        let role = match self.scope {
            Scope::All => "a ClusterRole".to_owned(),
            Scope::Namespace(namespace) => format!("a Role in namespace {namespace}"),
        };
        match reason {
            WatchErrorReason::Forbidden => {
                let verb = if matches!(error, Error::InitialListFailed(_)) { "list" } else { "watch" };
                format!(
                    "may not {verb} {resource} in {}: grant the verbs list and watch on {resource} to this account with {role}; trying again",
                    self.scope
                )
            }
            WatchErrorReason::Unauthorized => {
                format!(
                    "the API server at {} does not accept the credentials: check the kubeconfig's user or the service account's token; trying again",
                    self.url
                )
            }
            WatchErrorReason::Unreachable => format!(
                "no answer from the API server at {}: check that it runs, and the address and certificate in the kubeconfig; trying again",
                self.url
            ),
            WatchErrorReason::Gone => "the watch fell too far behind; listing anew".to_owned(),
            WatchErrorReason::Throttled => {
                "the API server asks for fewer requests; trying again more slowly".to_owned()
            }
            WatchErrorReason::Server => "the API server reports an error of its own; trying again".to_owned(),
            WatchErrorReason::Malformed | WatchErrorReason::Other => {
                format!("the answer of {} is not what an API server says; trying again", self.url)
            }
        }
    }
}

/// Whether a trouble is the server's, so that every watch has it.
fn is_outage(reason: WatchErrorReason) -> bool {
    matches!(reason, WatchErrorReason::Unreachable | WatchErrorReason::Unauthorized)
}

/// The class of an error.
pub(super) fn reason(error: &Error) -> WatchErrorReason {
    match error {
        _ if causes(error).any(<dyn std::error::Error>::is::<EndedAtOnce>) => WatchErrorReason::Other,
        Error::WatchError(status) => status_reason(status),
        Error::NoResourceVersion => WatchErrorReason::Malformed,
        Error::InitialListFailed(error) | Error::WatchStartFailed(error) | Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => status_reason(status),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => WatchErrorReason::Malformed,
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
                WatchErrorReason::Unreachable
            }
            _ => WatchErrorReason::Other,
        },
    }
}

fn status_reason(status: &Status) -> WatchErrorReason {
    match status.code {
        401 => WatchErrorReason::Unauthorized,
        403 => WatchErrorReason::Forbidden,
        410 => WatchErrorReason::Gone,
        429 => WatchErrorReason::Throttled,
        // Kubernetes says so of a resourceVersion that it has not reached.
        504 if status.message.contains("Too large resource version") => WatchErrorReason::Gone,
        500..=599 => WatchErrorReason::Server,
        _ => WatchErrorReason::Other,
    }
}

/// The cause at the bottom, which alone says something new: `Connection refused (os error 111)`.
fn innermost(error: &Error) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The error, what caused it, and so on.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    let error: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(error), |error| error.source())
}
