//! What the record table's map is: its candidates under a writer that publishes as fast as it can.
//!
//! Readers do what a worker does for a batch of queries: take hold of the map once, look 32 names up, read what they find.
//! Each batch is timed by itself, because what matters as much as the mean is the batch that has to wait.
//!
//! ```text
//! cargo bench --bench table
//! ```

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use foldhash::fast::RandomState;

type Key = Box<[u8]>;

/// Services in the map.
const SERVICES: usize = 10_000;
/// Look-ups that are timed together, and for which the map is held once.
const BATCH: usize = 32;
/// Of the map that is replaced shard by shard: few enough to be taken in, many enough to be copied fast.
const SHARDS: usize = 64;
/// How long one measurement runs.
const TIME: Duration = Duration::from_secs(1);
/// Measurements of each candidate, in turn with the others. The medians of the figures are shown, and the most sleeps.
const ROUNDS: usize = 5;
/// Batches for which a reader makes room at once.
const MOST_BATCHES: usize = 4_000_000;

/// The records of a Service as far as they matter here: one allocation, two ends that must agree.
struct Records(Box<[u32; 32]>);

impl Records {
    fn of(version: usize) -> Self {
        Self(Box::new([version as u32; 32]))
    }

    fn read(&self) -> usize {
        assert_eq!(self.0[0], self.0[31], "records of two moments in one");
        self.0[0] as usize
    }
}

/// A map from keys to immutable records.
trait Candidate: Sync {
    const NAME: &'static str;
    fn new() -> Self;
    fn publish(&self, key: Key, records: Records);
    fn look_up<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> usize;
}

/// As `src/table.rs` has it: what is replaced has a second owner, so that the writer frees it and not the last reader.
struct Papaya {
    map: papaya::HashMap<Key, Arc<Records>, RandomState>,
    /// Locked by the writer alone.
    replaced: Mutex<Vec<Arc<Records>>>,
}

impl Candidate for Papaya {
    const NAME: &'static str = "papaya";

    fn new() -> Self {
        Self { map: papaya::HashMap::with_hasher(RandomState::default()), replaced: Mutex::default() }
    }

    fn publish(&self, key: Key, records: Records) {
        let mut replaced = self.replaced.lock().expect("one writer");
        replaced.retain(|records| Arc::strong_count(records) > 1);
        replaced.extend(self.map.insert(key, Arc::new(records), &self.map.guard()).cloned());
    }

    fn look_up<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> usize {
        let guard = self.map.guard();
        let records = keys.filter_map(|key| self.map.get(key, &guard));
        records.map(|records| records.read()).fold(0, usize::wrapping_add)
    }
}

/// Each shard is an immutable map that the writer replaces as a whole.
struct Snapshots {
    hasher: RandomState,
    shards: [ArcSwap<HashMap<Key, Arc<Records>, RandomState>>; SHARDS],
}

impl Snapshots {
    fn shard(&self, key: &Key) -> &ArcSwap<HashMap<Key, Arc<Records>, RandomState>> {
        use std::hash::BuildHasher;
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Candidate for Snapshots {
    const NAME: &'static str = "arc-swap";

    fn new() -> Self {
        Self { hasher: RandomState::default(), shards: std::array::from_fn(|_| ArcSwap::default()) }
    }

    fn publish(&self, key: Key, records: Records) {
        let shard = self.shard(&key);
        let mut map = HashMap::clone(&shard.load());
        map.insert(key, Arc::new(records));
        shard.store(Arc::new(map));
    }

    fn look_up<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> usize {
        keys.filter_map(|key| self.shard(key).load().get(key).map(|records| records.read()))
            .fold(0, usize::wrapping_add)
    }
}

struct Dash(DashMap<Key, Records, RandomState>);

impl Candidate for Dash {
    const NAME: &'static str = "dashmap";

    fn new() -> Self {
        Self(DashMap::with_hasher(RandomState::default()))
    }

    fn publish(&self, key: Key, records: Records) {
        self.0.insert(key, records);
    }

    fn look_up<'k>(&self, keys: impl Iterator<Item = &'k Key>) -> usize {
        keys.filter_map(|key| self.0.get(key).map(|records| records.read())).fold(0, usize::wrapping_add)
    }
}

/// One measurement: millions of look-ups a second of all readers together, publications a second in thousands,
/// nanoseconds of a batch at 50 %, 99 %, 99.9 % and at the slowest, and how often a reader was put to sleep by a lock.
type Figures = [f64; 7];
/// The last of them.
const SLEEPS: usize = 6;

fn measure<C: Candidate>(keys: &[Key], readers: usize, with_writer: bool) -> Figures {
    let map = C::new();
    keys.iter().for_each(|key| map.publish(key.clone(), Records::of(0)));
    let (stop, published) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut batches, sleeps) = thread::scope(|scope| {
        if with_writer {
            scope.spawn(|| {
                for (version, key) in keys.iter().cycle().enumerate() {
                    map.publish(key.clone(), Records::of(version));
                    if stop.load(Ordering::Relaxed) {
                        published.store(version, Ordering::Relaxed);
                        break;
                    }
                }
            });
        }
        let read = |first: usize| {
            let mut batches = Vec::<u32>::with_capacity(MOST_BATCHES);
            let before = sleeps();
            // A stride that shares no factor with the number of keys, so that the order is not that of memory.
            let mut places = (first..).step_by(7_919).map(|place| &keys[place % keys.len()]);
            let began = Instant::now();
            let mut now = began;
            while now - began < TIME && batches.len() < MOST_BATCHES {
                black_box(map.look_up(places.by_ref().take(BATCH)));
                let done = Instant::now();
                batches.push((done - now).as_nanos() as u32);
                now = done;
            }
            (batches, sleeps() - before)
        };
        let readers: Vec<_> = (0..readers).map(|reader| scope.spawn(move || read(reader * 17))).collect();
        let (batches, sleeps): (Vec<_>, Vec<_>) =
            readers.into_iter().map(|reader| reader.join().expect("a reader")).unzip();
        stop.store(true, Ordering::Relaxed);
        (batches.concat(), sleeps.into_iter().sum::<u32>())
    });
    batches.sort_unstable();
    let at = |share: f64| f64::from(batches[((batches.len() - 1) as f64 * share) as usize]);
    let per_second = |count: usize, unit: f64| count as f64 / TIME.as_secs_f64() / unit;
    [
        per_second(batches.len() * BATCH, 1e6),
        per_second(published.load(Ordering::Relaxed), 1e3),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        f64::from(sleeps),
    ]
}

/// How often this thread has gone to sleep of its own accord. A reader does nothing that could put it to sleep but wait
/// for a lock; that the machine is busy with others does not count.
fn sleeps() -> u32 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("the thread's status");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a number")
}

/// Times a candidate over these keys, on so many threads, with or without a writer beside them.
type Timing = fn(&[Key], usize, bool) -> Figures;

fn main() {
    let keys: Vec<Key> =
        (0..SERVICES).map(|i| format!("\x08service{i:05}\x09namespace{:03}", i % 100).into_bytes().into()).collect();
    let candidates: [(&str, Timing); 3] =
        [(Papaya::NAME, measure::<Papaya>), (Snapshots::NAME, measure::<Snapshots>), (Dash::NAME, measure::<Dash>)];
    println!("{SERVICES} Services, batches of {BATCH} look-ups, medians of {ROUNDS} rounds of {TIME:?}");
    println!("readers  writer  map        look-ups M/s  writes k/s   p50 ns   p99 ns  p99.9 ns     max ns  sleeps");
    for (readers, with_writer) in [(1, false), (1, true), (2, false), (2, true)] {
        let mut rounds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            for ((_, measure), rounds) in candidates.iter().zip(&mut rounds) {
                rounds.push(measure(&keys, readers, with_writer));
            }
        }
        for ((name, _), rounds) in candidates.iter().zip(&rounds) {
            let [reads, writes, p50, p99, p999, max, sleeps]: Figures = std::array::from_fn(|figure| {
                let mut figures: Vec<_> = rounds.iter().map(|round| round[figure]).collect();
                figures.sort_unstable_by(f64::total_cmp);
                figures[if figure == SLEEPS { figures.len() - 1 } else { figures.len() / 2 }]
            });
            let writer = if with_writer { "yes" } else { "no" };
            println!(
                "{readers:>7}  {writer:<6}  {name:<9} {reads:>13.1} {writes:>11.0} {p50:>8.0} {p99:>8.0} {p999:>9.0} {max:>10.0} {sleeps:>7.0}"
            );
        }
    }
}
