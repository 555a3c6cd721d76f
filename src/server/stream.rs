//! DNS over a byte stream (RFC 7766): each message is preceded by its length in two octets.
//!
//! A connection may have many queries in flight: all that have arrived whole are answered in order, and their responses are
//! written together. A response that has to wait for an upstream comes when it is there, and holds up no other (RFC 7766
//! section 6.2.1.1). A zone transfer is many messages, and between two of them whatever else has arrived is answered.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::accept::{Accepted, LINGER};
use super::elsewhere::Deferred;
use super::responder::{Batch, Responder};
use super::transfer::{Outbound, Portion};
use crate::telemetry::metrics::Transport;

/// Octets of a message's length.
const LENGTH: usize = 2;
/// First size of a connection's buffer: ten queries.
const FIRST_BUFFER: usize = 512;
/// The most octets that a connection's buffers keep between reads.
const LARGEST_BUFFER: usize = 16 * 1024;
/// Responses are written when there are so many octets of them, so that a client cannot make them pile up.
pub(super) const WRITE_AT: usize = 64 * 1024;

/// Queries of a connection that may wait for upstreams. While there are so many, none is read.
const MAX_DEFERRED: usize = 128;

/// What queries ask for that is not answered with one message at once.
#[derive(Default)]
struct Later {
    deferred: Vec<Deferred>,
    transfers: Vec<Outbound>,
}

/// Answers on one TCP connection.
pub(super) async fn serve(accepted: Accepted, responder: Arc<Responder>) {
    let Accepted { mut stream, client, idle, closing } = accepted;
    let connection = Connection { transport: Transport::Tcp, client, idle, closing: &closing };
    answer_queries(&mut stream, &connection, &responder).await;
}

/// What is known of a connection besides its octets.
pub struct Connection<'c> {
    pub transport: Transport,
    pub client: SocketAddr,
    /// How long it may go without a whole query, and a write without an end.
    pub idle: Duration,
    /// Cancelled when no further query is to be waited for.
    pub closing: &'c CancellationToken,
}

/// Answers queries until the client closes the connection, stays idle for too long or breaks the framing. Once `closing` is
/// cancelled, answers what has arrived and closes the connection.
pub async fn answer_queries(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    connection: &Connection<'_>,
    responder: &Responder,
) {
    let Connection { transport, client, idle, closing } = *connection;
    let mut worker = responder.worker(transport);
    let mut queries = Vec::with_capacity(FIRST_BUFFER);
    let (mut answers, mut new) = (Vec::new(), Later::default());
    // Boxed, so that a connection without any has no room for one.
    let mut deferred: FuturesUnordered<BoxFuture<'_, Vec<u8>>> = FuturesUnordered::new();
    let mut transfers = VecDeque::new();
    // A whole query has to arrive by then: single octets do not extend it.
    let mut deadline = Instant::now() + idle;
    let mut was_full = false;
    loop {
        while deferred.len() < MAX_DEFERRED {
            let room = MAX_DEFERRED - deferred.len();
            let answered = answer(responder.batch(&mut worker), &queries, client, &mut answers, (&mut new, room));
            let Later { deferred: to_resolve, transfers: to_transfer } = mem::take(&mut new);
            deferred.extend(to_resolve.into_iter().map(|deferred| responder.resolve(deferred, transport).boxed()));
            transfers.extend(to_transfer);
            if answered == 0 {
                break;
            }
            queries.drain(..answered);
            deadline = Instant::now() + idle;
            // No further responses are made until the client has taken these.
            if !answers.is_empty() && !is_written(stream, &answers, idle).await {
                return;
            }
            answers.clear();
        }
        if !transfers.is_empty() {
            if !is_continued(stream, (responder, transport), &mut transfers, &mut answers, idle).await {
                return;
            }
            deadline = Instant::now() + idle;
        }
        make_room(&mut queries, was_full);
        // A large response does not hold its memory for the rest of the connection.
        answers.shrink_to(LARGEST_BUFFER);
        let read = tokio::select! {
            biased;
            read = timeout_at(deadline, stream.read_buf(&mut queries)), if deferred.len() < MAX_DEFERRED => read,
            Some(answer) = deferred.next() => {
                deadline = Instant::now() + idle;
                if !is_written(stream, &framed(&answer), idle).await {
                    return;
                }
                continue;
            }
            () = closing.cancelled() => {
                write_rest(stream, deferred, idle).await;
                return linger(stream, &mut queries).await;
            }
            // Other queries come first, and those of other connections.
            () = yield_now(), if !transfers.is_empty() => continue,
        };
        // RFC 7766 section 6.2.4: a client may have closed its half after its last query, whose answer it waits for.
        let Ok(Ok(1..)) = read else {
            while !transfers.is_empty() {
                if !is_continued(stream, (responder, transport), &mut transfers, &mut answers, idle).await {
                    return;
                }
                yield_now().await;
            }
            return write_rest(stream, deferred, idle).await;
        };
        was_full = queries.len() == queries.capacity();
    }
}

/// Does a portion of the first transfer, and writes the message that comes of it. False if the client does not take it in time, or has
/// gone.
async fn is_continued(
    stream: &mut (impl AsyncWrite + Unpin),
    (responder, transport): (&Responder, Transport),
    transfers: &mut VecDeque<Outbound>,
    message: &mut Vec<u8>,
    idle: Duration,
) -> bool {
    let Some(first) = transfers.front_mut() else { return true };
    let portion = responder.next(first, transport, message);
    let is_written = match portion {
        Portion::Working => true,
        Portion::Message | Portion::Last => is_written(stream, message, idle).await,
        Portion::Broken => false,
    };
    message.clear();
    if is_written
        && portion == Portion::Last
        && let Some(done) = transfers.pop_front()
    {
        done.end();
    }
    is_written
}

/// Writes `answers`. False if the client does not take them in time, or has gone.
async fn is_written(stream: &mut (impl AsyncWrite + Unpin), answers: &[u8], idle: Duration) -> bool {
    matches!(timeout(idle, write(stream, answers)).await, Ok(Ok(())))
}

/// Writes the answers that are still to come, each within the time that an upstream may take.
async fn write_rest(
    stream: &mut (impl AsyncWrite + Unpin),
    mut deferred: FuturesUnordered<BoxFuture<'_, Vec<u8>>>,
    idle: Duration,
) {
    while let Some(answer) = deferred.next().await {
        if !is_written(stream, &framed(&answer), idle).await {
            return;
        }
    }
}

/// A message with its length before it.
fn framed(message: &[u8]) -> Vec<u8> {
    // A response has at most 65,535 octets: the encoder's limit.
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// Writes all of `answers` and flushes: a stream that encrypts may hold some of it back.
async fn write(stream: &mut (impl AsyncWrite + Unpin), answers: &[u8]) -> io::Result<()> {
    stream.write_all(answers).await?;
    stream.flush().await
}

/// Closes a connection without harm to responses that are on their way: a query that arrives late would reset the connection
/// if nobody read it. `late` is a buffer for such queries.
async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), late: &mut Vec<u8>) {
    let ended = async {
        stream.shutdown().await?;
        late.clear();
        while stream.read_buf(late).await? > 0 {
            late.clear();
        }
        io::Result::Ok(())
    };
    // The connection is closed whatever the client does.
    let _ = timeout(LINGER, ended).await;
}

/// Answers the whole queries at the start of `queries`, until there are enough responses for one write, or no room for another that
/// has to wait. Returns the number of octets that have been answered, or whose answer waits for an upstream.
fn answer(
    mut batch: Batch<'_>,
    queries: &[u8],
    client: SocketAddr,
    answers: &mut Vec<u8>,
    (later, room): (&mut Later, usize),
) -> usize {
    let mut rest = queries;
    while answers.len() < WRITE_AT
        && later.deferred.len() < room
        && let Some((query, after)) = split(rest)
    {
        rest = after;
        let start = answers.len();
        answers.extend_from_slice(&[0; LENGTH]);
        if batch.respond(query, client, answers) {
            // A response has at most 65,535 octets: the encoder's limit.
            let length = (answers.len() - start - LENGTH) as u16;
            answers[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
        } else {
            answers.truncate(start);
            later.deferred.extend(batch.take_deferred());
            later.transfers.extend(batch.take_transfer());
        }
    }
    queries.len() - rest.len()
}

/// Makes room for the next read: for the rest of a query that is not whole, and for more at once from a client that fills the
/// buffer. An idle connection keeps little.
fn make_room(queries: &mut Vec<u8>, was_full: bool) {
    let wanted = match queries.first_chunk::<LENGTH>() {
        Some(length) => LENGTH + usize::from(u16::from_be_bytes(*length)),
        None => FIRST_BUFFER,
    };
    let wanted = if was_full { wanted.max(LARGEST_BUFFER.min(queries.capacity() * 4)) } else { wanted };
    queries.shrink_to(LARGEST_BUFFER.max(wanted));
    // Always for one octet more: to read into no room at all looks like the end of the stream.
    queries.reserve(wanted.saturating_sub(queries.len()).max(1));
}

/// The first message of `octets` and what follows it, or None while it is incomplete.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::sleep;

    use super::*;
    use crate::dns::wire::HEADER;

    /// W5.
    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_no_whole_query_has_come_for_the_idle_time_since_the_last() {
        const IDLE: Duration = Duration::from_secs(10);
        /// What a timer may be late.
        const TICK: Duration = Duration::from_millis(2);
        let (mut client, mut stream) = duplex(FIRST_BUFFER);
        let (responder, closing) = (Responder::of_tests(), CancellationToken::new());
        let answering = async move {
            let client = ([127, 0, 0, 1], 1).into();
            let connection = Connection { transport: Transport::Tcp, client, idle: IDLE, closing: &closing };
            answer_queries(&mut stream, &connection, &responder).await;
        };
        let asking = async {
            // Half of a message and a half that makes it whole: FORMERR is an answer too.
            let query = framed(&[0; HEADER]);
            let (first, second) = query.split_at(query.len() / 2);
            for _ in 0..3 {
                client.write_all(first).await.unwrap();
                sleep(IDLE - TICK).await;
                client.write_all(second).await.unwrap();
                client.read_exact(&mut [0; LENGTH + HEADER]).await.unwrap();
            }
            let last = Instant::now();
            client.write_all(first).await.unwrap();
            sleep(IDLE / 2).await;
            client.write_all(&second[..1]).await.unwrap();
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "the end");
            assert!((IDLE..=IDLE + TICK).contains(&last.elapsed()), "{:?}", last.elapsed());
        };
        tokio::join!(answering, asking);
    }
}
