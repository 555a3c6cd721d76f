//! Any request over HTTPS: its status is that of RFC 8484 and RFC 9110, an answer is what the message gets on any other
//! transport, and of a body no more is read than a message can have.
//!
//! An input is `PIECE TIMES ENDING METHOD TARGET`, a line with the media type, and the body: the first three are one letter each, for
//! the length of the body's pieces, how often it is repeated, and whether it ends, breaks or falls silent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use headless_dns::server::Https;
use headless_dns::telemetry::metrics::Transport;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame};
use tokio::runtime::{Builder, Runtime};

use crate::support::answering::{Server, respond_as};

static SERVER: LazyLock<Server> = LazyLock::new(Server::of_cases);

const PATH: &str = "/dns-query";
const MAX_MESSAGE: usize = u16::MAX as usize;
const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

thread_local! {
    /// Its clock jumps to the next timer as soon as nothing else is left to do.
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    Broken,
    Silent,
}

/// A request as an input has it.
#[derive(Debug)]
struct Input<'i> {
    method: Method,
    target: &'i str,
    media_type: Option<HeaderValue>,
    body: Vec<u8>,
    piece: usize,
    ending: Ending,
}

impl<'i> Input<'i> {
    /// None for what HTTP would not let pass.
    fn read(input: &'i [u8]) -> Option<Self> {
        let [piece, times, ending, rest @ ..] = input else { return None };
        let mut lines = rest.splitn(3, |octet| *octet == b'\n');
        let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let media_type = lines.next().filter(|line| !line.is_empty());
        let body = lines.next().unwrap_or_default();
        // Up to more than a message can have.
        let times = (1 + usize::from(*times)).min(1 + (MAX_MESSAGE + 1) / body.len().max(1));
        Some(Self {
            method: Method::from_bytes(method.as_bytes()).ok()?,
            target,
            media_type: media_type.map(HeaderValue::from_bytes).transpose().ok()?,
            body: body.repeat(times),
            piece: 1 + 64 * usize::from(*piece),
            ending: [Ending::Whole, Ending::Broken, Ending::Silent][usize::from(*ending) % 3],
        })
    }

    /// The status, and the message that is answered if it is 200.
    fn expected(&self) -> (u16, Option<Vec<u8>>) {
        let resource = self.target.split('#').next().unwrap_or_default();
        let (path, variables) = resource.split_once('?').unwrap_or((resource, ""));
        if path != PATH {
            return (404, None);
        }
        let message = match self.method.as_str() {
            "GET" => {
                let encoded = variables.split('&').find_map(|variable| variable.strip_prefix("dns="));
                encoded.and_then(|encoded| decoded(encoded.as_bytes())).ok_or(400)
            }
            "POST" if !self.is_dns_message() => Err(415),
            "POST" if self.body.len() > MAX_MESSAGE => Err(413),
            "POST" => match self.ending {
                Ending::Whole => Ok(self.body.clone()),
                Ending::Broken => Err(400),
                Ending::Silent => Err(408),
            },
            _ => Err(405),
        };
        match message {
            Err(status) => (status, None),
            // Less than a header, or a response: there is nothing to answer (W3).
            Ok(message) if message.len() < 12 || message[2] & 0x80 != 0 => (400, None),
            Ok(message) => (200, Some(message)),
        }
    }

    fn is_dns_message(&self) -> bool {
        let text = self.media_type.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase());
        let essence = text.as_deref().and_then(|text| text.split(';').next());
        essence.is_some_and(|essence| essence.trim_matches([' ', '\t']) == "application/dns-message")
    }
}

/// What base64url without padding stands for (RFC 4648 section 5); None if it is malformed.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let (mut octets, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text {
        let value = BASE64URL.iter().position(|it| it == letter)?;
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
        bits &= (1 << count) - 1;
    }
    // RFC 4648 section 3.5: the bits that are left over are zero, and fewer than a letter has.
    (count < 6 && bits == 0).then_some(octets)
}

pub fn run(input: &[u8]) {
    let Some(input) = Input::read(input) else { return };
    let Ok(target) = input.target.parse::<Uri>() else { return };
    // What hyper hands on begins with a slash.
    if !input.target.starts_with('/') {
        return;
    }
    let (status, message) = input.expected();
    let was_read = Arc::<AtomicUsize>::default();
    let body = Pieces {
        left: input.body.clone().into(),
        piece: input.piece,
        ending: input.ending,
        was_read: Arc::clone(&was_read),
    };
    let mut request = Request::new(body);
    *request.method_mut() = input.method.clone();
    *request.uri_mut() = target;
    if let Some(media_type) = &input.media_type {
        request.headers_mut().insert(CONTENT_TYPE, media_type.clone());
    }
    let https = Https::new(PATH.to_owned(), Arc::new(SERVER.answering.new_responder()));
    let client = SocketAddr::from((Ipv4Addr::LOCALHOST, 5353));
    let (head, body) = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (head, body) = https.respond(request, client, Duration::from_secs(5)).await.into_parts();
            (head, body.collect().await.expect("octets").to_bytes())
        })
    });

    assert_eq!(head.status.as_u16(), status, "{input:?}");
    let expected = message.map(|message| {
        let responder = SERVER.answering.new_responder();
        respond_as(&responder, &mut responder.worker(Transport::Https), &message).expect("an answer")
    });
    assert_eq!(body, expected.unwrap_or_default(), "{input:?}");
    let header = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    assert_eq!(header(CONTENT_TYPE), (status == 200).then_some(&b"application/dns-message"[..]));
    assert_eq!(header(CACHE_CONTROL), (status == 200).then_some(&b"max-age=0"[..]));
    assert_eq!(header(ALLOW), (status == 405).then_some(&b"GET, POST"[..]));
    let was_read = was_read.load(Ordering::Relaxed);
    assert!(was_read <= MAX_MESSAGE + input.piece, "{was_read} octets of a body were read");
    assert!(was_read == 0 || input.method == Method::POST, "a body that nobody asked for was read");
}

/// A body that comes in pieces.
struct Pieces {
    left: Bytes,
    piece: usize,
    ending: Ending,
    was_read: Arc<AtomicUsize>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left.is_empty() {
            return match self.ending {
                Ending::Whole => Poll::Ready(None),
                Ending::Broken => Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into()))),
                Ending::Silent => Poll::Pending,
            };
        }
        let length = self.piece.min(self.left.len());
        let piece = self.left.split_to(length);
        self.was_read.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}
