//! Requests to the API server, and what comes back in either encoding. `kube::Client` has the credentials, TLS and proxies; the
//! requests are made here, because kube speaks JSON alone, and its watcher keeps to itself what trust depends on: over which
//! connection a response comes, bookmarks, and how a watch ends.
//!
//! ```text
//! query ─▶ Api ─▶ kube::Client ─▶ API server
//!           ├── list  ◀── body ──▶ Page
//!           └── watch ◀── body, in frames ──▶ OpenWatch: one WireEvent after another
//! ```
//!
//! Protobuf is asked for first, because it costs the server a third of its CPU, and half of the octets. JSON is second choice, and the
//! only one once a server (or a proxy in front of it) has refused the first.

mod error;
mod frames;
mod open_watch;
mod query;

use std::collections::HashSet;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::connect::HttpInfo;
use kube::Client;
use kube::client::Body;

pub(super) use self::error::ApiError;
pub(super) use self::open_watch::OpenWatch;
pub(super) use self::query::{ListQuery, Selectors, WatchQuery};
use super::decoding::{Encoding, Kind, Page, Status};
use super::objects::Scope;

/// The media type of an encoding. That of a watch has a parameter, `stream=watch`, in Protobuf.
const fn media_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json",
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
    }
}

/// What the API server's log, and its rules of priority and fairness, know this program by.
const AGENT: &str = concat!("headless-dns/", env!("CARGO_PKG_VERSION"));
/// Octets of the longest list that is read. The longest that this program asks for is a page of 500 objects, each of which etcd limits to
/// 1.5 MiB.
const MAX_LIST: usize = 768 << 20;
/// Octets that are read of a refusal, which is a `Status` or the page of a proxy.
const MAX_REFUSAL: usize = 64 << 10;
/// Connections that are remembered. When there are more, all are forgotten: the next watch on each asks once more whether the
/// server is the same.
const MAX_CONNECTIONS: usize = 1024;

/// What the watches of one server know of it from the responses.
#[derive(Default)]
pub(super) struct Server {
    connections: Mutex<HashSet<SocketAddr>>,
    /// It has refused Protobuf.
    is_json_only: AtomicBool,
}

impl Server {
    /// Whether a response is the first over its connection. A server that was replaced is reached over a new one, even where the
    /// watch of before ended properly.
    fn is_new_connection(&self, response: &Response<Body>) -> bool {
        let Some(info) = response.extensions().get::<HttpInfo>() else { return false };
        let mut known = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CONNECTIONS {
            known.clear();
        }
        known.insert(info.local_addr())
    }
}

/// Lists and watches of one kind in one scope.
pub(super) struct Api<K> {
    client: Client,
    path: String,
    server: Arc<Server>,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Api<K> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            path: self.path.clone(),
            server: Arc::clone(&self.server),
            kind: PhantomData,
        }
    }
}

/// A response of the server that is no refusal.
struct Accepted {
    encoding: Encoding,
    is_new_connection: bool,
    body: Body,
}

impl<K: Kind> Api<K> {
    pub fn new(client: Client, scope: &Scope, server: Arc<Server>) -> Self {
        let group = match K::RESOURCE.group() {
            "" => "/api/v1".to_owned(),
            group => format!("/apis/{group}/v1"),
        };
        let namespace = match scope {
            Scope::All => String::new(),
            Scope::Namespace(namespace) => format!("/namespaces/{namespace}"),
        };
        let path = format!("{group}{namespace}/{}", K::RESOURCE.plural());
        Self { client, path, server, kind: PhantomData }
    }

    /// A list, or a page of one.
    pub async fn list(&self, query: &ListQuery<'_>) -> Result<Page<K>, ApiError> {
        let Accepted { encoding, body, .. } = self.get(&query.parameters()).await?;
        let body = read(body, MAX_LIST).await?;
        Ok(Page::decode(encoding, &body)?)
    }

    pub async fn watch(&self, query: &WatchQuery<'_>) -> Result<OpenWatch, ApiError> {
        let Accepted { encoding, is_new_connection, body } = self.get(&query.parameters()).await?;
        Ok(OpenWatch::new(encoding, is_new_connection, body))
    }

    /// Sends a request. A refusal of Protobuf is followed by the same request for JSON.
    async fn get(&self, parameters: &str) -> Result<Accepted, ApiError> {
        if !self.server.is_json_only.load(Ordering::Relaxed) {
            let accept = format!("{}, {}", media_type(Encoding::Protobuf), media_type(Encoding::Json));
            match self.get_as(parameters, &accept).await {
                Err(ApiError::Refused { status, .. }) if is_refusal_of_encoding(&status) => {}
                answer => return answer,
            }
            if !self.server.is_json_only.swap(true, Ordering::Relaxed) {
                tracing::info!("the API server does not speak Protobuf; asking for JSON");
            }
        }
        self.get_as(parameters, media_type(Encoding::Json)).await
    }

    async fn get_as(&self, parameters: &str, accept: &str) -> Result<Accepted, ApiError> {
        let request = Request::get(format!("{}?{parameters}", self.path))
            .header(ACCEPT, accept)
            .header(USER_AGENT, AGENT)
            .body(Body::empty())
            .map_err(|error| ApiError::Send(kube::Error::HttpError(error)))?;
        let response = self.client.send(request).await.map_err(ApiError::Send)?;
        let is_new_connection = self.server.is_new_connection(&response);
        let encoding = encoding(response.headers());
        let (head, body) = response.into_parts();
        if !head.status.is_success() {
            let retry_after = retry_after(&head.headers);
            let body = read(body, MAX_REFUSAL).await.unwrap_or_default();
            return Err(ApiError::Refused { status: status(head.status, encoding, &body), retry_after });
        }
        let Some(encoding) = encoding else { return Err(ApiError::MediaType(content_type(&head.headers).to_owned())) };
        Ok(Accepted { encoding, is_new_connection, body })
    }
}

/// 406 and 415 are what servers have for a representation that they do not know.
fn is_refusal_of_encoding(status: &Status) -> bool {
    [StatusCode::NOT_ACCEPTABLE, StatusCode::UNSUPPORTED_MEDIA_TYPE].iter().any(|refusal| *refusal == status.code)
}

/// Reads a body of `max` octets at most.
async fn read(mut body: Body, max: usize) -> Result<Vec<u8>, ApiError> {
    let mut octets = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ApiError::Read)?;
        let Some(data) = frame.data_ref() else { continue };
        if octets.len() + data.len() > max {
            return Err(ApiError::TooLong);
        }
        octets.extend_from_slice(data);
    }
    Ok(octets)
}

/// The status that a refusal carries, or the text that it has instead. The code is that of the response.
fn status(code: StatusCode, encoding: Option<Encoding>, body: &[u8]) -> Status {
    let status = Status::decode(encoding.unwrap_or(Encoding::Json), body);
    let text = || Status { message: first_line(body), ..Status::default() };
    Status { code: code.as_u16(), ..status.unwrap_or_else(text) }
}

/// The first line of what is no status, such as `Too many requests, please try again later.`
fn first_line(body: &[u8]) -> String {
    /// As much as a log line takes.
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(body);
    text.lines().next().unwrap_or_default().chars().take(LONGEST).collect()
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// None if the API server cannot have sent it. A proxy that wants a login answers with a page, and 200.
fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    let media = content_type(headers).split(';').next().unwrap_or_default().trim();
    [Encoding::Protobuf, Encoding::Json].into_iter().find(|encoding| media_type(*encoding) == media)
}

/// The value of the header `Retry-After` (RFC 9110 section 10.2.3) in seconds, the form that kube-apiserver sends. The other
/// form, a date, is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds() {
        for (header, expected) in [
            ("1", Some(1)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
            ("-1", None),
            ("99999999999999999999", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, header.parse().unwrap())]);
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{header:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    /// T4: anything else is no word from the cluster.
    #[test]
    fn a_response_is_in_one_of_two_encodings_or_not_from_an_api_server() {
        for (header, expected) in [
            ("application/json", Some(Encoding::Json)),
            ("application/json; charset=utf-8", Some(Encoding::Json)),
            ("application/vnd.kubernetes.protobuf", Some(Encoding::Protobuf)),
            ("application/vnd.kubernetes.protobuf;stream=watch", Some(Encoding::Protobuf)),
            ("text/html", None),
            ("application/jsonp", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, header.parse().unwrap())]);
            assert_eq!(encoding(&headers), expected, "{header:?}");
        }
        assert_eq!(encoding(&HeaderMap::new()), None);
    }

    #[test]
    fn a_refusal_says_why_even_if_it_is_no_status() {
        let json = br#"{"kind":"Status","code":403,"reason":"Forbidden","message":"pods is forbidden"}"#;
        let forbidden = status(StatusCode::FORBIDDEN, Some(Encoding::Json), json);
        assert_eq!((forbidden.code, &*forbidden.to_string()), (403, "pods is forbidden (403)"));
        let text = status(StatusCode::TOO_MANY_REQUESTS, None, b"Too many requests, please try again later.\nmore");
        assert_eq!(text.to_string(), "Too many requests, please try again later. (429)");
        assert_eq!(status(StatusCode::BAD_GATEWAY, None, b"").to_string(), "HTTP status 502");
    }
}
