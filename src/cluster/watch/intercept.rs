//! Requests and responses of one watch, intercepted beneath kube's watcher. The watcher does not report that a watch was
//! resumed, keeps bookmarks and response headers to itself, and resumes a watch that ends without any pause.
//!
//! ```text
//! kube's watcher ──request───▶ consistent ──────────────────────────────▶ the shared client ──▶ API server
//!       ▲                                                                        │
//!       └── EndedAtOnce if it ends ◀── ObservedBody ◀──frames──┬── observe ◀──response
//!           without an event            │                      │     │
//!                                       └───── contact ────────┴─────┴── contact, opened, Retry-After ──▶ Liveness
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use kube::Client;
use kube::client::Body as KubeBody;
use tokio::time::Instant;
use tower::{BoxError, service_fn};

use super::liveness::{Liveness, STEADY};

/// The watch was accepted and ended before the first event.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once, without an event")]
pub(super) struct EndedAtOnce;

/// A client that sends through `client` and records what it learns in `liveness`.
pub(super) fn intercepted(client: &Client, liveness: &Arc<Liveness>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let (client, liveness) = (client.clone(), Arc::clone(liveness));
    let service = service_fn(move |request: Request<KubeBody>| {
        let (client, liveness) = (client.clone(), Arc::clone(&liveness));
        async move {
            let request = consistent(request);
            let is_watch = has_parameter(&request, "watch=true");
            liveness.set_retry_after(None);
            let response = client.send(request).await?;
            Ok::<_, kube::Error>(observe(response, is_watch, liveness))
        }
    });
    Client::new(service, namespace)
}

fn observe(response: Response<KubeBody>, is_watch: bool, liveness: Arc<Liveness>) -> Response<ObservedBody> {
    let is_success = response.status().is_success();
    if is_success {
        liveness.contact();
    } else {
        liveness.set_retry_after(retry_after(response.headers()));
    }
    let opened = (is_success && is_watch).then(Instant::now);
    if let Some(at) = opened {
        liveness.opened(at);
    }
    response.map(|body| ObservedBody { body, opened, liveness })
}

/// The value of the header `Retry-After` (RFC 9110 section 10.2.3) in seconds, the form that kube-apiserver sends. The other
/// form, a date, is ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// Whether a request has this parameter.
fn has_parameter<B>(request: &Request<B>, wanted: &str) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|parameter| parameter == wanted))
}

/// Requests the newest state in a streaming list, for which kube's watcher would accept any. Of several API servers, one may
/// lag behind the one that answered last, and its list from version 0 would take the answers back in time. Without a version,
/// says the reference of the Kubernetes API on `sendInitialEvents`, "this is interpreted as 'consistent read'".
fn consistent<B>(mut request: Request<B>) -> Request<B> {
    const ANY_VERSION: &str = "resourceVersion=0";
    if has_parameter(&request, "sendInitialEvents=true") && has_parameter(&request, ANY_VERSION) {
        let parameters = request.uri().query().unwrap_or_default().split('&');
        let parameters: Vec<_> = parameters.filter(|parameter| *parameter != ANY_VERSION).collect();
        let newest = format!("{}?{}", request.uri().path(), parameters.join("&"));
        if let Ok(newest) = newest.parse() {
            *request.uri_mut() = newest;
        }
    }
    request
}

/// The body of a response, each frame of which counts as a contact.
struct ObservedBody {
    body: KubeBody,
    /// When the watch was accepted, until its first event. None for anything but a watch.
    opened: Option<Instant>,
    liveness: Arc<Liveness>,
}

impl Body for ObservedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.liveness.contact();
            // Each event is a line.
            if frame.data_ref().is_some_and(|data| data.contains(&b'\n')) {
                self.opened = None;
            }
        } else if self.opened.take().is_some_and(|opened| opened.elapsed() < STEADY) {
            return Poll::Ready(Some(Err(EndedAtOnce.into())));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ObservedBody {
    fn drop(&mut self) {
        self.liveness.closed();
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
