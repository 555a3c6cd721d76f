//! What the kernel says of the process, under the names that exporters of every language give it.

use std::fmt;
use std::fs;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::output::Output;

/// The unit of sizes in /proc/self/status (proc_pid_status(5)): "kB", which are 1,024 octets.
const KIBIBYTE: f64 = 1024.0;

/// Reads them when it is scraped. What the kernel does not tell, as where /proc is not mounted, is left out.
#[derive(Debug)]
pub(super) struct Process {
    /// Since the Unix epoch.
    pub start_time: Duration,
}

impl Collector for Process {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Output(encoder);
        out.seconds(
            "process_cpu",
            "CPU time that the process has taken, of all its threads",
            cpu_time().as_secs_f64(),
        )?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        for (name, help, field) in [
            ("process_resident_memory", "Memory of the process that is resident", "VmRSS"),
            ("process_virtual_memory", "Address space of the process", "VmSize"),
        ] {
            if let Some(kibibytes) = field_of(&status, field) {
                out.gauge(name, help, Some(Unit::Bytes), kibibytes * KIBIBYTE)?;
            }
        }
        if let Some(threads) = field_of(&status, "Threads") {
            out.gauge("process_threads", "Threads of the process", None, threads)?;
        }
        if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
            // One of them is that of this look.
            let open = descriptors.count().saturating_sub(1);
            out.gauge("process_open_fds", "Open file descriptors", None, open as f64)?;
        }
        let limit = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64);
        out.gauge("process_max_fds", "File descriptors that may be open", None, limit)?;
        let started = self.start_time.as_secs_f64();
        out.gauge("process_start_time", "Start time of the process since the Unix epoch", Some(Unit::Seconds), started)
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |part: i64| u64::try_from(part).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// The number in a line of /proc/self/status.
fn field_of(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
