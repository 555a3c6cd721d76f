//! What a watch hears of the API server beneath kube's watcher, which tells nothing of a watch that was resumed, keeps
//! bookmarks to itself, and follows the end of a watch with the next request at once.
//!
//! ```text
//! kube's watcher ──request──▶ Contact::client ──▶ the client of all watches ──▶ API server
//!       ▲                                                                           │
//!       └──────── an end at once becomes an error ◀── Contact ◀──response, frames───┘
//!                                                        ├──▶ age of the watch (metrics)
//!                                                        ├──▶ when it falls silent, and is heard again (silences)
//!                                                        └──▶ since when it is open (steady)
//! ```

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body as KubeBody;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tower::{BoxError, service_fn};

use crate::telemetry::metrics::WatchAge;

/// A watch that lasts so long works, if nothing is heard on it. One that ends sooner without an event has failed, as it
/// has for client-go.
const STEADY: Duration = Duration::from_secs(1);

/// The watch was accepted, and over before it said anything.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once, without an event")]
pub(super) struct EndedAtOnce;

/// What one watch hears of the API server.
pub(super) struct Contact {
    age: WatchAge,
    /// When the server was last heard; before that, when the watch began.
    heard: watch::Sender<Instant>,
    /// Since when a watch is open that nothing is wrong with.
    open: watch::Sender<Option<Instant>>,
}

impl Contact {
    pub fn new(age: WatchAge) -> Arc<Self> {
        Arc::new(Self { age, heard: watch::Sender::new(Instant::now()), open: watch::Sender::new(None) })
    }

    /// A client that is listened to, and sends through `client`.
    pub fn client(self: &Arc<Self>, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (contact, client) = (Arc::clone(self), client.clone());
        let service = service_fn(move |request: Request<KubeBody>| {
            let (contact, client) = (Arc::clone(&contact), client.clone());
            async move {
                let request = up_to_date(request);
                let is_watch = has(&request, "watch=true");
                let response = client.send(request).await?;
                Ok::<_, kube::Error>(contact.listen(response, is_watch))
            }
        });
        Client::new(service, namespace)
    }

    /// Returns when the watch has been open for long enough to say that it works.
    pub async fn steady(&self) {
        let mut open = self.open.subscribe();
        loop {
            let since = *open.borrow_and_update();
            let steady = async {
                match since {
                    Some(since) => sleep_until(since + STEADY).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = steady => return,
                // Never an error: the sender is `self`.
                _ = open.changed() => {}
            }
        }
    }

    /// When something last arrived.
    pub fn last_heard(&self) -> std::time::Instant {
        self.heard.borrow().into_std()
    }

    /// What tells when the watch falls silent.
    pub fn silences(&self) -> Silences {
        Silences { heard: self.heard.subscribe() }
    }

    /// No watch is open, or the one that is has failed.
    pub fn over(&self) {
        self.open.send_replace(None);
    }

    fn heard(&self) {
        self.age.reset();
        self.heard.send_replace(Instant::now());
    }

    fn listen(self: Arc<Self>, response: Response<KubeBody>, is_watch: bool) -> Response<Heard> {
        let is_success = response.status().is_success();
        if is_success {
            self.heard();
        }
        let opened = (is_success && is_watch).then(Instant::now);
        if opened.is_some() {
            self.open.send_replace(opened);
        }
        response.map(|body| Heard { body, opened, contact: self })
    }
}

/// The silences of one watch, each followed by its end.
pub(super) struct Silences {
    heard: watch::Receiver<Instant>,
}

impl Silences {
    /// Returns as soon as nothing was heard for longer than `bound`: since when, to the second.
    pub async fn begun(&mut self, bound: Duration) -> Timestamp {
        loop {
            let last = *self.heard.borrow_and_update();
            sleep_until(last + bound).await;
            if !self.heard.has_changed().unwrap_or_default() {
                let now = Timestamp::now();
                let since = now.checked_sub(last.elapsed()).unwrap_or(now);
                return Timestamp::from_second(since.as_second()).unwrap_or(since);
            }
        }
    }

    /// Returns as soon as something is heard, true, or after so long a time without.
    pub async fn ended_within(&mut self, bound: Duration) -> bool {
        // An error would mean that the contact is gone, and nobody waits then.
        timeout(bound, self.heard.changed()).await.is_ok()
    }
}

/// Whether a request has this parameter.
fn has<B>(request: &Request<B>, wanted: &str) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|parameter| parameter == wanted))
}

/// Asks for the newest state where kube's watcher asks for any. Of several API servers, one may lag behind the one that
/// was heard last: its list from version 0 would take answers back in time. Without a version, says the reference of the
/// Kubernetes API on `sendInitialEvents`, "this is interpreted as 'consistent read'".
fn up_to_date<B>(mut request: Request<B>) -> Request<B> {
    const ANY_VERSION: &str = "resourceVersion=0";
    if has(&request, "sendInitialEvents=true") && has(&request, ANY_VERSION) {
        let parameters = request.uri().query().unwrap_or_default().split('&');
        let parameters: Vec<_> = parameters.filter(|parameter| *parameter != ANY_VERSION).collect();
        let newest = format!("{}?{}", request.uri().path(), parameters.join("&"));
        if let Ok(newest) = newest.parse() {
            *request.uri_mut() = newest;
        }
    }
    request
}

/// The body of a response, listened to.
struct Heard {
    body: KubeBody,
    /// When the watch began of which no event was heard; none for one that was heard, and for anything but a watch.
    opened: Option<Instant>,
    contact: Arc<Contact>,
}

impl Body for Heard {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.contact.heard();
            // An event is a line.
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

impl Drop for Heard {
    fn drop(&mut self) {
        self.contact.over();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(uri: &str) -> String {
        up_to_date(Request::get(uri).body(()).expect("a request")).uri().to_string()
    }

    #[test]
    fn a_streaming_list_is_asked_for_as_it_is_now_and_a_watch_from_where_it_was() {
        let list = "/api/v1/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(asked(&format!("{list}&resourceVersion=0")), list);
        for other in [&format!("{list}&resourceVersion=07"), "/api/v1/services?watch=true&resourceVersion=0", "/api"] {
            assert_eq!(asked(other), other);
        }
    }
}
