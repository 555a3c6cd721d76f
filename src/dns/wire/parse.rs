//! The fast parser: reads queries as nearly all clients send them, without allocating. It declines anything else, for a
//! parser of the whole protocol to judge.

use super::codes::{Class, HEADER, RrType, TYPE_AND_CLASS};
use super::edns::Edns;
use crate::dns::name::{Labels, MAX_NAME, NameBuf};

/// One question, as the authority looks it up. The name is absolute and lower-cased ([`crate::dns::name`]).
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    pub name: &'q [u8],
    pub qtype: RrType,
    pub class: Class,
}

/// A query: one question, and what its OPT record says.
#[derive(Clone)]
pub struct Query<'m> {
    /// ID and flags as received.
    pub header: [u8; 4],
    /// The question section as received, letter case included.
    pub question: &'m [u8],
    pub name: NameBuf,
    pub qtype: RrType,
    pub class: Class,
    pub edns: Option<Edns>,
}

impl<'m> Query<'m> {
    /// The query whose question is `question`, as [`split_question`] gives it. None if its name is longer than a name can be.
    pub fn new(message: &[u8], question: &'m [u8], edns: Option<Edns>) -> Option<Self> {
        let (name, fixed) = question.split_last_chunk::<TYPE_AND_CLASS>()?;
        Some(Self {
            header: *message.first_chunk()?,
            question,
            name: NameBuf::from_wire(name).ok()?,
            qtype: RrType(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: Class(u16::from_be_bytes([fixed[2], fixed[3]])),
            edns,
        })
    }

    pub fn question(&self) -> Question<'_> {
        Question { name: self.name.as_wire(), qtype: self.qtype, class: self.class }
    }
}

/// Reads a message that has passed [`super::screen`]. None if it is anything but a plain query.
pub fn parse(message: &[u8]) -> Option<Query<'_>> {
    let (question, rest) = split_question(message)?;
    // No records before the additional section, and at most one there.
    let edns = match (&message[6..HEADER], rest) {
        ([0, 0, 0, 0, 0, 0], []) => None,
        ([0, 0, 0, 0, 0, 1], opt) => Some(Edns::parse(opt)?),
        _ => return None,
    };
    Query::new(message, question, edns)
}

/// The first question of a message, and the octets behind it. None if its name is compressed: there is no name before it that
/// it could point to.
pub fn split_question(message: &[u8]) -> Option<(&[u8], &[u8])> {
    let body = message.get(HEADER..)?;
    body.split_at_checked(name_length(body)? + TYPE_AND_CLASS)
}

/// Octets of the uncompressed name at the start of `octets`, its root label included.
fn name_length(octets: &[u8]) -> Option<usize> {
    let octets = &octets[..octets.len().min(MAX_NAME)];
    let mut labels = Labels(octets);
    labels.by_ref().for_each(drop);
    (labels.0.first() == Some(&0)).then_some(octets.len() - labels.0.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];

    const EDNS: Edns = Edns {
        payload: 1232,
        version: 0,
        dnssec_ok: false,
        wants_keepalive: false,
        wants_nsid: false,
        wants_padding: false,
    };

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
            (OPT, Edns { dnssec_ok: true, ..EDNS }),
            (&keepalive, Edns { payload: 4096, version: 1, wants_keepalive: true, ..EDNS }),
        ] {
            let octets = message([0, 1, 0, 0, 0, 0, 0, 1], &[&question(), opt].concat());
            assert_eq!(parse(&octets).unwrap().edns, Some(expected));
        }
    }

    /// W9.
    #[test]
    fn options_are_read_here_and_a_malformed_client_subnet_is_declined() {
        let parse_with = |options: &[&[u8]]| {
            let options = options.concat();
            let opt = [&[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8][..], &options].concat();
            let octets = message([0, 1, 0, 0, 0, 0, 0, 1], &[question(), opt].concat());
            parse(&octets).map(|query| query.edns.unwrap())
        };
        let (nsid, padding): (&[u8], &[u8]) = (&[0, 3, 0, 0], &[0, 12, 0, 3, 0, 0, 0]);
        let cookie: &[u8] = &[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        let subnet = |data: &[u8]| [&[0, 8, 0, data.len() as u8][..], data].concat();
        assert_eq!(parse_with(&[nsid]), Some(Edns { wants_nsid: true, ..EDNS }));
        assert_eq!(parse_with(&[cookie, padding]), Some(Edns { wants_padding: true, ..EDNS }));
        for sound in [
            &[0, 1, 24, 0, 10, 1, 0][..],
            &[0, 1, 0, 0],
            &[0, 2, 57, 0, 0xfd, 0, 0, 0, 0, 0, 0, 0],
            &[0, 1, 25, 7, 1, 2, 3, 128, 9],
        ] {
            assert_eq!(parse_with(&[&subnet(sound), nsid]), Some(Edns { wants_nsid: true, ..EDNS }), "{sound:?}");
        }
        for malformed in
            [&[][..], &[0, 1, 24], &[0, 1, 24, 0, 10, 1], &[0, 1, 33, 0, 1, 2, 3, 4, 5], &[0, 3, 0, 0], &[0, 2, 129, 0]]
        {
            assert_eq!(parse_with(&[&subnet(malformed)]), None, "{malformed:?}");
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
