//! Exchanges over one connection to an upstream, many at a time (RFC 7766 section 6.2.1): over TCP for what does not fit into a
//! datagram, or over TLS (RFC 7858) for everything.
//!
//! ```text
//! exchange ──Request──▶ task of the connection: writes queries, reads responses, gives each to who waits for its ID
//! ```
//!
//! The connection is made when there is something to ask, and closed when there was nothing for [`IDLE`]. When it breaks, all
//! that wait on it learn so, and who asks next makes another.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::query::{OutgoingQuery, Verdict};
use super::tls::TlsName;
use crate::resolver::question::AskedElsewhere;

/// How long a connection is kept without a query in flight. Servers close theirs after some ten seconds.
const IDLE: Duration = Duration::from_secs(8);
/// How long connecting, or one write, may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Requests that may wait to be written.
const REQUESTS: usize = 64;
/// Octets of a message's length.
const LENGTH: usize = 2;
/// First size of the read buffer.
const BUFFER: usize = 4096;

/// A query, and who waits for its response.
struct Request {
    query: OutgoingQuery,
    reply: oneshot::Sender<Vec<u8>>,
}

/// The connection to one upstream, if there is one.
pub(super) struct Connection {
    to: SocketAddr,
    tls: Option<TlsName>,
    requests: Mutex<Option<mpsc::Sender<Request>>>,
}

impl Connection {
    pub fn new(to: SocketAddr, tls: Option<TlsName>) -> Self {
        Self { to, tls, requests: Mutex::new(None) }
    }

    /// Sends a query and waits for its response.
    ///
    /// # Errors
    /// There is no connection, or it broke.
    pub async fn exchange(&self, asked: &AskedElsewhere) -> io::Result<Vec<u8>> {
        // A connection may have been closed by the upstream since it was last used: another is made, once.
        for is_last in [false, true] {
            let (requests, is_new) = self.requests().await?;
            let (reply, response) = oneshot::channel();
            if requests.send(Request { query: OutgoingQuery::new(asked), reply }).await.is_ok()
                && let Ok(response) = response.await
            {
                return Ok(response);
            }
            if is_new || is_last {
                break;
            }
        }
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "the connection was closed before the response"))
    }

    /// Where requests go, and whether the connection is new.
    async fn requests(&self) -> io::Result<(mpsc::Sender<Request>, bool)> {
        if let Some(open) = self.open() {
            return Ok((open, false));
        }
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the connection was not accepted in time");
        let stream = timeout(PATIENCE, TcpStream::connect(self.to)).await.map_err(late)??;
        // Queries are small, and each is waited for.
        let _ = stream.set_nodelay(true);
        let (requests, queue) = mpsc::channel(REQUESTS);
        match &self.tls {
            None => drop(tokio::spawn(serve(stream, queue))),
            Some(tls) => {
                let stream = timeout(PATIENCE, tls.connect(stream)).await.map_err(late)??;
                drop(tokio::spawn(serve(stream, queue)));
            }
        }
        // Two that ask at once make two connections; the later one stays.
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner) = Some(requests.clone());
        Ok((requests, true))
    }

    fn open(&self) -> Option<mpsc::Sender<Request>> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.as_ref().filter(|requests| !requests.is_closed()).cloned()
    }
}

/// Serves one connection until it breaks, or nothing was asked for [`IDLE`].
async fn serve(stream: impl AsyncRead + AsyncWrite + Send + 'static, mut requests: mpsc::Receiver<Request>) {
    let (mut from, mut to) = split(stream);
    let mut waiting: HashMap<u16, Request> = HashMap::new();
    let mut octets = Vec::with_capacity(BUFFER);
    loop {
        let is_idle = waiting.is_empty();
        tokio::select! {
            request = requests.recv() => {
                let Some(request) = request else { return };
                let Some(framed) = enlist(request, &mut waiting) else { continue };
                if !matches!(timeout(PATIENCE, write(&mut to, &framed)).await, Ok(Ok(()))) {
                    return;
                }
            }
            read = from.read_buf(&mut octets) => {
                if !matches!(read, Ok(1..)) {
                    return;
                }
                while let Some((length, rest)) = octets.split_first_chunk::<LENGTH>()
                    && let Some(message) = rest.get(..usize::from(u16::from_be_bytes(*length)))
                {
                    deliver(message, &mut waiting);
                    let taken = LENGTH + message.len();
                    octets.drain(..taken);
                }
                // Who has stopped waiting is forgotten.
                waiting.retain(|_, request| !request.reply.is_closed());
            }
            () = async { if is_idle { sleep(IDLE).await } else { pending().await } } => return,
        }
    }
}

async fn write(to: &mut (impl AsyncWrite + Unpin), framed: &[u8]) -> io::Result<()> {
    to.write_all(framed).await?;
    to.flush().await
}

/// Gives a request an ID that no other has, and returns the query with its length before it. None if all are taken.
fn enlist(mut request: Request, waiting: &mut HashMap<u16, Request>) -> Option<Vec<u8>> {
    waiting.retain(|_, request| !request.reply.is_closed());
    let mut id = request.query.id();
    for _ in 0..=u16::MAX {
        if let Entry::Vacant(place) = waiting.entry(id) {
            request.query.set_id(id);
            // A query is far shorter than a message may be.
            let length = (request.query.octets.len() as u16).to_be_bytes();
            let framed = [&length, &request.query.octets[..]].concat();
            place.insert(request);
            return Some(framed);
        }
        id = id.wrapping_add(1);
    }
    None
}

/// Gives a message to who waits for it. On a connection there is nobody who guesses: the letter case does not matter.
fn deliver(message: &[u8], waiting: &mut HashMap<u16, Request>) {
    let Some(id) = message.first_chunk().map(|id| u16::from_be_bytes(*id)) else { return };
    if let Entry::Occupied(place) = waiting.entry(id)
        && place.get().query.judge(message) != Verdict::Mismatch
    {
        // The receiver may have gone.
        let _ = place.remove().reply.send(message.to_vec());
    }
}
