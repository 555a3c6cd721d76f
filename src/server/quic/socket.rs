//! The socket of a QUIC listener: no datagram that cannot leave keeps others waiting, and no error ends more than it concerns (W7).
//!
//! quinn waits while a socket is full, with every connection at once, and what fills it are mostly datagrams for neighbours that do
//! not exist (`overflow.rs` says how). Here a datagram that finds no room is dropped: QUIC sends again what was lost.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::time::{Sleep, sleep};

use crate::server::neighbours::Neighbours;
use crate::server::udp_socket;
use crate::telemetry::metrics::{DropReason, Metrics};

/// Further sockets to send from when the listener's own is full: room for what is sent while the kernel is asked which neighbours it
/// is looking for. Where it does not tell, there is room for some hundred such datagrams a second.
pub(in crate::server) const SPARES: usize = 3;
/// How long neighbours are asked about after a socket was last full: longer than the kernel looks for one.
const PRESSURE: Duration = Duration::from_secs(5);

/// The bound sockets of a listener.
#[derive(Debug)]
pub(in crate::server) struct QuicSockets {
    receiving: UdpSocket,
    /// They have the same address and receive nothing.
    spares: Vec<UdpSocket>,
}

impl QuicSockets {
    /// Binds an address, which no other process can share: a connection lives in one of them.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let receiving = udp_socket::unbound(address)?;
        receiving.set_nonblocking(true)?;
        receiving.bind(&address.into())?;
        let receiving = UdpSocket::from(receiving);
        // Only while it is bound once more: others of this user could share it meanwhile.
        SockRef::from(&receiving).set_reuse_port(true)?;
        let spare = |_| udp_socket::bind(receiving.local_addr()?);
        let spares = (0..SPARES).map(spare).collect::<io::Result<Vec<_>>>()?;
        for spare in &spares {
            udp_socket::stop_receiving(spare)?;
            spare.set_nonblocking(true)?;
        }
        for socket in spares.iter().chain([&receiving]) {
            SockRef::from(socket).set_reuse_port(false)?;
        }
        Ok(Self { receiving, spares })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.receiving.local_addr()
    }
}

/// The sockets of a listener as quinn uses them.
#[derive(Debug)]
pub(super) struct QuicSocket {
    receiving: tokio::net::UdpSocket,
    state: UdpSocketState,
    spares: Vec<(UdpSocket, UdpSocketState)>,
    /// Whether a socket was full a while ago.
    is_pressed: AtomicBool,
    pressure: Mutex<Pressure>,
    /// Runs after a receive that failed.
    retry: Mutex<Option<Pin<Box<Sleep>>>>,
    metrics: Arc<Metrics>,
}

/// What is known while sockets are full.
#[derive(Debug)]
struct Pressure {
    neighbours: Neighbours,
    last_full: Instant,
}

impl QuicSocket {
    /// # Errors
    /// Those of the system calls, and that there is no runtime.
    pub fn new(sockets: QuicSockets, metrics: Arc<Metrics>) -> io::Result<Self> {
        let QuicSockets { receiving, spares } = sockets;
        let with_state = |socket: UdpSocket| {
            let state = UdpSocketState::new((&socket).into())?;
            io::Result::Ok((socket, state))
        };
        let (receiving, state) = with_state(receiving)?;
        Ok(Self {
            receiving: tokio::net::UdpSocket::from_std(receiving)?,
            state,
            spares: spares.into_iter().map(with_state).collect::<io::Result<_>>()?,
            is_pressed: AtomicBool::new(false),
            pressure: Mutex::new(Pressure { neighbours: Neighbours::new(), last_full: Instant::now() }),
            retry: Mutex::default(),
            metrics,
        })
    }

    /// Sends from the first socket that has room.
    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let is_full =
            |sent: &io::Result<()>| sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        let mut sent = self.state.try_send((&self.receiving).into(), transmit);
        if is_full(&sent) {
            lock(&self.pressure).last_full = Instant::now();
            self.is_pressed.store(true, Ordering::Relaxed);
        }
        for (socket, state) in &self.spares {
            if !is_full(&sent) {
                break;
            }
            sent = state.try_send(socket.into(), transmit);
        }
        sent
    }

    /// Whether a datagram would only wait behind others, for a neighbour that the kernel is looking for.
    fn would_wait(&self, client: SocketAddr) -> bool {
        let now = Instant::now();
        let mut pressure = lock(&self.pressure);
        if now.saturating_duration_since(pressure.last_full) > PRESSURE {
            self.is_pressed.store(false, Ordering::Relaxed);
            return false;
        }
        pressure.neighbours.update(now);
        pressure.neighbours.is_sought(client)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncUdpSocket for QuicSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    /// Always has sent or dropped the datagrams when it returns.
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let reason = if self.is_pressed.load(Ordering::Relaxed) && self.would_wait(transmit.destination) {
            DropReason::SendBufferFull
        } else {
            match self.send(transmit) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => DropReason::SendBufferFull,
                // Probes find out how long a datagram may be by sending longer ones (RFC 9000 section 14.4).
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => return Ok(()),
                Err(_) => DropReason::SendFailed,
            }
        };
        let datagrams = transmit.segment_size.map_or(1, |size| transmit.contents.len().div_ceil(size.max(1)));
        (0..datagrams).for_each(|_| self.metrics.dropped(reason));
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut retry = lock(&self.retry);
        loop {
            let is_failing = retry.is_some();
            if let Some(pause) = retry.as_mut() {
                ready!(pause.as_mut().poll(context));
            }
            ready!(self.receiving.poll_recv_ready(context))?;
            let receive = || self.state.recv((&self.receiving).into(), buffers, received);
            match self.receiving.try_io(Interest::READABLE, receive) {
                Ok(count) => {
                    *retry = None;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if udp_socket::is_of_a_message(&error) => *retry = None,
                Err(error) if udp_socket::is_of_the_descriptor(&error) => return Poll::Ready(Err(error)),
                Err(error) => {
                    // Logged once, not a hundred times a second for as long as it lasts.
                    if !is_failing {
                        tracing::warn!(%error, "cannot receive QUIC datagrams; retrying");
                    }
                    *retry = Some(Box::pin(sleep(udp_socket::RETRY)));
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.receiving.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

/// Nobody waits to send.
#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::Ipv4RecvErr;

    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn socket() -> Arc<QuicSocket> {
        let sockets = QuicSockets::bind(LOOPBACK).unwrap();
        Arc::new(QuicSocket::new(sockets, Arc::default()).unwrap())
    }

    fn transmit(destination: SocketAddr) -> Transmit<'static> {
        Transmit { destination, ecn: None, contents: b"datagram", segment_size: None, src_ip: None }
    }

    async fn receive(socket: &QuicSocket) -> io::Result<usize> {
        let (mut octets, mut received) = (vec![0; 65_535], [RecvMeta::default()]);
        poll_fn(|context| socket.poll_recv(context, &mut [IoSliceMut::new(&mut octets)], &mut received)).await
    }

    #[tokio::test]
    async fn an_address_is_bound_by_one_listener_and_its_spare_sockets_receive_nothing() {
        let socket = socket();
        let address = socket.local_addr().unwrap();
        QuicSockets::bind(address).unwrap_err();
        udp_socket::bind(address).unwrap_err();
        for _ in 0..64 {
            let client = UdpSocket::bind(LOOPBACK).unwrap();
            client.send_to(b"datagram", address).unwrap();
            assert_eq!(receive(&socket).await.unwrap(), 1);
        }
    }

    /// On a clock that stands still for as long as nobody waits for it.
    #[tokio::test(start_paused = true)]
    async fn an_answer_that_could_not_be_delivered_neither_ends_a_listener_nor_holds_it_up() {
        let (socket, began) = (socket(), tokio::time::Instant::now());
        setsockopt(&socket.receiving, Ipv4RecvErr, &true).unwrap();
        let closed = UdpSocket::bind(LOOPBACK).and_then(|client| client.local_addr()).unwrap();
        socket.try_send(&transmit(closed)).unwrap();
        let client = UdpSocket::bind(LOOPBACK).unwrap();
        client.send_to(b"datagram", socket.local_addr().unwrap()).unwrap();
        assert_eq!(receive(&socket).await.unwrap(), 1);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    /// W7. Neighbours are asked about while a socket is full and a while longer; in quiet times nothing is looked up for a datagram.
    #[tokio::test]
    async fn neighbours_are_asked_about_since_a_socket_was_full_and_not_for_ever() {
        let socket = socket();
        let client = UdpSocket::bind(LOOPBACK).and_then(|client| client.local_addr()).unwrap();
        let pressed = |last_full: Instant| {
            lock(&socket.pressure).last_full = last_full;
            socket.is_pressed.store(true, Ordering::Relaxed);
            socket.try_send(&transmit(client)).unwrap();
            socket.is_pressed.load(Ordering::Relaxed)
        };
        assert!(pressed(Instant::now()));
        assert!(!pressed(Instant::now().checked_sub(PRESSURE * 2).unwrap()));
    }

    #[tokio::test]
    async fn what_the_network_refuses_is_counted_and_fails_nothing() {
        let socket = socket();
        // Port 0 is nobody's.
        socket.try_send(&transmit(LOOPBACK)).unwrap();
        let text = crate::telemetry::metrics::Exporter::new(Arc::clone(&socket.metrics));
        let text = text.encode(crate::telemetry::metrics::Format::Prometheus).unwrap();
        assert!(text.contains("headless_dns_dropped_packets_total{reason=\"send_failed\"} 1\n"), "{text}");
        assert!(text.contains("headless_dns_dropped_packets_total{reason=\"send_buffer_full\"} 0\n"), "{text}");
    }

    /// RFC 9000 section 14.4: "loss of a PMTU probe … is not a reliable indication of congestion", and no answer is lost with it.
    #[tokio::test]
    async fn a_probe_that_is_too_long_for_the_path_is_no_answer_that_was_dropped() {
        let socket = socket();
        let too_long = vec![0; usize::from(u16::MAX)];
        let client = UdpSocket::bind(LOOPBACK).and_then(|client| client.local_addr()).unwrap();
        socket.try_send(&Transmit { contents: &too_long, ..transmit(client) }).unwrap();
        let text = crate::telemetry::metrics::Exporter::new(Arc::clone(&socket.metrics));
        let text = text.encode(crate::telemetry::metrics::Format::Prometheus).unwrap();
        assert!(text.contains("headless_dns_dropped_packets_total{reason=\"send_failed\"} 0\n"), "{text}");
    }
}
