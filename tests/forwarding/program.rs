//! The program as it is configured: upstreams over TLS, and from a file that changes.

use std::sync::atomic::AtomicUsize;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::support::common::extended_errors;
use crate::support::peers;
use crate::support::program::{Program, message};
use crate::support::upstream::answer_all;
use crate::transport::encrypted::clients::{HOST, Secret};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sandbox/redis.yaml");

async fn ask_program(program: &Program, name: &str) -> Message {
    let mut query = query(name, RecordType::A);
    query.metadata.recursion_desired = true;
    exchange(program.dns, &query, false).await.expect("an answer")
}

/// An upstream over TLS with a certificate for [`HOST`].
async fn tls_upstream(secret: &Secret, handshakes: &Arc<AtomicUsize>) -> FakeUpstream {
    let chain = vec![CertificateDer::from_pem_file(secret.certificate()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(secret.key()).expect("a key");
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"dot".to_vec()];
    let (acceptor, handshakes) = (TlsAcceptor::from(Arc::new(config)), Arc::clone(handshakes));
    FakeUpstream::streaming(move |stream, _| {
        let (acceptor, handshakes) = (acceptor.clone(), Arc::clone(&handshakes));
        Box::pin(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            handshakes.fetch_add(1, Ordering::SeqCst);
            answer_all(&mut stream).await;
        })
    })
    .await
}

/// F1.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_over_tls_is_asked_on_one_connection_if_its_certificate_is_for_the_name() {
    let (secret, handshakes) = (Secret::new(), Arc::<AtomicUsize>::default());
    let upstream = tls_upstream(&secret, &handshakes).await;
    let roots = ("SSL_CERT_FILE", secret.certificate());
    let to = |name: &str| format!("tls://{}#{name}", upstream.address);
    let program = Program::serve_with(&roots, &["--sandbox", MANIFEST, "--forward", &to(HOST)]);
    let program = &program;
    let asked = (0..50).map(|i| async move { shown(&ask_program(program, &format!("name-{i}.example.")).await) });
    for answer in futures::future::join_all(asked).await {
        assert_eq!(answer, found(&["192.0.2.1"]));
    }
    assert_eq!(handshakes.load(Ordering::SeqCst), 1);
    assert_eq!(upstream.queries(), Vec::<Vec<u8>>::new(), "nothing over UDP");

    let other = Program::serve_with(&roots, &["--sandbox", MANIFEST, "--forward", &to("other.example")]);
    let answer = ask_program(&other, "www.example.").await;
    assert_eq!(answer.metadata.response_code, ResponseCode::ServFail);
    let (code, told) = &extended_errors(&answer)[0];
    assert!(*code == 23 && told.contains("TLS: invalid peer certificate"), "{code} {told}");
    assert_eq!(handshakes.load(Ordering::SeqCst), 1, "it is told nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolv_conf_is_followed_and_one_that_is_broken_changes_nothing_and_is_one_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("resolv.conf");
    // As Kubernetes and many tools write it: another file takes the place of the old one.
    let write = |text: &str| {
        let next = folder.path().join("next");
        std::fs::write(&next, text).expect("written");
        std::fs::rename(&next, &file).expect("renamed");
    };
    write("nameserver 127.0.0.77\nsearch a.example\n");
    let program = Program::serve(&["--sandbox", MANIFEST, "--forward", file.to_str().expect("a path")]);
    let in_use = || {
        let (_, page) = program.page("/metrics");
        let labels = page.lines().filter_map(|line| line.strip_prefix("headless_dns_forward_healthy{to=\""));
        labels.filter_map(|line| Some(line.split_once('"')?.0.to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(in_use(), ["127.0.0.77"]);
    write("nameserver 127.0.0.78\nnameserver 127.0.0.77\n");
    let changed = |to: &'static str| {
        program.until_logged("the change", move |line| {
            message(line) == "the upstreams have changed" && line["upstreams"] == to
        });
    };
    changed("127.0.0.78 127.0.0.77");
    let mut both = in_use();
    both.sort_unstable();
    assert_eq!(both, ["127.0.0.77", "127.0.0.78"]);

    let broken = "the upstreams cannot be read anew; those known go on";
    write("search a.example\n");
    let line = program.until_logged("the error", |line| message(line) == broken);
    assert!(line["error"].as_str().is_some_and(|error| error.contains("names no name server")), "{line}");
    assert_eq!(in_use().len(), 2);
    write("nameserver 127.0.0.79\n");
    changed("127.0.0.79");
    // Those of before are not counted among the healthy or the ill.
    peers::until("the new one alone", || Some(in_use()).filter(|in_use| in_use == &["127.0.0.79"]));
    assert_eq!(program.log().iter().filter(|line| message(line) == broken).count(), 1);
}
