//! Messages read and written by hickory, for what the fast parser declines: compressed or unusual questions, records
//! where there usually are none. The answer is the authority's all the same.

use std::net::SocketAddr;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use hickory_proto::op::{Edns, Header, HeaderCounts, Metadata};
use hickory_proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use hickory_proto::rr::{Name, Record};
use hickory_proto::serialize::binary::BinEncoder;
use hickory_server::net::NetError;
use hickory_server::net::runtime::{Time, TokioTime};
use hickory_server::net::xfer::Protocol;
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::{MessageResponse, MessageResponseBuilder, Queries};

use super::{Responder, convert};
use crate::authority::{Answer, Ede};
use crate::metrics::Transport;
use crate::name::{MAX_NAME, NameBuf, NameError};
use crate::wire::{self, Class, EDNS_VERSION, MAX_MESSAGE, OptionCode, Question, Rcode, RrType};

/// Appends the answer to one message to `out`; gives its response code.
pub(super) fn respond(
    responder: &Responder,
    message: &[u8],
    client: SocketAddr,
    transport: Transport,
    out: &mut Vec<u8>,
) -> u16 {
    let protocol = match transport {
        Transport::Udp => Protocol::Udp,
        Transport::Tcp => Protocol::Tcp,
    };
    let mut refuse = |rcode: Rcode| {
        out.extend_from_slice(&wire::screen::refusal(message, rcode));
        rcode as u16
    };
    let request = match Request::from_bytes(message.to_vec(), client, protocol) {
        Ok(request) if !is_compressed(&request.queries) => request,
        _ => return refuse(Rcode::FormErr),
    };
    for query in request.queries.queries() {
        responder.count(query.query_type().into(), client, transport);
    }
    let written = Written::default();
    // Nothing in the handler waits, so it is done the first time it is asked.
    let info = responder.handle_request::<_, TokioTime>(&request, written.clone()).now_or_never();
    match (info, written.take()) {
        (Some(info), Some(octets)) => {
            out.extend_from_slice(&octets);
            info.response_code.into()
        }
        _ => refuse(Rcode::ServFail),
    }
}

#[async_trait::async_trait]
impl RequestHandler for Responder {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut out: R) -> ResponseInfo {
        let reply = Reply::to(self, request);
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

/// Whether the question's name is compressed. There is no name before it that it could point to, only the header: as part
/// of the answer, which has another header, it would say something else.
fn is_compressed(queries: &Queries) -> bool {
    /// Octets of type and class after a name.
    const TYPE_AND_CLASS: usize = 4;
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
    fn to(responder: &Responder, request: &Request) -> Self {
        let is_datagram = matches!(request.protocol(), Protocol::Udp);
        let edns = request.edns.as_ref().map(asked);
        let mut reply = Self {
            metadata: Metadata::response_from_request(&request.metadata),
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            edns: edns.map(|edns| opt(&edns, responder.options(), is_datagram)),
        };
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
        responder.decide(&question, edns.as_ref(), |answer, rotation| reply.fill(answer, asked.name(), rotation));
        reply.fit(&request.queries, usize::from(responder.options().limit(edns.as_ref(), is_datagram)));
        reply
    }

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

    /// Leaves out what does not fit into `limit` octets: additional records first, which are not missed (RFC 2181
    /// section 9), then answer records, and TC says that there are more.
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

    /// The length of the message with the first so many of its answer and additional records; the largest number there
    /// is if it is longer than any message.
    fn octets(&self, queries: &Queries, answers: usize, additionals: usize) -> usize {
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_max_size(MAX_MESSAGE);
        match self.response(queries, answers, additionals).destructive_emit(&mut encoder) {
            Ok(info) if !info.truncation => octets.len(),
            _ => usize::MAX,
        }
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
        wants_keepalive: edns.option(EdnsCode::Keepalive).is_some(),
    }
}

/// The OPT record that answers the client's.
fn opt(asked: &wire::Edns, options: &wire::WireOptions, is_datagram: bool) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(options.edns_udp_size);
    edns.set_version(EDNS_VERSION);
    // RFC 3225 section 3: "The DO bit of the query MUST be copied in the response."
    edns.set_dnssec_ok(asked.dnssec_ok);
    // RFC 7828 section 3.2.1: not over UDP.
    if asked.wants_keepalive && !is_datagram {
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
