//! Writes what `compare.sh` serves and asks: manifests for the sandbox and query files for `dnsperf`.
//!
//! ```text
//! zone FOLDER
//!     FOLDER/CLUSTER/manifests.yaml      main, services-100, services-10000
//!     FOLDER/CLUSTER/WORKLOAD.queries    mix, ordinal; in main also endpoints-10, -1000, -5000
//! ```

mod workload;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::Value;
use workload::{Asked, Cluster};

/// Lines of a query file, which `dnsperf` reads again and again.
const QUERIES: usize = 100_000;
/// Services of the main cluster, and endpoints of its largest.
const SERVICES: (usize, usize) = (200, 100);
/// Endpoints of its Services that show whether the size of a Service matters.
const SIZES: [usize; 3] = [10, 1_000, 5_000];
/// Services of the clusters that show whether the size of a cluster matters.
const CLUSTERS: [usize; 2] = [100, 10_000];
/// Endpoints of their largest Service: a cluster has many Services because they are small.
const MOST_ENDPOINTS: usize = 15;

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| io::Error::other("usage: zone FOLDER"))?;
    let folder = Path::new(&folder);
    write_main(&folder.join("main"))?;
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
        write_queries(folder, &format!("endpoints-{size}"), &Cluster::of_sizes(&[size]).ordinals(QUERIES))?;
    }
    Ok(())
}

fn write_manifests(folder: &Path, objects: Vec<Value>) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = BufWriter::new(File::create(folder.join("manifests.yaml"))?);
    for object in objects {
        // JSON is YAML.
        writeln!(file, "---\n{object}")?;
    }
    file.flush()
}

fn write_queries(folder: &Path, workload: &str, questions: &[Asked]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(folder.join(format!("{workload}.queries")))?);
    for Asked { name, qtype } in questions {
        writeln!(file, "{name} {qtype}")?;
    }
    file.flush()
}
