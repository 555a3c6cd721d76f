//! What one worker counts in a batch of messages, before it is added to the process's counters: one pass over shared
//! memory for a batch instead of several writes to it for each message.

use std::time::Duration;

use super::{DropReason, Family, Metrics, QueryType, Rcode, TakeIn, Transport};

/// Counts of one batch, all of one transport. Empty again once it is added.
#[derive(Clone, Debug)]
pub struct Tally {
    transport: Transport,
    requests: [[u64; QueryType::COUNT]; Family::COUNT],
    responses: [u64; Rcode::COUNT],
    dropped: [u64; DropReason::COUNT],
}

impl Tally {
    /// All zero.
    pub fn new(transport: Transport) -> Self {
        Self { transport, requests: Default::default(), responses: Default::default(), dropped: Default::default() }
    }

    /// Which transport's messages are counted.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// A question was understood well enough to be looked at.
    pub fn request(&mut self, family: Family, query_type: QueryType) {
        self.requests[family.index()][query_type.index()] += 1;
    }

    /// An answer with `rcode` leaves; how long it took is said for the whole batch.
    pub fn response(&mut self, rcode: Rcode) {
        self.responses[rcode.index()] += 1;
    }

    /// A packet gets no answer at all.
    pub fn dropped(&mut self, reason: DropReason) {
        self.dropped[reason.index()] += 1;
    }
}

impl Metrics {
    /// Adds a batch whose answers left `elapsed` after its messages had come in.
    pub fn add(&self, tally: &mut Tally, elapsed: Duration) {
        let transport = tally.transport.index();
        let requests = self.requests[transport].iter().flatten().zip(tally.requests.iter_mut().flatten());
        let dropped = self.dropped.iter().zip(&mut tally.dropped);
        for (all, mine) in requests.chain(dropped) {
            all.take_in(mine);
        }
        let mut answered = 0;
        for (all, mine) in self.responses.iter().zip(&mut tally.responses) {
            answered += *mine;
            all.take_in(mine);
        }
        self.durations[transport].observe(elapsed, answered);
    }
}
