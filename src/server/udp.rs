//! DNS over UDP: a thread and a socket for each worker, all sockets on one address.
//!
//! A worker's loop is three steps, each for as many datagrams as are there: receive, handle, send. Its buffers are made once,
//! so that a query costs no allocation, no lock and, in a batch, a fraction of a system call.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::backlog::{self, Backlog};
use super::responder::{Responder, Worker};
use super::sys::{self, DatagramBatch};
use crate::telemetry::metrics::{DropReason, Transport};

/// How often an idle worker checks whether to stop.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a stopping worker waits for datagrams that the kernel has assigned to its socket and not queued there yet.
const LAST_DATAGRAMS: Duration = Duration::from_millis(10);
/// A port without a peer, for [`stop_receiving`]: discard (RFC 863).
const DISCARD_PORT: u16 = 9;

/// Binds a socket for each of `workers` to one address, which has a port. If it `is_shared`, other processes that bind it in the
/// same way get a part of the datagrams; if not, the TCP port of the same number keeps them out.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if a program that does not share it has the address.
pub(super) fn bind(address: SocketAddr, workers: usize, is_shared: bool) -> io::Result<Vec<UdpSocket>> {
    let sockets = (0..workers).map(|_| bind_one(address)).collect::<io::Result<Vec<_>>>()?;
    // Among the sockets of several processes, their number and owners are unknown.
    if let (false, [first, _, ..], Ok(count)) = (is_shared, &*sockets, u32::try_from(workers)) {
        sys::spread_evenly(first.as_fd(), count)?;
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses; both may be configured.
        socket.set_only_v6(true)?;
    }
    if address.ip().is_unspecified() {
        sys::ask_for_local_address(socket.as_fd(), address.is_ipv6())?;
    }
    backlog::make_room(&socket);
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Answers on one socket until `shutdown`, and then what has arrived. The returned channel gives the outcome.
pub(super) fn spawn(
    socket: UdpSocket,
    responder: Arc<Responder>,
    shutdown: CancellationToken,
    name: String,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name(name).spawn(move || {
        // The receiver may be gone.
        let _ = done.send(work(&socket, &responder, &shutdown));
    })?;
    Ok(ended)
}

fn work(socket: &UdpSocket, responder: &Responder, shutdown: &CancellationToken) -> io::Result<()> {
    let is_wildcard = socket.local_addr().is_ok_and(|address| address.ip().is_unspecified());
    let mut batch = DatagramBatch::new(usize::from(responder.options().edns_udp_size), is_wildcard);
    let mut worker = responder.worker(Transport::Udp);
    let mut backlog = Backlog::default();
    let mut is_stopping = false;
    loop {
        if shutdown.is_cancelled() && !is_stopping {
            is_stopping = true;
            stop_receiving(socket);
        }
        match batch.receive(socket.as_fd()) {
            Ok(count) => {
                handle(&mut batch, count, socket, responder, &mut worker);
                backlog.received(count, socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && is_stopping => return Ok(()),
            // The last datagrams may have filled a batch exactly.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => backlog.received(0, socket),
            Err(error) if is_transient(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether an error says nothing about the socket: a time-out, a signal, or an earlier response that could not be delivered
/// (ICMP).
fn is_transient(error: &io::Error) -> bool {
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

/// Answers the first `count` datagrams of the batch.
fn handle(batch: &mut DatagramBatch, count: usize, socket: &UdpSocket, responder: &Responder, worker: &mut Worker) {
    let mut answering = responder.batch(worker);
    for i in 0..count {
        let (datagram, client, answer) = batch.slot(i);
        answering.respond(datagram, client, answer);
    }
    for _ in 0..batch.send(socket.as_fd(), count) {
        answering.dropped(DropReason::SendFailed);
    }
}

/// Stops new datagrams from arriving, so that those that have arrived can all be answered. A connected socket receives from
/// its peer alone, and this one's peer does not exist; the kernel gives new datagrams to the sockets on the same address that
/// are not connected, of this process or another. A BPF program that chooses sockets may ignore that (kernels differ), so it
/// is removed first.
fn stop_receiving(socket: &UdpSocket) {
    // There is none for a single worker, on a shared address, and once the first worker has removed it.
    let _ = sys::spread_by_client(socket.as_fd());
    // If this fails, late queries are answered here for as long as they arrive without a pause. There is always a route to
    // one's own address, and a wildcard stands for loopback.
    let _ = socket.local_addr().and_then(|mut nobody| {
        nobody.set_port(DISCARD_PORT);
        socket.connect(nobody)
    });
    let _ = socket.set_read_timeout(Some(LAST_DATAGRAMS));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients of each kind: so many that none of two sockets goes without.
    const CLIENTS: usize = 64;
    const EARLY: u8 = 0;
    const LATE: u8 = 1;

    /// Two workers' sockets at one address, of which the kernel or a program of ours chooses.
    fn pair(address: &str, is_spread: bool) -> [UdpSocket; 2] {
        let first = bind_one(address.parse().unwrap()).unwrap();
        let second = bind_one(first.local_addr().unwrap()).unwrap();
        if is_spread {
            sys::spread_evenly(first.as_fd(), 2).unwrap();
        }
        [first, second]
    }

    /// Sends a datagram from each of many clients; on loopback it has arrived when that is done.
    fn send(what: u8, server: &UdpSocket) {
        let mut to = server.local_addr().unwrap();
        if to.ip().is_unspecified() {
            to.set_ip(if to.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().unwrap() });
        }
        for _ in 0..CLIENTS {
            let client = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
            assert_eq!(client.send_to(&[what], to).unwrap(), 1);
        }
    }

    /// The datagrams that wait at a socket.
    fn waiting(socket: &UdpSocket) -> Vec<u8> {
        socket.set_nonblocking(true).unwrap();
        let mut datagram = [0];
        std::iter::from_fn(|| socket.recv(&mut datagram).ok().map(|_| datagram[0])).collect()
    }

    #[test]
    fn a_stopping_socket_keeps_what_has_arrived_and_the_rest_goes_to_the_others() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            for is_spread in [false, true] {
                let [leaver, other] = pair(address, is_spread);
                send(EARLY, &other);
                stop_receiving(&leaver);
                send(LATE, &other);
                let (of_leaver, of_other) = (waiting(&leaver), waiting(&other));
                let case = format!("{address} {is_spread}: {of_leaver:?} {of_other:?}");
                assert!(!of_leaver.is_empty() && of_leaver.iter().all(|what| *what == EARLY), "{case}");
                assert_eq!(of_leaver.len() + of_other.len(), 2 * CLIENTS, "{case}");
            }
        }
    }
}
