//! Accepts TCP connections for every transport that runs over TCP: within the limits, each served by a task of its own.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_stream::ClientStream;
use super::limits::Connections;
use super::sys;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Size of a connection's send buffer in the kernel, in octets: a largest answer. By default the kernel gives each connection some
/// megabytes, charged to the process's memory limit. It doubles this size for its bookkeeping (socket(7), SO_SNDBUF).
pub(super) const SEND_BUFFER: usize = 64 * 1024;
/// The same for the receive buffer: some hundred queries. A longer one is received in parts.
pub(super) const RECEIVE_BUFFER: usize = 16 * 1024;
/// Pause after a connection could not be accepted, mostly because the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a listener that stops waits for handshakes that have started, and for the first queries of those connections:
/// many times what either takes in a cluster.
const LAST_HANDSHAKES: Duration = Duration::from_millis(100);
/// How long a client may take to end a connection that the server wants to end.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// What all listeners share: the limits on connections, the tasks that serve them, and when they stop.
#[derive(Clone)]
pub(super) struct ConnectionContext {
    pub connections: Arc<Connections>,
    pub tasks: TaskTracker,
    /// Cancelled when no new client is to be accepted.
    pub shutdown: CancellationToken,
    /// Cancelled when no further query is to be waited for: once every listener has stopped.
    pub closing: CancellationToken,
}

/// An accepted connection.
pub(super) struct Accepted {
    pub stream: ClientStream,
    pub client: SocketAddr,
    /// How long it may go without a whole query, and how long a write may take.
    pub idle: Duration,
    /// Cancelled when no further query is to be waited for.
    pub closing: CancellationToken,
}

/// Binds a listening socket. If `is_shared`, other processes may bind the same address in the same way, and each gets a
/// part of the clients.
///
/// # Errors
/// Those of the system calls.
pub(super) fn bind(address: SocketAddr, is_shared: bool) -> io::Result<net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart does not have to wait until the connections of the previous process have left TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted connections inherit these.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts connections until shutdown, and then those whose handshake had started. `serve_one` makes the task of each.
///
/// # Errors
/// The runtime cannot take the listener. What goes wrong later concerns one connection.
pub(super) async fn serve<C: Future<Output = ()> + Send + 'static>(
    listener: net::TcpListener,
    serve_one: impl Fn(Accepted) -> C,
    context: ConnectionContext,
) -> io::Result<()> {
    let ConnectionContext { connections, tasks, shutdown, closing } = context;
    let listener = TcpListener::from_std(listener)?;
    let mut stopped = pin!(stop_receiving(&listener, &shutdown));
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut stopped => return Ok(()),
        };
        // The next one may be there already.
        if accepted.as_ref().is_err_and(is_of_the_connection) {
            continue;
        }
        // Logged once, not twenty times a second for as long as it lasts.
        if let Err(error) = &accepted
            && !is_failing
        {
            tracing::warn!(%error, "cannot accept TCP connections; retrying");
        }
        is_failing = accepted.is_err();
        let Ok((stream, client)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Over the limit, and nobody gives way: the client sees its connection closed at once and can turn to another server.
        let Some(permit) = connections.admit(client.ip()) else { continue };
        // Answers leave in few large writes: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let idle = permit.idle();
        let stream = ClientStream::new(stream, permit);
        let place = stream.place();
        let serving = serve_one(Accepted { stream, client, idle, closing: closing.clone() });
        tasks.spawn(async move {
            tokio::select! {
                () = serving => {}
                () = place.displaced() => {}
            }
        });
    }
}

/// Whether a connection could not be accepted because of what happened to it. Linux reports errors of the network that are pending
/// on the new socket so (accept(2)). Any other error says that the process or the system lacks something.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
    )
}

/// Waits for shutdown, then lets no new client connect and waits for those that have started to: closing a listening socket
/// resets connections that are not accepted yet and those whose handshake is not complete.
async fn stop_receiving(listener: &TcpListener, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    // If this fails, clients that connect at the very end are reset.
    let _ = sys::drop_new_clients(listener.as_fd());
    sleep(LAST_HANDSHAKES).await;
}
