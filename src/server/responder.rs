//! What every transport calls: the octets of a message in, those of its response out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::hickory;
use super::response::{Encoding, encode};
use crate::authority::{Answer, Authority};
use crate::dns::wire::encode::write_error;
use crate::dns::wire::parse::parse;
use crate::dns::wire::screen::{Screened, screen};
use crate::dns::wire::{EDNS_VERSION, HEADER, Query, Question, Rcode, WireOptions};
use crate::table::{Table, TableReader};
use crate::telemetry::metrics::{DropReason, Family, Metrics, QueryType, Tally, Transport};

/// The golden ratio's fraction of 2^64: the places that steps of it reach are spread evenly, however many they are.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// Responds to messages. Shared by all transports.
pub struct Responder {
    authority: Arc<Authority>,
    table: TableReader,
    metrics: Arc<Metrics>,
    options: WireOptions,
    /// Where the next worker starts to rotate.
    workers: AtomicU64,
}

/// What one worker or connection keeps from batch to batch.
#[derive(Clone, Debug)]
pub struct Worker {
    tally: Tally,
    /// Where on its circle each RRset of the last response began, a fraction of 2^64.
    rotation: u64,
}

/// Messages that came in together: the table is pinned and the clock read once for all of them. Their counts are added to the
/// metrics when it is dropped: over UDP after the responses have been sent, over a stream before they are written.
pub struct Batch<'r> {
    responder: &'r Responder,
    worker: &'r mut Worker,
    table: Table<'r>,
    began: Instant,
}

impl Responder {
    pub fn new(authority: Arc<Authority>, table: TableReader, metrics: Arc<Metrics>, options: WireOptions) -> Self {
        Self { authority, table, metrics, options, workers: AtomicU64::new(0) }
    }

    /// What a worker or a connection of this transport keeps.
    pub fn worker(&self, transport: Transport) -> Worker {
        Worker { tally: Tally::new(transport), rotation: self.workers.fetch_add(GOLDEN_RATIO, Ordering::Relaxed) }
    }

    /// Starts a batch of messages that have just come in.
    pub fn batch<'r>(&'r self, worker: &'r mut Worker) -> Batch<'r> {
        Batch { responder: self, worker, table: self.table.pin(), began: Instant::now() }
    }

    pub(super) fn options(&self) -> &WireOptions {
        &self.options
    }

    /// A batch of one message: appends its response to `out`. False, and nothing is appended, if it deserves none.
    pub fn respond(&self, message: &[u8], client: SocketAddr, transport: Transport, out: &mut Vec<u8>) -> bool {
        self.batch(&mut self.worker(transport)).respond(message, client, out)
    }
}

impl Batch<'_> {
    /// Appends the response to `message` to `out`. False, and nothing is appended, if it deserves none.
    pub fn respond(&mut self, message: &[u8], client: SocketAddr, out: &mut Vec<u8>) -> bool {
        let rcode = match screen(message) {
            Screened::Query => match parse(message).or_else(|| hickory::parse(message)) {
                Some(query) => self.answer(&query, client, out),
                None => self.error(message, Rcode::FormErr, out),
            },
            Screened::Error(rcode) => self.error(message, rcode, out),
            Screened::Drop => {
                let is_short = message.len() < HEADER;
                self.dropped(if is_short { DropReason::TooShort } else { DropReason::Response });
                return false;
            }
        };
        self.worker.tally.response(rcode);
        true
    }

    /// When the batch began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    fn answer(&mut self, query: &Query<'_>, client: SocketAddr, out: &mut Vec<u8>) -> Rcode {
        self.worker.tally.request(Family::from(client.ip()), QueryType::from(query.qtype.0));
        // The places of any run of responses are spread evenly, and so are those of every second one: a client that asks for
        // A and AAAA in turn sees all of both sets.
        self.worker.rotation = self.worker.rotation.wrapping_add(GOLDEN_RATIO);
        let question = query.question();
        let answer = self.lookup(query, &question);
        encode(query, &answer, &self.encoding(), out);
        answer.rcode
    }

    fn error(&self, message: &[u8], rcode: Rcode, out: &mut Vec<u8>) -> Rcode {
        write_error(message, rcode, &self.encoding().opt(&[]), out);
        rcode
    }

    fn lookup<'q>(&'q self, query: &Query<'_>, question: &Question<'q>) -> Answer<'q> {
        // RFC 6891 section 6.1.3: a version that is not ours is told so, whatever else the query says.
        if query.edns.is_some_and(|edns| edns.version != EDNS_VERSION) {
            return Answer::bare(Rcode::BadVers, None);
        }
        let authority = &self.responder.authority;
        let mut answer = authority.answer(&self.table, question);
        if query.edns.is_some() {
            authority.explain(&self.table, question, &mut answer);
        }
        answer
    }

    fn encoding(&self) -> Encoding<'_> {
        Encoding {
            options: &self.responder.options,
            server_id: self.responder.authority.server_id(),
            transport: self.worker.tally.transport(),
            rotation: self.worker.rotation,
        }
    }

    /// Counts a message without a response, or a response that could not be sent.
    pub(super) fn dropped(&mut self, reason: DropReason) {
        self.worker.tally.dropped(reason);
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.responder.metrics.add(&mut self.worker.tally, self.began.elapsed());
    }
}
