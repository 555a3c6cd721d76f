//! What a watch hears of the API server beneath kube's watcher, which tells nothing of a watch that was resumed, keeps
//! bookmarks to itself, and follows the end of a watch with the next request at once.
//!
//! ```text
//! kube's watcher ──request──▶ Contact::client ──▶ the client of all watches ──▶ API server
//!       ▲                                                                           │
//!       └──────── an end at once becomes an error ◀── Contact ◀──response, frames───┘
//!                                                        ├──▶ age of the watch (metrics)
//!                                                        └──▶ since when it is open (steady)
//! ```

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use kube::Client;
use kube::client::Body as KubeBody;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, service_fn};

use crate::metrics::WatchContact;

/// A watch that lasts so long works, if nothing is heard on it. One that ends sooner without an event has failed, as it
/// has for client-go.
const STEADY: Duration = Duration::from_secs(1);

/// The watch was accepted, and over before it said anything.
#[derive(Debug, thiserror::Error)]
#[error("the watch ended at once, without an event")]
pub(super) struct EndedAtOnce;

/// What one watch hears of the API server.
pub(super) struct Contact {
    heard: WatchContact,
    /// Since when a watch is open that nothing is wrong with.
    open: watch::Sender<Option<Instant>>,
}

impl Contact {
    pub fn new(heard: WatchContact) -> Arc<Self> {
        Arc::new(Self { heard, open: watch::Sender::new(None) })
    }

    /// A client that is listened to, and sends through `client`.
    pub fn client(self: &Arc<Self>, client: &Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let (contact, client) = (Arc::clone(self), client.clone());
        let service = service_fn(move |request: Request<KubeBody>| {
            let (contact, client) = (Arc::clone(&contact), client.clone());
            async move {
                let is_watch = is_watch(&request);
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
        self.heard.last()
    }

    /// No watch is open, or the one that is has failed.
    pub fn over(&self) {
        self.open.send_replace(None);
    }

    fn listen(self: Arc<Self>, response: Response<KubeBody>, is_watch: bool) -> Response<Heard> {
        let is_success = response.status().is_success();
        if is_success {
            self.heard.now();
        }
        let opened = (is_success && is_watch).then(Instant::now);
        if opened.is_some() {
            self.open.send_replace(opened);
        }
        response.map(|body| Heard { body, opened, contact: self })
    }
}

/// Whether this asks for a watch, not for a list.
fn is_watch(request: &Request<KubeBody>) -> bool {
    request.uri().query().is_some_and(|query| query.split('&').any(|parameter| parameter == "watch=true"))
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
            self.contact.heard.now();
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
