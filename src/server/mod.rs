//! Transports: bytes in, bytes out. What an answer says is decided in `authority`.
//!
//! ```text
//! udp.rs     datagrams ─┐                       ┌─▶ wire::query parses ─▶ authority ─▶ encode.rs writes
//!                       ├─▶ responder.rs: screen ┤
//! stream.rs  TCP ───────┘                       └─▶ what is unusual: hickory.rs ─▶ authority ─▶ hickory.rs
//! ```

mod convert;
mod encode;
mod hickory;
mod limits;
mod responder;
mod stream;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use responder::Responder;

use crate::metrics::Metrics;

/// Connections that may wait to be accepted, on each address.
const BACKLOG: i32 = 1024;

/// What is allowed to TCP clients.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Open connections, over all clients.
    pub connections: usize,
    /// Open connections of one client address.
    pub connections_per_client: usize,
    /// How long a connection may go without a whole query, and a write without an end.
    pub idle: Duration,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({protocol}): {source}{}", advice(.source, .address))]
pub struct BindError {
    pub address: SocketAddr,
    pub protocol: &'static str,
    source: io::Error,
}

/// What a person can do about it.
fn advice(error: &io::Error, address: &SocketAddr) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "; another program has it (see: ss -lntup 'sport = :{}'), choose another with --listen",
                address.port()
            )
        }
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "; ports below 1024 need the capability NET_BIND_SERVICE, choose a higher one with --listen".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has the address".to_owned(),
        _ => String::new(),
    }
}

/// Sockets that are bound, and not answered on yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<(UdpSocket, TcpListener)>,
    addresses: Vec<SocketAddr>,
}

/// Binds UDP and TCP on every address. Port 0 becomes a free port, the same for both.
///
/// # Errors
/// The first address that cannot be had.
pub fn bind(listen: &[SocketAddr]) -> Result<Bound, BindError> {
    let mut bound = Bound { sockets: Vec::new(), addresses: Vec::new() };
    for &wanted in listen {
        let (udp, tcp, address) = bind_both(wanted)?;
        bound.sockets.push((udp, tcp));
        bound.addresses.push(address);
    }
    Ok(bound)
}

/// Tries for a port that is free for both protocols, where any will do.
const PORT_TRIES: usize = 16;

fn bind_both(wanted: SocketAddr) -> Result<(UdpSocket, TcpListener, SocketAddr), BindError> {
    let mut tries = if wanted.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let failed = |protocol, address| move |source| BindError { address, protocol, source };
        let tcp = bind_tcp(wanted).map_err(failed("TCP", wanted))?;
        let address = tcp.local_addr().map_err(failed("TCP", wanted))?;
        match bind_udp(address) {
            Ok(udp) => return Ok((udp, tcp, address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(source) => return Err(BindError { address, protocol: "UDP", source }),
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a restart does not wait for the connections of its predecessor to be forgotten.
    socket.set_reuse_address(true)?;
    prepare(&socket, address)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn bind_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    prepare(&socket, address)?;
    UdpSocket::from_std(socket.into())
}

fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses and may both be given.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())
}

impl Bound {
    /// The addresses as they are, in the order they were asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers until `shutdown`, and then until the open connections have ended or are cut by the caller.
    pub async fn run(
        self,
        responder: Arc<Responder>,
        limits: StreamLimits,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) {
        let tasks = TaskTracker::new();
        let connections = Arc::new(limits::Connections::new(limits, metrics));
        for (udp, tcp) in self.sockets {
            tasks.spawn(udp::serve(udp, Arc::clone(&responder), shutdown.clone()));
            tasks.spawn(stream::serve(
                tcp,
                Arc::clone(&responder),
                Arc::clone(&connections),
                tasks.clone(),
                shutdown.clone(),
            ));
        }
        tasks.close();
        tasks.wait().await;
    }
}
