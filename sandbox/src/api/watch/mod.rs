//! Watches: the store's event log, filtered and framed as one JSON event per line, until the client closes the connection or
//! `timeoutSeconds` have passed.
//!
//! ```text
//! initial events (see Start) ─┬─▶ outbox ──▶ one chunk of the body per event
//! then the log ───────────────┘     ▲
//! bookmarks, malformed objects ─────┘        faults: stall, delay, cut
//! ```
//!
//! The cursor is the resourceVersion up to which the log has been read, including events that the filter hides. Bookmarks
//! report it. The outbox is filled a batch at a time, so that the first events are on their way while the last are not encoded yet,
//! as with the API server.

mod start;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::header;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::faults::{Cut, Site};
use crate::status::ApiError;
use crate::store::{Event, EventType, Object};
use crate::verb::Verb;

use super::list;
use super::protobuf::{self, Encoding};
use super::request::{Params, Shape, Target};
use super::selector::Filter;
use super::state::Api;
use super::{partial, table};
use start::Start;

/// Events encoded at a time, so that a watch does not copy the whole state, or the whole log.
const BATCH: usize = 256;

/// Duration of a watch without `timeoutSeconds`. The API server picks a random time between 30 and 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The incomplete event that a client gets before an abrupt cut.
const HALF_AN_EVENT: &[u8] = br#"{"type":"MODIFIED","object":{"kind":""#;

/// The same in Protobuf: the length of a frame, and two of its octets.
const HALF_A_FRAME: &[u8] = &[0, 0, 1, 0, 0x0a, 8];

/// A line, and a frame, that is no event.
const NO_EVENT: &[u8] = b"{\"type\":\"MODIFIED\",\"object\":}\n";
const NO_EVENT_FRAME: &[u8] = &[0, 0, 0, 3, 0xff, 0xff, 0xff];

/// The annotation of the bookmark that ends the initial events of a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// Responds to a watch request.
///
/// # Errors
/// 400 for invalid selectors, 422 for options that cannot be combined. As in the API server, a compacted resourceVersion gives an
/// `ERROR` event, and one that has not been reached yet gives nothing, bookmarks included, until it is.
pub fn watch(
    api: &Arc<Api>,
    target: &Target,
    shape: Shape,
    encoding: Encoding,
    params: &Params,
) -> Result<Response, ApiError> {
    let filter = Filter::new(target, params)?;
    let start = Start::choose(api, params)?;
    let timeout = Params::number("timeoutSeconds", &params.timeout_seconds)?
        .filter(|seconds| *seconds > 0)
        .map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let mut watch = Watch::new(api, filter, (shape, encoding), params, Instant::now() + timeout);
    watch.start(start);
    let body = Body::from_stream(stream::unfold(watch, async |mut watch| Some((watch.next().await?, watch))));
    Ok(([(header::CONTENT_TYPE, encoding.stream_media_type())], body).into_response())
}

/// One event, framed.
struct Chunk {
    /// When it may be sent, given injected delays.
    due: Instant,
    /// The cursor at the time of the event.
    revision: u64,
    bytes: Bytes,
}

/// The initial events that are not in the outbox yet.
#[derive(Default)]
struct InitialEvents {
    objects: vec::IntoIter<Object>,
    /// A bookmark is to follow the last of them.
    announce_end: bool,
}

struct Watch {
    api: Arc<Api>,
    filter: Filter,
    shape: Shape,
    encoding: Encoding,
    include: table::Include,
    /// A table has column definitions in the first event only.
    columns_sent: bool,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Instant,
    initial: InitialEvents,
    /// The resourceVersion up to which the log has been read.
    cursor: u64,
    latest: Receiver<u64>,
    /// Wakes when faults change.
    changes: Receiver<u64>,
    /// The number of the latest fault that was applied to this watch.
    faults_seen: u64,
    /// resourceVersions whose events a stall has lost: above the first, up to and including the second.
    lost: Vec<(u64, u64)>,
    /// Events to send.
    outbox: VecDeque<Chunk>,
    /// Nothing follows what is in the outbox.
    ended: bool,
    /// The connection is closed without an end of the body at the next poll.
    broken: bool,
    /// Something has been sent that is no event.
    is_garbled: bool,
}

impl Watch {
    fn new(
        api: &Arc<Api>,
        filter: Filter,
        (shape, encoding): (Shape, Encoding),
        params: &Params,
        deadline: Instant,
    ) -> Self {
        Self {
            include: table::Include::parse(&params.include_object),
            columns_sent: false,
            bookmarks: params.allow_watch_bookmarks(),
            next_bookmark: Instant::now() + api.bookmark_interval,
            deadline,
            initial: InitialEvents::default(),
            cursor: 0,
            latest: api.store.subscribe(),
            changes: api.faults.subscribe(),
            faults_seen: api.faults.latest(),
            lost: Vec::new(),
            outbox: VecDeque::new(),
            ended: false,
            broken: false,
            is_garbled: false,
            api: Arc::clone(api),
            filter,
            shape,
            encoding,
        }
    }

    fn site(&self) -> Site<'_> {
        Site { kind: self.filter.kind(), verb: Verb::Watch, namespace: self.filter.namespace() }
    }

    fn start(&mut self, start: Start) {
        match start {
            Start::State { announce_end } => {
                let (revision, mut objects) = list::matching(&self.api, &self.filter);
                objects.extend(list::malformed(&self.api, &self.filter));
                self.cursor = revision;
                self.initial = InitialEvents { objects: objects.into_iter(), announce_end };
            }
            Start::After(revision) => self.cursor = revision,
        }
    }

    /// The next chunk of the body; None at its end, an error if the connection is to break.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.broken {
                // Lets the connection write its buffer first, so that the client gets the incomplete event.
                tokio::task::yield_now().await;
                return Some(Err(io::Error::from(io::ErrorKind::ConnectionReset)));
            }
            if self.is_garbled {
                pending::<()>().await;
            }
            self.changes.mark_unchanged();
            self.latest.mark_unchanged();
            // Before checking the faults, so that a stall that starts now holds back what was read.
            self.fill_outbox();
            if self.api.faults.ends_watches(&self.site()) {
                return None;
            }
            if let Some(code) = self.api.faults.error_events(&self.site()).filter(|_| !self.ended) {
                self.outbox.clear();
                self.fail(&ApiError::of_code(code, None));
            }
            if let Some(cut) = self.apply_faults() {
                match cut {
                    Cut::Clean => return None,
                    Cut::Silent => pending().await,
                    Cut::Garbled => {
                        self.outbox.clear();
                        self.is_garbled = true;
                        return Some(Ok(Bytes::from_static(match self.encoding {
                            Encoding::Json => NO_EVENT,
                            Encoding::Protobuf => NO_EVENT_FRAME,
                        })));
                    }
                    Cut::Expired => self.fail(&ApiError::expired("too old resource version (injected fault)")),
                    Cut::Abrupt => {
                        self.broken = true;
                        return Some(Ok(Bytes::from_static(match self.encoding {
                            Encoding::Json => HALF_AN_EVENT,
                            Encoding::Protobuf => HALF_A_FRAME,
                        })));
                    }
                }
            }
            if self.api.faults.stalled(&self.site()) {
                // An error is impossible: the sender belongs to the API, which this watch keeps alive.
                let _ = self.changes.changed().await;
                continue;
            }
            match self.outbox.front() {
                Some(first) if first.due <= Instant::now() => {
                    return self.outbox.pop_front().map(|chunk| Ok(chunk.bytes));
                }
                None if self.ended || Instant::now() >= self.deadline => return None,
                _ => self.wait().await,
            }
        }
    }

    /// Returns when there may be something to send.
    async fn wait(&mut self) {
        let due = self.outbox.front().map_or(self.deadline, |first| first.due);
        let bookmark = if self.bookmarks && !self.ended { self.next_bookmark } else { self.deadline };
        tokio::select! {
            _ = self.latest.changed(), if !self.ended => {}
            _ = self.changes.changed() => {}
            () = sleep_until(due) => {}
            () = sleep_until(bookmark) => {
                if self.bookmarks && Instant::now() >= self.next_bookmark {
                    self.push_bookmark(false);
                }
            }
        }
    }

    /// Applies the faults that are new to this watch. Returns the cut that ends it, if there is one.
    fn apply_faults(&mut self) -> Option<Cut> {
        let new = self.api.faults.for_watch(&self.site(), self.faults_seen);
        self.faults_seen = new.latest;
        for object in &new.malformed {
            if self.filter.matches(object) {
                self.push("ADDED", object);
            }
        }
        // The outbox of a list is long, and this is called for each of its events.
        if !new.lost.is_empty() {
            self.lost.extend(new.lost);
            self.outbox.retain(|chunk| !is_lost(&self.lost, chunk.revision));
            if is_lost(&self.lost, self.cursor) {
                self.initial = InitialEvents::default();
            }
        }
        new.cut
    }

    /// Encodes the next batch of events, if the outbox is empty.
    fn fill_outbox(&mut self) {
        if self.outbox.is_empty() {
            for object in self.initial.objects.by_ref().take(BATCH).collect::<Vec<_>>() {
                self.push("ADDED", &object);
            }
            if self.initial.objects.as_slice().is_empty() && mem::take(&mut self.initial.announce_end) {
                self.push_bookmark(true);
            }
        }
        self.read_log();
    }

    /// Moves a batch of events from the log to the outbox, if the outbox is empty.
    fn read_log(&mut self) {
        while self.outbox.is_empty() && !self.ended {
            let Ok(events) = self.api.store.events_after(self.cursor, BATCH) else {
                let oldest = self.api.store.revision();
                self.fail(&ApiError::expired(format!("too old resource version: {} ({oldest})", self.cursor)));
                return;
            };
            if events.is_empty() {
                return;
            }
            for event in events {
                self.cursor = event.revision;
                if event.kind == self.filter.kind()
                    && !is_lost(&self.lost, event.revision)
                    && let Some((event_type, object)) = filtered(&self.filter, &event)
                {
                    self.push(event_type, &object);
                }
            }
        }
    }

    fn push(&mut self, event_type: &str, object: &Value) {
        let kind = self.filter.kind();
        let object = match self.shape {
            Shape::Object => return self.push_raw(event_type, object),
            Shape::Metadata => partial::object(object),
            Shape::Table => {
                let columns = if self.columns_sent { table::Columns::Hidden } else { table::Columns::Shown };
                self.columns_sent = true;
                table::of_one(kind, object, self.include, columns)
            }
        };
        self.push_raw(event_type, &object);
    }

    fn push_bookmark(&mut self, initial_events_end: bool) {
        self.next_bookmark = Instant::now() + self.api.bookmark_interval;
        let is_ahead = self.cursor > self.api.store.revision();
        if !initial_events_end && (is_ahead || self.api.faults.withholds_bookmarks(&self.site())) {
            return;
        }
        let kind = self.filter.kind();
        let mut metadata = json!({ "resourceVersion": self.cursor.to_string(), "creationTimestamp": null });
        if initial_events_end {
            metadata["annotations"] = json!({ INITIAL_EVENTS_END: "true" });
        }
        let object = match self.shape {
            Shape::Object => json!({ "kind": kind.name(), "apiVersion": kind.api_version(), "metadata": metadata }),
            Shape::Metadata => partial::object(&json!({ "metadata": metadata })),
            Shape::Table => table::of_none(&metadata),
        };
        self.push_raw("BOOKMARK", &object);
    }

    /// Ends the watch with an `ERROR` event.
    fn fail(&mut self, error: &ApiError) {
        self.initial = InitialEvents::default();
        self.push_raw("ERROR", &json!(error.to_status()));
        self.ended = true;
    }

    /// As in the API server, `type` comes first, so that clients can decode in one pass.
    fn push_raw(&mut self, event_type: &str, object: &Value) {
        let due = Instant::now() + self.api.faults.delay(&self.site());
        let bytes = match self.encoding {
            Encoding::Json => Bytes::from(format!("{{\"type\":\"{event_type}\",\"object\":{object}}}\n")),
            Encoding::Protobuf => protobuf::event(self.filter.kind(), event_type, object),
        };
        self.outbox.push_back(Chunk { due, revision: self.cursor, bytes });
    }
}

fn is_lost(lost: &[(u64, u64)], revision: u64) -> bool {
    lost.iter().any(|(from, to)| (from + 1..=*to).contains(&revision))
}

/// The event as a watch with this filter gets it: an object that starts to match is added, one that stops is deleted.
fn filtered(filter: &Filter, event: &Event) -> Option<(&'static str, Object)> {
    let before = event.previous.as_ref().filter(|object| filter.matches(object));
    let after = Some(&event.object).filter(|object| event.event_type != EventType::Deleted && filter.matches(object));
    match (before, after) {
        (None, None) => None,
        (None, Some(object)) => Some(("ADDED", Arc::clone(object))),
        (Some(_), Some(object)) => Some(("MODIFIED", Arc::clone(object))),
        (Some(before), None) => {
            let mut last = Value::clone(before);
            last["metadata"]["resourceVersion"] = json!(event.revision.to_string());
            Some(("DELETED", Arc::new(last)))
        }
    }
}
