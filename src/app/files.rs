//! Opens the files that a configuration names, without a server: what would be wrong with each at the start.

use super::transfers::{self, KeyProblem};
use crate::config::Config;
use crate::resolver;
use crate::server::{Certificate, CertificateFiles};
use crate::state;

/// An option whose file or folder cannot be used, and why.
#[derive(Debug)]
pub struct FileProblem {
    pub key: &'static str,
    pub message: String,
}

/// What is wrong with the files. Nothing is left behind.
pub fn check_files(config: &Config) -> Vec<FileProblem> {
    let certificate = match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => {
            Certificate::read(CertificateFiles { certificate: certificate.clone(), key: key.clone() }).map(drop)
        }
        _ => Ok(()),
    };
    let upstreams = resolver::read_upstreams(&config.forward);
    let keys = transfers::policy(config).err();
    let state = config.state.as_deref().map_or(Ok(()), state::check_folder);
    [
        problem("tls_cert", certificate),
        problem("forward", upstreams.map(drop)),
        keys.map(|KeyProblem { option, message }| FileProblem { key: option, message }),
        problem("state", state),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn problem(key: &'static str, outcome: Result<(), impl ToString>) -> Option<FileProblem> {
    outcome.err().map(|error| FileProblem { key, message: error.to_string() })
}
