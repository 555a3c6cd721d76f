//! Requests and responses of one watch, intercepted beneath kube's watcher. The watcher does not report that a watch was
//! resumed, keeps bookmarks and response headers to itself, and resumes a watch that ends without any pause.
//!
//! ```text
//! kube's watcher ──request───▶ consistent ──────────────────────────────▶ the shared client ──▶ API server
//!       ▲                                                                        │
//!       └── EndedAtOnce if it ends ◀── ObservedBody ◀──frames──┬── observe ◀──response
//!           without an event            │                      │     │
//!                                       └── told, broken ──────┴─────┴── opened ──▶ TrustRecord
//! ```

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper_util::client::legacy::connect::HttpInfo;
use kube::Client;
use kube::client::Body as KubeBody;
use tokio::time::Instant;
use tower::{BoxError, service_fn};

use super::lines::Lines;
use super::trust::{Happening, Opening, STEADY, TrustRecord};

/// Connections that are remembered. When there are more, all are forgotten: the next watch on each asks once more whether the
/// server is the same.
const MAX_CONNECTIONS: usize = 1024;

/// The watch was accepted and ended before the first event.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once, without an event")]
pub(super) struct EndedAtOnce;

/// What the watches of one server know of it from the responses.
#[derive(Default)]
pub(super) struct Connections(Mutex<HashSet<SocketAddr>>);

impl Connections {
    /// Whether a response is the first over its connection. A server that was replaced is reached over a new one, even where the
    /// watch of before ended properly.
    fn is_new(&self, response: &Response<KubeBody>) -> bool {
        let Some(info) = response.extensions().get::<HttpInfo>() else { return false };
        self.insert(info.local_addr())
    }

    fn insert(&self, local: SocketAddr) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_CONNECTIONS {
            known.clear();
        }
        known.insert(local)
    }
}

/// The requests and responses of one watch.
pub(super) struct Interception {
    pub trust: Arc<TrustRecord>,
    pub connections: Arc<Connections>,
    /// The header `Retry-After` of the last response.
    retry_after: Mutex<Option<Duration>>,
}

impl Interception {
    pub fn new(trust: Arc<TrustRecord>, connections: Arc<Connections>) -> Arc<Self> {
        Arc::new(Self { trust, connections, retry_after: Mutex::default() })
    }

    /// A client that sends through `client`.
    pub fn client(self: &Arc<Self>, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (client, this) = (client.clone(), Arc::clone(self));
        let service = service_fn(move |request: Request<KubeBody>| {
            let (client, this) = (client.clone(), Arc::clone(&this));
            async move {
                let request = consistent(request);
                let watch = WatchRequest::read(&request);
                this.set_retry_after(None);
                let response = client.send(request).await?;
                Ok::<_, kube::Error>(this.observe(response, watch))
            }
        });
        Client::new(service, namespace)
    }

    fn observe(&self, response: Response<KubeBody>, watch: Option<WatchRequest>) -> Response<ObservedBody> {
        let is_new_connection = self.connections.is_new(&response);
        let is_accepted = response.status().is_success();
        if !is_accepted {
            self.set_retry_after(retry_after(response.headers()));
        }
        let watch = watch.filter(|_| is_accepted).map(|WatchRequest { position, ends_at }| {
            let since = Instant::now();
            if is_new_connection {
                self.trust.broken();
            }
            if is_json(response.headers()) {
                self.trust.opened(Opening { since, position });
            }
            OpenWatch { since, ends_at, lines: Lines::default(), is_silent: true, trust: Arc::clone(&self.trust) }
        });
        response.map(|body| ObservedBody { body, watch })
    }

    fn set_retry_after(&self, header: Option<Duration>) {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) = header;
    }

    /// How long the last response asked to wait before the next request. Applies once.
    pub fn take_retry_after(&self) -> Option<Duration> {
        self.retry_after.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What a request for a watch asks for.
struct WatchRequest {
    /// The resourceVersion to resume from.
    position: Option<u64>,
    /// When the server is to end it. Reckoned from before the request was sent: the server reckons from later on.
    ends_at: Instant,
}

impl WatchRequest {
    /// None for any other request.
    fn read<B>(request: &Request<B>) -> Option<Self> {
        let number = |name| parameter(request, name).and_then(|value| value.parse().ok());
        (parameter(request, "watch") == Some("true")).then(|| Self {
            position: number("resourceVersion"),
            ends_at: Instant::now() + Duration::from_secs(number("timeoutSeconds").unwrap_or_default()),
        })
    }
}

/// Whether the API server may have sent it. A proxy that wants a login answers with a page, and 200.
fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim() == "application/json"
}

/// The value of the header `Retry-After` (RFC 9110 section 10.2.3) in seconds, the form that kube-apiserver sends. The other
/// form, a date, is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The value of a parameter of a request.
fn parameter<'a, B>(request: &'a Request<B>, name: &str) -> Option<&'a str> {
    let mut pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

/// Requests the newest state in a streaming list, for which kube's watcher would accept any. Of several API servers, one may
/// lag behind the one that answered last, and its list from version 0 would take the answers back in time. Without a version,
/// says the reference of the Kubernetes API on `sendInitialEvents`, "this is interpreted as 'consistent read'".
fn consistent<B>(mut request: Request<B>) -> Request<B> {
    let is_list = parameter(&request, "sendInitialEvents") == Some("true");
    if is_list && parameter(&request, "resourceVersion") == Some("0") {
        let parameters = request.uri().query().unwrap_or_default().split('&');
        let parameters: Vec<_> = parameters.filter(|parameter| *parameter != "resourceVersion=0").collect();
        let newest = format!("{}?{}", request.uri().path(), parameters.join("&"));
        if let Ok(newest) = newest.parse() {
            *request.uri_mut() = newest;
        }
    }
    request
}

/// The body of a response.
struct ObservedBody {
    body: KubeBody,
    /// Unless it is that of another request, or has ended.
    watch: Option<OpenWatch>,
}

/// A watch that was accepted. It has failed if it ends before its time.
struct OpenWatch {
    since: Instant,
    ends_at: Instant,
    lines: Lines,
    /// Not a whole line has come.
    is_silent: bool,
    trust: Arc<TrustRecord>,
}

impl OpenWatch {
    fn on_frame(&mut self, data: &[u8]) {
        self.is_silent &= !data.contains(&b'\n');
        if self.lines.tell(data) {
            self.trust.record(Happening::Told);
        }
    }

    /// The body has ended.
    fn on_end(self) -> Option<EndedAtOnce> {
        if Instant::now() < self.ends_at {
            self.trust.broken();
        } else {
            self.trust.closed();
        }
        (self.is_silent && self.since.elapsed() < STEADY).then_some(EndedAtOnce)
    }
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some((watch, data)) = self.watch.as_mut().zip(frame.data_ref()) {
                    watch.on_frame(data);
                }
            }
            Some(Err(_)) => {}
            None => {
                if let Some(ended_at_once) = self.watch.take().and_then(OpenWatch::on_end) {
                    return Poll::Ready(Some(Err(ended_at_once.into())));
                }
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        // It failed, or the watcher gave it up, because nothing came for longer than it was to last.
        if let Some(watch) = &self.watch {
            watch.trust.broken();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(uri: &str) -> String {
        consistent(Request::get(uri).body(()).expect("a request")).uri().to_string()
    }

    #[test]
    fn a_streaming_list_is_a_consistent_read_and_a_watch_starts_where_it_was() {
        let list = "/api/v1/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(sent(&format!("{list}&resourceVersion=0")), list);
        for other in [&format!("{list}&resourceVersion=07"), "/api/v1/services?watch=true&resourceVersion=0", "/api"] {
            assert_eq!(sent(other), other);
        }
    }

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
}
