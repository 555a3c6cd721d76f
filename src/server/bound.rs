//! Sockets: bound first, so that startup fails if an address is not available, and answered on later.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{self, ConnectionContext};
use super::bind_error::BindError;
use super::encrypted::{self, Encrypted, EncryptedSockets};
use super::limits::{Connections, StreamLimits};
use super::responder::Responder;
use super::udp::UdpWorker;
use super::{backlog, stream, udp};
use crate::telemetry::Reporting;
use crate::telemetry::metrics::Transport;

/// Bound sockets that nothing is answered on yet.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<(Vec<UdpSocket>, TcpListener)>,
    addresses: Vec<SocketAddr>,
    encrypted: Option<EncryptedSockets>,
    is_shared: bool,
}

/// Binds UDP and TCP on every address, UDP once for each of `udp_workers`. Port 0 becomes a free port, the same for both.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(listen: &[SocketAddr], udp_workers: usize) -> Result<Bound, BindError> {
    bind_all(listen, udp_workers, false)
}

/// The same, on addresses that other processes of this user may bind in the same way. The kernel then chooses, by the client's
/// address, which process receives a query: queries arrive from now on, and have to be answered.
///
/// # Errors
/// The first address that cannot be bound, or is not shared by the process that has it.
pub fn bind_shared(listen: &[SocketAddr], udp_workers: usize) -> Result<Bound, BindError> {
    bind_all(listen, udp_workers, true)
}

fn bind_all(listen: &[SocketAddr], udp_workers: usize, is_shared: bool) -> Result<Bound, BindError> {
    let mut bound = Bound { sockets: Vec::new(), addresses: Vec::new(), encrypted: None, is_shared };
    for &wanted in listen {
        let (udp, tcp, address) = bind_both(wanted, udp_workers, is_shared)?;
        bound.sockets.push((udp, tcp));
        bound.addresses.push(address);
    }
    Ok(bound)
}

/// The flag that sets the unencrypted addresses.
const LISTEN: &str = "--listen";
/// Tries for a port that is free for both protocols, where any will do.
const PORT_TRIES: usize = 16;

fn bind_both(
    wanted: SocketAddr,
    udp_workers: usize,
    is_shared: bool,
) -> Result<(Vec<UdpSocket>, TcpListener, SocketAddr), BindError> {
    let mut tries = if wanted.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let failed = |source| BindError { address: wanted, protocol: "TCP", flag: LISTEN, source };
        let tcp = accept::bind(wanted, is_shared).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        match udp::bind(address, udp_workers, is_shared) {
            Ok(udp) => return Ok((udp, tcp, address)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            Err(source) => return Err(BindError { address, protocol: "UDP", flag: LISTEN, source }),
        }
    }
}

impl Bound {
    /// The bound addresses, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Binds the encrypted transports too.
    ///
    /// # Errors
    /// The first address that cannot be bound.
    pub fn bind_encrypted(&mut self, encrypted: &Encrypted) -> Result<(), BindError> {
        self.encrypted = Some(encrypted::bind(encrypted, self.is_shared)?);
        Ok(())
    }

    /// The smallest receive buffer of the UDP sockets, octets.
    pub fn receive_buffer(&self) -> usize {
        self.sockets.iter().flat_map(|(udp, _)| udp).map(backlog::receive_buffer).min().unwrap_or_default()
    }

    /// The bound addresses of the encrypted transports, each list in the order of the configuration.
    pub fn encrypted_addresses(&self) -> &[(Transport, SocketAddr)] {
        self.encrypted.as_ref().map_or(&[], EncryptedSockets::addresses)
    }

    /// Answers until `shutdown`, and then what has arrived by then. The listeners close first; once nobody can connect any more,
    /// connections are closed after the responses that are due.
    ///
    /// Everything but UDP runs on the threads of the runtime that this is called on. Encoding thousands of records takes some
    /// 100 µs there: not a runtime for anything that has to be quicker.
    ///
    /// # Errors
    /// A thread or TLS cannot be set up, or one of the parts ended by itself, which is a bug.
    pub async fn run(
        self,
        responder: Arc<Responder>,
        limits: StreamLimits,
        reporting: Reporting,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let Reporting { metrics, heartbeats } = reporting;
        let (mut parts, tasks) = (JoinSet::new(), TaskTracker::new());
        let closing = CancellationToken::new();
        // However this ends, connections do not outlive it for long.
        let closing_guard = closing.clone().drop_guard();
        let connections = Arc::new(Connections::new(limits, metrics));
        let context = ConnectionContext { connections, tasks: tasks.clone(), shutdown: shutdown.clone(), closing };
        for ((udp, tcp), address) in self.sockets.into_iter().zip(self.addresses) {
            backlog::check_buffers(&udp, address);
            let workers = udp.len();
            for (i, socket) in udp.into_iter().enumerate() {
                let heartbeat = heartbeats.register(format!("UDP worker {i} on {address}"), udp::STALLED);
                let (responder, tasks, shutdown) = (Arc::clone(&responder), tasks.clone(), shutdown.clone());
                let socket = Arc::new(socket);
                let worker = UdpWorker { socket, workers, responder, heartbeat, tasks, shutdown };
                let ended = udp::spawn(worker, format!("udp-{i}"))?;
                // A worker that panics sends nothing.
                parts.spawn(async { ended.await.unwrap_or_else(|_| Err(io::Error::other("a UDP worker failed"))) });
            }
            let responder = Arc::clone(&responder);
            let serve_one = move |accepted| stream::serve(accepted, Arc::clone(&responder));
            parts.spawn(accept::serve(tcp, serve_one, context.clone()));
        }
        if let Some(encrypted) = self.encrypted {
            encrypted.serve(&responder, &context, &mut parts)?;
        }
        while let Some(ended) = parts.join_next().await {
            ended??;
            if !shutdown.is_cancelled() {
                return Err(io::Error::other("a part of the server ended by itself"));
            }
        }
        tasks.close();
        drop(closing_guard);
        tasks.wait().await;
        Ok(())
    }
}
