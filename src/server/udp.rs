//! DNS over UDP: a thread and a socket for each worker, all sockets on one address.
//!
//! A worker's loop is three steps, each for as many datagrams as are there: receive, handle, send. Its buffers are made once,
//! so that a query costs no allocation, no lock and, in a batch, a fraction of a system call.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backlog::Backlog;
use super::elsewhere::Deferred;
use super::neighbours::Neighbours;
use super::overflow::Overflow;
use super::responder::{Responder, Worker};
use super::sys::{self, DatagramBatch, ReturnPath};
use super::udp_socket;
use crate::telemetry::heartbeat::Heartbeat;
use crate::telemetry::metrics::{DropReason, Transport};

/// A worker that has not passed its loop for so long is stalled: with nothing to do, it passes it every
/// [`udp_socket::RECEIVE_TIMEOUT`].
pub(super) const STALLED: Duration = Duration::from_secs(10);
/// How long a stopping worker waits for datagrams that the kernel has assigned to its socket and not queued there yet.
const LAST_DATAGRAMS: Duration = Duration::from_millis(10);

/// Binds a socket for each of `workers` to one address, which has a port. If it `is_shared`, other processes that bind it in the
/// same way get a part of the datagrams; if not, nobody may have it already, and the TCP port of the same number keeps others out.
///
/// # Errors
/// Those of the system calls; `AddrInUse` if a program that does not share it has the address, or any where it is not shared.
pub(super) fn bind(address: SocketAddr, workers: usize, is_shared: bool) -> io::Result<Vec<UdpSocket>> {
    let bind = |worker| match worker {
        // A server that is ending has closed its TCP port, and would still get a part of the datagrams.
        0 if !is_shared => udp_socket::bind_first(address),
        _ => udp_socket::bind(address),
    };
    let sockets = (0..workers).map(bind).collect::<io::Result<Vec<_>>>()?;
    // Among the sockets of several processes, their number and owners are unknown.
    if let (false, [first, _, ..], Ok(count)) = (is_shared, &*sockets, u32::try_from(workers)) {
        sys::spread_evenly(first.as_fd(), count)?;
    }
    Ok(sockets)
}

/// What a worker answers on and with.
pub(super) struct UdpWorker {
    pub socket: Arc<UdpSocket>,
    /// Workers on the same address, this one among them.
    pub workers: usize,
    pub responder: Arc<Responder>,
    pub heartbeat: Heartbeat,
    /// Where answers are made that wait for upstreams.
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
}

/// Answers on one socket until shutdown, and then what has arrived, on a thread called `name`. The returned channel gives the
/// outcome.
pub(super) fn spawn(worker: UdpWorker, name: String) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name(name).spawn(move || {
        // The receiver may be gone.
        let _ = done.send(work(&worker));
    })?;
    Ok(ended)
}

impl UdpWorker {
    /// Answers once others have been asked: on the threads of the resolver, through the worker's socket.
    fn answer_later(&self, deferred: Deferred, back: ReturnPath) {
        let runtime = deferred.waiting.resolver.runtime().clone();
        let (socket, responder) = (Arc::clone(&self.socket), Arc::clone(&self.responder));
        let answer = async move {
            let answer = responder.resolve(deferred, Transport::Udp).await;
            if back.send(socket.as_fd(), &answer).is_err() {
                responder.dropped(DropReason::SendFailed);
            }
        };
        self.tasks.spawn_on(answer, &runtime);
    }
}

fn work(worker: &UdpWorker) -> io::Result<()> {
    let UdpWorker { socket, workers, responder, heartbeat, shutdown, .. } = worker;
    let address = socket.local_addr()?;
    let is_wildcard = address.ip().is_unspecified();
    let mut sender = Sender { socket, overflow: Overflow::new(address, *workers), neighbours: Neighbours::new() };
    let mut batch = DatagramBatch::new(usize::from(responder.options().edns_udp_size), is_wildcard);
    let mut state = responder.worker(Transport::Udp);
    let mut backlog = Backlog::default();
    let (mut is_stopping, mut is_failing) = (false, false);
    loop {
        if shutdown.is_cancelled() && !is_stopping {
            is_stopping = true;
            stop_receiving(socket);
        }
        let received = batch.receive(socket.as_fd());
        is_failing &= received.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        match received {
            Ok(count) => {
                let began = handle(&mut batch, count, &mut sender, worker, &mut state);
                heartbeat.beat(began);
                sender.overflow.release(began);
                backlog.received(count, socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && is_stopping => return Ok(()),
            // The last datagrams may have filled a batch exactly.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                heartbeat.beat(Instant::now());
                backlog.received(0, socket);
            }
            Err(error) if udp_socket::is_of_a_message(&error) => {}
            Err(error) if udp_socket::is_of_the_descriptor(&error) => return Err(error),
            Err(error) => {
                // Logged once, not a hundred times a second for as long as it lasts.
                if !is_failing {
                    tracing::warn!(%error, %address, "cannot receive UDP queries; retrying");
                }
                is_failing = true;
                heartbeat.beat(Instant::now());
                thread::park_timeout(udp_socket::RETRY);
            }
        }
    }
}

/// Answers the first `count` datagrams of the batch. Returns when it began to.
fn handle(
    batch: &mut DatagramBatch,
    count: usize,
    sender: &mut Sender<'_>,
    worker: &UdpWorker,
    state: &mut Worker,
) -> Instant {
    let mut answering = worker.responder.batch(state);
    for i in 0..count {
        let (datagram, client, answer) = batch.slot(i);
        if !answering.respond(datagram, client, answer)
            && let Some(deferred) = answering.take_deferred()
        {
            worker.answer_later(deferred, batch.return_path(i));
        }
    }
    let unsent = sender.send(batch, count, answering.began());
    for (reason, count) in [(DropReason::SendFailed, unsent.failed), (DropReason::SendBufferFull, unsent.no_room)] {
        (0..count).for_each(|_| answering.dropped(reason));
    }
    answering.began()
}

/// Where a worker sends from.
struct Sender<'s> {
    socket: &'s UdpSocket,
    overflow: Overflow,
    neighbours: Neighbours,
}

/// Datagrams that were not sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unsent {
    /// The network or the system refused them.
    failed: usize,
    /// No socket had room for them, or would have had it for seconds to come.
    no_room: usize,
}

impl Sender<'_> {
    /// Sends the answers of the first `count` slots of a batch that began `now`, and clears them. Never waits: what finds no room
    /// at the worker's own socket leaves from another, or not at all.
    fn send(&mut self, batch: &mut DatagramBatch, count: usize, now: Instant) -> Unsent {
        let mut unsent = Unsent::default();
        if self.overflow.is_open() {
            unsent.no_room = self.drop_waiting(batch, count, now);
        }
        let datagrams = batch.fill(count);
        let (mut done, mut full) = (0, 0);
        let mut socket = self.socket;
        while done < datagrams {
            match batch.send(socket.as_fd(), done..datagrams) {
                // A call may send fewer than all; the rest is sent by the next.
                Ok(sent @ 1..) => done += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Some(other) = self.overflow.next(full, now) else {
                        unsent.no_room += datagrams - done;
                        break;
                    };
                    (socket, full) = (other, full + 1);
                }
                // The first of the rest cannot be sent. It is skipped, as it must not hold up the others.
                Ok(_) | Err(_) => (done, unsent.failed) = (done + 1, unsent.failed + 1),
            }
        }
        batch.clear(count);
        unsent
    }

    /// Drops the answers that would only wait behind others, and returns their number.
    fn drop_waiting(&mut self, batch: &mut DatagramBatch, count: usize, now: Instant) -> usize {
        self.neighbours.update(now);
        let mut dropped = 0;
        for i in 0..count {
            let (_, client, answer) = batch.slot(i);
            if !answer.is_empty() && self.neighbours.is_sought(client) {
                answer.clear();
                dropped += 1;
            }
        }
        dropped
    }
}

/// Stops new datagrams from arriving, so that those that have arrived can all be answered. A BPF program that chooses sockets may
/// choose one that is connected (kernels differ), so it is removed first.
fn stop_receiving(socket: &UdpSocket) {
    // There is none for a single worker, on a shared address, and once the first worker has removed it.
    let _ = sys::spread_by_client(socket.as_fd());
    // If this fails, late queries are answered here for as long as they arrive without a pause.
    let _ = udp_socket::stop_receiving(socket);
    let _ = socket.set_read_timeout(Some(LAST_DATAGRAMS));
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;
    use crate::dns::wire::HEADER;
    use crate::server::udp_socket::{RECEIVE_TIMEOUT, is_of_the_descriptor};
    use crate::telemetry::heartbeat::Heartbeats;

    /// Clients of each kind: so many that none of two sockets goes without.
    const CLIENTS: usize = 64;
    const EARLY: u8 = 0;
    const LATE: u8 = 1;

    /// Two workers' sockets at one address, of which the kernel or a program of ours chooses.
    fn pair(address: &str, is_spread: bool) -> [UdpSocket; 2] {
        let first = udp_socket::bind(address.parse().unwrap()).unwrap();
        let second = udp_socket::bind(first.local_addr().unwrap()).unwrap();
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

    /// W6. A server that ends closes its TCP port first; what still arrives over UDP is its own.
    #[test]
    fn an_address_that_another_still_has_is_shared_only_if_that_is_asked_for() {
        let ending = udp_socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = ending.local_addr().unwrap();
        for workers in [1, 2] {
            assert_eq!(bind(address, workers, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            assert_eq!(bind(address, workers, true).unwrap().len(), workers);
        }
        drop(ending);
        assert_eq!(bind(address, 2, false).unwrap().len(), 2);
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

    #[test]
    fn a_lack_of_memory_ends_no_worker_and_a_closed_descriptor_does() {
        for errno in
            [libc::ENOMEM, libc::ENOBUFS, libc::EPERM, libc::EMSGSIZE, libc::EPROTO, libc::ENOPROTOOPT, libc::EIO]
        {
            assert!(!is_of_the_descriptor(&io::Error::from_raw_os_error(errno)), "{errno}");
        }
        let file = UdpSocket::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
        let mut batch = DatagramBatch::new(512, false);
        let error = batch.receive(file.as_fd()).unwrap_err();
        assert!(is_of_the_descriptor(&error), "{error}");
    }

    #[test]
    fn a_worker_that_waits_for_ever_is_stalled_until_it_passes_its_loop_again() {
        let heartbeats = Heartbeats::default();
        let socket = udp_socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // A receive that does not time out stands for whatever can hold a worker up.
        socket.set_read_timeout(None).unwrap();
        let (server, client) = (socket.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        client.set_read_timeout(Some(STALLED)).unwrap();
        let heartbeat = heartbeats.register("worker", STALLED);
        let (responder, shutdown) = (Arc::new(Responder::of_tests()), CancellationToken::new());
        let (socket, tasks) = (Arc::new(socket), TaskTracker::new());
        let worker = UdpWorker { socket, workers: 1, responder, heartbeat, tasks, shutdown };
        let _ended = spawn(worker, "w".to_owned()).unwrap();
        // Whether it is stalled at a time by which a worker must have passed its loop.
        let is_stalled = |by: Instant| !heartbeats.stalled(by + STALLED).is_empty();
        assert!(is_stalled(Instant::now() + RECEIVE_TIMEOUT), "nothing arrives, and nothing wakes it");
        let asked = Instant::now();
        client.send_to(&[0; HEADER], server).unwrap();
        client.recv(&mut [0; 512]).unwrap();
        // It beats once it has sent its answers.
        while is_stalled(asked) {
            assert!(asked.elapsed() < STALLED, "it has passed its loop");
            thread::yield_now();
        }
    }
}
