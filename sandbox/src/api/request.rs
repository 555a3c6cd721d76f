//! What a request is about, read from its method, path and query string: the same questions in the same order as the API
//! server's request resolver.

use axum::extract::Query;
use http::{HeaderMap, Method, Uri, header};
use serde::{Deserialize, Serialize};

use super::status::ApiError;
use crate::kind::Kind;

/// What is done to a resource; the word that RBAC rules use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// A part of an object with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    Status,
    Scale,
    Eviction,
}

impl Subresource {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Eviction => "eviction",
        }
    }

    /// Whether objects of `kind` have this part.
    pub const fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Status => has_status(kind),
            Self::Scale => matches!(kind, Kind::StatefulSet | Kind::Deployment | Kind::ReplicaSet),
            Self::Eviction => matches!(kind, Kind::Pod),
        }
    }
}

/// Whether `status` of this kind is written through the `status` subresource.
pub const fn has_status(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Namespace
            | Kind::Service
            | Kind::PersistentVolumeClaim
            | Kind::PodDisruptionBudget
            | Kind::StatefulSet
            | Kind::Deployment
            | Kind::ReplicaSet
            | Kind::Pod
    )
}

/// The resource that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: Kind,
    /// None for a cluster-wide kind, and for a list or watch across namespaces.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<Subresource>,
}

impl Target {
    /// Reads the part of the path that follows `/api/v1/` or `/apis/GROUP/VERSION/`.
    ///
    /// # Errors
    /// 404 if there is no such resource.
    pub fn parse(group: &str, version: &str, path: &str) -> Result<Self, ApiError> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (namespace, rest) = match segments.as_slice() {
            // `namespaces/x/status` is a part of the Namespace; `namespaces/x/pods` is a list in it.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, segments.as_slice()),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            all => (None, all),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some((*name).to_owned()), None),
            [plural, name, subresource] => (*plural, Some((*name).to_owned()), Some(*subresource)),
            _ => return Err(ApiError::no_such_path()),
        };
        let kind = Kind::find(group, version, |kind| kind.plural() == plural).ok_or_else(ApiError::no_such_path)?;
        let subresource = match subresource {
            None => None,
            Some(wanted) => Some(
                [Subresource::Status, Subresource::Scale, Subresource::Eviction]
                    .into_iter()
                    .find(|subresource| subresource.name() == wanted && subresource.is_of(kind))
                    .ok_or_else(ApiError::no_such_path)?,
            ),
        };
        let misplaced = match kind.is_namespaced() {
            true => namespace.is_none() && name.is_some(),
            false => namespace.is_some(),
        };
        if misplaced {
            return Err(ApiError::no_such_path());
        }
        Ok(Self { kind, namespace, name, subresource })
    }

    /// The namespace as the store knows it: empty for cluster-wide kinds.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    pub fn verb(&self, method: &Method, params: &Params) -> Result<Verb, ApiError> {
        let named = self.name.is_some();
        let verb = match *method {
            Method::GET | Method::HEAD if params.watch() => Verb::Watch,
            Method::GET | Method::HEAD if named => Verb::Get,
            Method::GET | Method::HEAD => Verb::List,
            Method::POST if !named || self.subresource == Some(Subresource::Eviction) => Verb::Create,
            Method::PUT if named => Verb::Update,
            Method::PATCH if named => Verb::Patch,
            Method::DELETE if named && self.subresource.is_none() => Verb::Delete,
            Method::DELETE if !named => Verb::DeleteCollection,
            _ => return Err(ApiError::method_not_allowed()),
        };
        let across_namespaces = self.kind.is_namespaced() && self.namespace.is_none();
        if across_namespaces && matches!(verb, Verb::Create | Verb::DeleteCollection) {
            return Err(ApiError::method_not_allowed());
        }
        Ok(verb)
    }
}

/// The query string. Everything is text here; what is wrong with a value is said by whoever uses it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Params {
    watch: Option<String>,
    allow_watch_bookmarks: Option<String>,
    send_initial_events: Option<String>,
    force: Option<String>,
    pub resource_version: String,
    pub resource_version_match: String,
    pub timeout_seconds: String,
    pub limit: String,
    #[serde(rename = "continue")]
    pub continue_token: String,
    pub label_selector: String,
    pub field_selector: String,
    pub field_validation: String,
    pub field_manager: String,
    pub dry_run: String,
    pub grace_period_seconds: String,
    pub propagation_policy: String,
    pub include_object: String,
}

impl Params {
    pub fn parse(uri: &Uri) -> Result<Self, ApiError> {
        match Query::try_from_uri(uri) {
            Ok(Query(params)) => Ok(params),
            Err(error) => Err(ApiError::bad_request(format!("query string: {error}"))),
        }
    }

    pub fn watch(&self) -> bool {
        is_set(self.watch.as_deref())
    }

    pub fn allow_watch_bookmarks(&self) -> bool {
        is_set(self.allow_watch_bookmarks.as_deref())
    }

    /// Unset, true and false are three different things here.
    pub fn send_initial_events(&self) -> Option<bool> {
        self.send_initial_events.as_deref().map(|text| is_set(Some(text)))
    }

    /// Whether nothing is to be written.
    pub fn dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    /// A parameter that is a number, or empty.
    pub fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, ApiError> {
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ApiError::bad_request(format!("{name}: {text:?} is not a number that can be used here"))),
        }
    }
}

/// A present parameter counts as true unless its value says otherwise, as in the API server.
fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !matches!(text.to_ascii_lowercase().as_str(), "false" | "0"))
}

/// The shape of the objects in an answer, negotiated through `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The objects themselves.
    Object,
    /// A `metav1.Table` of printable cells.
    Table,
    /// `metav1.PartialObjectMetadata`: the metadata alone.
    Metadata,
}

impl Shape {
    /// # Errors
    /// 406 if nothing in `Accept` can be served.
    pub fn negotiate(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
            return Ok(Self::Object);
        };
        accept.split(',').find_map(Self::of_media_range).ok_or_else(ApiError::not_acceptable)
    }

    fn of_media_range(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        if !matches!(parts.next()?, "application/json" | "application/*" | "*/*") {
            return None;
        }
        match parts.find_map(|part| part.strip_prefix("as=")) {
            None => Some(Self::Object),
            Some("Table") => Some(Self::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
            Some(_) => None,
        }
    }
}
