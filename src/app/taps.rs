//! The wiring of what shows queries: the query log and dnstap, on a thread of their own.

use std::io;
use std::sync::Arc;

use super::threads::{Threads, cores};
use crate::config::Config;
use crate::tap::{LANE_MEMORY, QueryLogOptions, TapOptions, Taps};
use crate::telemetry::metrics::Metrics;

/// Threads that write lines and frames.
const THREADS: usize = 1;

/// Starts what shows queries. The thread is there from the first time that it is needed.
pub(super) struct TapStarter {
    metrics: Arc<Metrics>,
    threads: Option<Threads>,
}

impl TapStarter {
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self { metrics: Arc::clone(metrics), threads: None }
    }

    /// What shows queries as this configuration has it: what there was before, if that is the same.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(&mut self, config: &Config, before: Option<&Arc<Taps>>) -> io::Result<Option<Arc<Taps>>> {
        let options = options(config);
        if let Some(taps) = before.filter(|taps| *taps.options() == options) {
            return Ok(Some(Arc::clone(taps)));
        }
        if options == TapOptions::default() {
            return Ok(None);
        }
        let threads = match self.threads.take() {
            Some(threads) => threads,
            None => Threads::new("taps", THREADS)?,
        };
        let taps = Taps::start(options, cores(), threads.handle(), &self.metrics);
        self.threads = Some(threads);
        Ok(Some(taps))
    }
}

fn options(config: &Config) -> TapOptions {
    let log = (!config.log_queries.is_empty()).then(|| QueryLogOptions {
        filters: config.log_queries.clone(),
        sample: config.log_queries_sample,
        rate: config.log_queries_rate,
    });
    let collector = config.dnstap.clone();
    let identity = collector.as_ref().and(config.chaos_id.clone()).unwrap_or_default();
    TapOptions { log, collector, identity }
}

/// Octets that may wait to be shown.
pub(super) fn memory(config: &Config) -> usize {
    let kinds = usize::from(!config.log_queries.is_empty()) + usize::from(config.dnstap.is_some());
    kinds * cores() * LANE_MEMORY
}
