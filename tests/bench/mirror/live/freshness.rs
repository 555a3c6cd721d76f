//! How long a Pod's new address is not answered yet.

use std::net::Ipv4Addr;
use std::thread::park_timeout;
use std::time::{Duration, Instant};

use kube_sandbox::kind::Kind;
use kube_sandbox::{Options, Sandbox, controllers};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::asker::Asker;
use crate::objects::{NAMESPACE, Workload};
use crate::server::{Build, Server};
use crate::support::figures::Sorted;

/// Endpoints of the Service.
const SIZES: [usize; 2] = [10, 1_000];
/// The delay of the EndpointSlice controller.
const SLICE_DELAY: Duration = Duration::from_secs(1);
/// Changes that are timed without the watch of Pods: each takes that delay.
const SLICE_ROUNDS: usize = 6;
/// Each build is started so often, in turn with the others.
const PASSES: usize = 3;
/// Between two changes, so that each is one by itself.
const PAUSE: Duration = Duration::from_millis(10);
/// The first new address, 11.0.0.0.
const FIRST_ADDRESS: u32 = 0x0b00_0000;

/// What a build was measured with.
#[derive(Default)]
struct Samples {
    times: Vec<Duration>,
    round_trips: Vec<[f64; 2]>,
}

pub fn run(cluster: &Runtime, builds: &[Build], rounds: usize) {
    println!("freshness: from the write of a Pod's new address in the sandbox to the first answer with it over UDP.");
    println!(
        "EndpointSlices are {SLICE_DELAY:?} late. The round trip of a query is the resolution, and part of each time."
    );
    println!("build       endpoints  Pods watched   p50 ms   p99 ms   max ms   round trip p50 ms   p99 ms");
    for size in SIZES {
        let mut service = ChangingService::create(cluster, size);
        let kinds = [("yes", [].as_slice(), rounds), ("no", ["--pods", "off"].as_slice(), SLICE_ROUNDS)];
        for (watched, options, rounds) in kinds {
            let mut measured: Vec<_> = builds.iter().map(|_| Samples::default()).collect();
            for _ in 0..PASSES {
                for (build, samples) in builds.iter().zip(&mut measured) {
                    service.measure(build, options, rounds.div_ceil(PASSES), samples);
                }
            }
            for (build, Samples { times, round_trips }) in builds.iter().zip(measured) {
                let times = Sorted::new(times);
                let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| times.millis(share));
                let round_trip = |i: usize| round_trips.iter().map(|trips| trips[i]).sum::<f64>() / PASSES as f64;
                println!(
                    "{:<10} {size:>10}  {watched:<12} {p50:>8.2} {p99:>8.2} {max:>8.2} {:>19.3} {:>8.3}",
                    build.name,
                    round_trip(0),
                    round_trip(1),
                );
            }
        }
        cluster.block_on(service.sandbox.shutdown());
    }
}

/// A StatefulSet in a sandbox whose Pods get new addresses.
struct ChangingService {
    sandbox: Sandbox,
    workload: Workload,
    changes: usize,
}

impl ChangingService {
    fn create(cluster: &Runtime, size: usize) -> Self {
        let controllers = controllers::Options { endpoint_slice_delay: SLICE_DELAY, ..controllers::Options::default() };
        let options = Options { controllers: Some(controllers), ..Options::default() };
        let sandbox = cluster.block_on(Sandbox::start(options)).expect("a free port");
        let workload = Workload { name: "db".to_owned(), replicas: size, first: 0 };
        for (kind, object) in [(Kind::Service, workload.service()), (Kind::StatefulSet, workload.stateful_set())] {
            sandbox.store().create(kind, object).expect("a new object");
        }
        Self { sandbox, workload, changes: 0 }
    }

    fn measure(&mut self, build: &Build, options: &[&str], rounds: usize, samples: &mut Samples) {
        let server = Server::start(&self.sandbox, build, options);
        server.until_metric("table_endpoints", self.workload.replicas as f64);
        let asker = Asker::start(server.dns);
        for _ in 0..rounds {
            let ordinal = self.changes * 7 % self.workload.replicas;
            let address = Ipv4Addr::from(FIRST_ADDRESS + self.changes as u32);
            self.changes += 1;
            asker.expect(ordinal, &self.workload.host(ordinal), address);
            park_timeout(PAUSE);
            let change = |pod: &mut Value| {
                pod["status"]["podIP"] = json!(address);
                pod["status"]["podIPs"] = json!([{ "ip": address }]);
            };
            let pod = self.workload.pod_name(ordinal);
            let began = Instant::now();
            self.sandbox.store().modify(Kind::Pod, NAMESPACE, &pod, change).expect("the Pod");
            samples.times.push(asker.answer().received_at - began);
        }
        let round_trips = asker.round_trips();
        samples.round_trips.push([0.5, 0.99].map(|share| round_trips.millis(share)));
    }
}
