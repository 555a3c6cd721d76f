//! Certificates that change, and clients that trust them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// The name that all certificates here are for.
pub const HOST: &str = "localhost";

/// A folder with a certificate, mounted as Kubernetes mounts a Secret: the files are links into a folder that is a link
/// itself.
pub struct Secret {
    folder: TempDir,
    version: usize,
}

impl Secret {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["tls.crt", "tls.key"] {
            std::os::unix::fs::symlink(Path::new("..data").join(name), folder.path().join(name)).expect("a link");
        }
        let mut secret = Self { folder, version: 0 };
        secret.renew();
        secret
    }

    /// Puts another certificate and key in place, and gives the certificate.
    pub fn renew(&mut self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).expect("a certificate");
        self.replace(&made.cert.pem(), &made.signing_key.serialize_pem());
        made.cert.der().clone()
    }

    /// Puts other contents in place.
    pub fn replace(&mut self, certificate: &str, key: &str) {
        self.version += 1;
        let version = format!("..{}", self.version);
        let data = self.folder.path().join(&version);
        std::fs::create_dir(&data).expect("a folder");
        std::fs::write(data.join("tls.crt"), certificate).expect("written");
        std::fs::write(data.join("tls.key"), key).expect("written");
        let next = self.folder.path().join("..data_tmp");
        std::os::unix::fs::symlink(version, &next).expect("a link");
        std::fs::rename(next, self.folder.path().join("..data")).expect("renamed");
    }

    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.folder.path().join("tls.key")
    }

    /// A client's view of TLS that trusts the certificate that is there now, and asks for `protocol` if for any.
    pub fn client(&self, protocol: Option<&[u8]>) -> ClientConfig {
        let current = CertificateDer::from_pem_file(self.certificate()).expect("a certificate");
        client_trusting([current], protocol)
    }
}

/// The same that trusts these certificates.
pub fn client_trusting(
    certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    protocol: Option<&[u8]>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    certificates.into_iter().for_each(|certificate| roots.add(certificate).expect("one to trust"));
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
    config
}
