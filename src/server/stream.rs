//! DNS over a byte stream (RFC 7766): each message has its length in two octets before it.
//!
//! A connection may have many queries in flight: all that have arrived whole are answered, in order, and their answers
//! leave together.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Responder;
use super::limits::Connections;
use crate::metrics::Transport;
use crate::wire::MAX_MESSAGE;

/// Octets of a message's length.
const LENGTH: usize = 2;
/// First size of a connection's buffer; it grows to what the longest query so far needs.
const FIRST_BUFFER: usize = 512;
/// Answers are written when so many octets of them have gathered, so that a client cannot make them pile up.
const WRITE_AT: usize = 64 * 1024;
/// How long to wait when a connection cannot be accepted, for want of file descriptors above all.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Accepts connections until `shutdown`; each is a task of `tasks`.
pub(super) async fn serve(
    listener: TcpListener,
    responder: Arc<Responder>,
    connections: Arc<Connections>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a TCP connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // A client that is one too many sees its connection closed at once, and may turn to another server.
        let Some(permit) = connections.admit(client.ip()) else { continue };
        // Answers leave in few large writes: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let (responder, shutdown) = (Arc::clone(&responder), shutdown.clone());
        tasks.spawn(async move {
            let idle = permit.idle();
            converse(stream, client, &responder, idle, &shutdown).await;
            drop(permit);
        });
    }
}

/// Answers on one connection until the client ends it, keeps it waiting for longer than `idle`, or breaks the framing.
async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    client: SocketAddr,
    responder: &Responder,
    idle: std::time::Duration,
    shutdown: &CancellationToken,
) {
    let mut queries: Vec<u8> = Vec::with_capacity(FIRST_BUFFER);
    let mut answers = Vec::new();
    // A whole query has to arrive before then: octets one by one do not put it off.
    let mut deadline = Instant::now() + idle;
    loop {
        let read = tokio::select! {
            biased;
            read = timeout_at(deadline, stream.read_buf(&mut queries)) => read,
            () = shutdown.cancelled() => return,
        };
        // RFC 7766 section 6.2.4: a client may have closed its half after its last query, which has been answered.
        let Ok(Ok(1..)) = read else { return };
        let mut rest = &queries[..];
        while let Some((query, after)) = split(rest) {
            rest = after;
            deadline = Instant::now() + idle;
            respond(responder, query, client, &mut answers);
            if answers.len() >= WRITE_AT && !write(&mut stream, &mut answers, idle).await {
                return;
            }
        }
        let done = queries.len() - rest.len();
        queries.drain(..done);
        if let Some(length) = queries.first_chunk::<LENGTH>() {
            queries.reserve(LENGTH + usize::from(u16::from_be_bytes(*length)) - queries.len().min(LENGTH));
        } else {
            queries.reserve(FIRST_BUFFER);
        }
        if !write(&mut stream, &mut answers, idle).await {
            return;
        }
    }
}

/// Appends the answer to a query, its length before it, to `answers`.
fn respond(responder: &Responder, query: &[u8], client: SocketAddr, answers: &mut Vec<u8>) {
    let start = answers.len();
    answers.extend_from_slice(&[0; LENGTH]);
    if responder.respond(query, client, Transport::Tcp, answers) {
        // An answer has at most 65,535 octets: the encoders' limit.
        let length = (answers.len() - start - LENGTH) as u16;
        answers[start..start + LENGTH].copy_from_slice(&length.to_be_bytes());
    } else {
        answers.truncate(start);
    }
}

/// The first message of `octets` and what follows it; none while it is not whole.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk::<LENGTH>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Writes all of `answers` and empties it; false if the client does not take them in time.
async fn write(stream: &mut (impl AsyncWrite + Unpin), answers: &mut Vec<u8>, idle: std::time::Duration) -> bool {
    if answers.is_empty() {
        return true;
    }
    let written = timeout(idle, stream.write_all(answers)).await;
    answers.clear();
    // One large answer does not bind its memory for the rest of the connection.
    answers.shrink_to(FIRST_BUFFER.max(usize::from(MAX_MESSAGE) / 16));
    matches!(written, Ok(Ok(())))
}
