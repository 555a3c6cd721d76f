//! The encrypted transports: TLS, HTTPS and QUIC, with one certificate.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rustls::DEFAULT_VERSIONS;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::accept::ConnectionContext;
use super::bind_error::BindError;
use super::certificate::Certificate;
use super::https::Https;
use super::quic::QuicSockets;
use super::responder::Responder;
use super::{accept, https, quic, tls};
use crate::telemetry::metrics::Transport;

/// The encrypted transports that are to be served, and where. Port 0 becomes a free port.
#[derive(Clone, Debug)]
pub struct Encrypted {
    pub certificate: Arc<Certificate>,
    pub tls: Vec<SocketAddr>,
    pub https: Vec<SocketAddr>,
    /// The path of the URL at which HTTPS answers.
    pub https_path: String,
    pub quic: Vec<SocketAddr>,
}

/// Bound sockets of the encrypted transports that nothing is answered on yet.
#[derive(Debug)]
pub(super) struct EncryptedSockets {
    certificate: Arc<Certificate>,
    tls: Vec<TcpListener>,
    https: Vec<TcpListener>,
    https_path: String,
    quic: Vec<QuicSockets>,
    addresses: Vec<(Transport, SocketAddr)>,
}

/// Binds every address. Other processes may share those of TLS and HTTPS if `is_shared`; those of QUIC are never shared, as
/// a connection lives in one process.
///
/// # Errors
/// The first address that cannot be bound.
pub(super) fn bind(wanted: &Encrypted, is_shared: bool) -> Result<EncryptedSockets, BindError> {
    let mut addresses = Vec::new();
    let bind_tcp = |address| accept::bind(address, is_shared);
    let tls = ("TLS", "--tls-listen", Transport::Tls);
    let tls = bind_each(&wanted.tls, tls, bind_tcp, TcpListener::local_addr, &mut addresses)?;
    let https = ("HTTPS", "--https-listen", Transport::Https);
    let https = bind_each(&wanted.https, https, bind_tcp, TcpListener::local_addr, &mut addresses)?;
    let quic = ("QUIC", "--quic-listen", Transport::Quic);
    let quic = bind_each(&wanted.quic, quic, QuicSockets::bind, QuicSockets::local_addr, &mut addresses)?;
    let (certificate, https_path) = (Arc::clone(&wanted.certificate), wanted.https_path.clone());
    Ok(EncryptedSockets { certificate, tls, https, https_path, quic, addresses })
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

impl EncryptedSockets {
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// Answers until shutdown: each listener is one of `parts`, each connection a task of the context.
    ///
    /// # Errors
    /// TLS cannot be set up, or the runtime cannot take a socket.
    pub fn serve(
        self,
        responder: &Arc<Responder>,
        context: &ConnectionContext,
        parts: &mut JoinSet<io::Result<()>>,
    ) -> io::Result<()> {
        let acceptor = |alpn| self.certificate.server_config(alpn, DEFAULT_VERSIONS).map(TlsAcceptor::from);
        let tls_acceptor = acceptor(tls::ALPN).map_err(io::Error::other)?;
        for listener in self.tls {
            let (acceptor, responder) = (tls_acceptor.clone(), Arc::clone(responder));
            let serve_one = move |accepted| tls::serve(accepted, acceptor.clone(), Arc::clone(&responder));
            parts.spawn(accept::serve(listener, serve_one, context.clone()));
        }
        let acceptor = acceptor(https::ALPN).map_err(io::Error::other)?;
        let https = Arc::new(Https::new(self.https_path, Arc::clone(responder)));
        for listener in self.https {
            let (acceptor, https) = (acceptor.clone(), Arc::clone(&https));
            let serve_one = move |accepted| Arc::clone(&https).serve(accepted, acceptor.clone());
            parts.spawn(accept::serve(listener, serve_one, context.clone()));
        }
        for sockets in self.quic {
            let listener = quic::Listener::new(sockets, &self.certificate, Arc::clone(responder), context.clone())?;
            parts.spawn(listener.serve());
        }
        context.tasks.spawn(self.certificate.follow(context.shutdown.clone()));
        Ok(())
    }
}
