//! TCP connections, for every transport that runs over them: accepted within the limits, each a task.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::limits::Connections;
use super::sys;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Octets that the kernel keeps for a client that does not take them, and for a query that nobody reads yet: a largest
/// answer and another. Left to itself it gives some megabytes to each connection, charged to the process's memory limit.
const BUFFER: usize = 128 * 1024;
/// How long to wait when a connection cannot be accepted, for want of file descriptors above all.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a listener that leaves waits for clients that had begun to connect, and for the first queries of those who have:
/// many times what either takes in a cluster.
const LAST_HANDSHAKES: Duration = Duration::from_millis(100);

/// What all listeners have in common: how many conversations there may be, where they run, and how they end.
#[derive(Clone)]
pub(super) struct Conversations {
    pub connections: Arc<Connections>,
    pub tasks: TaskTracker,
    /// When no new client is to be waited for.
    pub shutdown: CancellationToken,
    /// When no further query is to be waited for: once every listener has left.
    pub closing: CancellationToken,
}

/// A connection that was accepted: its octets, and what is known of its client.
pub(super) struct Accepted {
    pub stream: TcpStream,
    pub client: SocketAddr,
    /// How long it may go without a whole query, and a write without an end.
    pub idle: Duration,
    /// When no further query is to be waited for.
    pub closing: CancellationToken,
}

/// A listening socket. Where the address `is_shared`, other processes that bind it in the same way get a part of the clients.
///
/// # Errors
/// Those of the system calls.
pub(super) fn bind(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart does not wait for the connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(is_shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Accepted connections have what their listener has.
    socket.set_send_buffer_size(BUFFER)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until shutdown, and then those that had begun by then; what `converse` makes of each is a task.
///
/// # Errors
/// None: what goes wrong concerns one connection. So that it can stand beside others that have some.
pub(super) async fn serve<C: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    converse: impl Fn(Accepted) -> C,
    conversations: Conversations,
) -> io::Result<()> {
    let Conversations { connections, tasks, shutdown, closing } = conversations;
    let mut left = pin!(leave(&listener, &shutdown));
    let mut is_failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut left => return Ok(()),
        };
        // Said once, not twenty times a second for as long as it lasts.
        if let Err(error) = &accepted
            && !is_failing
        {
            tracing::warn!(%error, "TCP connections cannot be accepted; trying again");
        }
        is_failing = accepted.is_err();
        let Ok((stream, client)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // A client that is one too many sees its connection closed at once, and may turn to another server.
        let Some(permit) = connections.admit(client.ip()) else { continue };
        // Answers leave in few large writes: waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let conversation = converse(Accepted { stream, client, idle: permit.idle(), closing: closing.clone() });
        tasks.spawn(async move {
            conversation.await;
            drop(permit);
        });
    }
}

/// Lets nobody more come in once `shutdown` is said, and waits for those who were about to: a listener that closes resets the
/// connections that it has not handed out, and those whose handshake is not done.
async fn leave(listener: &TcpListener, shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    // If it cannot be had, whoever comes at the very end is reset.
    let _ = sys::drop_new_clients(listener.as_fd());
    sleep(LAST_HANDSHAKES).await;
}
