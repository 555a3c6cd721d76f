//! Signs any octets as a client that has a key does (RFC 8945), and holds the messages of the answer to it: with ring alone, where the
//! server has `domain`.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

/// The key, as a file of keys has it.
pub const KEY: &str = "key fuzz { algorithm hmac-sha256; secret \"c2VjcmV0\"; };";
const SECRET: &[u8] = b"secret";
/// The names of the key and of the algorithm in wire form.
const NAME: &[u8] = b"\x04fuzz\0";
const ALGORITHM: &[u8] = b"\x0bhmac-sha256\0";
/// Octets of a header, and where ARCOUNT is in it.
const HEADER: usize = 12;
const ARCOUNT: usize = 10;
/// Octets of a signature.
const MAC: usize = 32;
/// Seconds that clocks may differ.
const FUDGE: u16 = 300;
/// TYPE TSIG, CLASS ANY and TTL 0.
const TSIG_ANY: [u8; 4] = [0, 250, 0, 255];
const NO_TTL: [u8; 4] = [0; 4];

/// A request that was signed, and what the next message of its answer has to be signed over besides itself.
pub struct Signed {
    pub octets: Vec<u8>,
    mac: Vec<u8>,
    /// Messages that have been checked.
    checked: usize,
}

impl Signed {
    /// Signs octets that are at least a header; None if the header counts too many records already.
    pub fn new(message: &[u8]) -> Option<Self> {
        let counted = u16::from_be_bytes([*message.get(ARCOUNT)?, *message.get(ARCOUNT + 1)?]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        // Six octets (RFC 8945 section 4.2).
        let timers = [&now.to_be_bytes()[2..], &FUDGE.to_be_bytes()].concat();
        let no_error = [0; 4];
        let variables = [NAME, &TSIG_ANY[2..], &NO_TTL, ALGORITHM, &timers, &no_error].concat();
        let mac = sign(&[message, &variables]);
        let data = [ALGORITHM, &timers, &(MAC as u16).to_be_bytes(), &mac, &message[..2], &no_error].concat();
        let record = [NAME, &TSIG_ANY, &NO_TTL, &(data.len() as u16).to_be_bytes(), &data].concat();
        let mut octets = [message, &record].concat();
        octets[ARCOUNT..HEADER].copy_from_slice(&counted.checked_add(1)?.to_be_bytes());
        Some(Self { octets, mac, checked: 0 })
    }

    /// Takes the signature off the next message of the answer.
    ///
    /// # Panics
    /// It is not signed with the key, or over something else.
    pub fn check(&mut self, message: &[u8]) -> Vec<u8> {
        // No other data, the original ID, and no error behind the signature; the algorithm, the times and its length before.
        let (before, end) = message.split_at_checked(message.len() - 6).expect("an end");
        let (before, mac) = before.split_at_checked(before.len() - MAC).expect("a signature");
        let (before, length) = before.split_at_checked(before.len() - 2).expect("its length");
        let (before, timers) = before.split_at_checked(before.len() - 8).expect("its times");
        assert_eq!(length, (MAC as u16).to_be_bytes(), "a whole signature");
        assert_eq!(end, [&message[..2], &[0; 4]].concat(), "the ID, and no error");
        let before = before.strip_suffix(ALGORITHM).expect("the algorithm");
        let fixed = [&TSIG_ANY[..], &NO_TTL].concat();
        let before = before.strip_suffix(&((ALGORITHM.len() + 16 + MAC) as u16).to_be_bytes()).expect("a length");
        let unsigned = before.strip_suffix(&fixed[..]).and_then(|rest| rest.strip_suffix(NAME)).expect("the key");
        let mut unsigned = unsigned.to_vec();
        let counted = u16::from_be_bytes([unsigned[ARCOUNT], unsigned[ARCOUNT + 1]]);
        unsigned[ARCOUNT..HEADER].copy_from_slice(&(counted - 1).to_be_bytes());
        let length = (self.mac.len() as u16).to_be_bytes();
        // RFC 8945 section 5.3.1: from the second message on, the times alone.
        let variables = match self.checked {
            0 => [NAME, &TSIG_ANY[2..], &NO_TTL, ALGORITHM, timers, &[0; 4]].concat(),
            _ => timers.to_vec(),
        };
        assert_eq!(mac, sign(&[&length, &self.mac, &unsigned, &variables]), "message {}", self.checked);
        (self.mac, self.checked) = (mac.to_vec(), self.checked + 1);
        unsigned
    }
}

fn sign(parts: &[&[u8]]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), &parts.concat()).as_ref().to_vec()
}
