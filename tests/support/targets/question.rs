//! A plain query read from any octets. Those of a plain query are that query; what is missing in others, or can be in no plain
//! query, is replaced or left out.

use crate::support::differential::{Asked, AskedEdns};

const MAX_NAME: usize = 255;
const MAX_LABEL: u8 = 63;
/// All of it is far below a message.
const MAX_INPUT: usize = 8192;
/// Octets of the rest of a header behind its flags.
const COUNTS: usize = 8;
/// Octets of an OPT record up to its payload size: owner and type.
const BEFORE_PAYLOAD: usize = 3;

/// Reads a query. A label longer than a label can be stands for the rest of one of `names`, in letters of one case or both.
pub fn read(octets: &[u8], names: &[Vec<u8>]) -> Asked {
    let mut octets = Octets(&octets[..octets.len().min(MAX_INPUT)]);
    let id = octets.number();
    let [flags, more_flags] = octets.number().to_be_bytes();
    let counts = octets.take(COUNTS);
    let has_opt = counts.last().is_some_and(|count| *count > 0);
    let (name, qtype, class) = (name(&mut octets, names), octets.number(), octets.number());
    Asked {
        id,
        recursion_desired: flags & 0x01 != 0,
        checking_disabled: more_flags & 0x10 != 0,
        name,
        qtype,
        class,
        edns: has_opt.then(|| edns(&mut octets)),
    }
}

fn name(octets: &mut Octets<'_>, names: &[Vec<u8>]) -> Vec<u8> {
    let mut name = Vec::new();
    loop {
        match octets.octet() {
            0 => break,
            length @ 1..=MAX_LABEL => {
                let label = octets.take(length.into());
                if label.is_empty() || name.len() + 1 + label.len() >= MAX_NAME {
                    break;
                }
                name.push(label.len() as u8);
                name.extend_from_slice(label);
            }
            other => {
                let which = usize::from(u16::from_be_bytes([other & MAX_LABEL, octets.octet()]));
                let mut known = names[which % names.len()].clone();
                let is_upper = |at: usize| match other >> 6 {
                    1 => true,
                    2 => at.is_multiple_of(2),
                    _ => false,
                };
                known
                    .iter_mut()
                    .enumerate()
                    .filter(|(at, _)| is_upper(*at))
                    .for_each(|(_, it)| it.make_ascii_uppercase());
                if name.len() + known.len() <= MAX_NAME {
                    name.extend(known);
                    return name;
                }
                break;
            }
        }
    }
    name.push(0);
    name
}

fn edns(octets: &mut Octets<'_>) -> AskedEdns {
    octets.take(BEFORE_PAYLOAD);
    let payload = octets.number();
    let [_, version] = octets.number().to_be_bytes();
    let [flags, _] = octets.number().to_be_bytes();
    let _length = octets.number();
    let mut options = Vec::new();
    while !octets.0.is_empty() {
        let (code, length) = (octets.number(), octets.number());
        options.push((code, octets.take(length.into()).to_vec()));
    }
    AskedEdns { payload, version, dnssec_ok: flags & 0x80 != 0, options }
}

/// Octets that are taken from the front: zeros, or fewer, once there are none left.
struct Octets<'o>(&'o [u8]);

impl<'o> Octets<'o> {
    fn take(&mut self, most: usize) -> &'o [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn octet(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.octet(), self.octet()])
    }
}

/// A query that has been recorded is read as what it is.
#[test]
fn a_plain_query_is_read_as_it_is() {
    let message = b"\x12\x34\x01\x10\0\x01\0\0\0\0\0\x01\x02Pg\x02db\0\0\x21\0\x01\
        \0\0\x29\x04\xd0\0\0\x80\0\0\x0c\0\x0a\0\x08cookies!";
    assert_eq!(read(message, &[]).message(), message);
}
