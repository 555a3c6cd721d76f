//! Answers to what is not ours: who may have it asked, from where it comes, and how it is written.
//!
//! ```text
//! authority: elsewhere ─▶ may this client? ─▶ in the cache? ─▶ written at once
//!                             │ no: as R6 has it    │ no
//!                             ▼                     ▼
//!                          REFUSED        Deferred ─▶ resolver ─▶ written when the upstream has answered
//! ```
//!
//! When the upstream has answered, the query is answered anew from the table, so that an alias of ours and what it leads to
//! are of one moment.

use std::fmt::Write;
use std::time::Instant;

use arrayvec::{ArrayString, ArrayVec};
use tokio::sync::OwnedSemaphorePermit;

use super::response::{Encoding, Records};
use crate::authority::{Answer, Ede, Elsewhere};
use crate::dns::name::NameParts;
use crate::dns::wire::codes::RD;
use crate::dns::wire::encode::{CopiedTtl, RecordHead, Status};
use crate::dns::wire::extended_error::{ExtendedError, MAX_ERRORS, MAX_EXTRA_TEXT};
use crate::dns::wire::response::ForeignRecord;
use crate::dns::wire::{EdeCode, MessageWriter, Owner, Query, Question, Rcode, Response, Section};
use crate::resolver::{AskedElsewhere, Entry, Failure, Resolved, Resolver};

/// A query whose answer has to wait for an upstream.
pub struct Deferred {
    pub(super) message: Box<[u8]>,
    pub(super) received: Instant,
    pub(super) waiting: Waiting,
}

/// What is waited for, in a place among those who may wait.
pub(super) struct Waiting {
    pub asked: Box<AskedElsewhere>,
    pub _place: OwnedSemaphorePermit,
}

/// What is done about a question that is not ours.
pub(super) enum Step {
    /// The answer as it is, without others: the client asks for no recursion, or an alias of ours is all that it may have.
    AsItIs,
    /// REFUSED: the client may not have others asked.
    Prohibited,
    /// Written at once.
    Resolved(Resolved),
    /// Others have to be asked first.
    Ask(Box<AskedElsewhere>),
}

/// Decides about a question that is not ours.
pub(super) fn decide(
    query: &Query<'_>,
    question: &Question<'_>,
    elsewhere: Elsewhere<'_>,
    resolver: &Resolver,
    is_allowed: bool,
) -> Step {
    if query.header[2] & RD == 0 {
        return Step::AsItIs;
    }
    let asked = asked(query, question, elsewhere);
    if !is_allowed {
        // An upstream that sends a probe back need not be a client of ours.
        resolver.is_own_probe(asked.name());
        return if elsewhere == Elsewhere::Question { Step::Prohibited } else { Step::AsItIs };
    }
    match resolver.lookup(&asked) {
        Some(resolved) => Step::Resolved(resolved),
        None if resolver.is_own_probe(asked.name()) => {
            let text = "a query of this server that an upstream has sent back";
            Step::Resolved(Resolved::Failed(Failure { code: EdeCode::OtherError, text: text.into() }))
        }
        None => Step::Ask(Box::new(asked)),
    }
}

/// What others are asked.
pub(super) fn asked(query: &Query<'_>, question: &Question<'_>, elsewhere: Elsewhere<'_>) -> AskedElsewhere {
    match elsewhere {
        Elsewhere::Question => AskedElsewhere::new(question.name, query),
        Elsewhere::Target(target) => AskedElsewhere::new(target.as_wire(), query),
    }
}

/// The answer to a client that may not have others asked.
pub(super) fn prohibited(query: &Query<'_>, encoding: &Encoding<'_>, out: &mut Vec<u8>) -> Rcode {
    let error = error(EdeCode::Prohibited, "this server does not forward queries of this client (forward_clients)");
    let records = Records::new(query, encoding, out);
    records.finish(status(Rcode::Refused, false, encoding), &encoding.opt(&[error]))
}

/// Appends the response that is made of our own answer, which has aliases at most, and of what came from elsewhere. Returns its
/// code.
pub(super) fn encode_resolved(
    query: &Query<'_>,
    answer: &Answer<'_>,
    resolved: &Resolved,
    encoding: &Encoding<'_>,
    out: &mut Vec<u8>,
) -> Rcode {
    let mut errors: ArrayVec<_, MAX_ERRORS> =
        answer.errors.iter().filter(|_| answer.authoritative).map(Ede::written).collect();
    match resolved {
        Resolved::Answer { entry, ttl } => note(entry, *ttl, &mut errors),
        Resolved::Failed(failure) => {
            let _ = errors.try_push(error(failure.code, &failure.text));
        }
    }
    let opt = encoding.opt(&errors);
    let mut records = Records::new(query, encoding, out);
    answer.answer().for_each(|rrset| {
        records.rrset(&rrset);
    });
    let (rcode, is_authentic) = match resolved {
        Resolved::Answer { entry, ttl } => {
            let response = &entry.response;
            if answer.elsewhere == Some(Elsewhere::Question) {
                records.message.copy(response, *ttl, if query.edns.is_some() { opt.reserved() } else { 0 });
            } else {
                append(&mut records.message, response, *ttl);
            }
            (response.rcode(), response.is_authentic() && !answer.authoritative)
        }
        Resolved::Failed(_) => (Rcode::ServFail, false),
    };
    records.finish(Status { authentic: is_authentic, ..status(rcode, answer.authoritative, encoding) }, &opt)
}

fn status(rcode: Rcode, authoritative: bool, encoding: &Encoding<'_>) -> Status {
    Status { rcode, authoritative, recursion_available: encoding.recursion_available, authentic: false }
}

/// Says of a response what a client cannot see in it: that its time is over, and who denied the name or failed.
fn note(entry: &Entry, ttl: CopiedTtl, errors: &mut ArrayVec<ExtendedError, MAX_ERRORS>) {
    // There is room for as many errors as an answer of ours has, and it has none where others deny.
    if matches!(ttl, CopiedTtl::Expired(_)) {
        let _ = errors.try_push(error(EdeCode::StaleAnswer, "no upstream answers; the TTL of this answer is over"));
    }
    let rcode = entry.response.rcode();
    if rcode != Rcode::NoError {
        let mut text = ArrayString::<MAX_EXTRA_TEXT>::new();
        // An error means that the text was cut off.
        let _ = write!(text, "{entry}");
        let _ = errors.try_push(ExtendedError { code: EdeCode::OtherError, text });
    }
}

fn error(code: EdeCode, text: &str) -> ExtendedError {
    let mut short = ArrayString::new();
    short.push_str(&text[..text.floor_char_boundary(MAX_EXTRA_TEXT)]);
    ExtendedError { code, text: short }
}

/// Appends the records of a response to another question than the client's, their names whole, as far as they fit.
fn append(message: &mut MessageWriter<'_>, response: &Response, ttl: CopiedTtl) {
    for (index, section) in [Section::Answer, Section::Authority].into_iter().enumerate() {
        message.begin(section);
        for record in response.section(index) {
            // A record that is malformed is left out.
            let (Some((owner, _)), Some(data)) = (response.name(record.owner), response.expanded(&record)) else {
                continue;
            };
            let ForeignRecord { rr_type, class, .. } = record;
            let owner = Owner::Name(NameParts([owner.as_wire(), &[], &[], &[]]));
            let head = RecordHead { owner, rr_type, class, ttl: ttl.left(record.ttl) };
            if !message.record(&head, |message| message.put(&data)) {
                return;
            }
        }
    }
}
