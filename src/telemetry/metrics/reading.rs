//! What the counters say at one moment, for whoever shows how they move: the difference of two readings is what happened between.

use std::sync::atomic::Ordering::Relaxed;

use super::{BOUNDED_BUCKETS, Histogram, MICROSECOND, MILLISECOND, Metrics, Rcode};

/// The counters of one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// By [`Rcode::index`].
    responses: [u64; Rcode::COUNT],
    programming: Durations<MILLISECOND>,
    publication: Durations<MICROSECOND>,
}

/// What happened between two readings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Happened {
    /// Responses, by [`Rcode::index`].
    pub responses: [u64; Rcode::COUNT],
    /// From a change in the cluster, by the timestamps of its objects, to the publication of the records.
    pub programming: Spread,
    /// From the arrival of the event to the publication of the records.
    pub publication: Spread,
}

/// How long something took, as far as a histogram tells: upper bounds, each at most twice the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How often it happened.
    pub count: u64,
    /// Half of it took no longer than this, in seconds; infinite beyond the last bucket.
    pub half: f64,
    /// None of it took longer than this.
    pub all: f64,
}

/// The observations of a histogram, by bucket.
#[derive(Clone, Debug, Default)]
struct Durations<const UNIT: u64>([u64; BOUNDED_BUCKETS + 1]);

impl Metrics {
    /// The counters as they are now.
    pub fn reading(&self) -> Reading {
        let mut programming = Durations::default();
        self.programming.iter().for_each(|histogram| programming.add(histogram));
        let mut publication = Durations::default();
        publication.add(&self.publication);
        Reading { responses: self.responses.by_rcode(), programming, publication }
    }
}

impl Reading {
    /// What happened since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Happened {
        let mut responses = self.responses;
        responses.iter_mut().zip(&earlier.responses).for_each(|(count, before)| *count = count.saturating_sub(*before));
        Happened {
            responses,
            programming: self.programming.since(&earlier.programming),
            publication: self.publication.since(&earlier.publication),
        }
    }
}

impl<const UNIT: u64> Durations<UNIT> {
    fn add(&mut self, histogram: &Histogram<UNIT>) {
        self.0.iter_mut().zip(&histogram.buckets).for_each(|(sum, count)| *sum += count.load(Relaxed));
    }

    fn since(&self, earlier: &Self) -> Spread {
        let counts = || self.0.iter().zip(&earlier.0).map(|(now, before)| now.saturating_sub(*before));
        let count: u64 = counts().sum();
        // The upper bound of the bucket of the observation with this number, from 1 on.
        let bound = |number: u64| {
            let mut reached = 0;
            let bucket = counts().position(|count| {
                reached += count;
                reached >= number
            });
            bucket.filter(|bucket| *bucket < BOUNDED_BUCKETS).map_or(f64::INFINITY, |bucket| seconds(UNIT << bucket))
        };
        if count == 0 {
            return Spread::default();
        }
        Spread { count, half: bound(count.div_ceil(2)), all: bound(count) }
    }
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::{Tally, Transport};

    #[test]
    fn what_happened_between_two_readings_is_their_difference() {
        let metrics = Metrics::new();
        let observe = |milliseconds: &[u64]| {
            let observe = |ms: &u64| metrics.programming[0].observe(Duration::from_millis(*ms), 1);
            milliseconds.iter().for_each(observe);
        };
        let deny = |times| {
            let mut tally = Tally::new(Transport::Udp);
            (0..times).for_each(|_| metrics.response(&mut tally, None, Rcode::NxDomain, 64));
            metrics.add(&mut tally, Duration::ZERO);
        };
        observe(&[500]);
        deny(7);
        let before = metrics.reading();
        assert_eq!(metrics.reading().since(&before), Happened::default());
        observe(&[3, 3, 100]);
        metrics.programming[1].observe(Duration::from_millis(1), 1);
        deny(3);
        let happened = metrics.reading().since(&before);
        assert_eq!(happened.programming, Spread { count: 4, half: 0.004, all: 0.128 });
        assert_eq!(happened.publication, Spread::default());
        assert_eq!(happened.responses.iter().sum::<u64>(), 3);
        assert_eq!(happened.responses[Rcode::NxDomain.index()], 3);
        observe(&[100_000_000]);
        assert_eq!(metrics.reading().since(&before).programming.all, f64::INFINITY);
    }
}
