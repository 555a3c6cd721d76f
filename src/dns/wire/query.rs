//! The fast parser: queries as nearly all clients send them, read without allocating. Anything else is declined, not
//! judged: hickory's parser, which knows the whole protocol, has the say about it.

use super::codes::{DO, OPT_FIXED, TYPE_AND_CLASS};
use super::{Class, Edns, HEADER, OptionCode, Question, RrType};
use crate::dns::name::{Labels, MAX_NAME, NameBuf};

/// A query: one question without compression, and at most an OPT record behind it.
#[derive(Clone)]
pub struct Query<'m> {
    /// ID and flags as they came.
    pub header: [u8; 4],
    /// The question section as it came, the letters of its name included.
    pub question: &'m [u8],
    pub name: NameBuf,
    pub qtype: RrType,
    pub class: Class,
    pub edns: Option<Edns>,
}

impl Query<'_> {
    pub fn question(&self) -> Question<'_> {
        Question { name: self.name.as_wire(), qtype: self.qtype, class: self.class }
    }
}

/// Options that hickory reads and can find fault with: NSID (RFC 5001) and client subnet (RFC 7871).
const JUDGED_OPTIONS: [u16; 2] = [3, 8];

/// Reads a message that has passed [`super::screen`]; none if it is anything but a plain query.
pub fn parse(message: &[u8]) -> Option<Query<'_>> {
    let (header, body) = message.split_first_chunk::<HEADER>()?;
    // No records in front of the additional section, and one there at most.
    let has_additional = match header[6..] {
        [0, 0, 0, 0, 0, additionals @ 0..=1] => additionals == 1,
        _ => return None,
    };
    let name = &body[..name_length(body)?];
    let (fixed, rest) = body[name.len()..].split_first_chunk::<TYPE_AND_CLASS>()?;
    let edns = match (has_additional, rest) {
        (false, []) => None,
        (true, opt) => Some(parse_opt(opt)?),
        (false, _) => return None,
    };
    Some(Query {
        header: [header[0], header[1], header[2], header[3]],
        question: &body[..name.len() + TYPE_AND_CLASS],
        name: NameBuf::from_wire(name).ok()?,
        qtype: RrType(u16::from_be_bytes([fixed[0], fixed[1]])),
        class: Class(u16::from_be_bytes([fixed[2], fixed[3]])),
        edns,
    })
}

/// Octets of the uncompressed name at the start of `octets`, its root label included.
fn name_length(octets: &[u8]) -> Option<usize> {
    let octets = &octets[..octets.len().min(MAX_NAME)];
    let mut labels = Labels(octets);
    labels.by_ref().for_each(drop);
    (labels.0.first() == Some(&0)).then_some(octets.len() - labels.0.len() + 1)
}

/// Reads an OPT record that ends the message.
fn parse_opt(record: &[u8]) -> Option<Edns> {
    let (fixed, mut options) = record.split_first_chunk::<OPT_FIXED>()?;
    let [0, 0, 41, payload_high, payload_low, _, version, flags, _, length_high, length_low] = *fixed else {
        return None;
    };
    if options.len() != usize::from(u16::from_be_bytes([length_high, length_low])) {
        return None;
    }
    let mut edns = Edns {
        payload: u16::from_be_bytes([payload_high, payload_low]),
        version,
        dnssec_ok: flags & DO != 0,
        wants_keepalive: false,
    };
    while let Some((head, rest)) = options.split_first_chunk::<4>() {
        let [code, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
        if JUDGED_OPTIONS.contains(&code) {
            return None;
        }
        edns.wants_keepalive |= code == OptionCode::TcpKeepalive as u16;
        options = rest.get(usize::from(length)..)?;
    }
    options.is_empty().then_some(edns)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];

    fn message(counts: [u8; 8], body: &[u8]) -> Vec<u8> {
        [&[0xab, 0xcd, 1, 0][..], &counts, body].concat()
    }

    fn question() -> Vec<u8> {
        b"\x04Pg-0\x02pg\x00\x00\x1c\x00\x01".to_vec()
    }

    #[test]
    fn a_plain_query_is_read_with_and_without_an_opt_record() {
        let plain = message([0, 1, 0, 0, 0, 0, 0, 0], &question());
        let query = parse(&plain).unwrap();
        assert_eq!((query.header, query.question), ([0xab, 0xcd, 1, 0], &question()[..]));
        assert_eq!(
            (query.name.as_wire(), query.qtype, query.class),
            (&b"\x04pg-0\x02pg\x00"[..], RrType::AAAA, Class::IN)
        );
        assert_eq!(query.edns, None);

        let keepalive = [0, 0, 41, 16, 0, 0, 1, 0, 0, 0, 4, 0, 11, 0, 0];
        for (opt, expected) in [
            (OPT, Edns { payload: 1232, version: 0, dnssec_ok: true, wants_keepalive: false }),
            (&keepalive, Edns { payload: 4096, version: 1, dnssec_ok: false, wants_keepalive: true }),
        ] {
            let octets = message([0, 1, 0, 0, 0, 0, 0, 1], &[&question(), opt].concat());
            assert_eq!(parse(&octets).unwrap().edns, Some(expected));
        }
    }

    #[test]
    fn what_is_not_plain_is_declined() {
        let one = [0, 1, 0, 0, 0, 0, 0, 0];
        let with_opt = [0, 1, 0, 0, 0, 0, 0, 1];
        let (question, two) = (question(), [&question()[..], OPT, OPT].concat());
        let declined = [
            ("no root label", message(one, &question[..8])),
            ("no class", message(one, &question[..question.len() - 2])),
            ("a compressed name", message(one, b"\xc0\x0c\x00\x01\x00\x01")),
            ("octets behind it", message(one, &[&question[..], &[0]].concat())),
            ("an answer", message([0, 1, 0, 1, 0, 0, 0, 0], &question)),
            ("two additional records", message([0, 1, 0, 0, 0, 0, 0, 2], &two)),
            (
                "an additional record that is no OPT",
                message(with_opt, &[&question[..], &[0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0]].concat()),
            ),
            ("half an OPT record", message(with_opt, &[&question[..], &OPT[..6]].concat())),
            ("an option that ends early", message(with_opt, &[&question[..], &OPT[..10], &[4, 0, 11, 0, 9]].concat())),
            ("a client subnet", message(with_opt, &[&question[..], &OPT[..10], &[4, 0, 8, 0, 0]].concat())),
            ("a name too long", message(one, &[&[[1, b'a']; 128].concat()[..], &[0, 0, 1, 0, 1]].concat())),
        ];
        for (what, octets) in declined {
            assert!(parse(&octets).is_none(), "{what}");
        }
    }
}
