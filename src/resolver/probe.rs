//! Probes: whether an upstream answers, how it treats letter case and EDNS, and whether it sends queries back to this server
//! (`upstream/loops.rs`). Each upstream is probed when it is new, when it has come back, while it does not answer, and while it sends
//! queries back.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::upstream::Upstream;

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after the first probe without an answer; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: so soon an upstream that is back is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);
/// How long after its answer a probe may still come back: from an upstream that asks several at once, or again.
const LATE: Duration = Duration::from_secs(10);

/// Probes one upstream for as long as it is in use.
pub(super) async fn supervise(upstream: Arc<Upstream>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let is_answered = probe(&upstream).await;
        if is_answered && !upstream.health.is_failing() && !upstream.loops.any() {
            pause = FIRST_PAUSE;
            if timeout(LATE, upstream.health.changed()).await.is_err() {
                upstream.loops.end_probes();
                upstream.health.changed().await;
            }
        } else {
            // It may be back before the pause is over: a query was answered.
            let _ = timeout(pause, upstream.health.changed()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Asks in each part of the name space. Returns whether all was answered.
async fn probe(upstream: &Upstream) -> bool {
    let mut is_answered = true;
    for probe in upstream.loops.probes() {
        match upstream.probe(&probe, PROBE_TIMEOUT).await {
            Ok(_) => upstream.loops.answered(&probe),
            // Nobody is there; one part less is not worth the time.
            Err(_) if upstream.health.is_failing() => return false,
            Err(_) => is_answered = false,
        }
    }
    is_answered
}
