//! Zone transfers: which request gets one, and its messages (RFC 5936, RFC 1995).
//!
//! ```text
//! AXFR, IXFR ─▶ may this client? ─▶ Outbound ─▶ stream.rs: one message, other queries, one message, …
//!                 │ no: REFUSED …
//!                 └ over UDP: one SOA record (IXFR), FORMERR (AXFR)
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::hickory;
use super::response::{Encoding, Records};
use crate::authority::{Answer, Ede, EdeText};
use crate::dns::wire::encode::Status;
use crate::dns::wire::parse::parse;
use crate::dns::wire::{Class, EDNS_VERSION, EdeCode, Query, Rcode, RrType};
use crate::telemetry::metrics::Transport;
use crate::transfer::{Access, Denied, Primary, Request, Signer, Step, Transfer, Wanted};

/// Octets of a message's length.
const LENGTH: usize = 2;

/// What becomes of a request for a transfer.
pub(super) enum Granted<'a> {
    /// This alone.
    Answer(Box<Answer<'a>>),
    Transfer(Box<Transfer>),
}

/// Whether a query asks for a transfer.
pub(super) fn is_transfer(query: &Query<'_>) -> bool {
    let is_transfer = matches!(query.qtype, RrType::AXFR | RrType::IXFR) && query.class == Class::IN;
    is_transfer && query.edns.is_none_or(|edns| edns.version == EDNS_VERSION)
}

/// Decides about a request for a transfer. `message` is the whole of it.
pub(super) fn decide<'a>(
    primary: &'a Arc<Primary>,
    (query, message): (&Query<'_>, &[u8]),
    client: SocketAddr,
    transport: Transport,
    signed: Option<Access>,
) -> Granted<'a> {
    let deny = |rcode, code, text| {
        Granted::Answer(Box::new(Answer::bare(rcode, Some(Ede { code, text: EdeText::Text(text) }))))
    };
    let of_clients =
        "this client may not transfer this zone (transfer_clients, transfer_keys; public_clients, public_keys)";
    let refused = || deny(Rcode::Refused, EdeCode::Prohibited, of_clients);
    let client = client.ip();
    let wanted = match (query.qtype, transport) {
        (_, Transport::Https | Transport::Quic) => {
            return deny(Rcode::Refused, EdeCode::NotSupported, "zones are transferred over TCP and TLS");
        }
        // Before anything is read that costs more.
        _ if primary.access(client, signed).is_none() => Some(Wanted::Soa),
        (RrType::AXFR, Transport::Udp) => None,
        (RrType::AXFR, _) => Some(Wanted::Axfr),
        (_, Transport::Udp) => Some(Wanted::Soa),
        _ => hickory::serial(message).map(Wanted::Ixfr),
    };
    // RFC 5936 section 4.2 has no AXFR over UDP, and RFC 1995 section 3 no IXFR without a serial.
    let Some(wanted) = wanted else { return Granted::Answer(Box::new(Answer::bare(Rcode::FormErr, None))) };
    let request = Request { zone: query.name.as_wire(), wanted, client, signed };
    let granted = if wanted == Wanted::Soa {
        primary.serial_alone(&request).map(|soa| {
            let mut answer = Answer { authoritative: true, ..Answer::bare(Rcode::NoError, None) };
            answer.records = Some(soa);
            Granted::Answer(Box::new(answer))
        })
    } else {
        primary.begin(request).map(|transfer| Granted::Transfer(Box::new(transfer)))
    };
    granted.unwrap_or_else(|denied| match denied {
        Denied::Refused => refused(),
        Denied::NotAuth => deny(Rcode::NotAuth, EdeCode::NotAuthoritative, "this server has no zone of this name"),
        Denied::NotSynchronised => {
            deny(Rcode::ServFail, EdeCode::NotReady, "the first synchronisation with the cluster is not complete")
        }
        Denied::Busy => deny(Rcode::ServFail, EdeCode::OtherError, "too many zone transfers at a time; try again"),
    })
}

/// A transfer, and the query that it answers.
pub struct Outbound {
    transfer: Box<Transfer>,
    message: Box<[u8]>,
    signer: Option<Box<Signer>>,
}

/// What has come of a portion of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// Nothing to send yet.
    Working,
    /// A message that others follow.
    Message,
    /// The last message.
    Last,
    /// It cannot go on.
    Broken,
}

impl Outbound {
    pub(super) fn new(transfer: Box<Transfer>, message: &[u8], signer: Option<Box<Signer>>) -> Self {
        Self { transfer, message: message.into(), signer }
    }

    /// Octets of each message that are left to its signature.
    pub(super) fn reserved(&self) -> u16 {
        self.signer.as_ref().map_or(0, |signer| signer.reserved())
    }

    /// Does a portion of the work, and appends the message that comes of it, with its length before it.
    pub(super) fn next(&mut self, encoding: &Encoding<'_>, out: &mut Vec<u8>) -> Portion {
        let Self { transfer, message, signer } = self;
        // It could be read when it came.
        let Some(query) = parse(message).or_else(|| hickory::parse(message)) else { return Portion::Broken };
        let before = out.len();
        out.extend_from_slice(&[0; LENGTH]);
        let start = out.len();
        let mut records = Records::new(&query, encoding, out);
        let mut is_empty = true;
        let step = transfer.step(|rrset| {
            let is_written = records.rrset(rrset);
            is_empty &= !is_written;
            is_written
        });
        if is_empty && step != Step::Done {
            out.truncate(before);
            return if step == Step::Working { Portion::Working } else { Portion::Broken };
        }
        // What does not fit is in the next message.
        records.message.is_continued();
        let status =
            Status { rcode: Rcode::NoError, authoritative: true, recursion_available: false, authentic: false };
        records.finish(status, &encoding.opt(&[]));
        if let Some(signer) = signer {
            signer.sign(out, start, SystemTime::now());
        }
        // A response has at most 65,535 octets: the encoder's limit, and what was reserved.
        let length = (out.len() - start) as u16;
        out[before..start].copy_from_slice(&length.to_be_bytes());
        transfer.sent(out.len() - before);
        if step == Step::Done { Portion::Last } else { Portion::Message }
    }

    /// The client has taken the last message.
    pub(super) fn end(mut self) {
        self.transfer.end();
    }
}
