//! What a server spends: the sums over the threads of its processes, of which some have several.

use std::fs;
use std::time::Duration;

/// Figures that only grow.
pub struct Spent {
    pub cpu: Duration,
    pub switches: u64,
}

pub struct Processes(pub Vec<u32>);

impl Processes {
    pub fn spent(&self) -> Spent {
        let tasks = self.0.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
        let mut spent = Spent { cpu: Duration::ZERO, switches: 0 };
        for thread in tasks.flatten().flatten() {
            let file = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            // Nanoseconds on a core come first (Documentation/scheduler/sched-stats.rst).
            spent.cpu += Duration::from_nanos(numbers(&file("schedstat")).next().unwrap_or_default());
            let status = file("status");
            spent.switches +=
                status.lines().filter(|line| line.contains("_ctxt_switches:")).flat_map(numbers).sum::<u64>();
        }
        spent
    }

    /// Resident memory in KiB, what processes share counted once.
    pub fn resident(&self) -> u64 {
        let rollups = self.0.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
        rollups.filter_map(|rollup| numbers(rollup.lines().find(|line| line.starts_with("Pss:"))?).next()).sum()
    }
}

/// The words of a line that are numbers.
fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok())
}
