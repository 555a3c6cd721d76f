//! Exchanges over one connection to an upstream, many at a time (RFC 7766 section 6.2.1): over TCP for what does not fit into a
//! datagram, or over TLS (RFC 7858) for everything.
//!
//! ```text
//! exchange ──Request──▶ task of the connection: connects, then  write_queries: gives each an ID, writes what has come up
//!     ▲                                                         read_responses: gives each to who waits for its ID
//!     └───────────────────── response, or why there is none ───────────┘
//! ```
//!
//! The connection is made when there is something to ask, and closed when there was nothing for [`IDLE`]. When it breaks, all
//! that wait on it learn so, and who asks next makes another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::query::{OutgoingQuery, Verdict};
use super::tls::TlsName;

/// How long a connection is kept without a query in flight. Servers close theirs after some ten seconds.
const IDLE: Duration = Duration::from_secs(8);
/// How long connecting, one write, or silence while there are queries in flight may last: a host that is gone says nothing.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests that may wait to be written, and the most that one write has.
const REQUESTS: usize = 64;
/// Octets of a message's length.
const LENGTH: usize = 2;
/// First size of the read buffer.
const BUFFER: usize = 4096;

/// A query, and who waits for its response.
struct Request {
    query: OutgoingQuery,
    reply: oneshot::Sender<io::Result<Vec<u8>>>,
}

/// The connection to one upstream, if there is one.
pub(super) struct Connection {
    to: SocketAddr,
    tls: Option<Arc<TlsName>>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
}

impl Connection {
    pub fn new(to: SocketAddr, tls: Option<TlsName>) -> Self {
        Self { to, tls: tls.map(Arc::new), requests: Mutex::new(None) }
    }

    /// Sends a query and waits for its response.
    ///
    /// # Errors
    /// There is no connection, or it broke.
    pub async fn exchange(&self, query: &OutgoingQuery) -> io::Result<Vec<u8>> {
        // A connection may have been closed by the upstream since it was last used: another is made, once.
        for is_last in [false, true] {
            let (requests, is_new) = self.requests();
            let (reply, response) = oneshot::channel();
            if requests.send(Request { query: query.clone(), reply }).await.is_ok()
                && let Ok(outcome) = response.await
            {
                return outcome;
            }
            if is_new || is_last {
                break;
            }
        }
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "the connection was closed before the response"))
    }

    /// Where requests go, and whether the connection is new. All that ask at once share one.
    fn requests(&self) -> (mpsc::Sender<Request>, bool) {
        let mut open = lock(&self.requests);
        if let Some(requests) = open.as_ref().filter(|requests| !requests.is_closed()) {
            return (requests.clone(), false);
        }
        let (requests, queue) = mpsc::channel(REQUESTS);
        tokio::spawn(run(self.to, self.tls.clone(), queue));
        *open = Some(requests.clone());
        (requests, true)
    }
}

/// Makes a connection and serves it. If it cannot be made, all that wait for it learn why.
async fn run(to: SocketAddr, tls: Option<Arc<TlsName>>, mut requests: mpsc::Receiver<Request>) {
    let connected = async {
        let stream = TcpStream::connect(to).await?;
        // Each query is waited for.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match &tls {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(stream).await?),
        };
        Ok::<_, io::Error>(stream)
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the connection was not made in time");
    match timeout(PATIENCE, connected).await.map_err(late).flatten() {
        Ok(stream) => serve(stream, requests).await,
        Err(error) => {
            requests.close();
            while let Some(request) = requests.recv().await {
                // The receiver may have gone.
                let _ = request.reply.send(Err(io::Error::new(error.kind(), error.to_string())));
            }
        }
    }
}

/// A connection, over TLS or not.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Serves one connection until it breaks, or nothing was asked for [`IDLE`].
async fn serve(stream: Box<dyn Stream>, requests: mpsc::Receiver<Request>) {
    let (from, to) = split(stream);
    let waiting = Mutex::new(Waiting { requests: HashMap::new(), since: Instant::now(), forget_at: REQUESTS });
    tokio::select! {
        _ = write_queries(to, requests, &waiting) => {}
        _ = read_responses(from, &waiting) => {}
    }
}

/// Writes queries as they come, those that have come together with one write.
async fn write_queries(
    mut to: impl AsyncWrite + Unpin,
    mut requests: mpsc::Receiver<Request>,
    waiting: &Mutex<Waiting>,
) -> io::Result<()> {
    let (mut batch, mut octets) = (Vec::with_capacity(REQUESTS), Vec::new());
    // Nobody can ask any more when there is nothing to receive.
    while requests.recv_many(&mut batch, REQUESTS).await > 0 {
        octets.clear();
        for request in batch.drain(..) {
            lock(waiting).enlist(request, &mut octets);
        }
        timeout(PATIENCE, async {
            to.write_all(&octets).await?;
            to.flush().await
        })
        .await??;
    }
    Ok(())
}

/// Reads responses until the upstream closes the connection, or there is nothing to be expected.
async fn read_responses(mut from: impl AsyncRead + Unpin, waiting: &Mutex<Waiting>) -> io::Result<()> {
    let mut octets = Vec::with_capacity(BUFFER);
    loop {
        match timeout(PATIENCE, from.read_buf(&mut octets)).await {
            Ok(Ok(1..)) => {}
            Ok(ended) => return ended.map(drop),
            Err(_) if lock(waiting).is_over(Instant::now()) => return Ok(()),
            Err(_) => continue,
        }
        let mut waiting = lock(waiting);
        let mut taken = 0;
        while let Some((length, rest)) = octets[taken..].split_first_chunk::<LENGTH>()
            && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
        {
            waiting.deliver(message);
            taken += LENGTH + message.len();
        }
        octets.drain(..taken);
    }
}

/// The queries in flight.
struct Waiting {
    requests: HashMap<u16, Request>,
    /// When there was last a response, or a first query.
    since: Instant,
    /// With so many in flight, those for which nobody waits any more are forgotten.
    forget_at: usize,
}

impl Waiting {
    /// Gives a request an ID that no other has, and appends the query with its length before it. Nothing if all are taken.
    fn enlist(&mut self, mut request: Request, octets: &mut Vec<u8>) {
        if self.requests.is_empty() {
            self.since = Instant::now();
        } else if self.requests.len() >= self.forget_at {
            self.requests.retain(|_, request| !request.reply.is_closed());
            self.forget_at = REQUESTS.max(2 * self.requests.len());
        }
        let mut id = request.query.id();
        for _ in 0..=u16::MAX {
            if let Entry::Vacant(place) = self.requests.entry(id) {
                request.query.set_id(id);
                // A query is far shorter than a message may be.
                octets.extend_from_slice(&(request.query.octets.len() as u16).to_be_bytes());
                octets.extend_from_slice(&request.query.octets);
                place.insert(request);
                return;
            }
            id = id.wrapping_add(1);
        }
    }

    /// Gives a message to who waits for it. On a connection there is nobody who guesses: the letter case does not matter.
    fn deliver(&mut self, message: &[u8]) {
        let Some(id) = message.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
        if let Entry::Occupied(place) = self.requests.entry(id)
            && place.get().query.judge(message) != Verdict::Mismatch
        {
            self.since = Instant::now();
            let Request { query, reply } = place.remove();
            // The receiver may have gone.
            let _ = reply.send(Ok(query.whole(message)));
        }
    }

    /// Whether the connection is of no use any more: idle, or silent although a response is due.
    fn is_over(&self, now: Instant) -> bool {
        let limit = if self.requests.is_empty() { IDLE } else { PATIENCE };
        now.saturating_duration_since(self.since) >= limit
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
