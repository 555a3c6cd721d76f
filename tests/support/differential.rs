//! One query, held against hickory-proto on both sides. Shared with the fuzz targets.
//!
//! ```text
//! octets ─┬─▶ our parser ─────▶ Query ◀── the same? ──▶ Message ◀──── hickory-proto ◀─┬─ octets
//!         └─▶ our responder ─▶ response ─▶ hickory-proto ─▶ records ◀── the same? ──▶ the authority's answer, as data
//! ```
//!
//! The response is the same, octet for octet, when the query has a record that makes the fast parser decline it; and it has the
//! same records when the query has no options (W9).

use std::collections::BTreeSet;
use std::fmt::Debug;

use headless_dns::dns::wire::parse::parse;
use headless_dns::dns::wire::{Edns, Question, Rcode};
use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::{self, Message, ResponseCode};
use hickory_proto::rr::Record;
use hickory_proto::rr::rdata::opt::EdnsCode;

use crate::support::answering::{Answering, respond_as};
use crate::support::oracle;
use crate::support::reference::Sections;

/// A plain query: what the fast parser reads.
#[derive(Debug)]
pub struct Asked {
    pub id: u16,
    pub recursion_desired: bool,
    pub checking_disabled: bool,
    /// In wire form, at most 255 octets.
    pub name: Vec<u8>,
    pub qtype: u16,
    pub class: u16,
    pub edns: Option<AskedEdns>,
}

/// The OPT record of a query.
#[derive(Debug)]
pub struct AskedEdns {
    pub payload: u16,
    pub version: u8,
    pub dnssec_ok: bool,
    /// Codes and data, less than a message in all.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// Octets of a message header.
const HEADER: usize = 12;
/// Where the number of additional records has its low octet.
const ARCOUNT: usize = 11;
/// Octets of an OPT record without options.
const OPT: usize = 11;

impl Asked {
    /// The query's octets.
    pub fn message(&self) -> Vec<u8> {
        let flags = [u8::from(self.recursion_desired), u8::from(self.checking_disabled) << 4];
        let mut message =
            [&self.id.to_be_bytes()[..], &flags, &[0, 1, 0, 0, 0, 0, 0, u8::from(self.edns.is_some())]].concat();
        message.extend_from_slice(&self.name);
        message.extend(self.qtype.to_be_bytes());
        message.extend(self.class.to_be_bytes());
        if let Some(edns) = &self.edns {
            let options: Vec<u8> = edns
                .options
                .iter()
                .flat_map(|(code, data)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), data].concat())
                .collect();
            message.extend([0, 0, 41]);
            message.extend(edns.payload.to_be_bytes());
            message.extend([0, edns.version, u8::from(edns.dnssec_ok) << 7, 0]);
            message.extend((options.len() as u16).to_be_bytes());
            message.extend(options);
        }
        message
    }
}

/// A plain query in its parts: header and question, and the OPT record.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    const TYPE_AND_CLASS: usize = 4;
    let mut at = HEADER;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    message.split_at(at + 1 + TYPE_AND_CLASS)
}

/// A plain query with an A record between its question and its OPT record: the fast parser declines it.
pub fn made_odd(message: &[u8]) -> Vec<u8> {
    const NOTHING: [u8; 15] = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1];
    let (question, opt) = split(message);
    let mut odd = [question, &NOTHING, opt].concat();
    odd[ARCOUNT] += 1;
    odd
}

/// A plain query without its options.
fn without_options(message: &[u8]) -> Vec<u8> {
    let (question, opt) = split(message);
    let mut bare = [question, &opt[..opt.len().min(OPT)]].concat();
    if !opt.is_empty() {
        bare.splice(question.len() + OPT - 2.., [0, 0]);
    }
    bare
}

/// Holds the reading of a plain query and its response against hickory-proto's reading of both; gives the response code.
///
/// # Errors
/// What is wrong, with the query.
pub fn compare(server: &Answering, message: &[u8], transport: Transport) -> Result<ResponseCode, String> {
    compare_all(server, message, transport).map_err(|problem| format!("{problem}\n  {transport:?} {message:02x?}"))
}

fn compare_all(server: &Answering, message: &[u8], transport: Transport) -> Result<ResponseCode, String> {
    let worker = server.responder.worker(transport);
    let respond = |message: &[u8]| -> Result<Vec<u8>, String> {
        let response = respond_as(&server.responder, &mut worker.clone(), message);
        oracle::check(message, transport == Transport::Udp, response.as_deref())?;
        response.ok_or_else(|| "every question is answered".to_owned())
    };
    let octets = respond(message)?;
    let response = read(&octets)?;
    let Ok(asked) = Message::from_vec(message) else {
        same("a malformed query is declined", &parse(message).is_none(), &true)?;
        return same("response code", &response.metadata.response_code, &ResponseCode::FormErr)
            .map(|()| response.metadata.response_code);
    };
    check_query(message, &asked)?;
    check_response(server, &asked, &response, transport)?;
    same("response of the parser of the whole protocol", &respond(&made_odd(message))?, &octets)?;
    let bare = read(&respond(&without_options(message))?)?;
    same("truncation without options", &bare.metadata, &response.metadata)?;
    same("answer section without options", &bare.answers, &response.answers)?;
    same("additional section without options", &bare.additionals, &response.additionals)?;
    Ok(response.metadata.response_code)
}

fn read(octets: &[u8]) -> Result<Message, String> {
    Message::from_vec(octets).map_err(|error| format!("a response that cannot be read: {error}"))
}

/// Holds our reading of a query against hickory-proto's.
fn check_query(message: &[u8], asked: &Message) -> Result<(), String> {
    let query = parse(message).ok_or("a plain query is declined")?;
    let [question] = &asked.queries[..] else { return Err("one question".to_owned()) };
    let name: Vec<u8> = question.name().iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
    same("name", &query.name.as_wire(), &&*[&*name.to_ascii_lowercase(), &[0]].concat())?;
    same("type", &query.qtype.0, &question.query_type().into())?;
    same("class", &query.class.0, &question.query_class().into())?;
    same("ID", &query.header[..2], &asked.metadata.id.to_be_bytes())?;
    // hickory-proto raises sizes that no client may give.
    let ours = query.edns.map(|edns| Edns { payload: edns.payload.max(512), ..edns });
    same("EDNS", &ours, &asked.edns.as_ref().map(edns))
}

fn edns(edns: &op::Edns) -> Edns {
    let wants = |code| edns.option(code).is_some();
    Edns {
        payload: edns.max_payload(),
        version: edns.version(),
        dnssec_ok: edns.flags().dnssec_ok,
        wants_keepalive: wants(EdnsCode::Keepalive),
        wants_nsid: wants(EdnsCode::NSID),
        wants_padding: wants(EdnsCode::Padding),
    }
}

/// Holds a response against the authority's answer.
fn check_response(server: &Answering, asked: &Message, response: &Message, transport: Transport) -> Result<(), String> {
    if asked.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        same("records with BADVERS", &(response.answers.len() + response.authorities.len()), &0)?;
        return same("response code", &u16::from(response.metadata.response_code), &(Rcode::BadVers as u16));
    }
    let question = &asked.queries[0];
    let name: Vec<u8> = question.name().iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect();
    let name = [&*name.to_ascii_lowercase(), &[0]].concat();
    let (qtype, class) = (u16::from(question.query_type()), u16::from(question.query_class()));
    let table = server.table.pin();
    let looked_up = Question {
        name: &name,
        qtype: headless_dns::dns::wire::RrType(qtype),
        class: headless_dns::dns::wire::Class(class),
    };
    let answer = server.authority.answer(&table, &looked_up);
    let expected = Sections::of(&answer, question.name());
    same("response code", &u16::from(response.metadata.response_code), &(answer.rcode as u16))?;
    same("AA", &response.metadata.authoritative, &answer.authoritative)?;
    let (answers, all) = (texts(&response.answers)?, texts(&expected.answers)?);
    let (additionals, all_additionals) = (texts(&response.additionals)?, texts(&expected.additionals)?);
    let is_truncated = response.metadata.truncation;
    same("authority section", &texts(&response.authorities)?, &texts(&expected.authorities)?)?;
    hold(answers.is_subset(&all) && additionals.is_subset(&all_additionals), "a record that the answer does not have")?;
    hold(is_truncated == (answers != all), "TC iff records of the answer are missing (W2)")?;
    hold(!is_truncated || additionals.is_empty(), "additional records go before TC is set (S12)")?;
    hold(
        is_truncated || transport == Transport::Udp || additionals == all_additionals,
        "over a stream there is room for all additional records",
    )
}

fn same<T: PartialEq + Debug + ?Sized>(what: &str, one: &T, other: &T) -> Result<(), String> {
    if one == other { Ok(()) } else { Err(format!("{what}: {one:?} and {other:?}")) }
}

fn hold(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Records without their order, each once. The letters of a name may be those of the question where it is compressed.
fn texts(records: &[Record]) -> Result<BTreeSet<String>, String> {
    let texts: BTreeSet<_> = records.iter().map(|record| record.to_string().to_ascii_lowercase()).collect();
    hold(texts.len() == records.len(), "a record stands twice")?;
    Ok(texts)
}
