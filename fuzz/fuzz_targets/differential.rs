//! One question, read and answered by the fast path, and by hickory's: both give the same answer.
//!
//! The second message has an additional record that means nothing. The fast parser declines such messages.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use headless_dns::metrics::Transport;
use headless_dns_fuzz::{Server, oracle};
use hickory_proto::op::Message;
use hickory_proto::rr::Record;
use libfuzzer_sys::fuzz_target;

static SERVER: LazyLock<Server> = LazyLock::new(Server::of_cases);

#[derive(Arbitrary, Debug)]
struct Asked {
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    name: AskedName,
    qtype: AskedType,
    class: Option<u16>,
    edns: Option<AskedEdns>,
    is_datagram: bool,
}

#[derive(Arbitrary, Debug)]
enum AskedName {
    /// One of the server's names, with letters of either case.
    Known {
        which: u16,
        upper: u64,
    },
    /// Labels in front of one of the server's names.
    Below {
        labels: Vec<Vec<u8>>,
        which: u16,
    },
    Any(Vec<Vec<u8>>),
}

#[derive(Arbitrary, Debug)]
enum AskedType {
    Usual(u8),
    Any(u16),
}

#[derive(Arbitrary, Debug)]
struct AskedEdns {
    payload: u16,
    version: Option<u8>,
    dnssec_ok: bool,
    options: Vec<(u16, Vec<u8>)>,
}

const USUAL_TYPES: [u16; 11] = [1, 28, 33, 12, 255, 6, 2, 5, 16, 13, 252];
const MAX_LABEL: usize = 63;
/// Options whose content hickory judges and no rule does.
const JUDGED_OPTIONS: [u16; 2] = [3, 8];

impl Asked {
    fn name(&self) -> Vec<u8> {
        let known = |which: u16| &SERVER.names[usize::from(which) % SERVER.names.len()];
        let wire = |labels: &[Vec<u8>]| -> Vec<u8> {
            let labels =
                labels.iter().map(|label| &label[..label.len().min(MAX_LABEL)]).filter(|label| !label.is_empty());
            labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.iter().copied())).collect()
        };
        match &self.name {
            AskedName::Known { which, upper } => {
                let mut name = known(*which).clone();
                for (i, octet) in name.iter_mut().enumerate() {
                    if upper >> (i % 64) & 1 == 1 {
                        octet.make_ascii_uppercase();
                    }
                }
                name
            }
            AskedName::Below { labels, which } => [wire(labels), known(*which).clone()].concat(),
            AskedName::Any(labels) => [wire(labels), vec![0]].concat(),
        }
    }

    /// The query, with an additional record that means nothing if `is_odd`.
    fn message(&self, is_odd: bool) -> Vec<u8> {
        const NOTHING: [u8; 15] = [0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1];
        let qtype = match self.qtype {
            AskedType::Usual(which) => USUAL_TYPES[usize::from(which) % USUAL_TYPES.len()],
            AskedType::Any(qtype) => qtype,
        };
        let flags = [u8::from(self.recursion_desired), u8::from(self.checking_disabled) << 4];
        let additionals = u8::from(self.edns.is_some()) + u8::from(is_odd);
        let mut message = [&self.id.to_be_bytes()[..], &flags, &[0, 1, 0, 0, 0, 0, 0, additionals]].concat();
        message.extend(self.name());
        message.extend(qtype.to_be_bytes());
        message.extend(self.class.unwrap_or(1).to_be_bytes());
        if is_odd {
            message.extend(NOTHING);
        }
        if let Some(edns) = &self.edns {
            let options: Vec<u8> = edns
                .options
                .iter()
                .filter(|(code, _)| !JUDGED_OPTIONS.contains(code))
                .flat_map(|(code, data)| {
                    let data = &data[..data.len().min(100)];
                    [&code.to_be_bytes()[..], &[0, data.len() as u8], data].concat()
                })
                .collect();
            let options = if options.len() > usize::from(u16::MAX) { Vec::new() } else { options };
            message.extend([0, 0, 41]);
            message.extend(edns.payload.to_be_bytes());
            message.extend([0, edns.version.unwrap_or(0), u8::from(edns.dnssec_ok) << 7, 0]);
            message.extend((options.len() as u16).to_be_bytes());
            message.extend(options);
        }
        message
    }
}

fn answer(message: &[u8], transport: Transport) -> Message {
    let answer = SERVER.respond(message, transport);
    if let Err(problem) = oracle::check(message, transport == Transport::Udp, answer.as_deref()) {
        panic!("{problem}");
    }
    Message::from_vec(&answer.expect("every question is answered")).expect("an answer that can be read")
}

/// Records without their order. The letters of a name may be those of the question where it is compressed.
fn texts(records: &[Record]) -> BTreeSet<String> {
    records.iter().map(|record| record.to_string().to_ascii_lowercase()).collect()
}

fuzz_target!(|asked: Asked| {
    if asked.name().len() > 255 {
        return;
    }
    let transport = if asked.is_datagram { Transport::Udp } else { Transport::Tcp };
    let fast = answer(&asked.message(false), transport);
    let slow = answer(&asked.message(true), transport);
    let whole = answer(&asked.message(false), Transport::Tcp);
    assert_eq!(fast.metadata.response_code, slow.metadata.response_code);
    assert_eq!(fast.metadata.authoritative, slow.metadata.authoritative);
    assert_eq!(
        fast.edns.as_ref().map(|edns| edns.flags().dnssec_ok),
        slow.edns.as_ref().map(|edns| edns.flags().dnssec_ok)
    );
    for answer in [&fast, &slow] {
        // What has to be left out for want of room is the encoders' own affair; nothing may be made up.
        assert!(texts(&answer.answers).is_subset(&texts(&whole.answers)));
        assert!(texts(&answer.additionals).is_subset(&texts(&whole.additionals)));
        if !answer.metadata.truncation {
            assert_eq!(texts(&answer.answers), texts(&whole.answers));
            assert_eq!(texts(&answer.authorities), texts(&whole.authorities));
        }
        if transport == Transport::Tcp {
            assert!(!answer.metadata.truncation);
            assert_eq!(texts(&answer.additionals), texts(&whole.additionals));
            let options = |message: &Message| message.edns.as_ref().map(|edns| edns.options().clone());
            assert_eq!(options(answer), options(&whole));
        }
    }
});
