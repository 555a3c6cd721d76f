//! Every seed of the fuzz targets, given to its target without libFuzzer: the seeds that were findings stay mended, and each
//! target does what it is for.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use headless_dns::cluster::ObjectKey;

use crate::support::answering::{big, dual_stack};
use crate::support::malformed;
use crate::support::targets::{self, state, transfer, truth};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds")
}

/// W1, W3, W5, W8, W9, T1, T2, D7, F1.
#[test]
fn no_seed_of_a_fuzz_target_is_a_finding() {
    let mut folders: BTreeSet<_> = fs::read_dir(folder())
        .expect("the seeds")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    for (target, run) in targets::ALL {
        assert!(folders.remove(target), "there are no seeds for {target}");
        for seed in fs::read_dir(folder().join(target)).expect("seeds") {
            let seed = seed.expect("an entry").path();
            let octets = fs::read(&seed).expect("a seed");
            assert!(catch_unwind(|| run(&octets)).is_ok(), "{}", seed.display());
        }
    }
    assert!(folders.is_empty(), "no target is called {folders:?}");
}

/// How many changed requests for zones are tried: more by hand.
const REQUESTS: &str = "HEADLESS_DNS_REQUESTS";
const DEFAULT_REQUESTS: u64 = 2_000;
/// Changes of one request at most.
const MOST_CHANGES: usize = 4;

/// X1, X2, X3: seeds with octets changed, put in, left out, or with the end of another one. The target signs each of them.
#[test]
fn no_changed_request_for_a_zone_is_a_finding() {
    let requests = env::var(REQUESTS).map_or(DEFAULT_REQUESTS, |text| text.parse().expect("a number"));
    let seeds = fs::read_dir(folder().join("transfer")).expect("seeds");
    let mut seeds: Vec<_> = seeds.map(|seed| seed.expect("an entry").path()).collect();
    // A number names the same request everywhere.
    seeds.sort();
    let seeds: Vec<_> = seeds.iter().map(|seed| fs::read(seed).expect("a seed")).collect();
    for number in 1..=requests {
        let mut random = malformed::Random(number);
        let mut request = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(MOST_CHANGES) {
            let at = random.below(request.len() + 1);
            match random.below(4) {
                0 => request.insert(at, random.octet()),
                1 => drop(request.splice(at.., seeds[random.below(seeds.len())].iter().skip(at).copied())),
                2 if at < request.len() => drop(request.remove(at)),
                _ => request.iter_mut().skip(at).take(1).for_each(|octet| *octet = random.octet()),
            }
        }
        assert!(catch_unwind(|| transfer::run(&request)).is_ok(), "request {number}: {request:02x?}");
    }
}

/// Clusters whose state files are seeds.
fn saved() -> [(&'static str, Vec<u8>); 5] {
    [
        ("saved-empty", state::file_of("", &[])),
        ("saved-slices", state::file_of(malformed::CLUSTER, &[])),
        ("saved-pods", state::file_of(truth::CLUSTER, &[ObjectKey::new("db", "pg-2")])),
        ("saved-many", state::file_of(&big(20), &[])),
        ("saved-both-families", state::file_of(&dual_stack(3), &[])),
    ]
}

#[test]
#[ignore = "fuzz/record-seeds.py calls it"]
fn the_seeds_of_the_state_are_written() {
    for (name, file) in saved() {
        fs::write(folder().join("state").join(name), file).expect("written");
    }
}

/// When this fails, the format has changed: fuzz/record-seeds.py makes the seeds anew. Of a format that is not read any more, they
/// would be of no use.
#[test]
fn the_seeds_of_the_state_are_of_the_format_that_is_read() {
    for (name, _) in saved() {
        assert!(state::is_loaded(&fs::read(folder().join("state").join(name)).expect("a seed")), "{name}");
    }
}

#[cfg(feature = "sandbox")]
#[test]
#[ignore = "it writes the seeds of objects in Protobuf, for who changes what is read of them"]
fn the_seeds_of_protobuf_are_written() {
    use headless_dns::cluster::Resource;
    use kube_sandbox::encode_message;
    use kube_sandbox::kind::Kind;
    use serde_json::Value;

    use crate::support::fixture::objects;

    fs::create_dir_all(folder().join("protobuf")).expect("a folder");
    for (number, (resource, json)) in objects(truth::CLUSTER).into_iter().chain(objects(&big(3))).enumerate() {
        let (letter, kind) = match resource {
            Resource::Services => (b'S', Kind::Service),
            Resource::EndpointSlices => (b'E', Kind::EndpointSlice),
            Resource::Pods => (b'P', Kind::Pod),
        };
        let object: Value = serde_json::from_slice(&json).expect("JSON");
        let seed = [&[letter][..], &encode_message(kind, &object)].concat();
        fs::write(folder().join(format!("protobuf/object-{number}")), seed).expect("written");
    }
}
