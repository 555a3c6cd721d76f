//! Gets and lists: one consistent state of the store, whole or in pages.
//!
//! A `continue` token holds the resourceVersion of the first page and the last key of its page. Later pages show the state at
//! that resourceVersion, so that a list stays consistent while it is read.

use serde_json::{Map, Value, json};

use crate::fields;
use crate::kind::Kind;
use crate::status::{ApiError, FieldError};
use crate::store::{Gone, Object};

use super::request::{Params, Shape, Target};
use super::selector::Filter;
use super::state::Api;
use super::{partial, table};

/// One object.
pub fn get(api: &Api, target: &Target, shape: Shape, params: &Params) -> Result<Value, ApiError> {
    let name = target.name.as_deref().unwrap_or_default();
    let object =
        api.store.get(target.kind, target.namespace(), name).ok_or_else(|| ApiError::not_found(target.kind, name))?;
    Ok(shaped(target.kind, &object, shape, params))
}

/// An object in the requested shape.
pub fn shaped(kind: Kind, object: &Value, shape: Shape, params: &Params) -> Value {
    match shape {
        Shape::Object => object.clone(),
        Shape::Table => {
            table::of_one(kind, object, table::Include::parse(&params.include_object), table::Columns::Shown)
        }
        Shape::Metadata => partial::object(object),
    }
}

/// A list, or one page of it.
pub fn list(api: &Api, target: &Target, shape: Shape, params: &Params) -> Result<Value, ApiError> {
    if params.send_initial_events().is_some() {
        let error = FieldError::forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
        return Err(ApiError::invalid_list_options(&error));
    }
    let filter = Filter::new(target, params)?;
    let page = Page::read(api, &filter, params)?;
    let mut metadata = json!({ "resourceVersion": page.revision.to_string() });
    if let Some(token) = &page.next {
        metadata["continue"] = json!(token);
        if !filter.is_selective() {
            metadata["remainingItemCount"] = json!(page.remaining);
        }
    }
    let mut objects = page.objects;
    if page.next.is_none() {
        objects.extend(malformed(api, &filter));
    }
    Ok(match shape {
        Shape::Table => table::of_many(target.kind, &objects, table::Include::parse(&params.include_object), &metadata),
        Shape::Metadata => partial::list(&metadata, &objects),
        Shape::Object => envelope(target.kind, &metadata, &objects),
    })
}

/// A typed list, such as a `PodList`.
pub fn envelope(kind: Kind, metadata: &Value, objects: &[Object]) -> Value {
    json!({
        "kind": format!("{}List", kind.name()),
        "apiVersion": kind.api_version(),
        "metadata": metadata,
        "items": objects.iter().map(|object| untyped(object)).collect::<Vec<_>>(),
    })
}

/// The items of a typed list have no `apiVersion` and `kind`.
fn untyped(object: &Value) -> Value {
    let Some(fields) = object.as_object() else { return object.clone() };
    let fields: Map<String, Value> = fields
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "apiVersion" | "kind"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Value::Object(fields)
}

struct Page {
    revision: u64,
    objects: Vec<Object>,
    /// The token for the next page, if there is one.
    next: Option<String>,
    remaining: usize,
}

impl Page {
    fn read(api: &Api, filter: &Filter, params: &Params) -> Result<Self, ApiError> {
        let limit = Params::number::<usize>("limit", &params.limit)?.filter(|limit| *limit > 0);
        let (revision, mut objects, limit) = if params.continue_token.is_empty() {
            let (revision, objects) = first(api, filter, params)?;
            // The API server serves a list from any version from its cache, without paging.
            let limit = limit.filter(|_| params.resource_version != ANY_VERSION);
            (revision, objects, limit)
        } else {
            if !matches!(params.resource_version.as_str(), "" | ANY_VERSION) {
                let why = "specifying resource version is not allowed when using continue";
                return Err(ApiError::bad_request(why));
            }
            let token = Token::parse(&params.continue_token)?;
            let mut objects = api.store.list_at(filter.kind(), filter.namespace(), token.revision).map_err(|_| {
                ApiError::expired(
                    "The provided continue parameter is too old to display a consistent list result. You can start \
                         a new list without the continue parameter.",
                )
            })?;
            objects.retain(|object| key(object) > (token.namespace.as_str(), token.name.as_str()));
            (token.revision, objects, limit)
        };
        objects.retain(|object| filter.matches(object));
        let mut page = Self { revision, objects, next: None, remaining: 0 };
        if let Some(limit) = limit
            && page.objects.len() > limit
        {
            page.remaining = page.objects.len() - limit;
            page.objects.truncate(limit);
            page.next = page.objects.last().map(|last| Token::after(revision, last).to_string());
        }
        Ok(page)
    }
}

/// The resourceVersion that any state satisfies.
pub const ANY_VERSION: &str = "0";

/// The list at the version that `resourceVersion` and `resourceVersionMatch` ask for, without paging.
fn first(api: &Api, filter: &Filter, params: &Params) -> Result<(u64, Vec<Object>), ApiError> {
    let wanted = Params::number::<u64>("resourceVersion", &params.resource_version)?;
    let matching = params.resource_version_match.as_str();
    let forbidden = |detail: &str| {
        Err(ApiError::invalid_list_options(&FieldError::forbidden("resourceVersionMatch", detail.to_owned())))
    };
    match (matching, wanted) {
        ("", None) => Ok(api.store.list(filter.kind(), filter.namespace())),
        ("" | "NotOlderThan", Some(wanted)) => {
            check_reached(api, wanted)?;
            Ok(api.store.list(filter.kind(), filter.namespace()))
        }
        ("Exact" | "NotOlderThan", None) => {
            forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")
        }
        ("Exact", Some(0)) => forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\""),
        ("Exact", Some(wanted)) => {
            check_reached(api, wanted)?;
            match api.store.list_at(filter.kind(), filter.namespace(), wanted) {
                Ok(objects) => Ok((wanted, objects)),
                Err(Gone) => Err(ApiError::expired("The resourceVersion for the provided list is too old.")),
            }
        }
        (other, _) => Err(ApiError::invalid_list_options(&FieldError::not_supported(
            "resourceVersionMatch",
            &json!(other),
            &["Exact", "NotOlderThan", ""],
        ))),
    }
}

fn check_reached(api: &Api, wanted: u64) -> Result<(), ApiError> {
    let current = api.store.revision();
    if wanted > current { Err(ApiError::too_large_resource_version(wanted, current)) } else { Ok(()) }
}

fn key(object: &Object) -> (&str, &str) {
    (fields::metadata(object, "namespace"), fields::metadata(object, "name"))
}

/// Where the next page starts, written `REVISION.NAMESPACE.NAME`: a name may contain dots, a namespace may not.
struct Token {
    revision: u64,
    namespace: String,
    name: String,
}

impl Token {
    fn after(revision: u64, last: &Object) -> Self {
        let (namespace, name) = key(last);
        Self { revision, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    fn parse(text: &str) -> Result<Self, ApiError> {
        let mut parts = text.splitn(3, '.');
        let token = (|| {
            let revision = parts.next()?.parse().ok()?;
            Some(Self { revision, namespace: parts.next()?.to_owned(), name: parts.next()?.to_owned() })
        })();
        token.ok_or_else(|| ApiError::bad_request(format!("continue key is not valid: {text:?}")))
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.revision, self.namespace, self.name)
    }
}

/// The matching objects and the resourceVersion at which they were read.
pub fn matching(api: &Api, filter: &Filter) -> (u64, Vec<Object>) {
    let (revision, mut objects) = api.store.list(filter.kind(), filter.namespace());
    objects.retain(|object| filter.matches(object));
    (revision, objects)
}

/// The injected malformed objects that match.
pub fn malformed(api: &Api, filter: &Filter) -> impl Iterator<Item = Object> {
    api.faults.malformed(filter.kind()).into_iter().filter(move |object| filter.matches(object))
}
