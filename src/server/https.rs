//! DNS over HTTPS (RFC 8484): HTTP/2, a query in the URL of a GET or in the body of a POST.
//!
//! hyper handles HTTP; messages are answered as on any other stream.

use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::accept::Accepted;
use super::responder::Responder;
use super::tls;
use crate::dns::wire::MAX_MESSAGE;
use crate::telemetry::metrics::Transport;

/// The protocol's name in the handshake: HTTP/2 and nothing older (RFC 8484 section 5.2).
pub(super) const ALPN: &[u8] = b"h2";
/// The media type of a DNS message (RFC 8484 section 6).
const DNS_MESSAGE: &str = "application/dns-message";
/// The URL's variable that holds the query (RFC 8484 section 4.1.1).
const DNS_VARIABLE: &str = "dns=";
/// Requests of one connection at a time: with the largest answers to all of them, it costs some 2 MB.
const REQUESTS: u32 = 32;
/// Octets that a client may send ahead on a stream or a connection: the length of the longest query.
const WINDOW: u32 = MAX_MESSAGE as u32;
/// Octets of a request's headers, the query of a GET among them.
const HEADERS: u32 = 16 * 1024;

/// Responds to HTTP requests. Shared by all connections.
pub struct Https {
    /// The path at which queries are answered.
    path: String,
    responder: Arc<Responder>,
}

impl Https {
    /// Answers with `responder` at `path`.
    pub fn new(path: String, responder: Arc<Responder>) -> Self {
        Self { path, responder }
    }

    /// Answers on one connection until the client closes it or stays idle for too long.
    pub(super) async fn serve(self: Arc<Self>, accepted: Accepted, acceptor: TlsAcceptor) {
        let Accepted { stream, client, idle, closing } = accepted;
        let Some(stream) = tls::tls_handshake(&acceptor, stream, client, idle, &closing).await else { return };
        self.answer_requests(stream, client, idle, &closing).await;
    }

    /// The same on the stream within TLS.
    async fn answer_requests(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        client: SocketAddr,
        idle: Duration,
        closing: &CancellationToken,
    ) {
        let answered = Arc::new(Notify::new());
        let service = service_fn(|request| {
            let (https, answered) = (Arc::clone(&self), Arc::clone(&answered));
            async move {
                let response = https.respond(request, client, idle).await;
                // Only queries keep the connection alive.
                if response.status().is_success() {
                    answered.notify_one();
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let mut connection = pin!(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(REQUESTS)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_header_list_size(HEADERS)
                .max_send_buf_size(usize::from(MAX_MESSAGE))
                .serve_connection(TokioIo::new(stream), service)
        );
        let mut deadline = Instant::now() + idle;
        loop {
            tokio::select! {
                biased;
                // An error is the client's and ends its connection only.
                _ = &mut connection => return,
                () = answered.notified() => deadline = Instant::now() + idle,
                () = sleep_until(deadline) => break,
                () = closing.cancelled() => break,
            }
        }
        // No further requests are accepted; those that have arrived are answered.
        connection.as_mut().graceful_shutdown();
        let _ = timeout(idle, connection).await;
    }

    /// The response to a request, whose body has to come within `idle`.
    pub async fn respond<B>(&self, request: Request<B>, client: SocketAddr, idle: Duration) -> Response<Full<Bytes>>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        let query = match self.query(request, idle).await {
            Ok(query) => query,
            Err(status) => return refusal(status),
        };
        let Some(answer) = self.responder.response(&query, client, Transport::Https).await else {
            return refusal(StatusCode::BAD_REQUEST);
        };
        let mut response = Response::new(Full::from(answer));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(DNS_MESSAGE));
        // RFC 8484 section 5.1: not fresher than the records. HTTP caches would save little on records that live for seconds.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
        response
    }

    /// The DNS message in a request.
    async fn query<B>(&self, request: Request<B>, idle: Duration) -> Result<Vec<u8>, StatusCode>
    where
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
    {
        if request.uri().path() != self.path {
            return Err(StatusCode::NOT_FOUND);
        }
        match *request.method() {
            Method::GET => {
                let variables = request.uri().query().unwrap_or_default();
                let encoded = variables.split('&').find_map(|variable| variable.strip_prefix(DNS_VARIABLE));
                let encoded = encoded.ok_or(StatusCode::BAD_REQUEST)?;
                BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)
            }
            Method::POST if !request.headers().get(CONTENT_TYPE).is_some_and(is_dns_message) => {
                Err(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            Method::POST => {
                let body = Limited::new(request.into_body(), usize::from(MAX_MESSAGE));
                match timeout(idle, body.collect()).await {
                    Ok(Ok(body)) => Ok(body.to_bytes().into()),
                    Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
                    Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
                    Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
                }
            }
            _ => Err(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

/// Whether a Content-Type is that of a DNS message. RFC 9110 section 8.3.1: "The type and subtype tokens are case-insensitive",
/// and parameters may follow, of which this type has none that matter.
fn is_dns_message(content_type: &HeaderValue) -> bool {
    let essence = content_type.as_bytes().split(|octet| *octet == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(DNS_MESSAGE.as_bytes())
}

/// The response to a request without a usable query.
fn refusal(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use hyper::client::conn::http2::handshake;
    use tokio::io::duplex;
    use tokio::time::sleep;

    use super::*;
    use crate::dns::wire::HEADER;

    /// W5.
    #[tokio::test(start_paused = true)]
    async fn a_connection_is_closed_when_no_query_has_come_for_the_idle_time_since_the_last_whatever_else_has() {
        const IDLE: Duration = Duration::from_secs(10);
        /// What a timer may be late.
        const TICK: Duration = Duration::from_millis(2);
        let (client, server) = duplex(usize::from(MAX_MESSAGE));
        let closing = CancellationToken::new();
        let https = Arc::new(Https::new("/dns-query".to_owned(), Arc::new(Responder::of_tests())));
        let answering = https.answer_requests(server, ([127, 0, 0, 1], 1).into(), IDLE, &closing);
        let asking = async {
            let (mut sender, connection) =
                handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
            let connection = tokio::spawn(connection);
            // FORMERR is an answer too.
            let query = BASE64URL_NOPAD.encode(&[0; HEADER]);
            let mut status = async |path: &str| {
                let request = Request::get(path).body(Full::default()).unwrap();
                sender.send_request(request).await.map(|response| response.status())
            };
            for _ in 0..3 {
                assert_eq!(status(&format!("/dns-query?dns={query}")).await.unwrap(), StatusCode::OK);
                sleep(IDLE - TICK).await;
            }
            assert_eq!(status(&format!("/dns-query?dns={query}")).await.unwrap(), StatusCode::OK);
            let last = Instant::now();
            sleep(IDLE / 2).await;
            assert_eq!(status("/").await.unwrap(), StatusCode::NOT_FOUND);
            connection.await.unwrap().unwrap();
            assert!((IDLE..=IDLE + TICK).contains(&last.elapsed()), "{:?}", last.elapsed());
        };
        tokio::join!(answering, asking);
    }
}
