//! What the program and its tests take of the machine: memory, measured from outside, and open files.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::malformed::CLUSTER;
use crate::support::program::Program;

/// Memory that may come and go between two volumes of messages, kB: a hundred octets lost to each would be more.
pub const NOISE: usize = 2048;

/// The program, started as `serve` says, once it knows one Service.
pub fn program(serve: impl FnOnce(&[&str]) -> Program) -> Program {
    let folder = tempfile::tempdir().expect("a folder");
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: db}\n---\n";
    fs::write(folder.path().join("cluster.yaml"), [namespace, CLUSTER].concat()).expect("a manifest");
    let program = serve(&["--sandbox", folder.path().to_str().expect("UTF-8")]);
    program.until_synchronised();
    program
}

/// Resident memory of a process, kB (`VmRSS` in proc_pid_status(5)).
pub fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Files that the tests of this process have open besides connections.
const OTHER_FILES: u64 = 256;

/// Lets this process have so many connections open; false if it may not. The limit is only ever raised: other tests run in the same
/// process.
pub fn may_open(connections: usize) -> bool {
    let limit = getrlimit(Resource::Nofile);
    let may = limit.maximum.is_none_or(|maximum| maximum >= connections as u64 + OTHER_FILES);
    may && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_ok()
}
