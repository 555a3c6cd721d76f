//! One query, read and answered by the fast path and by hickory's: both give the same answer. Shared with the fuzz targets.
//!
//! hickory's path gets the query with an additional record that means nothing: the fast parser declines such messages. Both
//! answer as workers that begin at one place of each RRset, so that the order of records is compared too.

use std::collections::BTreeSet;
use std::fmt::Debug;

use headless_dns::server::Responder;
use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::Record;

use crate::support::answering::{respond, respond_as};
use crate::support::oracle;

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
    /// Codes and data, less than a message in all. The [`JUDGED_OPTIONS`] are left out.
    pub options: Vec<(u16, Vec<u8>)>,
}

/// Octets of a message header.
const HEADER: usize = 12;
/// Where the number of additional records has its low octet.
const ARCOUNT: usize = 11;
/// Options whose content hickory judges and no rule does.
const JUDGED_OPTIONS: [u16; 2] = [3, 8];

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
            let options = edns.options.iter().filter(|(code, _)| !JUDGED_OPTIONS.contains(code));
            let options: Vec<u8> = options
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

/// A plain query with an A record between its question and its OPT record.
fn made_odd(message: &[u8]) -> Vec<u8> {
    const NOTHING: [u8; 15] = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1];
    const TYPE_AND_CLASS: usize = 4;
    let mut at = HEADER;
    while message[at] != 0 {
        at += 1 + usize::from(message[at]);
    }
    let (question, opt) = message.split_at(at + 1 + TYPE_AND_CLASS);
    let mut odd = [question, &NOTHING, opt].concat();
    odd[ARCOUNT] += 1;
    odd
}

/// Holds the two answers to a plain query against each other, and each to the rules of the wire; gives their response code.
///
/// # Errors
/// What is wrong, with the query.
pub fn compare(responder: &Responder, message: &[u8], transport: Transport) -> Result<ResponseCode, String> {
    let worker = responder.worker(transport);
    let answer = |message: &[u8]| -> Result<Message, String> {
        let answer = respond_as(responder, &mut worker.clone(), message);
        oracle::check(message, transport == Transport::Udp, answer.as_deref())?;
        read(answer)
    };
    let (fast, slow) = (answer(message)?, answer(&made_odd(message))?);
    let whole = || read(respond(responder, message, Transport::Tcp));
    agree(&fast, &slow, transport, whole)
        .map(|()| fast.metadata.response_code)
        .map_err(|problem| format!("{problem}\n  {transport:?} {message:02x?}\n  fast {fast:?}\n  slow {slow:?}"))
}

fn read(answer: Option<Vec<u8>>) -> Result<Message, String> {
    let answer = answer.ok_or("every question is answered")?;
    Message::from_vec(&answer).map_err(|error| format!("an answer that cannot be read: {error}"))
}

fn agree(
    fast: &Message,
    slow: &Message,
    transport: Transport,
    whole: impl FnOnce() -> Result<Message, String>,
) -> Result<(), String> {
    let flags = |message: &Message| {
        let mut metadata = message.metadata;
        metadata.truncation = false;
        metadata
    };
    same("header", &flags(fast), &flags(slow))?;
    same("OPT record", &fast.edns, &slow.edns)?;
    same("authority section", &fast.authorities, &slow.authorities)?;
    if fast.metadata.truncation || slow.metadata.truncation {
        // They compress differently, and so there is not room for the same number of records.
        one_begins_with_the_other(&fast.answers, &slow.answers)?;
        let whole = whole()?;
        // What fits no message at all is not known whole.
        if whole.metadata.truncation {
            return Ok(());
        }
        let whole = texts(&whole.answers);
        for answer in [fast, slow] {
            let texts = texts(&answer.answers);
            let is_part = texts.len() == answer.answers.len() && texts.is_subset(&whole);
            let is_cut = answer.metadata.truncation;
            if !is_part || is_cut == (texts == whole) || is_cut && !answer.additionals.is_empty() {
                return Err("a truncated answer is no part of the whole one".to_owned());
            }
        }
        return Ok(());
    }
    same("answer section", &fast.answers, &slow.answers)?;
    if transport == Transport::Udp {
        one_begins_with_the_other(&fast.additionals, &slow.additionals)
    } else {
        same("additional section", &fast.additionals, &slow.additionals)
    }
}

fn same<T: PartialEq + Debug>(what: &str, fast: &T, slow: &T) -> Result<(), String> {
    if fast == slow { Ok(()) } else { Err(format!("{what}: {fast:?} and {slow:?}")) }
}

fn one_begins_with_the_other(fast: &[Record], slow: &[Record]) -> Result<(), String> {
    let shared = fast.len().min(slow.len());
    same("what both have room for", &&fast[..shared], &&slow[..shared])
}

/// Records without their order. The letters of a name may be those of the question where it is compressed.
fn texts(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.to_string().to_ascii_lowercase()).collect()
}
