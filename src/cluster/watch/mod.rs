//! One list and watch for each resource and scope, kept alive for ever, all feeding one channel.
//!
//! ```text
//! follow_all ─▶ Watch::run for each resource and scope (lifecycle)
//!                 ├── events          lists and watches of the Api, as one stream
//!                 │     └──▶ TrustRecord   how far the watch is trusted, when it last had word
//!                 ├── Doubts          whether a watch is resumed on the server that it was on
//!                 ├── RetryPolicy     how long to pause after an error
//!                 ├── Reconcile       what a periodic list shows that the watch has missed
//!                 ├── Reporter        metrics, and one log line per problem
//!                 └── EventSink ─▶ WatchUpdate, to the index
//! ```

mod doubt;
mod errors;
mod events;
mod lifecycle;
mod reconcile;
mod report;
mod retry;
mod selection;
mod sink;
mod staleness;
mod trust;

use std::sync::Arc;

use futures::future;
use tokio::sync::mpsc;

use self::lifecycle::{Watch, WatchContext};
use self::report::Outage;
pub use self::selection::{PodSelection, Selection, Timing};
use self::sink::EventSink;
use super::api::Server;
use super::connection::Connection;
use super::objects::{Pod, Service, Slice};
use super::update::{Positions, WatchUpdate};
use crate::telemetry::metrics::Metrics;

/// What the watches go on from, and what they feed.
pub struct Feed {
    /// Where watches of the last run ended. All others begin with a list.
    pub positions: Positions,
    pub updates: mpsc::Sender<WatchUpdate>,
}

/// Follows every selected resource in every scope, each with a list and watch of its own, until the receiver of the updates is
/// dropped.
pub async fn follow_all(connection: &Connection, selection: &Selection, feed: Feed, metrics: &Arc<Metrics>) {
    let Feed { positions, updates } = feed;
    let (outage, server) = (Outage::default(), Arc::<Server>::default());
    let scopes = selection.scopes.iter().map(|scope| async {
        let sink = EventSink::new(&updates);
        let context = WatchContext {
            connection,
            selection,
            scope,
            positions: &positions,
            sink: &sink,
            outage: &outage,
            server: &server,
            metrics,
        };
        tokio::join!(
            Watch::<Service>::follow(&context),
            Watch::<Slice>::follow(&context),
            Watch::<Pod>::follow(&context)
        );
    });
    future::join_all(scopes).await;
}

#[cfg(test)]
mod tests;
