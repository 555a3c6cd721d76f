//! A query for an upstream, and whether what comes back answers it.
//!
//! An off-path attacker has to guess the source port, the ID and, where the upstream keeps the letter case of the question,
//! the case of each letter of the name (draft-vixie-dnsext-dns0x20). All are drawn anew for each attempt.

use crate::dns::wire::codes::{CD, HEADER, OPCODE, QR, RD, TYPE_AND_CLASS};
use crate::dns::wire::{Class, DEFAULT_EDNS_UDP, Rcode, RrType};
use crate::resolver::question::AskedElsewhere;

/// The AD bit in a query asks for the AD bit in the response (RFC 6840 section 5.7).
const AD: u8 = crate::dns::wire::codes::AD;
/// The DO bit, in the fourth of an OPT record's last six octets.
const DO: u8 = crate::dns::wire::codes::DO;

/// A query as it is sent.
#[derive(Clone)]
pub struct OutgoingQuery {
    pub octets: Vec<u8>,
    question: usize,
}

/// What a message that came back is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The response.
    Response,
    /// The response but for the letter case of its question.
    OtherCase,
    /// Something else: from an earlier query, or from somebody who guesses.
    Mismatch,
}

impl OutgoingQuery {
    /// The query for a question, with an OPT record or without.
    pub fn new(asked: &AskedElsewhere, with_edns: bool) -> Self {
        let [id_high, id_low] = rand::random::<u16>().to_be_bytes();
        let cd = if asked.checking_disabled() { CD } else { 0 };
        let mut octets = Vec::with_capacity(HEADER + asked.name().len() + TYPE_AND_CLASS + 11);
        octets.extend_from_slice(&[id_high, id_low, RD, AD | cd, 0, 1, 0, 0, 0, 0, 0, u8::from(with_edns)]);
        octets.extend_from_slice(asked.name());
        mix_case(&mut octets[HEADER..]);
        octets.extend_from_slice(&asked.qtype().0.to_be_bytes());
        octets.extend_from_slice(&Class::IN.0.to_be_bytes());
        let question = octets.len() - HEADER;
        if with_edns {
            let ([type_high, type_low], [size_high, size_low]) =
                (RrType::OPT.0.to_be_bytes(), DEFAULT_EDNS_UDP.to_be_bytes());
            let dnssec_ok = if asked.dnssec_ok() { DO } else { 0 };
            octets.extend_from_slice(&[0, type_high, type_low, size_high, size_low, 0, 0, dnssec_ok, 0, 0, 0]);
        }
        Self { octets, question }
    }

    /// The query's ID.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.octets[0], self.octets[1]])
    }

    /// Gives it another ID.
    pub fn set_id(&mut self, id: u16) {
        self.octets[..2].copy_from_slice(&id.to_be_bytes());
    }

    /// A response with its question. A server that cannot read a query at all may send nothing but a header with FORMERR or NOTIMP.
    pub fn whole(&self, message: &[u8]) -> Vec<u8> {
        if !self.is_bare_refusal(message) {
            return message.to_vec();
        }
        let mut whole = [message, &self.octets[HEADER..HEADER + self.question]].concat();
        whole[5] = 1;
        whole
    }

    fn is_bare_refusal(&self, message: &[u8]) -> bool {
        let rcodes = [Rcode::FormErr, Rcode::NotImp].map(|rcode| rcode as u8);
        message.len() == HEADER
            && message[..2] == self.octets[..2]
            && message[2] & (QR | OPCODE) == QR
            && rcodes.contains(&(message[3] & 0x0f))
            && message[4..] == [0; 8]
    }

    /// Judges a message that came from the upstream's address.
    pub fn judge(&self, message: &[u8]) -> Verdict {
        if self.is_bare_refusal(message) {
            return Verdict::Response;
        }
        let (head, question) = (&self.octets[..HEADER], &self.octets[HEADER..HEADER + self.question]);
        let is_response = message.len() >= HEADER + self.question
            && message[..2] == head[..2]
            && message[2] & (QR | OPCODE) == QR
            && message[4..6] == [0, 1];
        if !is_response {
            return Verdict::Mismatch;
        }
        let given = &message[HEADER..HEADER + self.question];
        if given == question {
            Verdict::Response
        } else if given.eq_ignore_ascii_case(question) {
            Verdict::OtherCase
        } else {
            Verdict::Mismatch
        }
    }
}

/// Gives each letter of a name a random case. A length octet is at most 63, below any letter.
fn mix_case(name: &mut [u8]) {
    for chunk in name.chunks_mut(u64::BITS as usize) {
        let mut bits = rand::random::<u64>();
        for octet in chunk {
            if bits & 1 == 1 {
                octet.make_ascii_uppercase();
            }
            bits >>= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query() -> OutgoingQuery {
        OutgoingQuery::new(&AskedElsewhere::plain(b"\x0babcdefghijk\x07example\x00", RrType::A), true)
    }

    /// The query, turned into its response.
    fn response(query: &OutgoingQuery) -> Vec<u8> {
        let mut response = query.octets.clone();
        response[2] |= QR;
        response
    }

    #[test]
    fn ids_and_letter_cases_are_drawn_anew_for_each_query() {
        let queries: std::collections::BTreeSet<_> = (0..100).map(|_| query().octets).collect();
        assert!(queries.len() > 98);
        let names: std::collections::BTreeSet<_> = queries.iter().map(|octets| octets[12..33].to_vec()).collect();
        assert!(names.len() > 90, "{}", names.len());
    }

    #[test]
    fn only_what_repeats_id_and_question_is_a_response() {
        let query = query();
        let sound = response(&query);
        assert_eq!(query.judge(&sound), Verdict::Response);
        let changed = |at: usize, bits: u8| {
            let mut response = sound.clone();
            response[at] ^= bits;
            query.judge(&response)
        };
        assert_eq!(changed(13, 0x20), Verdict::OtherCase);
        for (at, bits) in [(0, 1), (1, 1), (2, QR), (2, 0x08), (5, 3), (14, 1), (12 + 21 + 1, 1), (12 + 21 + 3, 1)] {
            assert_eq!(changed(at, bits), Verdict::Mismatch, "octet {at}");
        }
        for length in 0..HEADER + query.question {
            assert_eq!(query.judge(&sound[..length]), Verdict::Mismatch, "{length} octets");
        }
        assert_eq!(query.whole(&sound), sound);
    }

    /// F6.
    #[test]
    fn a_header_alone_is_a_response_if_it_says_that_the_query_cannot_be_read() {
        let query = query();
        for (rcode, verdict) in
            [(1, Verdict::Response), (4, Verdict::Response), (0, Verdict::Mismatch), (3, Verdict::Mismatch)]
        {
            let header = [query.octets[0], query.octets[1], QR | RD, rcode, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(query.judge(&header), verdict, "{rcode}");
            if verdict == Verdict::Response {
                assert!(
                    crate::dns::wire::Response::read(&query.whole(&header)).is_some_and(|it| it.rejects_edns()),
                    "{rcode}"
                );
            }
            let other = [&[header[0] ^ 1][..], &header[1..]].concat();
            assert_eq!(query.judge(&other), Verdict::Mismatch);
        }
    }
}
