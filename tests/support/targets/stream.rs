//! Any octets as a stream, in any pieces: each whole message gets what it gets by itself, in its order, and nothing else is
//! written, however the connection ends (W5). No buffer grows beyond the longest message.
//!
//! An input begins with how the connection goes: flags, the number of the lengths of its pieces, and these, one octet each.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use headless_dns::server::{Connection, answer_queries};
use headless_dns::telemetry::metrics::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;

use crate::support::answering::{Server, respond_as};

static SERVER: LazyLock<Server> = LazyLock::new(Server::of_cases);

/// The connection is one over TLS.
const IS_TLS: u8 = 1;
/// The client does not close its half, but falls silent.
const IS_SILENT: u8 = 2;
/// The server is told to stop after some pieces.
const IS_STOPPED: u8 = 4;
const MAX_PIECES: usize = 16;

/// The longest message, with its length before it.
const LONGEST: usize = 2 + u16::MAX as usize;
/// Room that is made for what is read: a vector that grows doubles.
const MAX_ROOM: usize = 2 * LONGEST;
/// Octets of responses that may wait to be written: 64 KiB, and the response that passed them.
const MAX_UNWRITTEN: usize = 64 * 1024 + LONGEST;

thread_local! {
    /// Its clock jumps to the next timer as soon as nothing else is left to do.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

pub fn run(input: &[u8]) {
    let [flags, pieces, rest @ ..] = input else { return };
    let (pieces, octets) = rest.split_at(usize::from(*pieces).min(MAX_PIECES).min(rest.len()));
    let closing = CancellationToken::new();
    let mut client = Client {
        octets,
        pieces,
        piece: 0,
        sent: 0,
        received: Vec::new(),
        is_silent: flags & IS_SILENT != 0,
        stops: (flags & IS_STOPPED != 0).then(|| (usize::from(flags >> 3), closing.clone())),
        heard_at_end: None,
        is_there: false,
    };
    let connection = Connection {
        transport: if flags & IS_TLS != 0 { Transport::Tls } else { Transport::Tcp },
        client: SocketAddr::from((Ipv4Addr::LOCALHOST, 5353)),
        idle: Duration::from_secs(5),
        closing: &closing,
    };
    RUNTIME
        .with(|runtime| runtime.block_on(answer_queries(&mut client, &connection, &SERVER.answering.new_responder())));
    let heard = client.heard_at_end.unwrap_or(client.sent);
    assert!(flags & IS_STOPPED != 0 || heard == octets.len(), "closed after {heard} of {} octets", octets.len());
    let expected = answers_one_by_one(&octets[..heard], connection.transport);
    assert_eq!(client.received, expected, "the answers to {heard} octets in pieces of {pieces:?}");
}

/// What the whole messages of a stream get, each by itself.
fn answers_one_by_one(mut octets: &[u8], transport: Transport) -> Vec<u8> {
    let responder = SERVER.answering.new_responder();
    let mut worker = responder.worker(transport);
    let mut answers = Vec::new();
    while let [high, low, behind @ ..] = octets
        && let Some((message, rest)) = behind.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
    {
        octets = rest;
        if let Some(answer) = respond_as(&responder, &mut worker, message) {
            answers.extend(u16::try_from(answer.len()).expect("a message").to_be_bytes());
            answers.extend(answer);
        }
    }
    answers
}

/// A client at the other end. It sends, and takes, one piece each second time that it is asked.
struct Client<'i> {
    octets: &'i [u8],
    pieces: &'i [u8],
    /// How many pieces have been sent or taken.
    piece: usize,
    sent: usize,
    received: Vec<u8>,
    is_silent: bool,
    /// After how many pieces the server is told to stop.
    stops: Option<(usize, CancellationToken)>,
    /// What had been sent when the server closed its half.
    heard_at_end: Option<usize>,
    is_there: bool,
}

impl Client<'_> {
    /// The length of the next piece; None if the client is not there yet.
    fn next_piece(&mut self, context: &Context<'_>) -> Option<usize> {
        self.is_there = !self.is_there;
        if !self.is_there {
            context.waker().wake_by_ref();
            return None;
        }
        let piece =
            self.pieces.get(self.piece % self.pieces.len().max(1)).map_or(usize::MAX, |piece| 1 + usize::from(*piece));
        self.piece += 1;
        if let Some((_, stop)) = self.stops.take_if(|(after, _)| self.piece > *after) {
            stop.cancel();
        }
        Some(piece)
    }
}

impl AsyncRead for Client<'_> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = to.remaining();
        assert!((1..=MAX_ROOM).contains(&room), "{room} octets of room");
        if self.sent == self.octets.len() && self.is_silent {
            return Poll::Pending;
        }
        let Some(piece) = self.next_piece(context) else { return Poll::Pending };
        let left = &self.octets[self.sent..];
        let piece = &left[..piece.min(room).min(left.len())];
        to.put_slice(piece);
        self.sent += piece.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        assert!(octets.len() <= MAX_UNWRITTEN, "{} octets wait to be written", octets.len());
        let Some(piece) = self.next_piece(context) else { return Poll::Pending };
        let taken = &octets[..piece.min(octets.len())];
        self.received.extend_from_slice(taken);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.heard_at_end = Some(self.sent);
        Poll::Ready(Ok(()))
    }
}
