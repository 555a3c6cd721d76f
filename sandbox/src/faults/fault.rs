//! The faults, and which requests each applies to.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kind::Kind;
use crate::verb::Verb;

/// Seconds in the `Retry-After` header of kube-apiserver's `tooManyRequests` filter.
const TOO_MANY_REQUESTS_RETRY_AFTER: u32 = 1;

/// A fault. In JSON: `{"fault": "answer", "resource": "endpointslices", "verb": "watch", "code": 429}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Fault {
    /// Requests get a `metav1.Status` with this HTTP status, such as 403, 410, 429 or 500.
    Answer {
        #[serde(flatten)]
        on: Scope,
        code: u16,
        /// Seconds for the `Retry-After` header and the `retryAfterSeconds` field.
        #[serde(default)]
        retry_after: Option<u32>,
        /// Number of requests; every request until the fault is removed, if unset.
        #[serde(default)]
        times: Option<u32>,
    },
    /// Requests get 429 in plain text with a `Retry-After` header, as from kube-apiserver's `tooManyRequests` filter, which
    /// rejects requests before any handler that would write a Status.
    TooManyRequests {
        #[serde(flatten)]
        on: Scope,
        /// Seconds for the header.
        #[serde(default = "too_many_requests_retry_after")]
        retry_after: u32,
        #[serde(default)]
        times: Option<u32>,
    },
    /// The connection is closed without a response.
    Drop {
        #[serde(flatten)]
        on: Scope,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Every response, and every event of a watch, is delayed.
    Delay {
        #[serde(flatten)]
        on: Scope,
        milliseconds: u64,
    },
    /// Watches stay open and send nothing, not even bookmarks, until the fault is removed.
    Stall {
        #[serde(flatten)]
        on: Scope,
        /// What happens to the events of that time.
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
    /// New watches are accepted and end immediately without an event; open ones end too.
    EndWatches {
        #[serde(flatten)]
        on: Scope,
    },
    /// New watches are accepted with 200 and get nothing but an `ERROR` event with this status; open ones too.
    ErrorEvents {
        #[serde(flatten)]
        on: Scope,
        code: u16,
    },
    /// Requests get 200 and an HTML page, as from a proxy that wants a login.
    Page {
        #[serde(flatten)]
        on: Scope,
        #[serde(default)]
        times: Option<u32>,
    },
    /// Watches get no bookmarks, but for the one that ends the initial events.
    WithholdBookmarks {
        #[serde(flatten)]
        on: Scope,
    },
    /// Connections are closed after each response.
    CloseConnections {
        #[serde(flatten)]
        on: Scope,
    },
    /// This object is included unvalidated in lists and watches of the kind given by its `apiVersion` and `kind`; open watches
    /// get it as `ADDED`. It is never stored.
    Malformed { object: Value },
    /// The event log is compacted: a watch from an older resourceVersion gets 410.
    Compact,
    /// Saves the current state for a later `restore`.
    Snapshot,
    /// Objects and resourceVersion are reset to the last `snapshot`; open watches end.
    Restore,
    /// All objects are gone and resourceVersions start over, as with a new etcd; open watches end.
    Empty,
    /// Another cluster answers in the place of this one: the same objects with other uids, at this resourceVersion or at a lower
    /// one than before; open watches end.
    Replace {
        #[serde(default)]
        revision: Option<u64>,
    },
    /// Open connections are closed and new ones refused, for this time or until the fault is removed.
    Down {
        #[serde(default)]
        milliseconds: Option<u64>,
    },
}

fn too_many_requests_retry_after() -> u32 {
    TOO_MANY_REQUESTS_RETRY_AFTER
}

impl Fault {
    /// Rejects a fault that could never apply.
    pub(super) fn check(&self) -> Result<(), FaultError> {
        match self {
            Self::Answer { on, code, .. } | Self::ErrorEvents { on, code } => {
                let is_error =
                    StatusCode::from_u16(*code).is_ok_and(|code| code.is_client_error() || code.is_server_error());
                if is_error { on.check() } else { Err(FaultError::NotAnError(*code)) }
            }
            Self::TooManyRequests { on, .. }
            | Self::Drop { on, .. }
            | Self::Delay { on, .. }
            | Self::Stall { on, .. }
            | Self::CutWatches { on, .. }
            | Self::EndWatches { on }
            | Self::Page { on, .. }
            | Self::WithholdBookmarks { on }
            | Self::CloseConnections { on } => on.check(),
            Self::Malformed { object } if Kind::of_object(object).is_none() => {
                let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
                Err(FaultError::UnknownKind { api_version: text("apiVersion"), kind: text("kind") })
            }
            Self::Malformed { .. }
            | Self::Compact
            | Self::Snapshot
            | Self::Restore
            | Self::Empty
            | Self::Replace { .. }
            | Self::Down { .. } => Ok(()),
        }
    }
}

/// The requests or watches that a fault applies to. Unset fields match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scope {
    /// The plural name: `endpointslices`.
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

    /// Limits the scope to requests with this verb.
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

    pub(super) fn covers(&self, site: &Site<'_>) -> bool {
        self.resource.as_deref().is_none_or(|resource| resource == site.kind.plural())
            && self.verb.is_none_or(|verb| verb == site.verb)
            && self.namespace.as_deref().is_none_or(|namespace| Some(namespace) == site.namespace)
    }
}

/// The request or open watch that is matched with scopes.
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
    /// The body ends properly, as after `timeoutSeconds`.
    #[default]
    Clean,
    /// The connection breaks in the middle of an event.
    Abrupt,
    /// An `ERROR` event with 410, then the end of the body.
    Expired,
    /// The watch stays open and never sends anything again, like a dead connection. New watches work.
    Silent,
    /// What comes next is no event, on a watch that stays open and sends nothing more.
    Garbled,
}

/// What happens to the events of a stalled watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Missed {
    /// They are sent when the stall ends.
    #[default]
    Deliver,
    /// They are lost silently.
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

/// A request in the terms of RBAC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestRecord {
    pub verb: Verb,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    /// Empty for cluster-scoped resources, and for lists and watches across all namespaces.
    pub namespace: String,
}
