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
        cpu_in(&self.read("stat")).1
    }

    /// The same of the threads that are alive and not called so.
    pub fn cpu_without(self, name: &str) -> Duration {
        let threads = self.of_each_thread("stat");
        threads.map(|stat| cpu_in(&stat)).filter(|(other, _)| other != name).map(|(_, cpu)| cpu).sum()
    }

    /// CPU time so far of the threads that are alive and whose names begin so, to the nanosecond.
    pub fn cpu_of(self, name: &str) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        let on_cpu = threads.filter_map(|thread| {
            let read = |file: &str| fs::read_to_string(thread.path().join(file)).ok();
            let is_called_so = read("comm")?.starts_with(name);
            is_called_so.then_some(read("schedstat")?.split(' ').next()?.parse().ok()?)
        });
        on_cpu.map(Duration::from_nanos).sum()
    }

    /// Context switches of its threads so far, voluntary and not.
    pub fn context_switches(self) -> u64 {
        let statuses = self.of_each_thread("status");
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

    fn of_each_thread(self, file: &str) -> impl Iterator<Item = String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0)).into_iter().flatten().flatten();
        threads.filter_map(move |thread| fs::read_to_string(thread.path().join(file)).ok())
    }
}

/// The name, and the user and system time, in a file `stat`.
fn cpu_in(stat: &str) -> (String, Duration) {
    // The name in brackets may hold anything. Behind it, utime and stime are the 12th and 13th field.
    let (begin, fields) = stat.rsplit_once(')').expect("a name");
    let (_, name) = begin.split_once('(').expect("a name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    (name.to_owned(), Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
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
