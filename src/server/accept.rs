//! TCP connections, for every transport that runs over them: accepted within the limits, each a task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::Connections;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long to wait when a connection cannot be accepted, for want of file descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection that was accepted: its octets, and what is known of its client.
pub(super) struct Accepted {
    pub stream: TcpStream,
    pub client: SocketAddr,
    /// How long it may go without a whole query, and a write without an end.
    pub idle: Duration,
    /// When no further query is to be waited for.
    pub shutdown: CancellationToken,
}

/// A listening socket.
///
/// # Errors
/// Those of the system calls.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart does not wait for the connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until `shutdown`; what `converse` makes of each is a task of `tasks`.
pub(super) async fn serve<C: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    converse: impl Fn(Accepted) -> C,
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
        let conversation = converse(Accepted { stream, client, idle: permit.idle(), shutdown: shutdown.clone() });
        tasks.spawn(async move {
            conversation.await;
            drop(permit);
        });
    }
}
