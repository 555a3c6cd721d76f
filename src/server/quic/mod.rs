//! DNS over QUIC (RFC 9250), on quinn.
//!
//! ```text
//! datagrams ─▶ quinn ─▶ accept loop ─┬─▶ task: handshake ─▶ connection.rs: a query and its answer on each stream
//!                                    ├─▶ Retry: the client proves its address and tries again
//!                                    └─▶ CONNECTION_REFUSED: no room for another connection
//! ```
//!
//! The accept loop waits for no client. A connection takes a place within the limits that all transports share before its
//! handshake starts. The addresses of first packets can be forged, so only few places are given to clients that have not
//! proved theirs; the others are sent a Retry packet, which takes no memory (RFC 9000 section 8.1.2).

mod connection;
mod socket;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    Connection, Endpoint, EndpointConfig, IdleTimeout, Incoming, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use rustls::version::TLS13;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{ConnectionContext, LINGER};
use super::certificate::Certificate;
use super::limits::StreamLimits;
use super::responder::Responder;
use super::tls::HANDSHAKE_TIMEOUT;
use socket::QuicSocket;
pub(super) use socket::{QuicSockets, SPARES};

/// The protocol's name in the handshake (RFC 9250 section 4.1.1). A client has to offer it.
const ALPN: &[u8] = b"doq";
/// Handshakes at a time with clients that have not proved their address.
const MAX_UNVALIDATED: usize = 64;
/// The part of all places, and of those of one client, that such handshakes may take: one in so many.
const UNVALIDATED_SHARE: usize = 4;
/// Handshakes that may wait for the accept loop; quinn refuses the next. The loop does not block, so that few ever wait.
const MAX_INCOMING: usize = 1024;
/// Octets that are kept for a handshake that waits for the accept loop, and for all of them.
const INCOMING_BUFFER: u64 = 16 * 1024;
const INCOMING_BUFFERS: u64 = 1024 * 1024;
/// What quinn receives at once, octets: calls of 32 messages, each of which the kernel makes of up to 64 datagrams (UDP_GRO), of
/// 1,472 octets at most.
const RECEIVED_AT_ONCE: usize = 32 * 64 * 1472;
/// What a listener takes besides its sockets and connections, octets.
pub(super) const LISTENER: usize = RECEIVED_AT_ONCE + INCOMING_BUFFERS as usize;
/// Octets sent that the client of one connection has not acknowledged: a largest answer and another.
const SEND_WINDOW: u64 = 128 * 1024;

/// Accepts the connections of one socket.
pub(super) struct Listener {
    endpoint: Endpoint,
    responder: Arc<Responder>,
    context: ConnectionContext,
    /// A permit for each handshake with a client that has not proved its address.
    unvalidated: Arc<Semaphore>,
    /// The connections of this listener.
    open: TaskTracker,
}

impl Listener {
    /// # Errors
    /// TLS cannot be set up, or the runtime cannot take the socket.
    pub fn new(
        sockets: QuicSockets,
        certificate: &Arc<Certificate>,
        responder: Arc<Responder>,
        context: ConnectionContext,
    ) -> io::Result<Self> {
        let limits = context.connections.limits();
        let config = server_config(certificate, limits.idle)?;
        let socket = Arc::new(QuicSocket::new(sockets, context.connections.metrics())?);
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), Some(config), socket, runtime)?;
        let unvalidated = Arc::new(Semaphore::new(max_unvalidated(limits)));
        Ok(Self { endpoint, responder, context, unvalidated, open: TaskTracker::new() })
    }

    /// Accepts connections until shutdown. A task of the context then waits for those that are open.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn serve(self) -> io::Result<()> {
        while let Some(accepted) = self.context.shutdown.run_until_cancelled(self.endpoint.accept()).await {
            self.admit(accepted.ok_or_else(|| io::Error::other("the QUIC socket failed"))?);
        }
        let Self { endpoint, open, context, .. } = self;
        context.tasks.spawn(drain(endpoint, open));
        Ok(())
    }

    /// Decides about a first packet, without waiting.
    fn admit(&self, incoming: Incoming) {
        let unvalidated = if incoming.remote_address_validated() {
            None
        } else {
            let Ok(permit) = Arc::clone(&self.unvalidated).try_acquire_owned() else {
                // An address that is not validated may always be asked to prove itself. Were it not so, the error would
                // hold the connection attempt, which is refused when it is dropped.
                let _ = incoming.retry();
                return;
            };
            Some(permit)
        };
        let Some(permit) = self.context.connections.admit(incoming.remote_address().ip()) else {
            return incoming.refuse();
        };
        let (responder, closing) = (Arc::clone(&self.responder), self.context.closing.clone());
        self.open.spawn(async move {
            let handshake = tokio::select! {
                handshake = handshake(incoming, permit.idle(), &closing) => handshake,
                () = permit.displaced() => None,
            };
            // A client that completes the handshake has proved its address.
            drop(unvalidated);
            if let Some(connection) = handshake {
                connection::serve(&connection, &responder, &permit, &closing).await;
            }
            drop(permit);
        });
    }
}

/// So many that forged addresses leave most places to others, in all and of the client that they claim to be.
fn max_unvalidated(limits: StreamLimits) -> usize {
    MAX_UNVALIDATED.min(limits.connections.min(limits.connections_per_client) / UNVALIDATED_SHARE)
}

fn server_config(certificate: &Arc<Certificate>, idle: Duration) -> io::Result<ServerConfig> {
    // RFC 9001 section 4.2: TLS 1.3 or newer. Early data (0-RTT) stays off, which is rustls's default.
    let tls = certificate.server_config(ALPN, &[&TLS13]).map_err(io::Error::other)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(connection::MAX_STREAMS))
        // RFC 9250 section 4.3.3: there are none. With none granted, QUIC itself ends a connection that opens one.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(connection::MAX_QUERY))
        .receive_window(VarInt::from_u32(connection::MAX_QUERY))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        // A time too long for the protocol, some billions of years, is none.
        .max_idle_timeout(IdleTimeout::try_from(idle).ok());
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        // A connection counts for the address that it was opened from.
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BUFFER)
        .incoming_buffer_size_total(INCOMING_BUFFERS);
    Ok(config)
}

/// Completes the handshake; None if the client fails to in time.
async fn handshake(incoming: Incoming, idle: Duration, closing: &CancellationToken) -> Option<Connection> {
    let client = incoming.remote_address();
    match closing.run_until_cancelled(timeout(HANDSHAKE_TIMEOUT.min(idle), incoming)).await? {
        Ok(Ok(connection)) => Some(connection),
        Ok(Err(error)) => {
            tracing::debug!(%client, %error, "QUIC handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%client, "QUIC handshake timed out");
            None
        }
    }
}

/// Waits until the open connections have ended and their clients know. New ones are refused, so that their clients turn to
/// another server at once.
async fn drain(endpoint: Endpoint, open: TaskTracker) {
    open.close();
    let refuse = async {
        while let Some(incoming) = endpoint.accept().await {
            incoming.refuse();
        }
    };
    let ended = async {
        open.wait().await;
        // CONNECTION_CLOSE is sent again to a client that did not get it.
        let _ = timeout(LINGER, endpoint.wait_idle()).await;
    };
    tokio::select! {
        () = refuse => {}
        () = ended => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unvalidated_addresses_take_a_fraction_of_the_places_and_never_the_last() {
        for (connections, connections_per_client, expected) in
            [(1024, 256, 64), (64, 32, 8), (8, 8, 2), (1024, 3, 0), (1, 1, 0)]
        {
            let limits = StreamLimits { connections, connections_per_client, idle: Duration::ZERO };
            assert_eq!(max_unvalidated(limits), expected, "{limits:?}");
        }
    }
}
