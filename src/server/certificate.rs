//! The certificate of the encrypted transports: read from two files, and reloaded while the server runs.
//!
//! ```text
//! files ──every few seconds──▶ changed? ──▶ good? ──▶ current ──▶ each new handshake
//!                                             └─ no: an error in the log, and the previous one stays
//! ```
//!
//! Open connections keep the certificate of their handshake. The files are opened by their paths each time, because
//! Kubernetes updates a mounted Secret by replacing a symbolic link.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig, SupportedProtocolVersion};
use tokio_util::sync::CancellationToken;

/// How often the files are read. Certificates are renewed days before they expire.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// A certificate chain with its private key: the latest usable one that the files had.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    current: ArcSwap<CertifiedKey>,
}

/// The files of the certificate.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The server's certificate and those of intermediate authorities, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM: PKCS #8, PKCS #1 or SEC1.
    pub key: PathBuf,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is not a PEM file with {wanted}: {source}", file.display())]
    Pem { file: PathBuf, wanted: &'static str, source: pem::Error },
    #[error("{} cannot be used: {source}", file.display())]
    Unusable { file: PathBuf, source: rustls::Error },
    #[error("the private key in {} does not match the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
}

impl CertificateError {
    fn pem(file: &Path, wanted: &'static str, source: pem::Error) -> Self {
        Self::Pem { file: file.to_owned(), wanted, source }
    }
}

impl Certificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// The first file that cannot be used, and why.
    pub fn read(files: CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let current = ArcSwap::from_pointee(files.read()?);
        Ok(Arc::new(Self { files, current }))
    }

    /// Reloads the files whenever they have changed, until `shutdown`.
    pub(super) async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut reloader = Reloader { certificate: self, trouble: None };
        loop {
            // Reading may block on a disk, or on a file system that is no longer there.
            let Ok(next) = tokio::task::spawn_blocking(move || reloader.reload()).await else { return };
            reloader = next;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RELOAD_INTERVAL) => {}
            }
        }
    }

    /// The configuration of a transport that clients select with `protocol` (ALPN). Each new handshake uses the latest
    /// certificate.
    ///
    /// # Errors
    /// The cryptography provider does not support one of the versions.
    pub(super) fn server_config(
        self: &Arc<Self>,
        protocol: &[u8],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The only cryptography provider of the program.
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// Compares the files with the certificate in use.
struct Reloader {
    certificate: Arc<Certificate>,
    trouble: Option<Trouble>,
}

/// What was wrong with the files when they were last read.
struct Trouble {
    message: String,
    is_logged: bool,
}

impl Reloader {
    /// Reads the files, and uses them if they are new and good.
    fn reload(mut self) -> Self {
        let Certificate { files, current } = &*self.certificate;
        self.trouble = match files.read() {
            Ok(found) => {
                if found.cert != current.load().cert {
                    current.store(Arc::new(found));
                    tracing::info!(file = %files.certificate.display(), "TLS certificate reloaded");
                }
                None
            }
            Err(error) => {
                let message = error.to_string();
                let before = self.trouble.filter(|before| before.message == message);
                // One file may be new and the other not yet: only what is wrong twice is an error.
                if before.as_ref().is_some_and(|before| !before.is_logged) {
                    tracing::error!(%error, "TLS certificate not reloaded; the previous one stays in use");
                }
                Some(Trouble { message, is_logged: before.is_some() })
            }
        };
        self
    }
}

impl CertificateFiles {
    /// Reads the certificate and the key, which have to match.
    fn read(&self) -> Result<CertifiedKey, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(&octets(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
            .map_err(|source| CertificateError::pem(&self.certificate, "a certificate", source))?;
        let key = PrivateKeyDer::from_pem_slice(&octets(&self.key)?)
            .map_err(|source| CertificateError::pem(&self.key, "a private key", source))?;
        let key = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|source| CertificateError::Unusable { file: self.key.clone(), source })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // The public half of some keys cannot be told; those are trusted.
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(CertificateError::Mismatch { certificate: self.certificate.clone(), key: self.key.clone() })
            }
            Err(source) => Err(CertificateError::Unusable { file: self.certificate.clone(), source }),
        }
    }
}

fn octets(file: &Path) -> Result<Vec<u8>, CertificateError> {
    crate::files::read(file).map_err(|source| CertificateError::Read { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Folder {
        _folder: tempfile::TempDir,
        files: CertificateFiles,
    }

    fn folder() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        let folder = Folder { _folder: folder, files };
        let (certificate, key) = pair();
        folder.write(&certificate, &key);
        folder
    }

    /// A certificate and its key.
    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    impl Folder {
        fn write(&self, certificate: &str, key: &str) {
            fs::write(&self.files.certificate, certificate).unwrap();
            fs::write(&self.files.key, key).unwrap();
        }

        /// Why the files cannot be used, without the folder.
        fn complaint(&self) -> String {
            let error = Certificate::read(self.files.clone()).unwrap_err().to_string();
            error.replace(&format!("{}/", self._folder.path().display()), "")
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named_with_the_reason() {
        let folder = folder();
        let ((certificate, key), (_, other_key)) = (pair(), pair());
        for (certificate, key, complaint) in [
            ("", &*key, "tls.crt is not a PEM file with a certificate: "),
            (&*key, &*key, "tls.crt is not a PEM file with a certificate: "),
            (&*certificate, "", "tls.key is not a PEM file with a private key: "),
            (&*certificate, &*certificate, "tls.key is not a PEM file with a private key: "),
            (&*certificate, &*other_key, "the private key in tls.key does not match the certificate in tls.crt"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &*key, "tls.crt cannot be used: "),
            (
                &*certificate,
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "tls.key cannot be used: ",
            ),
        ] {
            folder.write(certificate, key);
            let found = folder.complaint();
            assert!(found.starts_with(complaint), "{found} instead of {complaint}");
        }
        fs::remove_file(&folder.files.key).unwrap();
        folder.complaint().strip_prefix("cannot read tls.key: ").expect("a file that is not there");
    }

    #[test]
    fn a_new_certificate_is_used_and_a_broken_one_is_not_and_is_logged_once() {
        let folder = folder();
        let certificate = Certificate::read(folder.files.clone()).unwrap();
        let in_use = || certificate.current.load().cert.clone();
        let mut reloader = Reloader { certificate: Arc::clone(&certificate), trouble: None };
        let first = in_use();
        let (new, key) = pair();
        folder.write(&new, "half a key");
        reloader = reloader.reload();
        assert!(reloader.trouble.as_ref().is_some_and(|trouble| !trouble.is_logged), "the key may follow");
        reloader = reloader.reload();
        assert!(reloader.trouble.as_ref().is_some_and(|trouble| trouble.is_logged));
        folder.write("", &key);
        reloader = reloader.reload();
        assert!(
            reloader.trouble.as_ref().is_some_and(|trouble| !trouble.is_logged),
            "another trouble, which may pass too"
        );
        assert_eq!(in_use(), first);
        folder.write(&new, &key);
        reloader = reloader.reload();
        assert!(reloader.trouble.is_none());
        assert_ne!(in_use(), first);
    }
}
