//! A storm: a seeded schedule of faults of the API, kills, floods and slow readers, while the cluster changes and each answer
//! is judged by what the API's own history allows.
//!
//! ```text
//!                     ┌─▶ history ──────▶ judge ◀── answers ◀─┐
//! world (writes, faults)─▶ sandbox's API ─▶ the program ──────┴─ clients
//! ```
//!
//! It lasts ten seconds, or as long as `HEADLESS_DNS_STORM_SECONDS` says; `HEADLESS_DNS_STORM_SEED` plays one again:
//!
//! ```text
//! HEADLESS_DNS_STORM_SECONDS=3600 cargo test --test suite storm -- --nocapture
//! ```

mod clients;
mod history;
mod world;

use std::collections::BTreeMap;
use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::support::malformed::Random;
use crate::support::memory::resident;
use clients::{Judged, ask};
use history::{Fault, History};
use world::{Play, World};

const SECONDS: &str = "HEADLESS_DNS_STORM_SECONDS";
const SEED: &str = "HEADLESS_DNS_STORM_SEED";
/// Long enough for some faults, short enough for every run.
const DEFAULT_SECONDS: u64 = 10;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a number")))
}

/// T1, T2, T5, T6, W7.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_no_answer_is_wrong_or_late_and_none_is_lost_without_a_cause() {
    let time = Duration::from_secs(number(SECONDS).unwrap_or(DEFAULT_SECONDS));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seed = number(SEED).unwrap_or(now.as_micros() as u64).max(1);
    println!("{SEED}={seed}");
    let (history, judged, stop) = (History::new(), Judged::default(), AtomicBool::new(false));
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World::start(&history, folder.path(), seed).await;
    let memory = |world: &World<'_>| world.program.as_ref().map_or(0, |program| resident(program.id()));
    let (before, began) = (memory(&world), Instant::now());
    let mut played = BTreeMap::<Play, usize>::new();
    thread::scope(|scope| {
        // The clients end whatever becomes of the world.
        let _stop = StopOnDrop(&stop);
        for (client, tcp) in (1..).zip([false, false, true]) {
            let (history, judged, stop, server) = (&history, &judged, &stop, world.dns);
            scope.spawn(move || ask(server, tcp, seed ^ client << 32, history, judged, stop));
        }
        let mut random = Random(seed.rotate_left(32) | 1);
        while began.elapsed() < time {
            world.calm();
            // Each before any comes again, in an order of the seed's.
            let least = Play::ALL.iter().map(|play| played.get(play).copied().unwrap_or(0)).min();
            let due = |play: &&Play| played.get(play).copied().or(Some(0)) == least;
            let due: Vec<_> = Play::ALL.iter().filter(due).collect();
            let play = *due[random.below(due.len())];
            world.play(play);
            *played.entry(play).or_default() += 1;
        }
        world.calm();
    });
    let answers = judged.answers.load(Ordering::Relaxed);
    let [wrong, late, lost] = [Fault::Wrong, Fault::Late, Fault::Lost].map(|fault| judged.count(fault));
    println!(
        "{answers} answers judged in {:?}, faults {played:?}, wrong {wrong}, late {late}, lost {lost}, \
         slowest recovery {:?}, resident {before} kB at the beginning and {} kB at the end, seed {seed}",
        began.elapsed(),
        world.slowest,
        memory(&world),
    );
    assert!(answers > 0, "nothing was judged");
    assert_eq!((wrong, late, lost), (0, 0, 0), "{:#?}", judged.faults.lock().expect("no panic"));
}

struct StopOnDrop<'s>(&'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
