//! DNS over TLS (RFC 7858): the conversation of `stream.rs` under encryption. The handshake is HTTPS's too.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::accept::Accepted;
use super::{Responder, stream};
use crate::telemetry::metrics::Transport;

/// The protocol's name in the handshake (RFC 7858 section 6). A client that names none is welcome too.
pub(super) const ALPN: &[u8] = b"dot";
/// A client that is slower than this to shake hands is not waited for.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Answers on one connection until either side ends it.
pub(super) async fn serve(accepted: Accepted, acceptor: TlsAcceptor, responder: Arc<Responder>) {
    let Accepted { stream, client, idle, closing } = accepted;
    let Some(mut stream) = shake_hands(&acceptor, stream, client, idle, &closing).await else { return };
    stream::converse(&mut stream, Transport::Tls, client, &responder, idle, &closing).await;
    // RFC 7858 section 3.4 and RFC 8446 section 6.1: an end that is announced, so that no answer was cut off unseen.
    let _ = timeout(HANDSHAKE.min(idle), stream.shutdown()).await;
}

/// The encrypted stream on an accepted connection; none if the client cannot agree with us in time.
pub(super) async fn shake_hands(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    client: SocketAddr,
    idle: Duration,
    closing: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let handshake = timeout(HANDSHAKE.min(idle), acceptor.accept(stream));
    match closing.run_until_cancelled(handshake).await? {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::debug!(%client, %error, "no TLS handshake");
            None
        }
        Err(_) => {
            tracing::debug!(%client, "no TLS handshake in time");
            None
        }
    }
}
