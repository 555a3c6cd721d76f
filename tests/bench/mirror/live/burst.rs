//! A StatefulSet of 5,000 Pods that start in parallel.

use std::thread::{park_timeout, scope};
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox};
use tokio::runtime::Runtime;

use crate::asker::Asker;
use crate::bare_watch::BareWatch;
use crate::lower_priority;
use crate::objects::Workload;
use crate::server::{Build, Server};
use crate::support::figures::Sorted;

const PODS: usize = 5_000;
/// The time in which all of them become ready, one after the other.
const TIME: Duration = Duration::from_secs(2);
/// The delay of the EndpointSlice controller.
const SLICE_DELAY: Duration = Duration::from_secs(1);

pub fn run(cluster: &Runtime, builds: &[Build]) {
    println!(
        "burst: {PODS} Pods of one Service become ready within {TIME:?}; each from its write to its first answer over UDP."
    );
    println!("Arrival: from the write until a bare watch has the event; later: from there to the answer.");
    println!("CPU time is of a run of its own, in which nobody asks.");
    println!(
        "build          p50 ms   p99 ms   max ms   arrival p50, p99 ms   later p50, p99 ms   round trip p99 ms   CPU s"
    );
    for build in builds {
        let mut burst = Burst::create(cluster);
        let cpu = burst.cpu(build);
        cluster.block_on(burst.sandbox.shutdown());
        burst = Burst::create(cluster);
        let Times { answered, arrived, later, round_trips } = burst.times(build);
        cluster.block_on(burst.sandbox.shutdown());
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| answered.millis(share));
        let [arrival, later] = [arrived, later].map(|times| [0.5, 0.99].map(|share| times.millis(share)));
        let (round_trip, cpu) = (round_trips.millis(0.99), cpu.as_secs_f64());
        println!(
            "{:<10} {p50:>10.2} {p99:>8.2} {max:>8.2} {:>12.2} {:>8.2} {:>10.2} {:>8.2} {round_trip:>19.2} {cpu:>7.2}",
            build.name, arrival[0], arrival[1], later[0], later[1],
        );
    }
}

/// What a burst took for each Pod.
struct Times {
    /// From the write to the first answer.
    answered: Sorted,
    /// From the write until a bare watch has the event.
    arrived: Sorted,
    /// From that arrival to the first answer; zero where the answer was first.
    later: Sorted,
    /// Of the queries.
    round_trips: Sorted,
}

struct Burst {
    sandbox: Sandbox,
    workload: Workload,
}

impl Burst {
    fn create(cluster: &Runtime) -> Self {
        let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
        let sandbox = sandbox.expect("a free port");
        let workload = Workload { name: "db".to_owned(), replicas: PODS, first: 0 };
        workload.create(&sandbox, false);
        Self { sandbox, workload }
    }

    /// CPU time of the server from the first change until all Pods are in its table.
    fn cpu(&self, build: &Build) -> Duration {
        let server = self.start(build);
        let before = server.process.cpu();
        self.make_ready(|_| {});
        server.until_metric("table_endpoints", PODS as f64);
        server.process.cpu() - before
    }

    fn times(&self, build: &Build) -> Times {
        let server = self.start(build);
        let asker = Asker::start(server.dns);
        let watch = BareWatch::start(&self.sandbox).expect("a watch");
        let written = self.make_ready(|ordinal| {
            asker.expect(ordinal, &self.workload.host(ordinal), self.workload.address(ordinal));
        });
        let mut answers = written.clone();
        let mut arrivals = written.clone();
        for _ in 0..PODS {
            let answer = asker.answer();
            answers[answer.key] = answer.received_at;
            let arrival = watch.next();
            arrivals[arrival.ordinal] = arrival.at;
        }
        let between = |from: &[Instant], to: &[Instant]| {
            Sorted::new(from.iter().zip(to).map(|(from, to)| to.saturating_duration_since(*from)).collect())
        };
        Times {
            answered: between(&written, &answers),
            arrived: between(&written, &arrivals),
            later: between(&arrivals, &answers),
            round_trips: asker.round_trips(),
        }
    }

    fn start(&self, build: &Build) -> Server {
        let server = Server::start(&self.sandbox, build, &[]);
        server.until_metric("watch_events_total{resource=\"pods\",event=\"relist\"}", 1.0);
        server
    }

    /// Makes one Pod after the other ready, after a call to `before` with its ordinal, and writes the slices once a second.
    /// Returns when each Pod was written.
    fn make_ready(&self, before: impl Fn(usize)) -> Vec<Instant> {
        let began = Instant::now();
        let until = |moment: Instant| park_timeout(moment.saturating_duration_since(Instant::now()));
        scope(|scope| {
            scope.spawn(|| {
                lower_priority();
                for round in 1..=TIME.as_secs() as u32 + 1 {
                    until(began + SLICE_DELAY * round);
                    for number in self.workload.slices() {
                        let slice = self.workload.slice(&self.sandbox, number);
                        self.sandbox.store().update(Kind::EndpointSlice, slice).expect("the slice");
                    }
                }
            });
            let ready = |ordinal: usize| {
                until(began + TIME / PODS as u32 * ordinal as u32);
                let pod = self.workload.pod(ordinal, true);
                before(ordinal);
                let written = Instant::now();
                self.sandbox.store().update(Kind::Pod, pod).expect("the Pod");
                written
            };
            (0..PODS).map(ready).collect()
        })
    }
}
