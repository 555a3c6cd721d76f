//! The counts of one worker for a batch of messages. They are added to the counters of the process in one pass, instead of
//! several writes to shared memory per message.

use std::time::Duration;

use super::sizes::CountedSizes;
use super::zones::{CountedResponses, Kind};
use super::{DropReason, Family, Metrics, QueryType, Rcode, Transport, take_in};

/// The counts of one batch, all of one transport. Zero again after it is added. Every connection has one, so that they are small.
#[derive(Clone, Debug)]
pub struct Tally {
    transport: Transport,
    requests: [[u32; QueryType::COUNT]; Family::COUNT],
    responses: CountedResponses,
    answered: u32,
    dropped: [u32; DropReason::COUNT],
    request_sizes: CountedSizes,
    response_sizes: CountedSizes,
}

impl Tally {
    /// All zero.
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            requests: Default::default(),
            responses: CountedResponses::default(),
            answered: 0,
            dropped: Default::default(),
            request_sizes: CountedSizes::default(),
            response_sizes: CountedSizes::default(),
        }
    }

    /// The transport of the messages.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Counts a query of so many octets that could be parsed.
    pub fn request(&mut self, family: Family, query_type: QueryType, octets: usize) {
        self.requests[family.index()][query_type.index()] += 1;
        self.request_sizes.count(octets);
    }

    /// Counts a packet without a response.
    pub fn dropped(&mut self, reason: DropReason) {
        self.dropped[reason.index()] += 1;
    }
}

impl Metrics {
    /// Counts a response of so many octets to a name in the zone of this number. Its duration is that of the batch.
    pub fn response(&self, tally: &mut Tally, zone: Option<usize>, rcode: Rcode, octets: usize) {
        self.begun(tally, zone, rcode);
        tally.response_sizes.count(octets);
    }

    /// Counts a response whose messages are made later: a zone transfer.
    pub fn begun(&self, tally: &mut Tally, zone: Option<usize>, rcode: Rcode) {
        let kind = Kind { zone: zone.and_then(|number| number.try_into().ok()), rcode };
        tally.answered += 1;
        if !tally.responses.count(kind) {
            self.responses.count(kind);
        }
    }

    /// Adds a batch whose responses were sent `elapsed` after its messages had arrived.
    pub fn add(&self, tally: &mut Tally, elapsed: Duration) {
        let transport = tally.transport.index();
        let requests = self.requests[transport].iter().flatten().zip(tally.requests.iter_mut().flatten());
        let dropped = self.dropped.iter().zip(&mut tally.dropped);
        for (all, mine) in requests.chain(dropped) {
            take_in(all, mine);
        }
        self.responses.take_in(&mut tally.responses);
        self.durations[transport].observe(elapsed, std::mem::take(&mut tally.answered).into());
        let sizes = &self.sizes[transport];
        sizes.requests.take_in(&mut tally.request_sizes);
        sizes.responses.take_in(&mut tally.response_sizes);
    }
}
