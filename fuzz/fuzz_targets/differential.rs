//! One question: our reading of it, and hickory-proto's reading of it and of the response, agree.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use headless_dns::telemetry::metrics::Transport;
use headless_dns_fuzz::support::answering::Server;
use headless_dns_fuzz::support::differential::{Asked, AskedEdns, compare};
use libfuzzer_sys::fuzz_target;

static SERVER: LazyLock<Server> = LazyLock::new(Server::of_cases);

#[derive(Arbitrary, Debug)]
struct Input {
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    name: InputName,
    qtype: InputType,
    class: Option<u16>,
    edns: Option<InputEdns>,
    is_datagram: bool,
}

#[derive(Arbitrary, Debug)]
enum InputName {
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
enum InputType {
    Usual(u8),
    Any(u16),
}

#[derive(Arbitrary, Debug)]
struct InputEdns {
    payload: u16,
    version: Option<u8>,
    dnssec_ok: bool,
    options: Vec<(u16, Vec<u8>)>,
}

const USUAL_TYPES: [u16; 11] = [1, 28, 33, 12, 255, 6, 2, 5, 16, 13, 252];
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
const MAX_OPTION: usize = 100;
/// All options of a query together stay below a message.
const MAX_OPTIONS: usize = 500;

impl Input {
    fn name(&self) -> Vec<u8> {
        let known = |which: u16| &SERVER.names[usize::from(which) % SERVER.names.len()];
        let wire = |labels: &[Vec<u8>]| -> Vec<u8> {
            let labels =
                labels.iter().map(|label| &label[..label.len().min(MAX_LABEL)]).filter(|label| !label.is_empty());
            labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.iter().copied())).collect()
        };
        match &self.name {
            InputName::Known { which, upper } => {
                let mut name = known(*which).clone();
                for (i, octet) in name.iter_mut().enumerate() {
                    if upper >> (i % 64) & 1 == 1 {
                        octet.make_ascii_uppercase();
                    }
                }
                name
            }
            InputName::Below { labels, which } => [wire(labels), known(*which).clone()].concat(),
            InputName::Any(labels) => [wire(labels), vec![0]].concat(),
        }
    }

    /// The query; none where its name is longer than a name can be.
    fn asked(self) -> Option<Asked> {
        let name = Some(self.name()).filter(|name| name.len() <= MAX_NAME)?;
        let qtype = match self.qtype {
            InputType::Usual(which) => USUAL_TYPES[usize::from(which) % USUAL_TYPES.len()],
            InputType::Any(qtype) => qtype,
        };
        let edns = self.edns.map(|InputEdns { payload, version, dnssec_ok, mut options }| {
            options.truncate(MAX_OPTIONS);
            options.iter_mut().for_each(|(_, data)| data.truncate(MAX_OPTION));
            AskedEdns { payload, version: version.unwrap_or(0), dnssec_ok, options }
        });
        Some(Asked {
            id: self.id,
            recursion_desired: self.recursion_desired,
            checking_disabled: self.checking_disabled,
            name,
            qtype,
            class: self.class.unwrap_or(1),
            edns,
        })
    }
}

fuzz_target!(|input: Input| {
    let transport = if input.is_datagram { Transport::Udp } else { Transport::Tcp };
    if let Some(asked) = input.asked()
        && let Err(problem) = compare(&SERVER.answering, &asked.message(), transport)
    {
        panic!("{problem}");
    }
});
