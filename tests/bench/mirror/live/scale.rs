//! What a cluster costs the server: CPU time until everything is answered, and memory.

use kube_sandbox::faults::{Cut, Fault, Scope};
use kube_sandbox::{Options, Sandbox};
use tokio::runtime::Runtime;

use crate::objects::Workload;
use crate::server::{Build, Server};

/// Services of the clusters.
const CLUSTERS: [usize; 3] = [1_000, 5_000, 10_000];
/// Pods of each Service.
const REPLICAS: usize = 15;
const RESOURCES: [&str; 3] = ["services", "endpointslices", "pods"];

/// What is watched besides Services and EndpointSlices, and the options for it.
const WATCHED: [(&str, &[&str]); 2] = [("on", &[]), ("off", &["--pods", "off"])];

pub fn run(cluster: &Runtime, builds: &[Build]) {
    println!("scale: Services of {REPLICAS} Pods each, from the start of the server; resident memory in MiB");
    println!(
        "build      pods Services   answered: CPU s   all listed: CPU s   memory   listed again: CPU s   memory     peak"
    );
    for services in CLUSTERS {
        let sandbox = cluster.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
        let sandbox = sandbox.expect("a free port");
        let workload = |i| Workload { name: format!("db{i:05}"), replicas: REPLICAS, first: i * REPLICAS };
        (0..services).for_each(|i| workload(i).create(&sandbox, true));
        for (build, (pods, options)) in builds.iter().flat_map(|build| WATCHED.map(|watched| (build, watched))) {
            let watched = if options.is_empty() { &RESOURCES[..] } else { &RESOURCES[..2] };
            let until_listed = |server: &Server, times: f64| until_listed(server, watched, times);
            let server = Server::start(&sandbox, build, options);
            let process = server.process;
            server.until_answered(&workload(services - 1).host(REPLICAS - 1));
            // The thread that is asked for the metrics all the while is left out.
            let cpu = || process.cpu_without("admin").as_secs_f64();
            let answered = cpu();
            until_listed(&server, 1.0);
            let (listed, resident) = (cpu(), process.resident());

            // The watches end with 410, as they do when they have fallen behind: everything is listed again.
            sandbox.faults().inject(Fault::CutWatches { on: Scope::all(), how: Cut::Expired }).expect("a fault");
            until_listed(&server, 2.0);
            let (relisted, after, peak) = (cpu() - listed, process.resident(), process.peak());
            println!(
                "{:<10} {pods:<4} {services:>8} {answered:>17.2} {listed:>19.2} {resident:>8.1} {relisted:>21.2} {after:>8.1} {peak:>8.1}",
                build.name,
            );
        }
        cluster.block_on(sandbox.shutdown());
    }
}

/// Waits until everything that is watched has been listed so many times.
fn until_listed(server: &Server, watched: &[&str], times: f64) {
    for resource in watched {
        server.until_metric(&format!("watch_events_total{{resource=\"{resource}\",event=\"relist\"}}"), times);
    }
}
