//! Writes the files of `compare.sh` and `forward.sh`: manifests for the sandbox, and query files for `dnsperf`.
//!
//! ```text
//! FOLDER/CLUSTER/manifests.yaml      main, services-100, services-10000, forward
//! FOLDER/CLUSTER/WORKLOAD.queries    mix, ordinal; in main also endpoints-10, -1000, -5000 and all-10, -1000, -5000;
//!                                    in forward also hits (few names of others), half (one of ours, one of many of others)
//! FOLDER/forward/example             a zone file with the names of others
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use crate::support::workload::{Asked, Cluster, Random};

/// Lines of a query file, which `dnsperf` repeats.
const QUERIES: usize = 100_000;
/// Services of the main cluster, and endpoints of its largest.
const SERVICES: (usize, usize) = (200, 100);
/// Its Services that show whether the size of a Service matters, by endpoints.
const SIZES: [usize; 3] = [10, 1_000, 5_000];
/// Clusters that show whether the size of a cluster matters, by Services.
const CLUSTERS: [usize; 2] = [100, 10_000];
/// Endpoints of their largest Service: clusters with many Services have small ones.
const MOST_ENDPOINTS: usize = 15;
/// Names of others, and those of them that every cache holds.
const OTHERS: usize = 100_000;
const CACHED: usize = 5_000;

pub fn write(folder: &Path) -> io::Result<()> {
    write_main(&folder.join("main"))?;
    write_forward(&folder.join("forward"))?;
    for services in CLUSTERS {
        let folder = folder.join(format!("services-{services}"));
        let cluster = Cluster::of_services(services, MOST_ENDPOINTS);
        write_manifests(&folder, cluster.objects())?;
        write_queries(&folder, "ordinal", &cluster.ordinals(QUERIES))?;
    }
    Ok(())
}

fn write_main(folder: &Path) -> io::Result<()> {
    let cluster = Cluster::of_services(SERVICES.0, SERVICES.1);
    let sized = Cluster::of_sizes(&SIZES);
    write_manifests(folder, Cluster([cluster.0.clone(), sized.0].concat()).objects())?;
    write_queries(folder, "mix", &cluster.mix(QUERIES))?;
    write_queries(folder, "ordinal", &cluster.ordinals(QUERIES))?;
    for size in SIZES {
        let service = Cluster::of_sizes(&[size]);
        write_queries(folder, &format!("endpoints-{size}"), &service.ordinals(QUERIES))?;
        write_queries(folder, &format!("all-{size}"), &service.bare_names(1))?;
    }
    Ok(())
}

fn write_forward(folder: &Path) -> io::Result<()> {
    let cluster = Cluster::of_services(SERVICES.0, SERVICES.1);
    write_manifests(folder, cluster.objects())?;
    write_queries(folder, "ordinal", &cluster.ordinals(QUERIES))?;
    write_queries(folder, "hits", &others(QUERIES, CACHED))?;
    let half = cluster.mix(QUERIES).into_iter().zip(others(QUERIES, OTHERS)).flat_map(<[Asked; 2]>::from);
    write_queries(folder, "half", &half.collect::<Vec<_>>())?;
    let mut zone = BufWriter::new(File::create(folder.join("example"))?);
    // A TTL that is not over before a run is.
    writeln!(zone, "$ORIGIN example.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1")?;
    for i in 0..OTHERS {
        writeln!(
            zone,
            "{} A 10.{}",
            host(i),
            [i >> 16, i >> 8 & 255, i & 255].map(|octet| octet.to_string()).join(".")
        )?;
    }
    zone.flush()
}

/// `count` queries for addresses of the first `names` names of others: each once, and then any.
fn others(count: usize, names: usize) -> Vec<Asked> {
    let mut random = Random::default();
    let any = |i| if i < names && names < count { i } else { random.between(0, names - 1) };
    (0..count).map(any).map(|i| Asked { name: format!("{}.example", host(i)), qtype: "A" }).collect()
}

/// A name about as long as that of a Pod, relative to the zone of others.
fn host(i: usize) -> String {
    format!("host-{i}.services.of.others")
}

fn write_manifests(folder: &Path, objects: impl Iterator<Item = Value>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = BufWriter::new(File::create(folder.join("manifests.yaml"))?);
    for object in objects {
        // JSON is YAML.
        writeln!(file, "---\n{object}")?;
    }
    file.flush()
}

fn write_queries(folder: &Path, workload: &str, queries: &[Asked]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(folder.join(format!("{workload}.queries")))?);
    for Asked { name, qtype } in queries {
        writeln!(file, "{name} {qtype}")?;
    }
    file.flush()
}
