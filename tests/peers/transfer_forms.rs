//! What clients of other people make of transfers in every form, and of every refusal: dnspython, kdig over TLS, drill.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use kube_sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::peers::secondary::{KEY, lines};
use crate::support::peers::{are_required, bounded, free_address, missing, run, until};
use crate::support::program::Program;
use crate::support::secret::Secret;
use crate::support::services;

const LONG_KEY: &str =
    "key long { algorithm hmac-sha512; secret \"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I=\"; };\n";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/transfer_forms.py");
/// What dnspython is told, form by form. Every answer to a signed question is signed, but for those whose key is not known or
/// whose signature is wrong (RFC 8945 section 5.2); that of a wrong time says the server's.
const FORMS: &str = "\
the difference leads to a newer version: True
AXFR: NOERROR, 2 SOA, NOERROR signed
AXFR with SHA-512 as the key is: NOERROR, 2 SOA, NOERROR signed
IXFR of the version before: NOERROR, 4 SOA, NOERROR signed
IXFR of an unknown version: NOERROR, 2 SOA, NOERROR signed
IXFR of the same version: NOERROR, 1 SOA alone, NOERROR signed
IXFR of a newer version: NOERROR, 1 SOA alone, NOERROR signed
IXFR over UDP: NOERROR, 1 SOA alone, NOERROR signed
IXFR without a version: FORMERR, no records, NOERROR signed
AXFR over UDP: FORMERR, no records, NOERROR signed
SOA over UDP: NOERROR, 1 SOA alone, NOERROR signed
unsigned: REFUSED, no records
unsigned IXFR over UDP: REFUSED, no records
not allowed: REFUSED, no records, NOERROR signed
no zone: NOTAUTH, no records, NOERROR signed
wrong secret: NOTAUTH, no records, BADSIG unsigned
unknown key: NOTAUTH, no records, BADKEY unsigned
wrong algorithm: NOTAUTH, no records, BADKEY unsigned
unsupported algorithm: NOTAUTH, no records, BADKEY unsigned
late: NOTAUTH, no records, BADTIME signed with the time
early: NOTAUTH, no records, BADTIME signed with the time
early over UDP: NOTAUTH, no records, BADTIME signed with the time
";

/// A primary of which one address may have the zones, signed.
struct Primary {
    sandbox: Sandbox,
    folder: TempDir,
    program: Program,
    tls: SocketAddr,
    _certificate: Secret,
}

impl Primary {
    async fn start() -> Self {
        let sandbox = Sandbox::start(Options { controllers: None, ..Options::default() }).await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
        sandbox.write_kubeconfig(&folder.path().join("kubeconfig")).expect("a file");
        fs::write(path("keys"), [KEY, LONG_KEY].concat()).expect("written");
        for (name, endpoints) in [("pg", &[1, 2, 3][..]), ("web", &[4, 5, 6, 7])] {
            services::put(&sandbox, name, endpoints);
        }
        let tls = free_address();
        let certificate = Secret::new();
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let (cert, key) = (text(certificate.certificate()), text(certificate.key()));
        let (kubeconfig, keys, tls_text) = (path("kubeconfig"), path("keys"), tls.to_string());
        let arguments = [
            ["--kubeconfig", &kubeconfig],
            ["--nameserver", "127.0.0.1"],
            ["--transfer-clients", "127.0.0.1"],
            ["--transfer-keys", &keys],
            ["--tls-listen", &tls_text],
            ["--tls-cert", &cert],
            ["--tls-key", &key],
            ["--drain-timeout", "0"],
        ];
        let program = Program::serve(&arguments.concat());
        Self { sandbox, folder, program, tls, _certificate: certificate }
    }

    fn exported(&self) -> BTreeSet<String> {
        lines(&self.program.page("/zone?name=cluster.local").1)
    }
}

fn secret() -> &'static str {
    KEY.split('"').nth(1).expect("a secret")
}

/// A Python that has dnspython.
fn python() -> Option<&'static str> {
    let has = |python: &&&str| run(bounded(python).args(["-c", "import dns.xfr"])).code == Some(0);
    if missing(&["python3"]) {
        return None;
    }
    let found = ["python3", "/usr/bin/python3"].iter().find(has).copied();
    assert!(found.is_some() || !are_required(), "dnspython is not installed: install it with tests/install-peers.sh");
    found
}

/// X1, X2, X3.
#[tokio::test(flavor = "multi_thread")]
async fn dnspython_gets_every_form_of_transfer_and_each_refusal_is_what_the_rfc_says() {
    let Some(python) = tokio::task::block_in_place(python) else { return };
    let primary = Primary::start().await;
    tokio::task::block_in_place(|| {
        primary.program.until_synchronised();
        let (port, file) = (primary.program.dns.port().to_string(), primary.folder.path().join("zone"));
        let file = file.to_str().expect("UTF-8");
        let ask = |part: &str| {
            let ran = run(bounded(python).args([SCRIPT, "127.0.0.1", &port, secret(), file, part]));
            assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
            ran.stdout
        };
        let written = || lines(&fs::read_to_string(file).expect("a zone file"));
        ask("first");
        assert_eq!(written(), primary.exported());
        let newest = || {
            let page: Value = serde_json::from_str(&primary.program.page("/transfers").1).expect("JSON");
            page["serial"].as_u64()
        };
        let before = newest();
        services::put(&primary.sandbox, "pg", &[1, 2, 9]);
        until("another version", || (newest() != before).then_some(()));
        let said = ask("then");
        assert_eq!(said, FORMS);
        assert_eq!(written(), primary.exported(), "what the difference led to");
    });
}

/// X1, X2: over TLS (RFC 9103), with and without a key.
#[tokio::test(flavor = "multi_thread")]
async fn kdig_transfers_over_tls_and_is_refused_there_without_a_key() {
    if missing(&["kdig"]) {
        return;
    }
    let primary = Primary::start().await;
    tokio::task::block_in_place(|| {
        primary.program.until_synchronised();
        let port = primary.tls.port().to_string();
        let ask = |arguments: &[&str]| {
            let ran = run(bounded("kdig").args(["@127.0.0.1", "-p", &port, "+tls", "cluster.local"]).args(arguments));
            ran.stdout + &ran.stderr
        };
        let key = format!("hmac-sha256:secondary:{}", secret());
        let whole = ask(&["AXFR", "-y", &key]);
        let transferred: BTreeSet<_> = lines(&whole).into_iter().filter(|line| !line.contains(" ANY TSIG ")).collect();
        assert_eq!(primary.exported(), transferred, "{whole}");
        assert_eq!(ask(&["IXFR=3000000000", "-y", &key]).matches("SOA").count(), 2);
        assert!(ask(&["AXFR"]).contains("REFUSED"));
    });
}

/// X1, X2.
#[tokio::test(flavor = "multi_thread")]
async fn drill_transfers_with_a_key_and_not_without_and_ldns_notify_is_told_that_nobody_notifies_a_primary() {
    if missing(&["drill", "ldns-notify"]) {
        return;
    }
    let primary = Primary::start().await;
    tokio::task::block_in_place(|| {
        primary.program.until_synchronised();
        let port = primary.program.dns.port().to_string();
        let ask = |arguments: &[&str]| {
            let ran = run(bounded("drill").args(["-t", "-p", &port, "@127.0.0.1"]).args(arguments));
            ran.stdout + &ran.stderr
        };
        let key = format!("secondary:{}:hmac-sha256", secret());
        let whole = ask(&["-y", &key, "cluster.local", "AXFR"]);
        assert_eq!(primary.exported(), lines(&whole), "{whole}");
        for key in [&[][..], &["-y", "secondary:d3Jvbmc=:hmac-sha256"]] {
            let said = ask(&[key, &["cluster.local", "AXFR"]].concat());
            assert!(said.contains("AXFR failed") && !said.contains("10.0.0."), "{said}");
        }
        let soa = ask(&["-y", &key, "cluster.local", "SOA"]);
        assert!(soa.contains("rcode: NOERROR") && soa.contains("hostmaster.cluster.local."), "{soa}");
        let notify = run(bounded("ldns-notify").args(["-z", "cluster.local", "-p", &port, "127.0.0.1"]));
        assert!((notify.stdout + &notify.stderr).contains("NOTIMPL"), "a notification");
    });
}
