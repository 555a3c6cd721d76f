//! Writes the files of `compare.sh`: manifests for the sandbox, and query files for `dnsperf`.
//!
//! ```text
//! FOLDER/CLUSTER/manifests.yaml      main, services-100, services-10000
//! FOLDER/CLUSTER/WORKLOAD.queries    mix, ordinal; in main also endpoints-10, -1000, -5000 and all-10, -1000, -5000
//! ```

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde_json::Value;

use crate::support::workload::{Asked, Cluster};

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

pub fn write(folder: &Path) -> io::Result<()> {
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
        let service = Cluster::of_sizes(&[size]);
        write_queries(folder, &format!("endpoints-{size}"), &service.ordinals(QUERIES))?;
        write_queries(folder, &format!("all-{size}"), &service.bare_names(1))?;
    }
    Ok(())
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
