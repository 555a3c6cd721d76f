//! The sockets of the UDP path. All that are bound to one address share it: those that receive, and those that only send.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{backlog, sys};

/// How often an idle worker checks whether to stop.
pub(super) const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);
/// Size of a send buffer in octets: `net.core.wmem_max` as the kernel comes, so that it is the same everywhere. The kernel doubles
/// it for its bookkeeping, and counts an answer of 1,232 octets as 2,304: there is room for 184 of them.
pub(super) const SEND_BUFFER: usize = 212_992;
/// Pause after a receive that failed for want of memory, or for a reason unknown.
pub(super) const RETRY: Duration = Duration::from_millis(10);
/// A port without a peer, for [`stop_receiving`]: discard (RFC 863).
const DISCARD_PORT: u16 = 9;

/// A socket bound to an address, which may have others of this process or of this user's.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if a program that does not share it has the address.
pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    bind_beside(address, true)
}

/// A socket bound to an address that no other has yet.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if anybody has the address.
pub(super) fn bind_first(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bind_beside(address, false)?;
    SockRef::from(&socket).set_reuse_port(true)?;
    Ok(socket)
}

/// A socket bound to an address beside others that share it, or to one without any.
fn bind_beside(address: SocketAddr, others: bool) -> io::Result<UdpSocket> {
    let socket = unbound(address)?;
    socket.set_reuse_port(others)?;
    if address.ip().is_unspecified() {
        sys::ask_for_local_address(socket.as_fd(), address.is_ipv6())?;
    }
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// A socket for an address, with room for what arrives and for what leaves.
///
/// # Errors
/// Those of the system calls.
pub(super) fn unbound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses; both may be configured.
        socket.set_only_v6(true)?;
    }
    backlog::make_room(&socket);
    // If this fails, the socket has the size that the system gives by default.
    let _ = socket.set_send_buffer_size(SEND_BUFFER);
    Ok(socket)
}

/// Stops new datagrams from arriving at a socket; those that have arrived stay. A connected socket receives from its peer alone,
/// and this one's peer does not exist; the kernel gives new datagrams to the sockets on the same address that are not connected,
/// of this process or another. Answers can be sent to anybody as before.
///
/// # Errors
/// There is no route to the address itself. A wildcard stands for loopback.
pub(super) fn stop_receiving(socket: &UdpSocket) -> io::Result<()> {
    let mut nobody = socket.local_addr()?;
    nobody.set_port(DISCARD_PORT);
    socket.connect(nobody)
}

/// Whether an error of a receive says nothing about the socket: a time-out, a signal, or an earlier response that could not be
/// delivered (ICMP).
pub(super) fn is_of_a_message(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock
            | io::ErrorKind::Interrupted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
    )
}

/// Whether an error of a receive says that nothing can ever be received: the descriptor is closed, or not a socket. Any other, such
/// as a lack of memory, may pass.
pub(super) fn is_of_the_descriptor(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK))
}
