//! The events of a list and of the watch that follows it, as one stream. What happens beneath them is recorded in [`super::trust`].
//!
//! ```text
//!            streaming list                     bookmark that ends the list
//!  Start ──────────────────────▶ Streaming ──────────────────────────────────▶ Watching
//!   ▲ │                             │ ends before that                          │   ▲
//!   └─│──────◀──────────────────────┘                                      ends │   │ accepted
//!     │ list in pages      last page                                            ▼   │
//!     └──────────────▶ Page ───────────────────────────────────────────────▶ Listed ◀── saved position
//! ```
//!
//! After an error, the stream goes on where it was: with a new list if that was not complete, else from the last position. Whoever reads
//! it pauses first.

use std::sync::Arc;
use std::time::Duration;
use std::vec;

use futures::{Stream, stream};
use smol_str::{SmolStr, format_smolstr};
use tokio::time::{Instant, timeout};

use super::errors::Error;
use super::selection::WatchConfig;
use super::trust::{Happening, Opening, STEADY, TrustRecord};
use crate::cluster::api::{Api, ListQuery, OpenWatch, WatchQuery};
use crate::cluster::decoding::{Incoming, Kind, WireEvent};

/// A watch on which nothing has come for so much longer than it was to last is given up. The server may be gone without a word.
const GRACE: Duration = Duration::from_secs(5);

/// What happens to the objects of a watch.
#[derive(Clone, Debug)]
pub(super) enum Event<K> {
    ListStarted,
    Listed(Incoming<K>),
    /// Objects that are not in the list are gone. With the resourceVersion of the list.
    ListCompleted(SmolStr),
    Applied(Incoming<K>),
    Deleted(Incoming<K>),
    /// Everything up to this resourceVersion has been told.
    Bookmark(SmolStr),
}

/// The events, for ever: of a list first, or from a position.
pub(super) fn events<K: Kind>(follower: Follower<K>, from: Option<u64>) -> impl Stream<Item = Result<Event<K>, Error>> {
    let start = from.map_or(State::Start, |position| State::Listed { position: format_smolstr!("{position}") });
    stream::unfold((follower, start), |(follower, mut state)| async {
        loop {
            let (event, next) = follower.step(state).await;
            if let Some(event) = event {
                return Some((event, (follower, next)));
            }
            state = next;
        }
    })
}

/// The states in the drawing above.
enum State<K> {
    Start,
    /// The page that follows this token, or the first one.
    Page {
        continue_token: String,
    },
    /// What is left of a page.
    Items {
        items: vec::IntoIter<Incoming<K>>,
        continue_token: String,
        position: SmolStr,
    },
    Streaming(Following),
    Listed {
        position: SmolStr,
    },
    Watching(Following, SmolStr),
}

/// The event of a step, if it has one, and the state that follows.
type Step<K> = (Option<Result<Event<K>, Error>>, State<K>);

/// What makes the requests of a watch.
pub(super) struct Follower<K> {
    pub api: Api<K>,
    pub config: WatchConfig,
    pub trust: Arc<TrustRecord>,
}

impl<K: Kind> Follower<K> {
    async fn step(&self, state: State<K>) -> Step<K> {
        match state {
            State::Start if self.config.is_streaming => match self.open(None).await {
                Ok(watch) => (Some(Ok(Event::ListStarted)), State::Streaming(watch)),
                Err(error) => (Some(Err(error)), State::Start),
            },
            State::Start => (Some(Ok(Event::ListStarted)), State::Page { continue_token: String::new() }),
            State::Page { continue_token } => self.page(&continue_token).await,
            State::Items { mut items, continue_token, position } => match items.next() {
                Some(item) => (Some(Ok(Event::Listed(item))), State::Items { items, continue_token, position }),
                None if continue_token.is_empty() => {
                    (Some(Ok(Event::ListCompleted(position.clone()))), State::Listed { position })
                }
                None => (None, State::Page { continue_token }),
            },
            State::Streaming(watch) => stream_list(watch).await,
            State::Listed { position } => match self.open(Some(&position)).await {
                Ok(watch) => (None, State::Watching(watch, position)),
                Err(error) => (Some(Err(error)), State::Listed { position }),
            },
            State::Watching(watch, position) => follow(watch, position).await,
        }
    }

    async fn page(&self, continue_token: &str) -> Step<K> {
        match self.api.list(&ListQuery::page(&self.config.selectors, continue_token)).await {
            Ok(page) if page.continue_token.is_empty() && page.resource_version.is_empty() => {
                (Some(Err(Error::NoResourceVersion)), State::Start)
            }
            Ok(page) => {
                let (items, position) = (page.items.into_iter(), page.resource_version);
                (None, State::Items { items, continue_token: page.continue_token, position })
            }
            Err(error) => (Some(Err(Error::ListFailed(error))), State::Start),
        }
    }

    /// Requests a watch.
    async fn open(&self, position: Option<&str>) -> Result<Following, Error> {
        let timeout_seconds = self.config.timeout_seconds;
        let lasts = Duration::from_secs(timeout_seconds.into());
        // Reckoned from before the request is sent: the server reckons from later on.
        let ends_at = Instant::now() + lasts;
        let query = WatchQuery { selectors: &self.config.selectors, timeout_seconds, position };
        let watch = self.api.watch(&query).await.map_err(Error::StartFailed)?;
        let since = Instant::now();
        if watch.is_new_connection {
            self.trust.broken();
        }
        self.trust.opened(Opening { since, position: position.and_then(|position| position.parse().ok()) });
        let trust = Arc::clone(&self.trust);
        Ok(Following { watch, since, ends_at, patience: lasts + GRACE, is_silent: true, has_ended: false, trust })
    }
}

async fn stream_list<K: Kind>(mut watch: Following) -> Step<K> {
    match watch.next().await {
        Ok(Some(WireEvent::Apply(object))) => (Some(Ok(Event::Listed(object))), State::Streaming(watch)),
        // There are none in a streaming list.
        Ok(Some(WireEvent::Delete(_))) => (None, State::Streaming(watch)),
        Ok(Some(WireEvent::Bookmark(bookmark))) if bookmark.ends_list => {
            let position = bookmark.resource_version;
            (Some(Ok(Event::ListCompleted(position.clone()))), State::Watching(watch, position))
        }
        Ok(Some(WireEvent::Bookmark(_))) => (None, State::Streaming(watch)),
        Ok(Some(WireEvent::Error(status))) => (Some(Err(Error::Event(status))), State::Start),
        Ok(None) => (Some(Err(Error::ListEnded)), State::Start),
        Err(error) => (Some(Err(error)), State::Start),
    }
}

async fn follow<K: Kind>(mut watch: Following, position: SmolStr) -> Step<K> {
    let (event, reached) = match watch.next().await {
        Ok(Some(WireEvent::Apply(object))) => {
            let reached = object.resource_version.clone();
            (Event::Applied(object), reached)
        }
        Ok(Some(WireEvent::Delete(object))) => {
            let reached = object.resource_version.clone();
            (Event::Deleted(object), reached)
        }
        Ok(Some(WireEvent::Bookmark(bookmark))) => {
            let reached = bookmark.resource_version;
            (Event::Bookmark(reached.clone()), reached)
        }
        Ok(Some(WireEvent::Error(status))) => return (Some(Err(Error::Event(status))), State::Listed { position }),
        Ok(None) => return (None, State::Listed { position }),
        Err(error) => return (Some(Err(error)), State::Listed { position }),
    };
    if reached.is_empty() {
        return (Some(Err(Error::NoResourceVersion)), State::Start);
    }
    (Some(Ok(event)), State::Watching(watch, reached))
}

/// A watch that was accepted. It has failed if it ends before its time.
struct Following {
    watch: OpenWatch,
    since: Instant,
    ends_at: Instant,
    /// How long nothing may come.
    patience: Duration,
    /// Not one event has come.
    is_silent: bool,
    has_ended: bool,
    trust: Arc<TrustRecord>,
}

impl Following {
    /// The next event. None at the end of the watch.
    async fn next<K: Kind>(&mut self) -> Result<Option<WireEvent<K>>, Error> {
        // All that has arrived at once is one word of the server, of the time when it arrived.
        let mut is_new = false;
        loop {
            if let Some(event) = self.watch.arrived().map_err(Error::Failed)? {
                self.is_silent = false;
                if is_new && !matches!(event, WireEvent::Error(_)) {
                    self.trust.record(Happening::Told);
                }
                return Ok(Some(event));
            }
            is_new = true;
            let more = timeout(self.patience, self.watch.wait()).await;
            match more {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return self.ended(),
                Ok(Err(error)) => return Err(Error::Failed(error)),
                // Dropped as it is, and so it counts as broken.
                Err(_) => return Ok(None),
            }
        }
    }

    fn ended<K>(&mut self) -> Result<Option<WireEvent<K>>, Error> {
        self.has_ended = true;
        if Instant::now() < self.ends_at {
            self.trust.broken();
        } else {
            self.trust.closed();
        }
        if self.is_silent && self.since.elapsed() < STEADY { Err(Error::EndedAtOnce) } else { Ok(None) }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if !self.has_ended {
            self.trust.broken();
        }
    }
}
