//! What every transport calls: the octets of a message in, those of its response out.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use super::elsewhere::{self, Deferred, Step, Waiting};
use super::hickory;
use super::response::{Encoding, encode};
use super::serving::{PinnedServing, Serving, SharedServing};
use super::transfer::{self, Granted, Outbound, Portion};
use crate::authority::{Answer, Authority, Zone};
use crate::dns::wire::encode::write_error;
use crate::dns::wire::parse::parse;
use crate::dns::wire::screen::{Screened, screen};
use crate::dns::wire::{EDNS_VERSION, HEADER, Query, Question, Rcode, WireOptions};
use crate::resolver::{Resolved, Resolver};
use crate::table::{Table, TableReader};
use crate::tap::Seen;
use crate::telemetry::metrics::{DropReason, Family, Metrics, QueryType, Tally, Transport};
use crate::transfer::{Primary, Signer, Verified};

/// The golden ratio's fraction of 2^64: the places that steps of it reach are spread evenly, however many they are.
const GOLDEN_RATIO: u64 = 0x9e37_79b9_7f4a_7c15;

/// Responds to messages. Shared by all transports.
pub struct Responder {
    serving: SharedServing,
    table: TableReader,
    metrics: Arc<Metrics>,
    options: WireOptions,
    /// How many there have been: each starts to rotate in another place.
    workers: AtomicU64,
}

/// What one worker or connection keeps from batch to batch.
#[derive(Clone, Debug)]
pub struct Worker {
    tally: Tally,
    /// Where on its circle each RRset of the last response began, a fraction of 2^64.
    rotation: u64,
    /// Its lane to whoever is shown queries.
    lane: usize,
}

/// Messages that came in together: the table and what is in force are pinned, and the clock read, once for all of them. Their counts are added to the
/// metrics when it is dropped: over UDP after the responses have been sent, over a stream before they are written.
pub struct Batch<'r> {
    responder: &'r Responder,
    worker: &'r mut Worker,
    serving: PinnedServing,
    table: Table<'r>,
    began: Instant,
    /// The last message, if others have to be asked for its response.
    deferred: Option<Deferred>,
    /// The transfer that the last message asks for.
    transfer: Option<Outbound>,
    /// Octets of the response that are left to its signature.
    reserved: u16,
}

/// What is counted of a response.
#[derive(Clone, Copy)]
struct Responded {
    /// The number of the zone that the name of the question is in.
    zone: Option<usize>,
    rcode: Rcode,
}

impl Responded {
    fn with(answer: &Answer<'_>) -> Self {
        Self { zone: answer.zone.map(Zone::number), rcode: answer.rcode }
    }

    /// Without a question that could be looked up.
    fn of_no_zone(rcode: Rcode) -> Self {
        Self { zone: None, rcode }
    }
}

impl Responder {
    /// Responds from the zones alone, unless it is given more.
    pub fn new(authority: Arc<Authority>, table: TableReader, metrics: Arc<Metrics>, options: WireOptions) -> Self {
        Self::of(SharedServing::new(Serving::of(authority)), table, metrics, options)
    }

    /// Responds from whatever is in force.
    pub fn of(serving: SharedServing, table: TableReader, metrics: Arc<Metrics>, options: WireOptions) -> Self {
        Self { serving, table, metrics, options, workers: AtomicU64::new(0) }
    }

    /// The same, with answers to what is not ours.
    #[must_use]
    pub fn forwarding(self, resolver: Resolver) -> Self {
        let serving = Serving { resolver: Some(resolver), ..Serving::clone(&self.serving.pin()) };
        Self { serving: SharedServing::new(serving), ..self }
    }

    /// The same, with transfers of zones.
    #[must_use]
    pub fn transferring(self, primary: Arc<Primary>) -> Self {
        let serving = Serving { primary: Some(primary), ..Serving::clone(&self.serving.pin()) };
        Self { serving: SharedServing::new(serving), ..self }
    }

    /// What a worker or a connection of this transport keeps.
    pub fn worker(&self, transport: Transport) -> Worker {
        let number = self.workers.fetch_add(1, Ordering::Relaxed);
        Worker { tally: Tally::new(transport), rotation: number.wrapping_mul(GOLDEN_RATIO), lane: number as usize }
    }

    /// Starts a batch of messages that have just come in.
    pub fn batch<'r>(&'r self, worker: &'r mut Worker) -> Batch<'r> {
        let (serving, table) = (self.serving.pin(), self.table.pin());
        let (deferred, transfer) = (None, None);
        Batch { responder: self, worker, serving, table, began: Instant::now(), deferred, transfer, reserved: 0 }
    }

    /// Counts a response that could not be sent, outside of a batch.
    pub(super) fn dropped(&self, reason: DropReason) {
        self.metrics.dropped(reason);
    }

    /// Goes on with a transfer over this transport: appends the next message, with its length before it, if there is one to send.
    pub fn next(&self, outbound: &mut Outbound, transport: Transport, out: &mut Vec<u8>) -> Portion {
        let serving = self.serving.pin();
        outbound.next(&self.encoding(&serving, transport, outbound.reserved()), out)
    }

    /// How a response of one record a set is written.
    fn encoding<'s>(&'s self, serving: &'s Serving, transport: Transport, reserved: u16) -> Encoding<'s> {
        let (options, server_id) = (&self.options, serving.authority.server_id());
        Encoding { options, server_id, transport, recursion_available: false, rotation: 0, reserved }
    }

    pub(super) fn options(&self) -> &WireOptions {
        &self.options
    }

    /// A batch of one message: appends its response to `out`. False, and nothing is appended, if it deserves none or others have
    /// to be asked.
    pub fn respond(&self, message: &[u8], client: SocketAddr, transport: Transport, out: &mut Vec<u8>) -> bool {
        self.batch(&mut self.worker(transport)).respond(message, client, out)
    }

    /// The response to one message, also if others have to be asked. None if it deserves none.
    pub(super) async fn response(&self, message: &[u8], client: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let deferred = {
            let mut worker = self.worker(transport);
            let mut batch = self.batch(&mut worker);
            if batch.respond(message, client, &mut out) { None } else { Some(batch.take_deferred()?) }
        };
        match deferred {
            Some(deferred) => Some(self.resolve(deferred, transport).await),
            None => Some(out),
        }
    }

    /// The response to a message, once others have been asked.
    pub(super) async fn resolve(&self, mut deferred: Deferred, transport: Transport) -> Vec<u8> {
        let Waiting { asked, resolver, .. } = &deferred.waiting;
        let resolved = resolver.resolve(asked).await;
        let (mut out, mut worker) = (Vec::new(), self.worker(transport));
        let mut batch = self.batch(&mut worker);
        batch.began = deferred.received;
        batch.respond_resolved(&mut deferred, &resolved, &mut out);
        drop(batch);
        out
    }
}

impl Batch<'_> {
    /// Appends the response to `message` to `out`. False, and nothing is appended, if it deserves none, or if others have to be
    /// asked first ([`Batch::take_deferred`]), or if it is many messages ([`Batch::take_transfer`]).
    pub fn respond(&mut self, message: &[u8], client: SocketAddr, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let responded = match screen(message) {
            Screened::Query => match parse(message) {
                Some(query) => self.respond_to((&query, message), None, client, out),
                None => self.respond_unusual(message, client, out),
            },
            Screened::Error(rcode) => Some(self.error(message, rcode, out)),
            Screened::Drop => {
                let is_short = message.len() < HEADER;
                self.dropped(if is_short { DropReason::TooShort } else { DropReason::Response });
                return false;
            }
        };
        let Some(responded) = responded else { return false };
        self.finish(responded, (message, &out[start..]), client);
        true
    }

    /// Counts a response, and shows it to whoever wants to see.
    fn finish(&mut self, Responded { zone, rcode }: Responded, (query, response): (&[u8], &[u8]), client: SocketAddr) {
        let Worker { tally, lane, .. } = &mut *self.worker;
        self.responder.metrics.response(tally, zone, rcode, response.len());
        if let Some(taps) = &self.serving.taps {
            let (transport, took) = (tally.transport(), self.began.elapsed());
            taps.see(*lane, &Seen { transport, client, query, response, rcode, took });
        }
    }

    /// Appends the response to a message that the fast parser declines. It may be signed.
    fn respond_unusual(&mut self, message: &[u8], client: SocketAddr, out: &mut Vec<u8>) -> Option<Responded> {
        let verified = self.serving.primary.as_ref().map(|primary| primary.verify(message, SystemTime::now()));
        let (message, signer) = match verified {
            None | Some(Verified::Unsigned) => (Cow::Borrowed(message), None),
            Some(Verified::Signed(message, signer)) => (Cow::Owned(message), Some(signer)),
            Some(Verified::Rejected(rejection)) => {
                out.extend_from_slice(&rejection.response);
                return Some(Responded::of_no_zone(rejection.rcode));
            }
        };
        match parse(&message).or_else(|| hickory::parse(&message)) {
            Some(query) => self.respond_to((&query, &message), signer, client, out),
            None => Some(self.error(&message, Rcode::FormErr, out)),
        }
    }

    /// Appends the response to a query, signed if it is. None if that has to be done later.
    fn respond_to(
        &mut self,
        (query, message): (&Query<'_>, &[u8]),
        mut signer: Option<Box<Signer>>,
        client: SocketAddr,
        out: &mut Vec<u8>,
    ) -> Option<Responded> {
        self.worker.tally.request(Family::from(client.ip()), QueryType::from(query.qtype.0), message.len());
        self.reserved = signer.as_ref().map_or(0, |signer| signer.reserved());
        let start = out.len();
        let responded = match &self.serving.primary {
            Some(primary) if transfer::is_transfer(query) => {
                let transport = self.worker.tally.transport();
                let signed = signer.as_ref().map(|signer| signer.access());
                let zone = self.serving.authority.zone_at(query.name.as_wire()).map(Zone::number);
                match transfer::decide(primary, (query, message), client, transport, signed) {
                    Granted::Answer(answer) => {
                        encode(query, &answer, &self.encoding(false), out);
                        Responded { zone, rcode: answer.rcode }
                    }
                    Granted::Transfer(transfer) => {
                        self.responder.metrics.begun(&mut self.worker.tally, zone, Rcode::NoError);
                        self.transfer = Some(Outbound::new(transfer, message, signer));
                        return None;
                    }
                }
            }
            _ => match self.answer(query, client, out) {
                Ok(responded) => responded,
                Err(waiting) => {
                    let (message, received) = (message.into(), self.began);
                    self.deferred = Some(Deferred { message, client, received, waiting, signer });
                    return None;
                }
            },
        };
        if let Some(signer) = &mut signer {
            signer.sign(out, start, SystemTime::now());
        }
        Some(responded)
    }

    /// When the batch began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// The message for whose response others have to be asked, if the last one is such.
    pub fn take_deferred(&mut self) -> Option<Deferred> {
        self.deferred.take()
    }

    /// The transfer that the last message asks for, if it may have one.
    pub fn take_transfer(&mut self) -> Option<Outbound> {
        self.transfer.take()
    }

    /// Appends the response to a message of which others have been asked.
    fn respond_resolved(&mut self, deferred: &mut Deferred, resolved: &Resolved, out: &mut Vec<u8>) {
        let Deferred { message, client, waiting, signer, .. } = deferred;
        // It could be read when it came.
        let Some(query) = parse(message).or_else(|| hickory::parse(message)) else { return };
        self.reserved = signer.as_ref().map_or(0, |signer| signer.reserved());
        let start = out.len();
        let responded = self.answer_resolved(&query, waiting, resolved, out);
        if let Some(signer) = signer {
            signer.sign(out, start, SystemTime::now());
        }
        self.finish(responded, (message, &out[start..]), *client);
    }

    fn answer_resolved(
        &self,
        query: &Query<'_>,
        waiting: &Waiting,
        resolved: &Resolved,
        out: &mut Vec<u8>,
    ) -> Responded {
        let question = query.question();
        let answer = self.lookup(query, &question);
        let encoding = self.encoding(true);
        match answer.elsewhere {
            Some(elsewhere) if elsewhere::asked(query, &question, elsewhere) == *waiting.asked => {
                let rcode = elsewhere::encode_resolved(query, &answer, resolved, &encoding, out);
                Responded { rcode, ..Responded::with(&answer) }
            }
            // The table has changed meanwhile: the alias leads somewhere else, or the name is ours now.
            _ => {
                encode(query, &answer, &encoding, out);
                Responded::with(&answer)
            }
        }
    }

    /// Appends the answer to a query.
    ///
    /// # Errors
    /// What has to be waited for, if others have to be asked first.
    fn answer(&mut self, query: &Query<'_>, client: SocketAddr, out: &mut Vec<u8>) -> Result<Responded, Waiting> {
        // The places of any run of responses are spread evenly, and so are those of every second one: a client that asks for
        // A and AAAA in turn sees all of both sets.
        self.worker.rotation = self.worker.rotation.wrapping_add(GOLDEN_RATIO);
        let question = query.question();
        let answer = self.lookup(query, &question);
        let Some(resolver) = &self.serving.resolver else {
            encode(query, &answer, &self.encoding(false), out);
            return Ok(Responded::with(&answer));
        };
        let is_allowed = resolver.allows(client.ip());
        let encoding = self.encoding(is_allowed);
        let step = match answer.elsewhere {
            Some(elsewhere) => elsewhere::decide(query, &question, elsewhere, resolver, is_allowed),
            None => Step::AsItIs,
        };
        let rcode = match step {
            Step::AsItIs => {
                encode(query, &answer, &encoding, out);
                answer.rcode
            }
            Step::Prohibited => elsewhere::prohibited(query, &encoding, out),
            Step::Resolved(resolved) => elsewhere::encode_resolved(query, &answer, &resolved, &encoding, out),
            Step::Ask(asked) => match resolver.wait() {
                Ok(place) => return Err(Waiting { asked, resolver: resolver.clone(), _place: place }),
                Err(failure) => elsewhere::encode_resolved(query, &answer, &Resolved::Failed(failure), &encoding, out),
            },
        };
        Ok(Responded { rcode, ..Responded::with(&answer) })
    }

    fn error(&self, message: &[u8], rcode: Rcode, out: &mut Vec<u8>) -> Responded {
        write_error(message, rcode, &self.encoding(false).opt(&[]), out);
        Responded::of_no_zone(rcode)
    }

    fn lookup<'q>(&'q self, query: &Query<'_>, question: &Question<'q>) -> Answer<'q> {
        // RFC 6891 section 6.1.3: a version that is not ours is told so, whatever else the query says.
        if query.edns.is_some_and(|edns| edns.version != EDNS_VERSION) {
            return Answer::bare(Rcode::BadVers, None);
        }
        let authority = &self.serving.authority;
        let mut answer = authority.answer(&self.table, question);
        if query.edns.is_some() {
            authority.explain(&self.table, question, &mut answer);
        }
        answer
    }

    fn encoding(&self, recursion_available: bool) -> Encoding<'_> {
        let encoding = self.responder.encoding(&self.serving, self.worker.tally.transport(), self.reserved);
        Encoding { recursion_available, rotation: self.worker.rotation, ..encoding }
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

#[cfg(test)]
impl Responder {
    /// Answers from an empty table.
    pub fn of_tests() -> Self {
        let authority = Authority::new(crate::authority::Options::of_tests()).expect("names that fit");
        let wire = WireOptions { edns_udp_size: 1232, tcp_keepalive: 50 };
        Self::new(Arc::new(authority), crate::table::table().1, Arc::default(), wire)
    }
}
