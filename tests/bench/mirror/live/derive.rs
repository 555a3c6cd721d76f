//! What one change of one Pod costs inside the process, by the size of its Service.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use headless_dns::cluster::{Change, ClusterEvent, Scope};
use headless_dns::index::Index;
use headless_dns::table::table;
use serde_json::json;

use crate::objects::Workload;
use crate::support::figures::Sorted;
use crate::support::served;

const SIZES: [usize; 4] = [10, 1_000, 5_000, 20_000];
/// Changes that are timed.
const ROUNDS: usize = 201;

pub fn run() {
    println!("derive: one Pod of a Service changes; medians of {ROUNDS}, µs");
    println!("endpoints     applied    derived   published");
    for size in SIZES {
        let rounds = measure(size);
        let median = |step: usize| Sorted::new(rounds.iter().map(|steps| steps[step]).collect()).millis(0.5) * 1e3;
        println!("{size:>9} {:>11.1} {:>10.1} {:>11.1}", median(0), median(1), median(2));
    }
}

/// The times to apply the change to the index, to derive the records, and to publish them.
fn measure(size: usize) -> Vec<[Duration; 3]> {
    let workload = Workload { name: "db".to_owned(), replicas: size, first: 0 };
    let (mut index, (mut writer, _reader)) = (Index::default(), table());
    index.apply(served::update(&workload.service()));
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistStarted));
    (0..size).for_each(|ordinal| index.apply(served::update(&workload.pod(ordinal, true))));
    index.apply(ClusterEvent::Pod(Scope::All, Change::RelistDone));
    writer.publish(index.take_publications());
    let round = |round: usize| {
        let mut pod = workload.pod(round * 7 % size, true);
        pod["status"]["podIPs"] = json!([{ "ip": Ipv4Addr::from(0x0b00_0000 + round as u32) }]);
        let update = served::update(&pod);
        let began = Instant::now();
        index.apply(update);
        let applied = Instant::now();
        let batch: Vec<_> = index.take_publications().collect();
        let derived = Instant::now();
        assert_eq!(writer.publish(batch), 1);
        [applied - began, derived - applied, derived.elapsed()]
    };
    (0..ROUNDS).map(round).collect()
}
