//! What every transport calls: the octets of a message in, those of its answer out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::encode::{Encoding, encode};
use super::hickory;
use crate::authority::{Answer, Authority};
use crate::metrics::{DropReason, Family, Metrics, QueryType, Transport};
use crate::table::TableReader;
use crate::wire::screen::{Screened, refusal, screen};
use crate::wire::{EDNS_VERSION, Edns, HEADER, Question, Rcode, WireOptions, query};

/// Answers messages. Shared by all transports.
pub struct Responder {
    authority: Arc<Authority>,
    table: TableReader,
    metrics: Arc<Metrics>,
    options: WireOptions,
    /// Where the next answer begins in its RRsets.
    rotation: AtomicUsize,
}

impl Responder {
    pub fn new(authority: Arc<Authority>, table: TableReader, metrics: Arc<Metrics>, options: WireOptions) -> Self {
        Self { authority, table, metrics, options, rotation: AtomicUsize::new(0) }
    }

    /// Appends the answer to `message` to `out`. False, and nothing is appended, if it deserves none.
    pub fn respond(&self, message: &[u8], client: SocketAddr, transport: Transport, out: &mut Vec<u8>) -> bool {
        let began = Instant::now();
        let rcode = match screen(message) {
            Screened::Drop => {
                let is_short = message.len() < HEADER;
                self.metrics.dropped(if is_short { DropReason::TooShort } else { DropReason::Response });
                return false;
            }
            Screened::Refuse(rcode) => {
                out.extend_from_slice(&refusal(message, rcode));
                rcode as u16
            }
            Screened::Query => self.answer(message, client, transport, out),
        };
        self.metrics.response(transport, rcode.into(), began.elapsed());
        true
    }

    /// Answers a query; gives the response code.
    fn answer(&self, message: &[u8], client: SocketAddr, transport: Transport, out: &mut Vec<u8>) -> u16 {
        let Some(query) = query::parse(message) else {
            return hickory::respond(self, message, client, transport, out);
        };
        self.count(query.qtype.0, client, transport);
        let is_datagram = transport == Transport::Udp;
        self.decide(&query.question(), query.edns.as_ref(), |answer, rotation| {
            encode(&query, answer, &Encoding { options: &self.options, is_datagram, rotation }, out);
            answer.rcode as u16
        })
    }

    /// Decides the answer to a question and hands it to `write`, with the place at which its sets begin. What is written
    /// may borrow from the table, which is pinned meanwhile.
    pub(super) fn decide<T>(
        &self,
        question: &Question<'_>,
        edns: Option<&Edns>,
        write: impl FnOnce(&Answer<'_>, usize) -> T,
    ) -> T {
        // RFC 6891 section 6.1.3: a version that is not ours is told so, whatever else the query says.
        if edns.is_some_and(|edns| edns.version != EDNS_VERSION) {
            return write(&Answer::bare(Rcode::BadVers, None), 0);
        }
        let rotation = self.rotation.fetch_add(1, Ordering::Relaxed);
        let table = self.table.pin();
        write(&self.authority.answer(&table, question), rotation)
    }

    /// Counts a question.
    pub(super) fn count(&self, qtype: u16, client: SocketAddr, transport: Transport) {
        self.metrics.request(transport, Family::from(client.ip()), QueryType::from(qtype));
    }

    pub(super) fn options(&self) -> &WireOptions {
        &self.options
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}
