//! Whether the index passes its loop, as `/livez` says.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::support::mirrored::MirroredSandbox;

/// After which silence the index is stalled.
const MINUTE: Duration = Duration::from_secs(60);
/// Longer than the index rests when there is nothing to do.
const REST: Duration = Duration::from_secs(10);

/// Heartbeats go by the clock that runs, the index by the paused one of this thread. So it comes round while this test sleeps, and
/// does not while it computes.
#[tokio::test(start_paused = true)]
async fn an_index_that_has_not_come_round_for_a_minute_is_stalled_and_one_that_has_nothing_to_do_is_not() {
    let mirrored = MirroredSandbox::start().await;
    for _ in 0..3 {
        let before = Instant::now();
        sleep(REST).await;
        assert_eq!(mirrored.heartbeats.stalled(before + MINUTE), [], "it has come round since");
    }
    let stalled = mirrored.heartbeats.stalled(Instant::now() + MINUTE);
    assert_eq!(stalled.iter().map(|stalled| &*stalled.what).collect::<Vec<_>>(), ["the index"]);
}
