//! One QUIC connection: each query and its answer have a bidirectional stream of their own (RFC 9250 section 4.2).
//!
//! ```text
//! stream ─▶ reading: one message, then the end ─▶ answer ─▶ writing: until the client has acknowledged it ─▶ done
//!               └─ too slow, cancelled: the stream ends        └─ not taken in time: the stream ends
//!               └─ protocol error: the connection ends
//! ```
//!
//! All streams of a connection are served by its one task, and a stream counts until its answer has been acknowledged, so
//! that a client that takes no answers does not make them pile up.

use std::cmp::Ordering;
use std::future::ready;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use quinn::{Connection, ReadError, ReadToEndError, RecvStream, SendStream, VarInt};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::dns::wire::MAX_MESSAGE;
use crate::dns::wire::edns::find_opt;
use crate::dns::wire::screen::{Screened, screen};
use crate::server::accept::LINGER;
use crate::server::elsewhere::Deferred;
use crate::server::limits::Permit;
use crate::server::responder::{Responder, Worker};
use crate::telemetry::metrics::Transport;

/// Octets of a message's length.
const LENGTH: usize = 2;
/// Octets of the longest query on a stream, its length included.
pub(super) const MAX_QUERY: u32 = LENGTH as u32 + MAX_MESSAGE as u32;
/// Streams of a connection at a time: with the largest answers on all of them, it costs some 2 MB.
pub(super) const MAX_STREAMS: u32 = 32;

/// The error codes of RFC 9250 section 8.4 that a server has a use for. DOQ_INTERNAL_ERROR (0x1) is for a server that
/// cannot answer, and here every query has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DoqError {
    /// DOQ_NO_ERROR: the connection ends, and nothing is wrong.
    NoError = 0x0,
    /// DOQ_PROTOCOL_ERROR: the client broke a rule of section 4.3.3.
    ProtocolError = 0x2,
    /// DOQ_REQUEST_CANCELLED: the client reset its query (section 4.3.1), and gets no answer.
    RequestCancelled = 0x3,
    /// DOQ_EXCESSIVE_LOAD: the client holds streams open and asks nothing, or another connection has the place of this one.
    ExcessiveLoad = 0x4,
    /// DOQ_UNSPECIFIED_ERROR: for what has no code of its own, here a stream that timed out.
    UnspecifiedError = 0x5,
}

impl From<DoqError> for VarInt {
    fn from(error: DoqError) -> Self {
        Self::from_u32(error as u32)
    }
}

/// What a client did that ends its connection, for the log and for the client's.
type Violation = &'static str;

const TOO_SHORT: Violation = "the stream ends before its message does";
const TOO_LONG: Violation = "more than one message on a stream";

/// A query as it came on its stream, its length included, and where its answer is to go.
struct Received {
    octets: Vec<u8>,
    stream: SendStream,
}

/// Answers on one connection until the client ends it, breaks the protocol, or asks nothing for `idle`, or until
/// `closing`, and then what has arrived.
/// Ends it when another connection has its `place`.
pub(super) async fn serve(connection: &Connection, responder: &Responder, place: &Permit, closing: &CancellationToken) {
    let (client, idle) = (connection.remote_address(), place.idle());
    let mut worker = responder.worker(Transport::Quic);
    let (mut reading, mut writing) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut deadline = Instant::now() + idle;
    let mut is_closing = false;
    let error = loop {
        let in_flight = reading.len() + writing.len();
        tokio::select! {
            biased;
            () = sleep_until(deadline) => {
                break if in_flight == 0 || is_closing { DoqError::NoError } else { DoqError::ExcessiveLoad };
            }
            Some(is_taken) = writing.next() => {
                if is_taken {
                    place.has_progress();
                }
            }
            Some(received) = reading.next() => {
                let received: Option<Result<Received, Violation>> = received;
                let Some(received) = received else { continue };
                if !is_closing {
                    deadline = Instant::now() + idle;
                }
                let answered = received.and_then(|Received { octets, stream }| {
                    Ok((stream, answer(&octets, client, responder, &mut worker)?))
                });
                match answered {
                    Ok((stream, answer)) => writing.push(write(stream, answer, responder, idle)),
                    Err(violation) => {
                        tracing::debug!(%client, violation, "protocol error over QUIC");
                        return connection.close(DoqError::ProtocolError.into(), violation.as_bytes());
                    }
                }
            }
            accepted = connection.accept_bi(), if in_flight < MAX_STREAMS as usize => match accepted {
                Ok((to, from)) => reading.push(read(to, from, idle)),
                // The client has ended it, or it is lost.
                Err(_) => return,
            },
            () = place.displaced() => break DoqError::ExcessiveLoad,
            () = closing.cancelled(), if !is_closing => {
                is_closing = true;
                deadline = deadline.min(Instant::now() + LINGER);
            }
            // Whatever has arrived is in flight or answered: the branches above had nothing.
            () = ready(()), if is_closing && in_flight == 0 => break DoqError::NoError,
        }
    };
    connection.close(error.into(), b"");
}

/// Reads a stream to its end. None if there is nothing to answer: the query was cancelled, did not come in time, or the
/// connection is lost.
async fn read(mut stream: SendStream, mut from: RecvStream, idle: Duration) -> Option<Result<Received, Violation>> {
    let error = match timeout(idle, from.read_to_end(MAX_QUERY as usize)).await {
        Ok(Ok(octets)) => return Some(Ok(Received { octets, stream })),
        Ok(Err(ReadToEndError::TooLong)) => return Some(Err(TOO_LONG)),
        Ok(Err(ReadToEndError::Read(ReadError::Reset(_)))) => DoqError::RequestCancelled,
        Ok(Err(ReadToEndError::Read(_))) => return None,
        Err(_) => DoqError::UnspecifiedError,
    };
    // These fail for a stream that has ended already.
    let _ = from.stop(error.into());
    let _ = stream.reset(error.into());
    None
}

/// An answer with its length before it, or the query whose answer has to wait for an upstream.
enum Answer {
    Ready(Vec<u8>),
    Deferred(Deferred),
}

/// Writes an answer, once it is there, and waits until the client has acknowledged all of it. A client that does not within
/// `idle` loses the rest. Returns whether the client has done with it in time.
async fn write(mut stream: SendStream, answer: Answer, responder: &Responder, idle: Duration) -> bool {
    let answer = match answer {
        Answer::Ready(answer) => answer,
        Answer::Deferred(deferred) => {
            let answer = responder.resolve(deferred, Transport::Quic).await;
            framed([&[0; LENGTH], &answer[..]].concat())
        }
    };
    let written = async {
        // Errors are a client that wants no answer any more, and a connection that is lost.
        if stream.write_all(&answer).await.is_ok() && stream.finish().is_ok() {
            let _ = stream.stopped().await;
        }
    };
    let is_in_time = timeout(idle, written).await.is_ok();
    if !is_in_time {
        let _ = stream.reset(DoqError::UnspecifiedError.into());
    }
    is_in_time
}

/// The answer to the octets of a stream.
fn answer(octets: &[u8], client: SocketAddr, responder: &Responder, worker: &mut Worker) -> Result<Answer, Violation> {
    let query = message(octets)?;
    let mut answer = vec![0; LENGTH];
    let mut batch = responder.batch(worker);
    if batch.respond(query, client, &mut answer) {
        return Ok(Answer::Ready(framed(answer)));
    }
    batch.take_deferred().map(Answer::Deferred).ok_or("the message is not a query")
}

/// Fills in the length of an answer behind room for it.
fn framed(mut answer: Vec<u8>) -> Vec<u8> {
    // An answer has at most 65,535 octets: the encoders' limit.
    let length = (answer.len() - LENGTH) as u16;
    answer[..LENGTH].copy_from_slice(&length.to_be_bytes());
    answer
}

/// The message of a stream, which is all there is on it.
fn message(octets: &[u8]) -> Result<&[u8], Violation> {
    let (length, message) = octets.split_first_chunk::<LENGTH>().ok_or(TOO_SHORT)?;
    match message.len().cmp(&usize::from(u16::from_be_bytes(*length))) {
        Ordering::Less => return Err(TOO_SHORT),
        // RFC 9250 section 4.2: "The client MUST send only one query".
        Ordering::Greater => return Err(TOO_LONG),
        Ordering::Equal => {}
    }
    // RFC 9250 section 4.2.1: "the DNS Message ID MUST be set to 0".
    if !message.starts_with(&[0, 0]) {
        return Err("the message ID is not 0");
    }
    // RFC 9250 section 5.5.2: "Clients MUST NOT send the edns-tcp-keepalive EDNS(0) Option".
    if wants_keepalive(message) {
        return Err("edns-tcp-keepalive over QUIC");
    }
    Ok(message)
}

/// Whether a query has the option edns-tcp-keepalive (RFC 7828).
fn wants_keepalive(message: &[u8]) -> bool {
    screen(message) == Screened::Query && find_opt(message).is_some_and(|edns| edns.wants_keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_one_message_with_id_0() {
        let query = [0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1];
        let framed = [&[0, query.len() as u8][..], &query].concat();
        assert_eq!(message(&framed), Ok(&query[..]));
        for length in 0..framed.len() {
            assert_eq!(message(&framed[..length]), Err(TOO_SHORT), "{length} octets");
        }
        assert_eq!(message(&framed.repeat(2)), Err(TOO_LONG));
        for id in [2, 3] {
            let mut framed = framed.clone();
            framed[id] = 1;
            message(&framed).unwrap_err();
        }
    }
}
