//! What a cluster costs: memory at the most, and CPU time until it is answered.

use kube_sandbox::faults::{Cut, Fault, Scope};
use kube_sandbox::{Options, Sandbox};
use tokio::runtime::Runtime;

use crate::objects::Workload;
use crate::server::Server;

/// Services of the clusters.
const CLUSTERS: [usize; 3] = [1_000, 5_000, 10_000];
/// Pods of each Service.
const REPLICAS: usize = 15;

pub fn run(runtime: &Runtime) {
    println!("scale: Services of {REPLICAS} Pods each, from the start of the server");
    println!("Services  answered: CPU s   Pods mirrored: CPU s  RSS MB   relisted: CPU s  RSS MB  peak RSS MB");
    for services in CLUSTERS {
        let sandbox = runtime.block_on(Sandbox::start(Options { controllers: None, ..Options::default() }));
        let sandbox = sandbox.expect("a free port");
        let workload = |i| Workload { name: format!("db{i:05}"), replicas: REPLICAS, first: i * REPLICAS };
        (0..services).for_each(|i| workload(i).create(&sandbox, true));

        let server = Server::start(&sandbox);
        server.until_answered(&workload(services - 1).host(REPLICAS - 1));
        let answered = server.cpu().as_secs_f64();
        until_listed(&server, 1.0);
        let (mirrored, (resident, _)) = (server.cpu().as_secs_f64(), server.memory());

        // Everything anew: the watches end with 410, as they do when they have fallen behind.
        sandbox.faults().inject(Fault::CutWatches { on: Scope::all(), how: Cut::Expired }).expect("a fault");
        until_listed(&server, 2.0);
        let (relisted, (after, peak)) = (server.cpu().as_secs_f64() - mirrored, server.memory());
        println!(
            "{services:>8}  {answered:>15.2}  {mirrored:>21.2}  {resident:>6.1}  {relisted:>16.2}  {after:>6.1}  {peak:>11.1}"
        );
        drop(server);
        runtime.block_on(sandbox.shutdown());
    }
}

/// Waits until everything has been listed so many times.
fn until_listed(server: &Server, times: f64) {
    for resource in ["services", "endpointslices", "pods"] {
        server.until_metric(&format!("watch_events_total{{resource=\"{resource}\",event=\"relist\"}}"), times);
    }
}
