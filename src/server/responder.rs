//! What every transport calls: the octets of messages in, those of their answers out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::encode::{Encoding, encode};
use super::hickory;
use crate::authority::{Answer, Authority};
use crate::dns::wire::screen::{Screened, refusal, screen};
use crate::dns::wire::{EDNS_VERSION, Edns, HEADER, Query, Question, Rcode, WireOptions, query};
use crate::table::{Table, TableReader};
use crate::telemetry::metrics::{DropReason, Family, Metrics, QueryType, Tally, Transport};

/// The golden ratio's fraction of 2^64: steps of it come near no place twice for as long as is possible.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// Answers messages. Shared by all transports.
pub struct Responder {
    authority: Arc<Authority>,
    table: TableReader,
    metrics: Arc<Metrics>,
    options: WireOptions,
    /// Where the next worker begins to rotate.
    workers: AtomicU64,
}

/// What one worker or connection keeps from batch to batch.
#[derive(Clone, Debug)]
pub struct Worker {
    tally: Tally,
    /// Where the next answer begins in its RRsets.
    rotation: u64,
}

/// Messages that came in together: the table is pinned and the clock read once for all of them. Their counts are added
/// when it is dropped, so that is done when the answers have left.
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

    /// Begins a batch with messages that have just come in.
    pub fn batch<'r>(&'r self, worker: &'r mut Worker) -> Batch<'r> {
        Batch { responder: self, worker, table: self.table.pin(), began: Instant::now() }
    }

    pub(super) fn options(&self) -> &WireOptions {
        &self.options
    }

    /// A batch of one message: appends its answer to `out`. False, and nothing is appended, if it deserves none.
    pub fn respond(&self, message: &[u8], client: SocketAddr, transport: Transport, out: &mut Vec<u8>) -> bool {
        self.batch(&mut self.worker(transport)).respond(message, client, out)
    }
}

impl Batch<'_> {
    /// Appends the answer to `message` to `out`. False, and nothing is appended, if it deserves none.
    pub fn respond(&mut self, message: &[u8], client: SocketAddr, out: &mut Vec<u8>) -> bool {
        let rcode = match screen(message) {
            Screened::Query => match query::parse(message) {
                Some(query) => self.answer(&query, client, out),
                None => hickory::respond(self, message, client, out),
            },
            Screened::Refuse(rcode) => {
                out.extend_from_slice(&refusal(message, rcode));
                rcode as u16
            }
            Screened::Drop => {
                let is_short = message.len() < HEADER;
                self.dropped(if is_short { DropReason::TooShort } else { DropReason::Response });
                return false;
            }
        };
        self.responded(rcode);
        true
    }

    /// Answers a query that the fast parser read; gives the response code.
    fn answer(&mut self, query: &Query<'_>, client: SocketAddr, out: &mut Vec<u8>) -> u16 {
        self.count(query.qtype.0, client);
        let rotation = self.rotate();
        let question = query.question();
        let answer = self.decide(&question, query.edns.as_ref());
        let encoding = Encoding { options: &self.responder.options, transport: self.transport(), rotation };
        encode(query, &answer, &encoding, out);
        answer.rcode as u16
    }

    /// Where on its circle each set of the next answer begins. The places of any run of answers are spread evenly, and so
    /// are those of every second answer: a client that asks for A and AAAA in turn sees all of both sets.
    pub(super) fn rotate(&mut self) -> u64 {
        self.worker.rotation = self.worker.rotation.wrapping_add(GOLDEN_RATIO);
        self.worker.rotation
    }

    /// The answer to a question.
    pub(super) fn decide<'q>(&'q self, question: &Question<'q>, edns: Option<&Edns>) -> Answer<'q> {
        // RFC 6891 section 6.1.3: a version that is not ours is told so, whatever else the query says.
        if edns.is_some_and(|edns| edns.version != EDNS_VERSION) {
            return Answer::bare(Rcode::BadVers, None);
        }
        let authority = &self.responder.authority;
        let mut answer = authority.answer(&self.table, question);
        if edns.is_some() {
            authority.explain(&self.table, question, &mut answer);
        }
        answer
    }

    /// Counts a question.
    pub(super) fn count(&mut self, qtype: u16, client: SocketAddr) {
        self.worker.tally.request(Family::from(client.ip()), QueryType::from(qtype));
    }

    /// Counts an answer by its response code.
    pub(super) fn responded(&mut self, rcode: u16) {
        self.worker.tally.response(rcode.into());
    }

    /// Counts a message without an answer, or an answer that did not leave.
    pub(super) fn dropped(&mut self, reason: DropReason) {
        self.worker.tally.dropped(reason);
    }

    pub(super) fn transport(&self) -> Transport {
        self.worker.tally.transport()
    }

    pub(super) fn options(&self) -> &WireOptions {
        &self.responder.options
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.responder.metrics.add(&mut self.worker.tally, self.began.elapsed());
    }
}
