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

use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use tokio::sync::OwnedSemaphorePermit;

use super::response::{Encoding, Records};
use crate::authority::{Answer, Ede, Elsewhere};
use crate::dns::name::NameParts;
use crate::dns::wire::codes::RD;
use crate::dns::wire::encode::{CopiedTtl, RecordHead, Status};
use crate::dns::wire::extended_error::{ExtendedError, MAX_ERRORS};
use crate::dns::wire::response::ForeignRecord;
use crate::dns::wire::{EdeCode, MessageWriter, Owner, Query, Question, Rcode, Response, Section};
use crate::resolver::{AskedElsewhere, Failure, Given, Origin, Resolved, Resolver};
use crate::transfer::Signer;

/// A query whose answer has to wait for an upstream.
pub struct Deferred {
    pub(super) message: Box<[u8]>,
    pub(super) client: SocketAddr,
    pub(super) received: Instant,
    pub(super) waiting: Waiting,
    /// Where the message was signed.
    pub(super) signer: Option<Box<Signer>>,
}

/// What is waited for, in a place among those who may wait.
pub(super) struct Waiting {
    pub asked: Box<AskedElsewhere>,
    /// The one in force when the query came.
    pub resolver: Resolver,
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
    let text = "this server does not forward queries of this client (forward_clients)";
    let error = ExtendedError::new(EdeCode::Prohibited as u16, text);
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
    // Why a name is not ours is no matter where others are asked. That it may be ours by now is.
    let errors = answer.errors.iter().filter(|error| answer.authoritative || error.code == EdeCode::StaleAnswer);
    let mut errors: ArrayVec<_, MAX_ERRORS> = errors.map(Ede::written).collect();
    match resolved {
        // Texts cost as much as the rest of an answer from the cache.
        _ if query.edns.is_none() => {}
        Resolved::Answer(given) => note(given, &mut errors),
        Resolved::Failed(failure) => {
            let _ = errors.try_push(ExtendedError::new(failure.code as u16, &failure.text));
        }
    }
    let opt = encoding.opt(&errors);
    let mut records = Records::new(query, encoding, out);
    answer.answer().for_each(|rrset| {
        records.rrset(&rrset);
    });
    let (rcode, is_authentic) = match resolved {
        Resolved::Answer(given) => {
            let response = &given.entry.response;
            if answer.elsewhere == Some(Elsewhere::Question) {
                records.message.copy(response, given.ttl(), if query.edns.is_some() { opt.reserved() } else { 0 });
            } else {
                append(&mut records.message, response, given.ttl());
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

/// Says of a response what a client cannot see in it: that its time is over, who denied the name or failed, and what errors came
/// with it.
fn note(given: &Given, errors: &mut ArrayVec<ExtendedError, MAX_ERRORS>) {
    // There is room for as many errors as an answer of ours has, and it has none where others deny. What does not fit is left out.
    let response = &given.entry.response;
    let rcode = response.rcode();
    if let Origin::Stale { why } = &given.origin {
        let code = if rcode == Rcode::NxDomain { EdeCode::StaleNxDomain } else { EdeCode::StaleAnswer };
        let why = why.as_deref().unwrap_or("no upstream answers");
        let _ = errors.try_push(ExtendedError::new(code as u16, format_args!("the TTL of this answer is over; {why}")));
    }
    // RFC 8914 section 3: a forwarder may pass errors on, and then "the source of the error SHOULD be attributed in the EXTRA-TEXT
    // field".
    for error in response.errors() {
        let _ = errors.try_push(ExtendedError::new(error.code, format_args!("{given}: {}", error.text)));
    }
    if response.errors().is_empty() && rcode != Rcode::NoError {
        let is_cached_failure = response.is_failure() && matches!(given.origin, Origin::Cache { .. });
        let code = if is_cached_failure { EdeCode::CachedError } else { EdeCode::OtherError };
        let _ = errors.try_push(ExtendedError::new(code as u16, given));
    }
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
