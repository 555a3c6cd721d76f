//! The parser and the encoder held against hickory-proto: the case table, and generated queries, of which `.ci/run` makes a
//! million.

use std::collections::BTreeMap;
use std::env;
use std::num::NonZero;
use std::thread;

use headless_dns::telemetry::metrics::Transport;

use crate::support::answering::Server;
use crate::support::differential::{Asked, AskedEdns, compare};
use crate::support::fixture::asked;
use crate::support::malformed::Random;

/// Queries unless [`COUNT`] says otherwise: as many as take a few seconds.
const QUERIES: usize = 50_000;
/// The variable with the number of queries to make, over all threads.
const COUNT: &str = "HEADLESS_DNS_GENERATED_QUERIES";
const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];

#[test]
fn every_question_of_the_case_table_is_read_and_answered_as_hickory_reads_it() {
    let server = Server::of_cases();
    for question in &server.questions {
        let mut query = asked(question);
        for edns in [query.edns.clone(), None] {
            query.edns = edns;
            for transport in TRANSPORTS {
                compare(&server.answering, &query.to_vec().expect("a query"), transport)
                    .unwrap_or_else(|problem| panic!("{question}: {problem}"));
            }
        }
    }
}

/// Labels that mean something somewhere.
const LABELS: [&[u8]; 12] =
    [b"svc", b"db", b"pg", b"big", b"_tcp", b"_sql", b"_peer", b"pg-0", b"10-1-0-10", b"*", b"in-addr", b"cluster"];
/// Types that are served or treated by themselves: A, AAAA, SRV, PTR, CNAME, NS, SOA, TXT, HINFO, ANY, IXFR, AXFR, OPT.
const TYPES: [u16; 13] = [1, 28, 33, 12, 5, 2, 6, 16, 13, 255, 251, 252, 41];
const PAYLOADS: [u16; 8] = [0, 511, 512, 513, 1231, 1232, 4096, u16::MAX];
/// Codes of options: keepalive, cookie, padding, NSID, client subnet, extended error, and an unassigned one.
const OPTIONS: [u16; 7] = [11, 10, 12, 3, SUBNET, 15, 65_001];
/// Client subnet: its data is mostly made well-formed.
const SUBNET: u16 = 8;
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
const MAX_OPTION: usize = 40;

/// Makes queries: mostly such as have an answer, and those beside them.
struct Generator<'s> {
    server: &'s Server,
    random: Random,
}

impl Generator<'_> {
    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.random.below(times) == 0
    }

    fn asked(&mut self) -> Asked {
        Asked {
            id: self.random.next() as u16,
            recursion_desired: self.once_in(2),
            checking_disabled: self.once_in(4),
            name: self.name(),
            qtype: if self.once_in(10) { self.random.next() as u16 } else { TYPES[self.random.below(TYPES.len())] },
            // IN, and now and then CH, ANY or whatever.
            class: if self.once_in(10) { [3, 255, self.random.next() as u16][self.random.below(3)] } else { 1 },
            edns: (!self.once_in(3)).then(|| self.edns()),
        }
    }

    fn name(&mut self) -> Vec<u8> {
        let mut name = self.server.names[self.random.below(self.server.names.len())].clone();
        match self.random.below(8) {
            // A label more in front, or several.
            0 => (0..=self.random.below(3)).for_each(|_| name = [self.label(), std::mem::take(&mut name)].concat()),
            // The name above.
            1 if name.len() > 1 => name.drain(..=usize::from(name[0])).for_each(drop),
            // A sibling.
            2 if name.len() > 1 => {
                let label = self.label();
                name.splice(..=usize::from(name[0]), label).for_each(drop);
            }
            // One octet another, which is not the length of a label.
            3 if name.len() > 2 => name[1] = self.random.next() as u8,
            4 => {
                name = (0..self.random.below(6)).flat_map(|_| self.label()).collect();
                name.push(0);
            }
            _ => {}
        }
        let upper = if self.once_in(2) { self.random.next() } else { 0 };
        for (i, octet) in name.iter_mut().enumerate() {
            if upper >> (i % 64) & 1 == 1 {
                octet.make_ascii_uppercase();
            }
        }
        if name.len() > MAX_NAME { vec![0] } else { name }
    }

    /// A label in wire form.
    fn label(&mut self) -> Vec<u8> {
        let mut label = LABELS[self.random.below(LABELS.len())].to_vec();
        if self.once_in(3) {
            label.extend(self.random.octets(MAX_LABEL - label.len()));
        }
        [&[label.len() as u8], &*label].concat()
    }

    fn option(&mut self) -> (u16, Vec<u8>) {
        let code = OPTIONS[self.random.below(OPTIONS.len())];
        if code == SUBNET && !self.once_in(4) {
            let family = self.random.below(2);
            let octets = self.random.below([4, 16][family] + 1);
            let address: Vec<_> = (0..octets).map(|_| self.random.next() as u8).collect();
            return (code, [&[0, family as u8 + 1, octets as u8 * 8, 0][..], &address].concat());
        }
        (code, self.random.octets(MAX_OPTION))
    }

    fn edns(&mut self) -> AskedEdns {
        let payload =
            if self.once_in(4) { self.random.next() as u16 } else { PAYLOADS[self.random.below(PAYLOADS.len())] };
        let options = (0..self.random.below(3)).map(|_| self.option()).collect();
        AskedEdns { payload, version: u8::from(self.once_in(20)), dnssec_ok: self.once_in(2), options }
    }
}

#[test]
fn generated_queries_are_read_and_answered_as_hickory_reads_them() {
    let server = Server::of_cases();
    let queries = env::var(COUNT).map_or(QUERIES, |count| count.parse().expect("a number"));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let run = &|seed: usize| {
        let mut generator = Generator { server: &server, random: Random(seed as u64 + 1) };
        let mut codes = BTreeMap::<_, usize>::new();
        for number in 0..queries.div_ceil(threads) {
            let asked = generator.asked();
            let transport = TRANSPORTS[number % TRANSPORTS.len()];
            match compare(&server.answering, &asked.message(), transport) {
                Ok(code) => *codes.entry(code.to_string()).or_default() += 1,
                Err(problem) => panic!("query {number} of seed {seed}: {asked:?}: {problem}"),
            }
        }
        codes
    };
    let mut codes = BTreeMap::<_, usize>::new();
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|seed| scope.spawn(move || run(seed))).collect();
        for thread in running {
            for (code, count) in thread.join().expect("alike") {
                *codes.entry(code).or_default() += count;
            }
        }
    });
    println!("{queries} queries: {codes:?}");
    assert!(codes.values().sum::<usize>() >= queries);
}
