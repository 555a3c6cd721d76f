//! How large messages are, in buckets that are counted by each worker for itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus_client::registry::Unit;

use super::output::Distribution;
use super::take_in;

/// The upper bounds of the buckets are powers of two: 32 octets, 64 … 65,536. No query is smaller than half of the first, and no message
/// larger than the last (RFC 1035 section 4.2.2).
const SMALLEST_EXPONENT: u32 = 5;
const BUCKETS: usize = 12;

/// The sizes of the messages of one transport.
#[derive(Debug, Default)]
pub(super) struct TransportSizes {
    pub requests: Sizes,
    pub responses: Sizes,
}

/// The number of messages per bucket, and their octets.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    buckets: [AtomicU64; BUCKETS],
    octets: AtomicU64,
}

impl Sizes {
    /// Adds what a worker has counted, and sets it to zero.
    pub fn take_in(&self, counted: &mut CountedSizes) {
        for (all, mine) in self.buckets.iter().zip(&mut counted.buckets) {
            take_in(all, mine);
        }
        take_in(&self.octets, &mut counted.octets);
    }
}

impl Distribution for Sizes {
    fn unit() -> Unit {
        Unit::Bytes
    }

    fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = (SMALLEST_EXPONENT..).map(|exponent| f64::from(1u32 << exponent));
        let buckets = bounds.zip(&self.buckets).map(|(bound, count)| (bound, count.load(Relaxed)));
        buckets.chain([(f64::INFINITY, 0)]).collect()
    }

    fn sum(&self) -> f64 {
        self.octets.load(Relaxed) as f64
    }
}

/// The sizes that one worker has seen in a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct CountedSizes {
    buckets: [u32; BUCKETS],
    octets: u64,
}

impl CountedSizes {
    pub fn count(&mut self, octets: usize) {
        let exponent = octets.next_power_of_two().trailing_zeros();
        let bucket = exponent.saturating_sub(SMALLEST_EXPONENT) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.octets += octets as u64;
    }
}
