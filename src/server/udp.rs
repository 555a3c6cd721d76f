//! DNS over UDP: a thread and a socket for each worker, all sockets on one address.
//!
//! A worker's loop is three steps, each for as many datagrams as are there: receive, handle, send. Its buffers are made once,
//! so that a query costs no allocation, no lock and, in a batch, a fraction of a system call.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::sys::{self, Batch};
use super::{Responder, Worker};
use crate::metrics::{DropReason, Transport};

/// Octets of datagrams that may wait for a worker: some 15,000 queries as the kernel counts them, a tenth of a second at
/// full speed. The kernel gives less where `net.core.rmem_max` says so.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// How often a worker without datagrams looks whether it is to stop.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(100);
/// The port of nobody, for [`leave`]: discard (RFC 863).
const DISCARD_PORT: u16 = 9;

/// A socket for each of `workers` on one address, which has a port.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if a program that does not share has the address.
pub(super) fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let sockets = (0..workers).map(|_| bind_one(address)).collect::<io::Result<Vec<_>>>()?;
    if let ([first, _, ..], Ok(count)) = (&*sockets, u32::try_from(workers)) {
        sys::spread_evenly(first.as_fd(), count)?;
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses and may both be given.
        socket.set_only_v6(true)?;
    }
    if address.ip().is_unspecified() {
        sys::ask_for_local_address(socket.as_fd(), address.is_ipv6())?;
    }
    // Best effort: what was got is in the log.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The octets that the kernel lets wait for one of the sockets. It counts its own bookkeeping too and reports twice what was
/// asked for.
pub(super) fn receive_buffer(socket: &UdpSocket) -> usize {
    SockRef::from(socket).recv_buffer_size().unwrap_or_default()
}

/// Answers on one socket until `shutdown`, and then what has arrived. How it ended comes over the returned channel.
pub(super) fn spawn(
    socket: UdpSocket,
    responder: Arc<Responder>,
    shutdown: CancellationToken,
    name: String,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name(name).spawn(move || {
        // Whoever waited may have gone.
        let _ = done.send(work(&socket, &responder, &shutdown));
    })?;
    Ok(ended)
}

fn work(socket: &UdpSocket, responder: &Responder, shutdown: &CancellationToken) -> io::Result<()> {
    let is_wildcard = socket.local_addr().is_ok_and(|address| address.ip().is_unspecified());
    let mut batch = Batch::new(usize::from(responder.options().edns_udp_size), is_wildcard);
    let mut worker = responder.worker(Transport::Udp);
    let mut is_leaving = false;
    loop {
        if shutdown.is_cancelled() && !is_leaving {
            is_leaving = true;
            leave(socket);
        }
        match batch.receive(socket.as_fd()) {
            Ok(count) => handle(&mut batch, count, socket, responder, &mut worker),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && is_leaving => return Ok(()),
            Err(error) if passes(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the next datagram has nothing to do with an error: the time-out, a signal, or news of an earlier answer that
/// could not be delivered (ICMP).
fn passes(error: &io::Error) -> bool {
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
fn handle(batch: &mut Batch, count: usize, socket: &UdpSocket, responder: &Responder, worker: &mut Worker) {
    let mut answering = responder.batch(worker);
    for i in 0..count {
        let (datagram, client, answer) = batch.slot(i);
        answering.respond(datagram, client, answer);
    }
    for _ in 0..batch.send(socket.as_fd(), count) {
        answering.dropped(DropReason::SendFailed);
    }
}

/// Lets nothing more come in, so that what has arrived can be answered to an end. A connected socket hears its peer alone,
/// and this one's peer is nobody.
fn leave(socket: &UdpSocket) {
    let nobody: SocketAddr = match socket.local_addr() {
        Ok(SocketAddr::V6(_)) => (Ipv6Addr::LOCALHOST, DISCARD_PORT).into(),
        _ => (Ipv4Addr::LOCALHOST, DISCARD_PORT).into(),
    };
    // If it cannot be had, late queries are answered here for as long as they come without a pause.
    let _ = socket.connect(nobody);
    let _ = socket.set_nonblocking(true);
}
