//! Runs other programs for the tests: `kubectl`, `dig`, `nslookup`, `unbound`, `dnsmasq`.
//!
//! A test calls [`missing`] first and returns if a program is not installed. That is reported on stderr, past the test runner.
//! `tests/install-peers.sh` installs everything. With `HEADLESS_DNS_REQUIRE_PEERS=1` a missing program is a failure.
#![cfg_attr(
    not(feature = "sandbox"),
    allow(dead_code, unused_imports, reason = "most who run programs need the sandbox")
)]

mod forwarder;
mod running;
pub mod secondary;

use std::collections::BTreeSet;
use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

pub use forwarder::*;
pub use running::*;

/// Turns a skipped test into one that fails.
const REQUIRE: &str = "HEADLESS_DNS_REQUIRE_PEERS";

/// Where `tests/install-peers.sh` keeps what Debian does not have.
fn cache() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty()).map(PathBuf::from);
    let cache = cache.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"));
    cache.join("headless-dns")
}

/// A virtual environment of Python.
fn environment() -> PathBuf {
    cache().join("peers")
}

/// What looks at the page for people, of npm; none if it is missing, so that the test has to be skipped.
pub fn page_tools() -> Option<PathBuf> {
    let folder = cache().join("page-tools");
    let is_there = |name: &&str| folder.join("node_modules").join(name).is_dir();
    if ["puppeteer-core", "axe-core"].iter().all(is_there) {
        return Some(folder);
    }
    report_missing("puppeteer-core and axe-core of npm");
    None
}

/// The Python of that environment.
pub fn python() -> PathBuf {
    environment().join("bin/python")
}

/// `PATH`, where Debian keeps servers, which is in the path of root only, and what comes from elsewhere.
fn search_path() -> String {
    let path = env::var("PATH").unwrap_or_default();
    format!("{path}:/usr/sbin:/sbin:{}", environment().join("bin").display())
}

/// Whether a test that cannot be run is to fail.
pub fn are_required() -> bool {
    env::var_os(REQUIRE).is_some_and(|value| value == "1")
}

/// Whether one of the programs is not installed, so that the test has to be skipped. Each missing program is reported once.
pub fn missing(programs: &[&str]) -> bool {
    let path = search_path();
    let is_installed = |program: &&&str| env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let Some(program) = programs.iter().find(|program| !is_installed(program)) else { return false };
    report_missing(program);
    true
}

/// Reports that something is not installed, so that a test has to be skipped.
fn report_missing(what: &str) {
    let advice = "install it with tests/install-peers.sh";
    assert!(!are_required(), "{what} is not installed: {advice}");
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned()) {
        // The test runner captures `println!` and `eprintln!` of tests that pass, but not this.
        let _ = writeln!(io::stderr(), "SKIPPED every test that needs {what}, which is not installed; {advice}");
    }
}
