//! Responses, by the zone that the name of the question is in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Rcode, increment};

/// The name of the label.
pub(super) const LABEL: &str = "zone";
/// The label of what is in no zone of this server: forwarded, refused, or not understood.
const NO_ZONE: &str = ".";

/// The responses to names of one zone.
#[derive(Debug)]
pub(super) struct ZoneResponses {
    pub apex: String,
    pub by_rcode: [AtomicU64; Rcode::COUNT],
}

impl ZoneResponses {
    fn of(apex: String) -> Self {
        Self { apex, by_rcode: Default::default() }
    }
}

/// All responses.
#[derive(Debug)]
pub(super) struct Responses {
    /// In the order of their numbers. A restart alone changes them.
    zones: OnceLock<Box<[ZoneResponses]>>,
    elsewhere: ZoneResponses,
}

impl Default for Responses {
    fn default() -> Self {
        Self { zones: OnceLock::new(), elsewhere: ZoneResponses::of(NO_ZONE.to_owned()) }
    }
}

impl Responses {
    /// Counts by these zones from now on. Only the first call has an effect.
    pub fn expect_zones(&self, apexes: impl IntoIterator<Item = String>) {
        self.zones.get_or_init(|| apexes.into_iter().map(ZoneResponses::of).collect());
    }

    /// Of each zone, and of what is in none.
    pub fn all(&self) -> impl Iterator<Item = &ZoneResponses> {
        self.zones.get().into_iter().flatten().chain([&self.elsewhere])
    }

    /// By [`Rcode::index`], of all zones together.
    pub fn by_rcode(&self) -> [u64; Rcode::COUNT] {
        let mut sums = [0; Rcode::COUNT];
        for zone in self.all() {
            sums.iter_mut().zip(&zone.by_rcode).for_each(|(sum, count)| *sum += count.load(Relaxed));
        }
        sums
    }

    fn counter(&self, Kind { zone, rcode }: Kind) -> &AtomicU64 {
        let zone = zone.and_then(|number| self.zones.get()?.get(usize::from(number)));
        &zone.unwrap_or(&self.elsewhere).by_rcode[rcode.index()]
    }

    /// Adds what a worker has counted, and sets it to zero.
    pub fn take_in(&self, counted: &mut CountedResponses) {
        counted.kinds.drain(..).for_each(|(kind, count)| _ = self.counter(kind).fetch_add(count.into(), Relaxed));
    }

    /// Counts a response that a worker has no room for.
    pub fn count(&self, kind: Kind) {
        increment(self.counter(kind));
    }
}

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// The number of the zone.
    pub zone: Option<u16>,
    pub rcode: Rcode,
}

/// Kinds of responses that a worker counts for itself. A batch seldom has as many, and every connection keeps them.
const KINDS: usize = 8;

/// The responses of a batch.
#[derive(Clone, Debug, Default)]
pub(super) struct CountedResponses {
    kinds: arrayvec::ArrayVec<(Kind, u32), KINDS>,
}

impl CountedResponses {
    /// Counts a response if there is room for its kind.
    pub fn count(&mut self, kind: Kind) -> bool {
        match self.kinds.iter_mut().find(|(counted, _)| *counted == kind) {
            Some((_, count)) => {
                *count += 1;
                true
            }
            None => self.kinds.try_push((kind, 1)).is_ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Label;

    #[test]
    fn each_response_is_counted_once_however_many_kinds_a_batch_has() {
        let responses = Responses::default();
        responses.expect_zones(["a".to_owned(), "b".to_owned(), "c".to_owned()]);
        responses.expect_zones(["x".to_owned()]);
        let mut counted = CountedResponses::default();
        let zones = [Some(0), Some(1), Some(2), Some(3), None];
        for _ in 0..3 {
            for (zone, rcode) in zones.iter().flat_map(|zone| Rcode::ALL.iter().map(move |rcode| (*zone, *rcode))) {
                let kind = Kind { zone, rcode };
                if !counted.count(kind) {
                    responses.count(kind);
                }
            }
        }
        responses.take_in(&mut counted);
        responses.take_in(&mut counted);
        let all = responses.all().map(|zone| (&*zone.apex, zone.by_rcode.each_ref().map(|count| count.load(Relaxed))));
        // A zone that it was not told of counts as none.
        let expected =
            [("a", [3; Rcode::COUNT]), ("b", [3; Rcode::COUNT]), ("c", [3; Rcode::COUNT]), (".", [6; Rcode::COUNT])];
        assert_eq!(all.collect::<Vec<_>>(), expected);
        assert_eq!(responses.by_rcode(), [15; Rcode::COUNT]);
    }
}
