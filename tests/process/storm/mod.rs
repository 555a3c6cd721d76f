//! A storm: a seeded schedule of faults of the API and of upstreams, kills, floods and slow readers, while the cluster changes
//! and each answer is judged by what the API's own history allows.
//!
//! ```text
//!                     ┌─▶ history ──────▶ judge ◀── answers ◀─┐
//! world (writes, plays)─▶ sandbox's API ─▶ the program ───────┴─ clients
//! ```
//!
//! It lasts ten seconds, or as long as `HEADLESS_DNS_STORM_SECONDS` says; `HEADLESS_DNS_STORM_SEED` plays one again:
//!
//! ```text
//! HEADLESS_DNS_STORM_SECONDS=3600 cargo test --release --test suite storm -- --nocapture
//! ```

mod clients;
mod elsewhere;
mod history;
mod judge;
mod load;
mod plays;
mod question;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::support::malformed::Random;
use clients::{Judged, Over, ask};
use history::History;
use judge::Fault;
use plays::{LONGEST, Play};
use world::World;

const SECONDS: &str = "HEADLESS_DNS_STORM_SECONDS";
const SEED: &str = "HEADLESS_DNS_STORM_SEED";
/// Long enough for some faults, short enough for every run.
const DEFAULT_SECONDS: u64 = 10;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")))
}

/// T1, T2, T4, T5, T6, T7, D7, F5, W7.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_no_answer_is_wrong_or_late_and_none_is_lost_without_a_cause() {
    let time = Duration::from_secs(number(SECONDS).unwrap_or(DEFAULT_SECONDS));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = number(SEED).unwrap_or(now.as_micros() as u64).max(1);
    println!("{SEED}={seed}");
    let (history, judged, stop) = (History::new(), Judged::default(), AtomicBool::new(false));
    let mut world = World::start(&history, &judged, seed).await;
    let (mut before, began) = (world.memory(), Instant::now());
    let mut played = BTreeMap::<Play, usize>::new();
    thread::scope(|scope| {
        // The clients end whatever becomes of the world.
        let _stop = StopOnDrop(&stop);
        for (client, over) in (1..).zip([Over::Udp, Over::Udp, Over::Tcp, Over::Tls, Over::Elsewhere]) {
            let (history, judged, stop, server) = (&history, &judged, &stop, world.addresses);
            scope.spawn(move || ask(server, over, seed ^ client << 32, history, judged, stop));
        }
        let mut random = Random(seed.rotate_left(32) | 1);
        let (mut rounds, mut round) = (0, Vec::new());
        while began.elapsed() < time {
            world.calm();
            // Each before any comes again, in an order of the seed's. Half of them are long, and in the next round the others.
            let Some(play) = round.pop() else {
                rounds += 1;
                round = shuffled(&Play::ALL, &mut random);
                continue;
            };
            // The last process lives for half of the time, so that its memory tells something.
            if play.ends_process() && began.elapsed() >= time / 2 {
                continue;
            }
            let is_long = (rounds + play as usize).is_multiple_of(2) && began.elapsed() + LONGEST < time;
            println!("{:.1} s: {play:?}{}", began.elapsed().as_secs_f64(), if is_long { ", long" } else { "" });
            world.play(play, is_long);
            if play.ends_process() {
                before = world.memory();
            }
            *played.entry(play).or_default() += 1;
        }
        world.calm();
    });
    let answers = judged.answers.load(Ordering::Relaxed);
    let found = Fault::ALL.map(|fault| judged.count(fault));
    let [wrong, late, lost, leaked] = found;
    println!(
        "{answers} answers judged in {:?}, faults {played:?}, wrong {wrong}, late {late}, lost {lost}, leaks {leaked}, \
         slowest recovery {:?}, resident {before} kB at the beginning of the last process and {} kB at the end, seed {seed}",
        began.elapsed(),
        world.slowest,
        world.memory(),
    );
    assert!(answers > 0, "nothing was judged");
    assert_eq!(found, [0; 4], "wrong, late, lost, leaked: see above");
}

fn shuffled(plays: &[Play], random: &mut Random) -> Vec<Play> {
    let mut rest = plays.to_vec();
    (0..plays.len()).map(|_| rest.swap_remove(random.below(rest.len()))).collect()
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
