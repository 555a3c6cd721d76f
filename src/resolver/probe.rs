//! Probes: whether an upstream answers, and whether it sends queries back to this server.
//!
//! A probe asks for a random name that only this process knows, in each part of the name space that is asked for elsewhere. If
//! a query for that name arrives here, the upstream has sent it, directly or through others, and would send every such query
//! round for ever. Each upstream is probed when it is new, when it has come back, and while it does not answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::question::AskedElsewhere;
use super::upstream::{State, TOKEN, Upstream};
use crate::dns::name::{MAX_NAME, Name};
use crate::dns::wire::RrType;

/// How long a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after the first probe without an answer; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause: so soon an upstream that is back is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// Probes one upstream for as long as it is in use.
pub(super) async fn supervise(upstream: Arc<Upstream>, trees: Arc<[Name]>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let is_answered = probe(&upstream, &trees).await;
        match upstream.health.state() {
            State::Working if is_answered => {
                upstream.health.changed().await;
                pause = FIRST_PAUSE;
            }
            _ => {
                // It may be back before the pause is over: a query was answered.
                let _ = timeout(pause, upstream.health.changed()).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Asks in each tree. Returns whether all was answered.
async fn probe(upstream: &Upstream, trees: &[Name]) -> bool {
    let was_looping = upstream.health.state() == State::Looping;
    if was_looping {
        upstream.health.expect_no_loop();
    }
    for tree in trees {
        let Some(asked) = question(&upstream.token, tree) else { continue };
        if upstream.probe(&asked, PROBE_TIMEOUT).await.is_err() {
            return false;
        }
    }
    if was_looping {
        upstream.health.loop_may_have_ended();
    }
    true
}

/// The question of a probe: two labels below the tree, because some forwarders keep names of one label to themselves.
fn question(token: &[u8; TOKEN], tree: &Name) -> Option<AskedElsewhere> {
    let label = [&[TOKEN as u8][..], token].concat();
    let name = [&label[..], &label, tree.as_wire()].concat();
    (name.len() <= MAX_NAME).then(|| AskedElsewhere::plain(&name, RrType::A))
}
