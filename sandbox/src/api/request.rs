//! Method, path, query string and `Accept` of a request, resolved to kind, name, verb and options.

use axum::extract::Query;
use http::{HeaderMap, Method, Uri, header};
use serde::Deserialize;

use crate::kind::Kind;
use crate::status::ApiError;
use crate::verb::Verb;

use super::object_name::ObjectName;

/// A subresource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    Status,
    Scale,
    Eviction,
    Log,
    Exec,
    Attach,
    PortForward,
    EphemeralContainers,
    /// Of a ServiceAccount.
    Token,
}

impl Subresource {
    pub const ALL: [Self; 9] = [
        Self::Status,
        Self::Scale,
        Self::Eviction,
        Self::Log,
        Self::Exec,
        Self::Attach,
        Self::PortForward,
        Self::EphemeralContainers,
        Self::Token,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Eviction => "eviction",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Token => "token",
        }
    }

    /// Whether `kind` has this subresource.
    pub const fn is_of(self, kind: Kind) -> bool {
        match self {
            Self::Status => kind.has_status(),
            Self::Scale => matches!(kind, Kind::StatefulSet | Kind::Deployment | Kind::ReplicaSet),
            Self::Token => matches!(kind, Kind::ServiceAccount),
            _ => matches!(kind, Kind::Pod),
        }
    }

    /// What it does with the containers of a Pod; None if it is about the object.
    pub const fn of_containers(self) -> Option<&'static str> {
        match self {
            Self::Status | Self::Scale | Self::Eviction | Self::Token => None,
            Self::Log => Some("whose output could be read"),
            Self::Exec => Some("in which a command could run"),
            Self::Attach => Some("to attach to"),
            Self::PortForward => Some("with a port to forward to"),
            Self::EphemeralContainers => Some("to debug"),
        }
    }

    /// Whether it is created by `POST`.
    const fn is_posted(self) -> bool {
        matches!(self, Self::Eviction | Self::Exec | Self::Attach | Self::PortForward | Self::Token)
    }
}

/// The resource that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub kind: Kind,
    /// None for a cluster-scoped kind, and for a list or watch across all namespaces.
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<Subresource>,
}

impl Target {
    /// Parses the part of the path after `/api/v1/` or `/apis/GROUP/VERSION/`.
    ///
    /// # Errors
    /// 404 if there is no such resource.
    pub fn parse(group: &str, version: &str, path: &str) -> Result<Self, ApiError> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (namespace, rest) = match segments.as_slice() {
            // `namespaces/x/status` is a subresource of the Namespace; `namespaces/x/pods` is a list in it.
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
                Subresource::ALL
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

    /// The namespace as the store has it: empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// The object that the path names.
    pub fn object(&self) -> ObjectName<'_> {
        ObjectName { kind: self.kind, namespace: self.namespace(), name: self.name.as_deref().unwrap_or_default() }
    }

    /// The verb as RBAC has it.
    ///
    /// # Errors
    /// 405 if the resource does not support the method.
    pub fn verb(&self, method: &Method, params: &Params) -> Result<Verb, ApiError> {
        let named = self.name.is_some();
        let verb = match *method {
            Method::GET | Method::HEAD if params.watch() => Verb::Watch,
            Method::GET | Method::HEAD if named => Verb::Get,
            Method::GET | Method::HEAD => Verb::List,
            Method::POST if !named || self.subresource.is_some_and(Subresource::is_posted) => Verb::Create,
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

/// The query string, as text; values are parsed where they are used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Params {
    watch: Option<String>,
    allow_watch_bookmarks: Option<String>,
    send_initial_events: Option<String>,
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

    /// Unset differs from both true and false.
    pub fn send_initial_events(&self) -> Option<bool> {
        self.send_initial_events.as_deref().map(|text| is_set(Some(text)))
    }

    /// Whether the request must not write anything.
    pub fn dry_run(&self) -> bool {
        !self.dry_run.is_empty()
    }

    /// Parses a parameter that is a number or empty.
    pub fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, ApiError> {
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ApiError::bad_request(format!("{name}: {text:?} is not a valid number"))),
        }
    }
}

/// As in the API server, a present parameter is true unless its value is `false` or `0`.
fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !matches!(text.to_ascii_lowercase().as_str(), "false" | "0"))
}

/// The shape of the objects in a response, negotiated through `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Whole objects.
    Object,
    /// A `metav1.Table` of printable cells.
    Table,
    /// `metav1.PartialObjectMetadata`: metadata only.
    Metadata,
}

impl Shape {
    /// The first media range of `Accept` that can be served.
    ///
    /// # Errors
    /// 406 if there is none.
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
