//! What a process costs, from `/proc` (proc_pid_stat(5) and the pages beside it).

use std::fs;
use std::time::Duration;

/// USER_HZ, which is 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// A process that lives as long as it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// This process itself.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// User and system time of all its threads so far, in steps of 10 ms.
    pub fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // The name in brackets may hold anything. Behind it, utime and stime are the 12th and 13th field.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// Context switches of its threads so far, voluntary and not.
    pub fn context_switches(self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        let statuses = threads.filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok());
        statuses.map(|status| sum_of(&status, &["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"])).sum()
    }

    /// Resident memory in MiB.
    pub fn resident(self) -> f64 {
        mebibytes(sum_of(&self.read("status"), &["VmRSS:"]))
    }

    /// The most that was ever resident, in MiB.
    pub fn peak(self) -> f64 {
        mebibytes(sum_of(&self.read("status"), &["VmHWM:"]))
    }

    /// Its share of the resident memory of several processes in MiB: pages that they have in common are divided.
    pub fn proportional(self) -> f64 {
        mebibytes(sum_of(&self.read("smaps_rollup"), &["Pss:"]))
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0)).expect("a process that is alive")
    }
}

/// The sum of the numbers in the lines that begin with one of these keys.
fn sum_of(text: &str, keys: &[&str]) -> u64 {
    let mut sum = 0;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next().is_some_and(|key| keys.contains(&key)) {
            sum += words.filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
        }
    }
    sum
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
