//! DNS over QUIC (RFC 9250), on hickory-server's listener.
//!
//! What that listener bounds: a handshake (5 s), the wait for a query (our idle time-out), queries of a connection (one at a
//! time, 100 in all), the streams and windows of a connection (quinn's defaults). What it leaves no place for us to bound or
//! to mend, as of hickory-server 0.26.3:
//!
//! - There may be any number of connections, in all and of one client.
//! - It finishes one handshake before it begins the next: a client that never finishes delays the others by up to 5 s.
//! - It ends a connection with its 100th answer unsent; the client has to ask again on another one.
//! - It reads a message before we see it, with memory reserved by its QDCOUNT for as long as that takes.
//!
//! Hence: for clients that are trusted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_proto::op::{Header, HeaderCounts};
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use rustls::server::ResolvesServerCert;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::Responder;
use super::hickory::{Reply, wants_keepalive};
use crate::telemetry::metrics::Transport;

/// The time between the word to stop and the end of the connections: the listener drops what it has not sent by then.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// A socket for [`serve`].
///
/// # Errors
/// Those of the system calls.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    // Not shared with another process, as the others may be: a connection lives in one of them.
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

/// Answers on `sockets` until `shutdown`.
///
/// # Errors
/// The listener ended by itself.
pub(super) async fn serve(
    sockets: Vec<UdpSocket>,
    certificate: Arc<dyn ResolvesServerCert>,
    responder: Arc<Responder>,
    idle: Duration,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut server = Server::new(Handler { responder });
    for socket in sockets {
        server.register_quic_listener(socket, idle, Arc::clone(&certificate))?;
    }
    tokio::select! {
        ended = server.block_until_done() => {
            return Err(ended.map_or_else(io::Error::other, |()| io::Error::other("DNS over QUIC ended by itself")));
        }
        () = shutdown.cancelled() => {}
    }
    tokio::time::sleep(LAST_ANSWERS).await;
    server.shutdown_gracefully().await.map_err(io::Error::other)
}

/// What answers the messages that hickory has read.
struct Handler {
    responder: Arc<Responder>,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut to: R) -> ResponseInfo {
        // RFC 9250 sections 4.2.1 and 5.5.2 make these fatal errors. The connection is not ours to end; the stream is.
        let is_error = request.metadata.id != 0 || request.edns.as_ref().is_some_and(wants_keepalive);
        // The table is let go of before anything is waited for.
        let reply = if is_error { None } else { self.reply(request) };
        if let Some(reply) = &reply {
            match to.send_response(reply.whole(&request.queries)).await {
                Ok(info) => return info,
                Err(error) => tracing::debug!(client = %request.src(), %error, "no answer over QUIC"),
            }
        }
        Header { metadata: request.metadata, counts: HeaderCounts::default() }.into()
    }
}

impl Handler {
    fn reply(&self, request: &Request) -> Option<Reply> {
        let mut worker = self.responder.worker(Transport::Quic);
        self.responder.batch(&mut worker).reply(request)
    }
}
