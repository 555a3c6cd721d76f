//! Binds the addresses. Exclusive addresses are bound first of all, so that the start fails if one is taken. Addresses shared
//! with another process are bound after synchronisation, because from then on the kernel sends clients here.

use std::net::SocketAddr;

use anyhow::ensure;

use super::threads::cores;
use crate::config::Config;
use crate::server::{self, BindError, Certificate, CertificateError, CertificateFiles, Encrypted};
use crate::table::TableReader;
use crate::telemetry::metrics::Label;
use crate::telemetry::readiness::Readiness;

/// The addresses to listen on.
pub(super) enum Listening {
    /// Bound, and exclusive to this process.
    Bound(server::Bound),
    /// To be bound later, beside other processes.
    Shared(Addresses),
}

/// The configured addresses, and the certificate of the encrypted ones.
pub(super) struct Addresses {
    listen: Vec<SocketAddr>,
    udp_workers: usize,
    encrypted: Option<Encrypted>,
    is_shared: bool,
}

/// The addresses of the pages, which the log names.
#[derive(Clone, Copy)]
pub(super) struct Pages {
    pub admin: Option<SocketAddr>,
    pub probes: Option<SocketAddr>,
}

impl Listening {
    /// Reads the certificate, and binds the addresses unless they are shared.
    ///
    /// # Errors
    /// The certificate cannot be used, or an address cannot be bound.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let addresses = Addresses {
            listen: config.listen.clone(),
            udp_workers: udp_workers(config),
            encrypted: encrypted(config)?,
            is_shared: config.share_address,
        };
        Ok(if addresses.is_shared { Self::Shared(addresses) } else { Self::Bound(addresses.bind()?) })
    }

    /// Returns the sockets, once shared addresses may be bound. From this call on, readiness is blocked until then.
    pub fn sockets(
        self,
        pages: Pages,
        readiness: &Readiness,
        table: TableReader,
    ) -> impl Future<Output = anyhow::Result<server::Bound>> + use<> {
        let latch = readiness.block("listening");
        async move {
            let bound = match self {
                Self::Bound(bound) => bound,
                Self::Shared(addresses) => {
                    let (listen, [admin, probes]) = (spaced(&addresses.listen), pages.shown());
                    tracing::info!(
                        listen,
                        admin,
                        probes,
                        "waiting for synchronisation before listening on the shared address"
                    );
                    latch.is_last().await;
                    // A task that fails drops its latches too.
                    ensure!(table.pin().is_synchronised(), "the watch of the cluster failed");
                    addresses.bind()?
                }
            };
            drop(latch);
            announce(&bound, pages);
            Ok(bound)
        }
    }
}

impl Addresses {
    fn bind(&self) -> Result<server::Bound, BindError> {
        let bind = if self.is_shared { server::bind_shared } else { server::bind };
        let mut bound = bind(&self.listen, self.udp_workers)?;
        if let Some(encrypted) = &self.encrypted {
            bound.bind_encrypted(encrypted)?;
        }
        Ok(bound)
    }
}

impl Pages {
    /// The addresses as the log has them.
    fn shown(self) -> [String; 2] {
        let shown = |address: SocketAddr| format!("http://{address}/");
        [self.admin, self.probes].map(|address| address.map_or_else(|| "off".to_owned(), shown))
    }
}

/// Logs the addresses.
fn announce(bound: &server::Bound, pages: Pages) {
    let [admin, probes] = pages.shown();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        listen = spaced(bound.addresses()),
        receive_buffer = bound.receive_buffer(),
        admin,
        probes,
        "answering over UDP and TCP"
    );
    for (transport, address) in bound.encrypted_addresses() {
        tracing::info!(%address, "answering over {}", transport.as_str().to_ascii_uppercase());
    }
}

fn spaced(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The configured number of UDP workers, by default one per core.
pub(super) fn udp_workers(config: &Config) -> usize {
    match config.udp_workers {
        0 => cores(),
        workers => workers,
    }
}

/// The encrypted transports, if any is on. Reads the certificate.
fn encrypted(config: &Config) -> Result<Option<Encrypted>, CertificateError> {
    // The configuration requires both files if one of the lists is not empty.
    let (Some(certificate), Some(key)) = (config.tls_cert.clone(), config.tls_key.clone()) else { return Ok(None) };
    let (tls, https, quic) = (config.tls_listen.clone(), config.https_listen.clone(), config.quic_listen.clone());
    if tls.is_empty() && https.is_empty() && quic.is_empty() {
        return Ok(None);
    }
    let certificate = Certificate::read(CertificateFiles { certificate, key })?;
    Ok(Some(Encrypted { certificate, tls, https, https_path: config.https_path.clone(), quic }))
}
