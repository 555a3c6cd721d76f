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
//! The cluster is the sandbox, in this process and on threads of its own. In `burst` and `scale` the server is a process of
//! its own, because what it costs is what is measured.

mod burst;
mod derive;
mod freshness;
mod objects;
mod scale;
mod server;

use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() {
    // Cargo adds a flag of its own.
    let asked: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if is_asked("derive") {
        derive::run();
    }
    if is_asked("freshness") {
        freshness::run();
    }
    if is_asked("burst") {
        burst::run(&runtime);
    }
    if is_asked("scale") {
        scale::run(&runtime);
    }
}
