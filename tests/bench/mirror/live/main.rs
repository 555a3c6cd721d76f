//! How soon the server answers changes of a cluster, and what following it costs.
//!
//! ```text
//! cargo bench --bench live [-- first-peer derive feed freshness load burst scale lag secondaries hostile] [--binary [NAME=]PATH]... [--rounds 300] [--seconds 60]
//! ```
//!
//! | | prints |
//! |---|---|
//! | `first-peer` | time from a Pod's being ready to the first answer with its address for who has asked all along, through caches |
//! | `derive` | CPU time of one change inside the process, by the size of its Service |
//! | `feed` | octets and CPU time to read a cluster, in JSON and in Protobuf, inside the process |
//! | `freshness` | time from the write of a Pod's new address to the first answer with it, with and without the watch of Pods |
//! | `load` | the same for a Service, beside connections that ask for the largest answers without a pause |
//! | `burst` | `freshness` while 5,000 Pods of one StatefulSet become ready within 2 s, and the CPU time of the server |
//! | `scale` | memory and CPU time of a server that starts with 1,000, 5,000 and 10,000 Services of 15 Pods each |
//! | `lag` | time from the write of a Pod's new address to the first answer with it of Knot, which follows as a secondary |
//! | `secondaries` | memory and CPU time of a server that 0, 10 and 50 secondaries follow, of 10,000 Services, and their octets |
//! | `hostile` | CPU time and latency of queries and of changes beside clients that take zones and mean no good |
//!
//! All but `derive` and `feed` start `headless-dns serve` as a process of its own: this build with the sandbox feature, or each
//! `--binary`, in turn, so that two builds are compared in one run. They ask it over a UDP socket. The cluster is the sandbox,
//! in this process, on threads of a lower priority than the server's.

#[path = "../../../support/peers/mod.rs"]
#[cfg_attr(feature = "sandbox", allow(dead_code, unused_imports, reason = "a bench uses a part of it"))]
mod peers;
#[path = "../../support/mod.rs"]
mod support;

mod asker;
mod bare_watch;
mod burst;
mod derive;
mod feed;
mod first_peer;
mod follower;
mod freshness;
mod hostile;
mod lag;
mod load;
mod objects;
mod relay;
mod scale;
mod secondaries;
mod server;

use std::time::Duration;

use server::Build;
use tokio::runtime::Runtime;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The niceness of the cluster's threads. A real cluster is another machine and takes no time from what is measured.
const NICENESS: i32 = 10;

const BENCHES: [&str; 10] =
    ["first-peer", "derive", "feed", "freshness", "load", "burst", "scale", "lag", "secondaries", "hostile"];

/// Threads for the cluster.
fn cluster() -> Runtime {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().on_thread_start(lower_priority).build().expect("a runtime")
}

/// Lowers the priority of the calling thread.
fn lower_priority() {
    rustix::process::nice(NICENESS).expect("a lower priority is always granted");
}

/// What the command line asks for.
struct Arguments {
    benches: Vec<String>,
    builds: Vec<Build>,
    rounds: usize,
    /// How long each row of `secondaries` takes.
    time: Duration,
}

impl Arguments {
    fn parse() -> Self {
        let mut parsed = Self { benches: Vec::new(), builds: Vec::new(), rounds: 300, time: Duration::from_secs(60) };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--binary" => parsed.builds.push(Build::parse(&words.next().expect("--binary [NAME=]PATH"))),
                "--rounds" => {
                    parsed.rounds = words.next().and_then(|rounds| rounds.parse().ok()).expect("--rounds NUMBER")
                }
                "--seconds" => {
                    let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                    parsed.time = Duration::from_secs(seconds.expect("--seconds NUMBER"));
                }
                _ if BENCHES.contains(&word.as_str()) => parsed.benches.push(word),
                _ => panic!("what is {word}? See the head of tests/bench/mirror/live/main.rs"),
            }
        }
        if parsed.builds.is_empty() {
            parsed.builds.push(Build::this());
        }
        parsed
    }

    fn has(&self, bench: &str) -> bool {
        self.benches.is_empty() || self.benches.iter().any(|asked| asked == bench)
    }
}

fn main() {
    let arguments = Arguments::parse();
    let cluster = cluster();
    if arguments.has("first-peer") {
        first_peer::run(&cluster, &arguments.builds);
    }
    if arguments.has("derive") {
        derive::run();
    }
    if arguments.has("feed") {
        feed::run(&cluster);
    }
    if arguments.has("freshness") {
        freshness::run(&cluster, &arguments.builds, arguments.rounds);
    }
    if arguments.has("load") {
        load::run(&cluster, &arguments.builds, arguments.rounds);
    }
    if arguments.has("burst") {
        burst::run(&cluster, &arguments.builds);
    }
    if arguments.has("scale") {
        scale::run(&cluster, &arguments.builds);
    }
    if arguments.has("lag") {
        lag::run(&cluster, &arguments.builds, arguments.rounds);
    }
    if arguments.has("secondaries") {
        secondaries::run(&cluster, &arguments.builds, arguments.time);
    }
    if arguments.has("hostile") {
        hostile::run(&cluster, &arguments.builds);
    }
}
