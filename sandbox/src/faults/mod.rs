//! Misbehaviour on demand: how a test makes the sandbox's API refuse, stall, lie, forget or vanish.
//!
//! A [`Fault`] is injected by a test in the same process through [`Faults::inject`], or by another process as JSON over
//! HTTP (see `super::api::control`). Some faults happen once, at once (a cut, a compaction, a restore); the others stay
//! until they have been used up or are cleared. The same handle counts the requests that the API received, so that a test
//! can hold a client against the permissions it claims to need.

mod handle;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kind::Kind;

pub use super::api::request::Verb;
pub use handle::Faults;
pub(super) use handle::Verdict;

/// One way to misbehave. In JSON, `{"fault": "answer", "resource": "endpointslices", "verb": "watch", "code": 429}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// Requests are answered with this HTTP status instead of being served: 403, 410, 429, 500.
    Answer {
        #[serde(flatten)]
        on: Scope,
        code: u16,
        /// Seconds, for the `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u32>,
        /// So many requests; all of them until cleared, if unset.
        #[serde(default)]
        times: Option<u32>,
    },
    /// The connection is closed without an answer.
    Drop {
        #[serde(flatten)]
        on: Scope,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Every answer, and every event of a watch, comes so much later.
    Delay {
        #[serde(flatten)]
        on: Scope,
        milliseconds: u64,
    },
    /// Open watches stay open and say nothing, not even bookmarks, until this is cleared.
    Stall {
        #[serde(flatten)]
        on: Scope,
        /// What becomes of the events of that time.
        #[serde(default)]
        missed: Missed,
    },
    /// Open watches end now.
    CutWatches {
        #[serde(flatten)]
        on: Scope,
        #[serde(default)]
        how: Cut,
    },
    /// Watches are accepted and end at once, without an event; those that are open, too.
    EndWatches {
        #[serde(flatten)]
        on: Scope,
    },
    /// This object stands in lists and initial events of its kind, and goes to open watches as `ADDED`, whatever it looks
    /// like. Its `apiVersion` and `kind` say where. It never gets into the store.
    Malformed { object: Value },
    /// The log is compacted: whoever comes back with an older resourceVersion gets 410.
    Compact,
    /// Remembers the present state for a later `restore`.
    Snapshot,
    /// State and resourceVersion go back to the last `snapshot`; open watches end.
    Restore,
    /// Open connections are closed and new ones refused, for so long or until cleared.
    Down {
        #[serde(default)]
        milliseconds: Option<u64>,
    },
}

impl Fault {
    /// Refuses what could never strike.
    fn check(&self) -> Result<(), FaultError> {
        match self {
            Self::Answer { on, code, .. } => {
                let is_error =
                    StatusCode::from_u16(*code).is_ok_and(|code| code.is_client_error() || code.is_server_error());
                if is_error { on.check() } else { Err(FaultError::NotAnError(*code)) }
            }
            Self::Drop { on, .. }
            | Self::Delay { on, .. }
            | Self::Stall { on, .. }
            | Self::CutWatches { on, .. }
            | Self::EndWatches { on } => on.check(),
            Self::Malformed { object } if Kind::of_object(object).is_none() => {
                let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
                Err(FaultError::UnknownKind { api_version: text("apiVersion"), kind: text("kind") })
            }
            Self::Malformed { .. } | Self::Compact | Self::Snapshot | Self::Restore | Self::Down { .. } => Ok(()),
        }
    }
}

/// Which requests or watches a fault is about. What is unset matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// The plural name, `endpointslices`.
    pub resource: Option<String>,
    pub verb: Option<Verb>,
    pub namespace: Option<String>,
}

impl Scope {
    /// Every request.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every request for this kind of object.
    pub fn kind(kind: Kind) -> Self {
        Self { resource: Some(kind.plural().to_owned()), ..Self::default() }
    }

    /// Only requests that do this.
    pub fn verb(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    fn check(&self) -> Result<(), FaultError> {
        match &self.resource {
            Some(resource) if Kind::ALL.iter().all(|kind| kind.plural() != resource) => {
                Err(FaultError::UnknownResource(resource.clone()))
            }
            _ => Ok(()),
        }
    }

    fn covers(&self, site: &Site<'_>) -> bool {
        self.resource.as_deref().is_none_or(|resource| resource == site.kind.plural())
            && self.verb.is_none_or(|verb| verb == site.verb)
            && self.namespace.as_deref().is_none_or(|namespace| Some(namespace) == site.namespace)
    }
}

/// The place where a fault may strike: one request, or one open watch.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    pub kind: Kind,
    pub verb: Verb,
    pub namespace: Option<&'a str>,
}

/// How a watch is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Cut {
    /// The body ends as it does after `timeoutSeconds`.
    #[default]
    Clean,
    /// The connection breaks in the middle of an event.
    Abrupt,
    /// An `ERROR` event with 410, then the end.
    Expired,
    /// It stays open and never says anything any more, as over a link that has died. New ones are all right.
    Silent,
}

/// What becomes of events while a watch is stalled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// They are sent when the stall ends.
    #[default]
    Deliver,
    /// They are lost without a word.
    Skip,
}

/// Why a fault was not injected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("{0:?} is not a resource of this server; use a plural name such as \"endpointslices\"")]
    UnknownResource(String),
    #[error("{0} is not an HTTP error status; use one from 400 to 599")]
    NotAnError(u16),
    #[error("the malformed object's apiVersion {api_version:?} and kind {kind:?} name no kind of this server")]
    UnknownKind { api_version: String, kind: String },
    #[error("there is no snapshot to restore; inject `snapshot` first")]
    NoSnapshot,
}

/// A request as RBAC sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Recorded {
    pub verb: Verb,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    /// Empty for cluster-wide resources, and for lists and watches across namespaces.
    pub namespace: String,
}
