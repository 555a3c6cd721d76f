//! What one change of one Pod costs, by the size of its Service: the derivation of the records, and their publication.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use headless_dns::cluster::{Change, ClusterEvent, Resource, Scope, read_json};
use headless_dns::index::Index;
use headless_dns::table::table;
use serde_json::{Value, json};

use crate::objects::Workload;

const SIZES: [usize; 3] = [10, 1_000, 5_000];
/// Changes that are timed.
const ROUNDS: usize = 201;

pub fn run() {
    println!("derive: one Pod of a Service changes; medians of {ROUNDS}, µs");
    println!("endpoints    taken in    derived   published");
    for size in SIZES {
        let mut rounds = measure(size);
        let mut median = |step: usize| {
            rounds.sort_unstable_by_key(|steps| steps[step]);
            rounds[ROUNDS / 2][step].as_secs_f64() * 1e6
        };
        println!("{size:>9} {:>11.1} {:>10.1} {:>11.1}", median(0), median(1), median(2));
    }
}

fn measure(size: usize) -> Vec<[Duration; 3]> {
    let workload = Workload { name: "db".to_owned(), replicas: size, first: 0 };
    let (mut index, (mut writer, _reader)) = (Index::default(), table());
    index.apply(read(Resource::Services, &workload.service()));
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    (0..size).for_each(|ordinal| index.apply(read(Resource::Pods, &workload.pod(ordinal, true))));
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    writer.publish(index.take_batch());
    let round = |round: usize| {
        let mut pod = workload.pod(round * 7 % size, true);
        pod["status"]["podIPs"] = json!([{ "ip": Ipv4Addr::from(0x0b00_0000 + round as u32) }]);
        let update = read(Resource::Pods, &pod);
        let began = Instant::now();
        index.apply(update);
        let taken_in = Instant::now();
        let batch: Vec<_> = index.take_batch().collect();
        let derived = Instant::now();
        assert_eq!(writer.publish(batch), 1);
        [taken_in - began, derived - taken_in, derived.elapsed()]
    };
    (0..ROUNDS).map(round).collect()
}

fn read(watched: Resource, object: &Value) -> ClusterEvent {
    read_json(watched, Scope::All, object.to_string().as_bytes()).expect("an object").0
}
