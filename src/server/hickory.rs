//! Messages read and written by hickory: what the fast parser declines, such as compressed or unusual questions and records
//! where there usually are none. The answer is the authority's all the same.

use std::net::SocketAddr;
use std::slice;

use hickory_proto::op::{Edns, Metadata};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::xfer::Protocol;
use hickory_server::server::Request;
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder, Queries};

use super::convert::{self, Wanted};
use super::errors::{bare_length, told_in};
use super::responder::Batch;
use crate::authority::{Answer, Ede};
use crate::dns::name::{MAX_NAME, NameBuf, NameError};
use crate::dns::wire::codes::TYPE_AND_CLASS;
use crate::dns::wire::{self, Class, EDNS_VERSION, MAX_MESSAGE, OptionCode, Question, Rcode, RrType};
use crate::telemetry::metrics::Transport;

/// Octets of a record with a compressed owner and no data.
const SHORTEST_RECORD: usize = 12;

/// Appends the answer to one message to `out`; gives its response code.
pub(super) fn respond(batch: &mut Batch<'_>, message: &[u8], client: SocketAddr, out: &mut Vec<u8>) -> u16 {
    // A formality: what depends on the transport is decided here, by ours.
    let protocol = if batch.transport().is_datagram() { Protocol::Udp } else { Protocol::Tcp };
    let request = Request::from_bytes(message.to_vec(), client, protocol).ok();
    let written = request.filter(|request| !is_compressed(&request.queries)).map(|request| {
        let reply = Reply::to(batch, &request);
        let mut octets = Vec::new();
        let written = reply.whole(&request.queries).destructive_emit(&mut encoder(&mut octets));
        (written, octets)
    });
    let rcode = match written {
        Some((Ok(info), octets)) => {
            out.extend_from_slice(&octets);
            return info.response_code.into();
        }
        Some((Err(_), _)) => Rcode::ServFail,
        None => Rcode::FormErr,
    };
    out.extend_from_slice(&wire::screen::refusal(message, rcode));
    rcode as u16
}

/// An encoder for messages of any transport: what must not be longer has been cut before.
fn encoder(octets: &mut Vec<u8>) -> BinEncoder<'_> {
    let mut encoder = BinEncoder::new(octets);
    encoder.set_max_size(MAX_MESSAGE);
    encoder
}

/// Whether the question's name is compressed. There is no name before it that it could point to, only the header: as part
/// of the answer, which has another header, it would say something else.
fn is_compressed(queries: &Queries) -> bool {
    let octets = queries.queries().iter().map(|query| query.original().name()).map(wire_name);
    let octets = octets.map(|name| name.map_or(0, |name| name.as_wire().len() + TYPE_AND_CLASS));
    octets.sum::<usize>() != queries.as_bytes().len()
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
    /// The reply to a query that hickory could read, within the limit of its transport.
    fn to(batch: &mut Batch<'_>, request: &Request) -> Self {
        let edns = request.edns.as_ref().map(asked);
        let mut reply = Self::bare(request, Rcode::FormErr);
        reply.edns = edns.map(|edns| opt(&edns, batch.options(), batch.transport()));
        let [query] = request.queries.queries() else { return reply };
        let asked = query.original();
        let Ok(name) = wire_name(asked.name()) else { return reply };
        let question = Question {
            name: name.as_wire(),
            qtype: RrType(asked.query_type().into()),
            class: Class(asked.query_class().into()),
        };
        batch.count(question.qtype.0, request.src());
        let limit = usize::from(batch.options().limit(edns.as_ref(), batch.transport().is_datagram()));
        let wanted = Wanted { rotation: batch.rotate(), most: limit / SHORTEST_RECORD + 1 };
        let answer = batch.decide(&question, edns.as_ref());
        reply.fill(&answer, asked.name(), wanted);
        reply.fit(&request.queries, limit, &answer.errors);
        reply
    }

    /// A reply without records.
    fn bare(request: &Request, rcode: Rcode) -> Self {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = convert::response_code(rcode);
        Self { metadata, answers: Vec::new(), authorities: Vec::new(), additionals: Vec::new(), edns: None }
    }

    fn fill(&mut self, answer: &Answer<'_>, question: &Name, wanted: Wanted) {
        self.metadata.response_code = convert::response_code(answer.rcode);
        self.metadata.authoritative = answer.authoritative;
        let records = |rrset| convert::records(&rrset, question, wanted);
        self.answers = answer.answer().flat_map(records).collect();
        self.authorities = answer.authority.into_iter().flat_map(records).collect();
        self.additionals = convert::additional(&answer.additional, wanted);
    }

    /// Leaves out what does not fit into `limit` octets: texts of errors first, then additional records, which are not
    /// missed (RFC 2181 section 9), then answer records, and TC says that there are more.
    fn fit(&mut self, queries: &Queries, limit: usize, errors: &[Ede<'_>]) {
        self.fit_records(queries, limit, bare_length(errors));
        if let Some(room) = limit.checked_sub(self.octets(queries, self.answers.len(), self.additionals.len()))
            && let Some(edns) = &mut self.edns
        {
            for data in told_in(room, errors) {
                edns.options_mut().insert(EdnsOption::Unknown(OptionCode::ExtendedError as u16, data.to_vec()));
            }
        }
    }

    /// Leaves out records that do not fit. Additional ones leave `kept` octets of the limit to others.
    fn fit_records(&mut self, queries: &Queries, limit: usize, kept: usize) {
        if self.octets(queries, self.answers.len(), 0) <= limit {
            let fits = |additionals| self.octets(queries, self.answers.len(), additionals) <= limit - kept;
            self.additionals.truncate(largest(self.additionals.len(), fits));
        } else {
            self.additionals.clear();
            let fits = |answers| self.octets(queries, answers, 0) <= limit;
            self.answers.truncate(largest(self.answers.len(), fits));
            self.metadata.truncation = true;
        }
    }

    /// The length of the message with the first so many of its answer and additional records; the largest number there
    /// is if it is longer than any message.
    fn octets(&self, queries: &Queries, answers: usize, additionals: usize) -> usize {
        let mut octets = Vec::new();
        match self.response(queries, answers, additionals).destructive_emit(&mut encoder(&mut octets)) {
            Ok(info) if !info.truncation => octets.len(),
            _ => usize::MAX,
        }
    }

    /// The message with all records that are left.
    fn whole<'r>(&'r self, queries: &'r Queries) -> Response<'r> {
        self.response(queries, self.answers.len(), self.additionals.len())
    }

    /// The message with the first so many of its answer and additional records.
    fn response<'r>(&'r self, queries: &'r Queries, answers: usize, additionals: usize) -> Response<'r> {
        MessageResponseBuilder::new(queries, self.edns.as_ref()).build(
            self.metadata,
            &self.answers[..answers],
            &self.authorities,
            &[],
            &self.additionals[..additionals],
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

/// What the client's OPT record says.
fn asked(edns: &Edns) -> wire::Edns {
    wire::Edns {
        payload: edns.max_payload(),
        version: edns.version(),
        dnssec_ok: edns.flags().dnssec_ok,
        wants_keepalive: wants_keepalive(edns),
    }
}

/// Whether the option edns-tcp-keepalive is there.
fn wants_keepalive(edns: &Edns) -> bool {
    edns.option(EdnsCode::Keepalive).is_some()
}

/// The OPT record that answers the client's.
fn opt(asked: &wire::Edns, options: &wire::WireOptions, transport: Transport) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(options.edns_udp_size);
    edns.set_version(EDNS_VERSION);
    // RFC 3225 section 3: "The DO bit of the query MUST be copied in the response."
    edns.set_dnssec_ok(asked.dnssec_ok);
    if asked.wants_keepalive && transport.has_keepalive() {
        let timeout = options.tcp_keepalive.to_be_bytes().to_vec();
        edns.options_mut().insert(EdnsOption::Unknown(OptionCode::TcpKeepalive as u16, timeout));
    }
    edns
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
