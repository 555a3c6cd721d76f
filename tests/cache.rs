//! What the cache of forwarded answers takes in memory, in a process that counts what it has allocated. A binary of its own, so that
//! nothing else in it allocates meanwhile.

#[path = "support/counting.rs"]
#[allow(dead_code, reason = "octets are asked for, not blocks")]
mod counting;
#[path = "support/plain_upstream.rs"]
mod plain_upstream;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use counting::IN_USE;
use futures::{StreamExt, stream};
use headless_dns::dns::name::Name;
use headless_dns::dns::wire::RrType;
use headless_dns::resolver::{AskedElsewhere, CacheLimits, ForwardTo, MAX_IN_FLIGHT, Options, Resolved, Resolver};
use headless_dns::telemetry::metrics::Metrics;
use plain_upstream::{address_record, upstream};
use tokio::runtime::Handle;

const LIMIT: usize = 4 << 20;
/// More than fit, several times.
const NAMES: usize = 40_000;
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

/// An address, or, for each name that begins with `l`, a text as long as most answers are with DNSSEC.
fn record(query: &[u8]) -> Vec<u8> {
    if query[13].eq_ignore_ascii_case(&b'l') {
        [&[0xc0, 12, 0, 16, 0, 1, 0, 0, 0x0e, 0x10, 2, 0][..], &[1; 512]].concat()
    } else {
        address_record(3600)
    }
}

async fn resolver() -> Resolver {
    let options = Options {
        forward: vec![ForwardTo::parse(&upstream(record).to_string()).expect("an upstream")],
        clients: Vec::new(),
        cache: CacheLimits { octets: LIMIT, stale: PATIENCE },
        timeout: PATIENCE,
        in_flight: MAX_IN_FLIGHT,
        trees: Vec::new(),
    };
    Resolver::start(options, &Handle::current(), Arc::new(Metrics::new())).expect("an upstream")
}

/// Asks for names that begin so, all different.
async fn fill(resolver: &Resolver, prefix: &str) {
    let asked = (0..NAMES).map(|i| {
        let name = Name::parse(&format!("{prefix}{i}.db.example.org")).expect("a name");
        let asked = AskedElsewhere::plain(name.as_wire(), RrType::A);
        async move { assert!(matches!(resolver.answer(&asked).await, Resolved::Answer(_)), "an answer") }
    });
    stream::iter(asked).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
}

#[tokio::test]
async fn a_full_cache_takes_the_memory_that_it_may_and_most_of_it() {
    for prefix in ["short", "long"] {
        let resolver = resolver().await;
        // What is made once is made now.
        let (before, asked) = (IN_USE.load(Ordering::SeqCst), AskedElsewhere::plain(b"\x01a\x00", RrType::A));
        assert!(matches!(resolver.answer(&asked).await, Resolved::Answer(_)));
        fill(&resolver, prefix).await;
        let taken = IN_USE.load(Ordering::SeqCst) - before;
        println!("{prefix}: {taken} of {LIMIT} octets");
        assert!((LIMIT * 3 / 4..=LIMIT).contains(&taken), "{prefix}: {taken} of {LIMIT} octets");
    }
}
