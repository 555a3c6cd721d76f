//! What is kept, for how long, and what goes.

use super::*;
use crate::dns::name::Name;
use crate::dns::wire::RrType;

const MB: usize = 1 << 20;

fn cache(octets: usize) -> Cache {
    Cache::new(CacheLimits { octets, stale: Duration::from_secs(60) }, Arc::default())
}

fn asked(name: &str) -> AskedElsewhere {
    AskedElsewhere::plain(Name::parse(name).unwrap().as_wire(), RrType::A)
}

/// An address with this TTL, or a response with this code alone.
fn response(rcode: u8, ttl: Option<u8>) -> Response {
    let head = [0, 0, 0x81, 0x80 | rcode, 0, 1, 0, u8::from(ttl.is_some()), 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1];
    let record = ttl.map(|ttl| [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, ttl, 0, 4, 10, 0, 0, 1]);
    Response::read(&[&head[..], record.as_ref().map_or(&[], |record| &record[..])].concat()).expect("a response")
}

fn source() -> Source {
    Source { upstream: "10.0.0.1".into(), took: Duration::ZERO }
}

fn keep(cache: &Cache, name: &str, ttl: u8, now: Instant) {
    cache.insert(&asked(name), response(0, Some(ttl)), source(), now);
}

/// What is found, as a word.
fn found(cache: &Cache, name: &str, now: Instant) -> &'static str {
    match cache.get(&asked(name), now) {
        Found::Fresh(_) => "fresh",
        Found::Expiring(_) => "expiring",
        Found::Stale(_) => "stale",
        Found::Nothing => "nothing",
    }
}

fn after(start: Instant, milliseconds: u64) -> Instant {
    start + Duration::from_millis(milliseconds)
}

/// F1, F5.
#[test]
fn an_answer_is_fresh_for_its_time_and_then_stale_for_as_long_as_configured() {
    let (cache, start) = (cache(MB), Instant::now());
    keep(&cache, "a", 10, start);
    for (milliseconds, what) in
        [(0, "fresh"), (9_999, "fresh"), (10_000, "stale"), (69_999, "stale"), (70_000, "nothing")]
    {
        assert_eq!(found(&cache, "a", after(start, milliseconds)), what, "{milliseconds} ms");
    }
    assert_eq!(found(&cache, "b", start), "nothing");
    assert!(
        matches!(cache.get(&asked("a"), after(start, 7_900)), Found::Fresh(entry) if entry.age(after(start, 7_900)) == 7)
    );
}

#[test]
fn what_is_asked_often_is_asked_for_anew_before_its_time_is_over_and_once() {
    let (cache, start) = (cache(MB), Instant::now());
    keep(&cache, "often", 10, start);
    keep(&cache, "once", 10, start);
    for _ in 0..PREFETCH_USES {
        assert_eq!(found(&cache, "often", after(start, 8_000)), "fresh");
    }
    assert_eq!(found(&cache, "often", after(start, 9_000)), "fresh", "a tenth is left");
    assert_eq!(found(&cache, "often", after(start, 9_001)), "expiring");
    assert_eq!(found(&cache, "often", after(start, 9_002)), "fresh", "somebody is asking");
    assert_eq!(found(&cache, "once", after(start, 9_001)), "fresh");
}

/// F5.
#[test]
fn a_failure_is_kept_for_a_second_and_takes_no_answers_place() {
    let (cache, start) = (cache(MB), Instant::now());
    cache.insert(&asked("new"), response(2, None), source(), start);
    assert_eq!(found(&cache, "new", after(start, 999)), "fresh");
    assert_eq!(found(&cache, "new", after(start, 1_000)), "nothing", "a failure does not go on as stale");
    keep(&cache, "old", 10, start);
    cache.insert(&asked("old"), response(2, None), source(), after(start, 11_000));
    assert!(
        matches!(cache.get(&asked("old"), after(start, 11_000)), Found::Stale(entry) if !entry.response.is_failure())
    );
    keep(&cache, "zero", 0, start);
    assert_eq!(found(&cache, "zero", start), "nothing", "a TTL of 0");
}

#[test]
fn the_cache_keeps_its_bound_and_what_is_used() {
    let start = Instant::now();
    let cache = cache(100 * 400);
    keep(&cache, "used", 200, start);
    for i in 0..10_000 {
        assert_eq!(found(&cache, "used", start), "fresh", "after {i}");
        keep(&cache, &format!("scan-{i}"), 200, start);
        assert!(cache.lock().octets() <= 100 * 400);
        assert_eq!(cache.map.len(), cache.lock().len());
    }
    assert!(cache.lock().len() > 50, "{}", cache.lock().len());
    assert_eq!(found(&cache, "scan-9999", start), "fresh", "the newest");
}

#[test]
fn a_newer_answer_replaces_the_older_one_and_takes_no_more_room() {
    let (cache, start) = (cache(MB), Instant::now());
    keep(&cache, "a", 10, start);
    let size = || {
        let queue = cache.lock();
        (queue.octets(), queue.len())
    };
    let before = size();
    keep(&cache, "a", 10, after(start, 9_000));
    assert_eq!((size(), before.1), (before, 1));
    assert_eq!(found(&cache, "a", after(start, 18_000)), "fresh");
}

#[test]
fn a_cache_of_no_octets_keeps_nothing() {
    let (cache, start) = (cache(0), Instant::now());
    keep(&cache, "a", 10, start);
    assert_eq!(found(&cache, "a", start), "nothing");
}
