//! The encrypted transports together: TLS, HTTPS and QUIC with one certificate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use super::accept::Conversations;
use super::certificate::Certificate;
use super::https::Https;
use super::{BindError, Responder, accept, https, quic, tls};
use crate::telemetry::metrics::Transport;

/// What is to be served encrypted, and where. Port 0 becomes a free port.
#[derive(Clone, Debug)]
pub struct Encrypted {
    pub certificate: Arc<Certificate>,
    pub tls: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    /// The path of the URL at which HTTPS answers.
    pub https_path: String,
    pub quic: Vec<SocketAddr>,
}

/// Sockets of the encrypted transports, not answered on yet.
#[derive(Debug)]
pub(super) struct Bound {
    certificate: Arc<Certificate>,
    tls: Vec<TcpListener>,
    https: Vec<TcpListener>,
    https_path: String,
    quic: Vec<UdpSocket>,
    addresses: Vec<(Transport, SocketAddr)>,
}

/// Binds every address, those of TLS and HTTPS so that they can be shared where that is wanted. QUIC never shares: a
/// connection lives in one process.
///
/// # Errors
/// The first address that cannot be had.
pub(super) fn bind(wanted: &Encrypted, is_shared: bool) -> Result<Bound, BindError> {
    let mut addresses = Vec::new();
    let bind_tcp = |address| accept::bind(address, is_shared);
    let tls = ("TLS", "--tls-listen", Transport::Tls);
    let tls = bind_each(&wanted.tls, tls, bind_tcp, TcpListener::local_addr, &mut addresses)?;
    let https = ("HTTPS", "--https-listen", Transport::Https);
    let https = bind_each(&wanted.https, https, bind_tcp, TcpListener::local_addr, &mut addresses)?;
    let quic = ("QUIC", "--quic-listen", Transport::Quic);
    let quic = bind_each(&wanted.quic, quic, quic::bind, UdpSocket::local_addr, &mut addresses)?;
    let (certificate, https_path) = (Arc::clone(&wanted.certificate), wanted.https_path.clone());
    Ok(Bound { certificate, tls, https, https_path, quic, addresses })
}

fn bind_each<S>(
    wanted: &[SocketAddr],
    (protocol, flag, transport): (&'static str, &'static str, Transport),
    bind: impl Fn(SocketAddr) -> io::Result<S>,
    local_address: impl Fn(&S) -> io::Result<SocketAddr>,
    addresses: &mut Vec<(Transport, SocketAddr)>,
) -> Result<Vec<S>, BindError> {
    let mut sockets = Vec::new();
    for &address in wanted {
        let failed = |source| BindError { address, protocol, flag, source };
        let socket = bind(address).map_err(failed)?;
        addresses.push((transport, local_address(&socket).map_err(failed)?));
        sockets.push(socket);
    }
    Ok(sockets)
}

impl Bound {
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// Answers until shutdown: what listens is one of `parts`, each conversation a task of `tasks`.
    ///
    /// # Errors
    /// TLS cannot be had.
    pub fn serve(
        self,
        responder: &Arc<Responder>,
        conversations: &Conversations,
        parts: &mut JoinSet<io::Result<()>>,
    ) -> io::Result<()> {
        let acceptor = self.certificate.acceptor(tls::ALPN).map_err(io::Error::other)?;
        for listener in self.tls {
            let (acceptor, responder) = (acceptor.clone(), Arc::clone(responder));
            let converse = move |accepted| tls::serve(accepted, acceptor.clone(), Arc::clone(&responder));
            parts.spawn(accept::serve(listener, converse, conversations.clone()));
        }
        let acceptor = self.certificate.acceptor(https::ALPN).map_err(io::Error::other)?;
        let https = Arc::new(Https { acceptor, path: self.https_path, responder: Arc::clone(responder) });
        for listener in self.https {
            let https = Arc::clone(&https);
            let converse = move |accepted| Arc::clone(&https).serve(accepted);
            parts.spawn(accept::serve(listener, converse, conversations.clone()));
        }
        let Conversations { connections, tasks, shutdown, .. } = conversations;
        tasks.spawn(Arc::clone(&self.certificate).follow(shutdown.clone()));
        if !self.quic.is_empty() {
            let (responder, idle) = (Arc::clone(responder), connections.idle());
            parts.spawn(quic::serve(self.quic, self.certificate, responder, idle, shutdown.clone()));
        }
        Ok(())
    }
}
