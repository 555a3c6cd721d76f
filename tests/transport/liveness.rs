//! Whether the UDP workers pass their loops, as `/livez` says.

use std::time::{Duration, Instant};

use headless_dns::server;
use tokio::task::yield_now;

use crate::support::common::{LIMITS, PATIENCE, Server, options};

/// After which silence a worker is stalled.
const TEN_SECONDS: Duration = Duration::from_secs(10);
const WORKERS: usize = 2;

#[tokio::test]
async fn a_worker_that_has_not_passed_its_loop_for_ten_seconds_is_stalled_and_an_idle_one_is_not() {
    let bound = server::bind(&[([127, 0, 0, 1], 0).into()], WORKERS).expect("a free port");
    let server = Server::bound(bound, options(), LIMITS);
    let stalled = |now| -> Vec<_> { server.heartbeats.stalled(now).into_iter().map(|stalled| stalled.what).collect() };
    let began = Instant::now();
    let all: Vec<_> = (0..WORKERS).map(|i| format!("UDP worker {i} on {}", server.address)).collect();
    // Nothing has been heard of a worker after this moment.
    while stalled(Instant::now() + TEN_SECONDS) != all {
        assert!(began.elapsed() < PATIENCE, "the workers are there");
        yield_now().await;
    }
    // Idle as they are, they pass their loops.
    let now = Instant::now();
    while !stalled(now + TEN_SECONDS).is_empty() {
        assert!(began.elapsed() < PATIENCE, "{:?} since {now:?}", stalled(now + TEN_SECONDS));
        yield_now().await;
    }
    let heartbeats = server.heartbeats.clone();
    server.stop().await.expect("no panic").expect("no error");
    // A thread ends a moment after what it was for.
    while !heartbeats.stalled(Instant::now() + TEN_SECONDS * 2).is_empty() {
        assert!(began.elapsed() < PATIENCE, "who has ended is missed");
        yield_now().await;
    }
}
