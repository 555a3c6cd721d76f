//! TLS to an upstream: its certificate is checked against the system's roots and the configured name.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The protocol's name in the handshake (RFC 7858 section 6).
const ALPN: &[u8] = b"dot";

/// Makes connections to servers with one name.
pub(super) struct TlsName {
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl TlsName {
    /// Reads the system's roots; the variable `SSL_CERT_FILE` names others.
    ///
    /// # Errors
    /// The name is none, or there are no roots.
    pub fn new(name: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the system has no root certificates for TLS upstreams",
            ));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        Ok(Self { name, connector: Arc::new(config).into() })
    }

    /// # Errors
    /// The handshake failed: above all, a certificate that is not for this name.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let connected = self.connector.connect(self.name.clone(), stream).await;
        connected.map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, format!("TLS: {error}")))
    }
}
