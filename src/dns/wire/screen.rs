//! Checks a message's header, before any parser runs and before anything is allocated by its counts.

use super::codes::{CD, HEADER, OPCODE, QR, RD, Rcode};

/// What to do with the octets of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screened {
    /// A query with one question: parse it.
    Query,
    /// Not a query that deserves an answer: shorter than a header, or itself a response (answering those makes loops).
    Drop,
    /// Answered with this response code, without a question.
    Error(Rcode),
}

/// Checks the header of a message.
pub fn screen(message: &[u8]) -> Screened {
    let Some(header) = message.first_chunk::<HEADER>() else {
        return Screened::Drop;
    };
    if header[2] & QR != 0 {
        Screened::Drop
    } else if header[2] & OPCODE != 0 {
        Screened::Error(Rcode::NotImp)
    } else if header[4..6] != [0, 1] {
        // RFC 9619 section 4: QDCOUNT > 1 is a format error. A query without a question (cookies alone, RFC 7873
        // section 5.4) asks for nothing that is served here.
        Screened::Error(Rcode::FormErr)
    } else {
        Screened::Query
    }
}

/// The header of the response to a message that cannot be answered, with all counts zero.
///
/// `message` is at least a header; a shorter one is dropped by [`screen`].
pub(super) fn error_header(message: &[u8], rcode: Rcode) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    for (to, from) in header.iter_mut().zip(message.iter().take(4)) {
        *to = *from;
    }
    // ID, opcode and RD are the query's (RFC 1035 section 4.1.1), CD too (RFC 4035 section 3.2.2).
    header[2] = QR | header[2] & (OPCODE | RD);
    header[3] = header[3] & CD | rcode as u8 & 0x0f;
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, questions: u16) -> [u8; HEADER] {
        let [high, low] = questions.to_be_bytes();
        [0xab, 0xcd, flags, 0x10, high, low, 0, 0, 0, 0, 0, 0]
    }

    /// W3.
    #[test]
    fn responses_and_fragments_of_a_header_are_dropped() {
        assert_eq!(screen(&[]), Screened::Drop);
        assert_eq!(screen(&[0; HEADER - 1]), Screened::Drop);
        assert_eq!(screen(&header(QR, 1)), Screened::Drop);
    }

    /// W3.
    #[test]
    fn other_opcodes_and_other_question_counts_get_their_error() {
        assert_eq!(screen(&header(0x28, 1)), Screened::Error(Rcode::NotImp));
        for questions in [0, 2, 256, u16::MAX] {
            assert_eq!(screen(&header(0, questions)), Screened::Error(Rcode::FormErr));
        }
        assert_eq!(screen(&header(RD, 1)), Screened::Query);
    }

    #[test]
    fn an_error_keeps_the_id_the_opcode_and_the_bits_that_are_the_clients() {
        assert_eq!(
            error_header(&header(0x28 | RD, 1), Rcode::NotImp),
            [0xab, 0xcd, QR | 0x28 | RD, 0x10 | 4, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}
