//! What the index and the record table of a large cluster take in memory, resident in this process.
//!
//! ```text
//! cargo bench --bench footprint
//! ```

#[path = "../support/mod.rs"]
mod support;

use headless_dns::index::Index;
use headless_dns::table::table;
use support::process::Process;
use support::served::update;
use support::workload::Cluster;

/// Services of the cluster, and endpoints of each.
const SERVICES: usize = 10_000;
const ENDPOINTS: usize = 15;

fn main() {
    let cluster = Cluster((0..SERVICES).map(|i| (format!("db{i:05}"), ENDPOINTS)).collect());
    let (mut writer, _reader) = table();
    let mut index = Index::default();
    let empty = Process::own().resident();
    cluster.objects().for_each(|object| index.apply(update(&object)));
    let indexed = Process::own().resident();
    writer.publish(index.take_publications());
    let published = Process::own().resident();
    println!("{SERVICES} Services of {ENDPOINTS} endpoints, EndpointSlices only");
    for (part, mebibytes) in [("index", indexed - empty), ("table", published - indexed)] {
        let octets = mebibytes * f64::from(1 << 20) / (SERVICES * ENDPOINTS) as f64;
        println!("{part}: {mebibytes:.1} MiB, {octets:.0} octets per endpoint");
    }
}
