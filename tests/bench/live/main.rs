//! How fresh, how calm and how small the mirror of a cluster is.
//!
//! ```text
//! cargo bench --bench live -- derive freshness burst scale
//! ```
//!
//! | | prints |
//! |---|---|
//! | `derive` | what one change costs, by the size of its Service |
//! | `freshness` | time from the write of a Pod's new address to its being answered, with and without the watch of Pods |
//! | `burst` | what it costs that 5,000 Pods of one StatefulSet become ready within 2 s, and how late they are answered |
//! | `scale` | memory and CPU time of a server that starts beside 1,000, 5,000 and 10,000 Services of 15 Pods each |
//!
//! The cluster is the sandbox, in this process, on threads of its own that give way to the server's. In `burst` and `scale`
//! the server is a process of its own, because what it costs is what is measured: this build of it, or the one that
//! `HEADLESS_DNS` names, such as one without the sandbox.

mod burst;
mod derive;
mod freshness;
mod objects;
mod scale;
mod server;

use std::time::Duration;

use tokio::runtime::Runtime;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// How much of a core the threads of the cluster leave to others (`nice`).
const GIVES_WAY: i32 = 10;

/// Threads for the cluster. A real one is another machine: what it does takes no time from what is measured.
fn cluster() -> Runtime {
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.enable_all().on_thread_start(give_way).build().expect("a runtime")
}

/// Lets others have the core first that the calling thread is on.
fn give_way() {
    rustix::process::nice(GIVES_WAY).expect("less is always granted");
}

fn main() {
    // Cargo adds a flag of its own.
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    let cluster = cluster();
    if is_asked("derive") {
        derive::run();
    }
    if is_asked("freshness") {
        freshness::run(&cluster);
    }
    if is_asked("burst") {
        burst::run(&cluster);
    }
    if is_asked("scale") {
        scale::run(&cluster);
    }
}
