//! DNS over TLS (RFC 7858): the byte stream of `stream.rs`, encrypted. HTTPS uses the same handshake.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::accept::Accepted;
use super::client_stream::ClientStream;
use super::responder::Responder;
use super::stream::{self, Connection};
use crate::telemetry::metrics::Transport;

/// The protocol's name in the handshake (RFC 7858 section 6). A client may also offer none.
pub(super) const ALPN: &[u8] = b"dot";
/// How long a client may take for its handshake.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers on one connection until either side ends it.
pub(super) async fn serve(accepted: Accepted, acceptor: TlsAcceptor, responder: Arc<Responder>) {
    let Accepted { stream, client, idle, closing } = accepted;
    let Some(mut stream) = tls_handshake(&acceptor, stream, client, idle, &closing).await else { return };
    let connection = Connection { transport: Transport::Tls, client, idle, closing: &closing };
    stream::answer_queries(&mut stream, &connection, &responder).await;
    // RFC 7858 section 3.4 and RFC 8446 section 6.1: close_notify tells the client that no answer was cut off.
    let _ = timeout(HANDSHAKE_TIMEOUT.min(idle), stream.shutdown()).await;
}

/// Completes the handshake on an accepted connection; None if the client fails to in time.
pub(super) async fn tls_handshake(
    acceptor: &TlsAcceptor,
    stream: ClientStream,
    client: SocketAddr,
    idle: Duration,
    closing: &CancellationToken,
) -> Option<TlsStream<ClientStream>> {
    let handshake = timeout(HANDSHAKE_TIMEOUT.min(idle), acceptor.accept(stream));
    match closing.run_until_cancelled(handshake).await? {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%client, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%client, "TLS handshake timed out");
            None
        }
    }
}
