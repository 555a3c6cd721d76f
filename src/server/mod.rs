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
mod sys;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use encode::{Encoding, encode};
pub use responder::{Batch, Responder, Worker};

use crate::metrics::Metrics;

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
    sockets: Vec<(Vec<std::net::UdpSocket>, TcpListener)>,
    addresses: Vec<SocketAddr>,
}

/// Binds UDP and TCP on every address, UDP once for each of `udp_workers`. Port 0 becomes a free port, the same for both.
///
/// Another process of the same user that binds so too shares the address, and takes over when this one goes.
///
/// # Errors
/// The first address that cannot be had.
pub fn bind(listen: &[SocketAddr], udp_workers: usize) -> Result<Bound, BindError> {
    let mut bound = Bound { sockets: Vec::new(), addresses: Vec::new() };
    for &wanted in listen {
        let (udp, tcp, address) = bind_both(wanted, udp_workers)?;
        let receive_buffer = udp.first().map(udp::receive_buffer).unwrap_or_default();
        tracing::debug!(%address, workers = udp.len(), receive_buffer, "bound");
        bound.sockets.push((udp, tcp));
        bound.addresses.push(address);
    }
    Ok(bound)
}

/// Tries for a port that is free for both protocols, where any will do.
const PORT_TRIES: usize = 16;

fn bind_both(
    wanted: SocketAddr,
    udp_workers: usize,
) -> Result<(Vec<std::net::UdpSocket>, TcpListener, SocketAddr), BindError> {
    let mut tries = if wanted.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let failed = |source| BindError { address: wanted, protocol: "TCP", source };
        let tcp = stream::bind(wanted).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        match udp::bind(address, udp_workers) {
            Ok(udp) => return Ok((udp, tcp, address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(source) => return Err(BindError { address, protocol: "UDP", source }),
        }
    }
}

impl Bound {
    /// The addresses as they are, in the order they were asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Answers until `shutdown`, and then what has arrived by then; TCP connections end after the answers that are due.
    ///
    /// # Errors
    /// A worker's thread cannot be had.
    pub async fn run(
        self,
        responder: Arc<Responder>,
        limits: StreamLimits,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let tasks = TaskTracker::new();
        let connections = Arc::new(limits::Connections::new(limits, metrics));
        let mut workers = Vec::new();
        for (udp, tcp) in self.sockets {
            for (i, socket) in udp.into_iter().enumerate() {
                workers.push(udp::spawn(socket, Arc::clone(&responder), shutdown.clone(), format!("udp-{i}"))?);
            }
            let (responder, connections) = (Arc::clone(&responder), Arc::clone(&connections));
            tasks.spawn(stream::serve(tcp, responder, connections, tasks.clone(), shutdown.clone()));
        }
        tasks.close();
        tasks.wait().await;
        for worker in workers {
            // Closed without a word, which is the word.
            let _ = worker.await;
        }
        Ok(())
    }
}
