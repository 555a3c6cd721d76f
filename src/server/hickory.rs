//! Messages read and written by hickory, answered by the authority.

use std::net::SocketAddr;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder, Queries};

use super::convert;
use crate::authority::{Answer, Authority, Ede};
use crate::metrics::{DropReason, Family, Metrics, QueryType, Transport};
use crate::name::{MAX_NAME, NameBuf, NameError};
use crate::table::TableReader;
use crate::wire::screen::{Screened, refusal, screen};
use crate::wire::{Class, HEADER, MAX_MESSAGE, MIN_UDP, OptionCode, Question, Rcode, RrType};

/// Turns queries into answers, for every transport.
#[derive(Clone)]
pub struct Responder {
    authority: Arc<Authority>,
    table: TableReader,
    metrics: Arc<Metrics>,
    options: ResponderOptions,
    /// Where the next answer begins in its RRset.
    rotation: Arc<AtomicUsize>,
}

/// What of the wire is configured.
#[derive(Clone, Copy, Debug)]
pub struct ResponderOptions {
    /// The largest UDP answer to a client with EDNS, octets.
    pub edns_udp_size: u16,
    /// The idle time-out of streams, told to clients that ask (RFC 7828), in its unit of 100 ms.
    pub tcp_keepalive: u16,
}

impl Responder {
    pub fn new(
        authority: Arc<Authority>,
        table: TableReader,
        metrics: Arc<Metrics>,
        options: ResponderOptions,
    ) -> Self {
        Self { authority, table, metrics, options, rotation: Arc::default() }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The answer to one message, if it deserves one.
    pub async fn respond(&self, message: &[u8], client: SocketAddr, transport: Transport) -> Option<Vec<u8>> {
        let began = Instant::now();
        let refuse = |rcode: Rcode| {
            self.metrics.response(transport, (rcode as u16).into(), began.elapsed());
            Some(refusal(message, rcode).to_vec())
        };
        match screen(message) {
            Screened::Query => {}
            Screened::Drop => {
                let is_short = message.len() < HEADER;
                self.metrics.dropped(if is_short { DropReason::TooShort } else { DropReason::Response });
                return None;
            }
            Screened::Refuse(rcode) => return refuse(rcode),
        }
        let protocol = match transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp => Protocol::Tcp,
        };
        let Ok(request) = Request::from_bytes(message.to_vec(), client, protocol) else {
            return refuse(Rcode::FormErr);
        };
        let family = Family::from(client.ip());
        for query in request.queries.queries() {
            self.metrics.request(transport, family, QueryType::from(u16::from(query.query_type())));
        }
        let written = Written::default();
        let info = self.handle_request::<_, TokioTime>(&request, written.clone()).await;
        self.metrics.response(transport, u16::from(info.response_code).into(), began.elapsed());
        written.take().or_else(|| Some(refusal(message, Rcode::ServFail).to_vec()))
    }

    /// The reply to a query that was understood, within the limit of its transport.
    fn reply(&self, request: &Request) -> Reply {
        let edns = request.edns.as_ref();
        let is_datagram = matches!(request.protocol(), Protocol::Udp);
        let mut reply = Reply {
            metadata: Metadata::response_from_request(&request.metadata),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            edns: edns.map(|edns| self.edns(edns, is_datagram)),
        };
        // RFC 6891 section 6.1.3: a version that is not ours is told so, whatever else the query says.
        if edns.is_some_and(|edns| edns.version() != EDNS_VERSION) {
            reply.metadata.response_code = convert::response_code(Rcode::BadVers);
            return reply;
        }
        let [query] = request.queries.queries() else {
            reply.metadata.response_code = convert::response_code(Rcode::FormErr);
            return reply;
        };
        let asked = query.original();
        let Ok(name) = wire_name(asked.name()) else {
            reply.metadata.response_code = convert::response_code(Rcode::FormErr);
            return reply;
        };
        let question = Question {
            name: name.as_wire(),
            qtype: RrType(asked.query_type().into()),
            class: Class(asked.query_class().into()),
        };
        let table = self.table.pin();
        let answer = self.authority.answer(&table, &question);
        reply.fill(&answer, asked.name(), self.rotation.fetch_add(1, Ordering::Relaxed));
        let limit = match edns {
            _ if !is_datagram => MAX_MESSAGE,
            Some(edns) => edns.max_payload().max(MIN_UDP).min(self.options.edns_udp_size),
            None => MIN_UDP,
        };
        reply.fit(&request.queries, usize::from(limit));
        reply
    }

    /// The OPT record that answers the client's.
    fn edns(&self, asked: &Edns, is_datagram: bool) -> Edns {
        let mut edns = Edns::new();
        edns.set_max_payload(self.options.edns_udp_size);
        edns.set_version(EDNS_VERSION);
        // RFC 3225 section 3: "The DO bit of the query MUST be copied in the response."
        edns.set_dnssec_ok(asked.flags().dnssec_ok);
        // RFC 7828 section 3.2: not over UDP, and here to those who ask.
        if !is_datagram && asked.option(EdnsCode::Keepalive).is_some() {
            let timeout = self.options.tcp_keepalive.to_be_bytes().to_vec();
            edns.options_mut().insert(EdnsOption::Unknown(OptionCode::TcpKeepalive as u16, timeout));
        }
        edns
    }
}

/// The only version of EDNS there is.
const EDNS_VERSION: u8 = 0;

#[async_trait::async_trait]
impl RequestHandler for Responder {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let reply = self.reply(request);
        let response = reply.response(&request.queries, reply.answers.len(), reply.additionals.len());
        let sent = out.send_response(response).await;
        sent.unwrap_or_else(|error| {
            tracing::debug!(%error, "an answer was not written");
            let mut metadata = reply.metadata;
            metadata.response_code = convert::response_code(Rcode::ServFail);
            ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
        })
    }
}

/// The sections of a reply as hickory wants them.
struct Reply {
    metadata: Metadata,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    edns: Option<Edns>,
}

impl Reply {
    fn fill(&mut self, answer: &Answer<'_>, question: &Name, rotation: usize) {
        self.metadata.response_code = convert::response_code(answer.rcode);
        self.metadata.authoritative = answer.authoritative;
        let records = |rrset| convert::records(rrset, question, rotation);
        self.answers = answer.answer.iter().flat_map(records).collect();
        self.authorities = answer.authority.iter().flat_map(records).collect();
        self.additionals = convert::additional(&answer.additional, rotation);
        if let (Some(edns), Some(Ede { code, text })) = (&mut self.edns, &answer.ede) {
            let error = [&code.to_be_bytes(), text.as_bytes()].concat();
            edns.options_mut().insert(EdnsOption::Unknown(OptionCode::ExtendedError as u16, error));
        }
    }

    /// Leaves out what does not fit into `limit` octets. Additional records go first and are not missed (RFC 2181
    /// section 9); without them, whole answer records as far as they fit, and TC says that there are more.
    fn fit(&mut self, queries: &Queries, limit: usize) {
        if self.octets(queries, self.answers.len(), self.additionals.len()) <= limit {
            return;
        }
        if self.octets(queries, self.answers.len(), 0) <= limit {
            let fits = |additionals| self.octets(queries, self.answers.len(), additionals) <= limit;
            self.additionals.truncate(largest(self.additionals.len(), fits));
        } else {
            self.additionals.clear();
            let fits = |answers| self.octets(queries, answers, 0) <= limit;
            self.answers.truncate(largest(self.answers.len(), fits));
            self.metadata.truncation = true;
        }
    }

    /// The length of the message with so many of its answer and additional records; the most there is if it is longer
    /// than any message.
    fn octets(&self, queries: &Queries, answers: usize, additionals: usize) -> usize {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_max_size(MAX_MESSAGE);
        let response = self.response(queries, answers, additionals);
        match response.destructive_emit(&mut encoder) {
            Ok(info) if !info.truncation => octets.len(),
            _ => usize::MAX,
        }
    }

    /// The message with the first so many of the answer and additional records.
    fn response<'r>(&'r self, queries: &'r Queries, answers: usize, additionals: usize) -> Response<'r> {
        let (answers, additionals) = (&self.answers[..answers], &self.additionals[..additionals]);
        MessageResponseBuilder::new(queries, self.edns.as_ref()).build(
            self.metadata,
            answers,
            &self.authorities,
            &[],
            additionals,
        )
    }
}

type Records<'r> = slice::Iter<'r, Record>;
type Response<'r> = MessageResponse<'r, 'r, Records<'r>, Records<'r>, Records<'r>, Records<'r>>;

/// The largest number up to `most` that fits, where every number below one that fits does too; 0 if none is.
fn largest(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut fitting, mut failing) = (0, most + 1);
    while failing - fitting > 1 {
        let middle = fitting + (failing - fitting) / 2;
        if fits(middle) { fitting = middle } else { failing = middle }
    }
    fitting
}

/// A name as the authority looks it up.
fn wire_name(name: &Name) -> Result<NameBuf, NameError> {
    let mut wire = Vec::with_capacity(MAX_NAME);
    for label in name.iter() {
        wire.push(u8::try_from(label.len()).map_err(|_| NameError::Wire)?);
        wire.extend_from_slice(label);
    }
    wire.push(0);
    NameBuf::from_wire(&wire)
}

/// Takes a response as octets, for a socket that is not hickory's.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Option<Vec<u8>>>>);

impl Written {
    fn take(&self) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[async_trait::async_trait]
impl ResponseHandler for Written {
    async fn send_response<'a>(
        &mut self,
        response: MessageResponse<
            '_,
            'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
            impl Iterator<Item = &'a Record> + Send + 'a,
        >,
    ) -> Result<ResponseInfo, NetError> {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_max_size(MAX_MESSAGE);
        let info = response.destructive_emit(&mut encoder)?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(octets);
        Ok(info)
    }
}
