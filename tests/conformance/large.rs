//! Services with more endpoints than a message has room for (W2): whole records up to the limit, TC for what is missing, and
//! no endpoint that clients see less of than of the others.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use headless_dns::telemetry::metrics::Transport;
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::support::answering::{Answering, address, big, table_of};
use crate::support::common::{PATIENCE, exchange, exchange_octets, framed, query, read_framed};
use crate::support::differential::compare;
use crate::support::large::{BARE, PORT, octets_with_payload, server_with, server_with_udp_size, with_payload};

/// The largest Service that is promised to be served.
const ENDPOINTS: usize = 5000;

/// What the questions for `db/big` may be answered with.
struct Set {
    name: &'static str,
    record_type: RecordType,
    /// The data of all records.
    records: BTreeSet<String>,
    /// Octets of a record, of the shortest and of the longest.
    octets: RangeInclusive<usize>,
}

impl Set {
    fn addresses(endpoints: usize) -> Self {
        let records = (0..endpoints).map(address).collect();
        Self { name: BARE, record_type: RecordType::A, records, octets: 16..=16 }
    }

    fn ports(endpoints: usize) -> Self {
        let records = (0..endpoints).map(|i| format!("0 100 7000 big-{i}.{BARE}")).collect();
        let octets = |digits: usize| 18 + "big-".len() + digits + 1 + wire_length(BARE);
        Self { name: PORT, record_type: RecordType::SRV, records, octets: octets(1)..=octets(4) }
    }

    /// Octets of an answer without records, its OPT record counted.
    fn empty_answer(&self) -> usize {
        12 + wire_length(self.name) + 4 + 11
    }

    /// Holds an answer of at most `limit` octets to be whole records of the set, each once, as many as there is room for;
    /// gives their data in the order in which they stand.
    fn check(&self, answer: &[u8], limit: usize) -> Vec<String> {
        assert!(answer.len() <= limit, "{} of {limit} octets", answer.len());
        let message = Message::from_vec(answer).expect("whole records");
        let records: Vec<_> = message.answers.iter().map(|record| record.data.to_string()).collect();
        let distinct: BTreeSet<_> = records.iter().cloned().collect();
        assert_eq!(distinct.len(), records.len(), "each record once");
        assert!(distinct.is_subset(&self.records), "{:?} are not of the Service", distinct.difference(&self.records));
        assert!(message.answers.iter().all(|record| record.record_type() == self.record_type));
        assert_eq!(message.metadata.truncation, records.len() < self.records.len(), "TC iff records are missing");
        if message.metadata.truncation {
            assert!(message.additionals.is_empty(), "additional records go before TC is set");
            assert!(answer.len() + self.octets.end() > limit, "one more would have fitted: {}", answer.len());
        }
        records
    }
}

/// Octets of a name in wire form: one more than as text with its last dot.
fn wire_length(name: &str) -> usize {
    name.len() + 1
}

/// W2.
#[tokio::test]
async fn over_udp_an_answer_that_does_not_fit_is_whole_records_up_to_the_limit_and_tc() {
    const SMALLEST: u16 = 512;
    for ours in [1232, 4096] {
        let server = server_with_udp_size(ENDPOINTS, ours);
        for set in [Set::addresses(ENDPOINTS), Set::ports(ENDPOINTS)] {
            for asked in [None, Some(100), Some(512), Some(1000), Some(1232), Some(4096), Some(u16::MAX)] {
                let limit = asked.unwrap_or(SMALLEST).clamp(SMALLEST, ours);
                let octets = octets_with_payload(query(set.name, set.record_type), asked);
                let answer = exchange_octets(server.address, &octets, false).await.unwrap();
                set.check(&answer, usize::from(limit));
            }
        }
    }
}

/// W2, S12.
#[tokio::test]
async fn additional_records_are_left_out_without_tc_where_only_the_answer_fits() {
    let server = server_with(18).await;
    let answer = exchange(server.address, &query(PORT, RecordType::SRV), false).await.unwrap();
    assert_eq!(answer.answers.len(), 18);
    assert!(!answer.metadata.truncation);
    assert!((1..18).contains(&answer.additionals.len()), "as many as fit: {}", answer.additionals.len());
    let whole = exchange(server.address, &query(PORT, RecordType::SRV), true).await.unwrap();
    assert_eq!((whole.answers.len(), whole.additionals.len()), (18, 18));
}

/// W2.
#[tokio::test]
async fn over_tcp_an_answer_has_up_to_65535_octets_and_tc_beyond() {
    const LIMIT: usize = 65_535;
    for of_size in [Set::addresses, Set::ports] {
        let all = of_size(ENDPOINTS);
        // The octets of an answer with the first so many endpoints: each further digit of a number is one more, where the
        // record has it.
        let length = |endpoints: usize| {
            let record = |i: usize| (all.octets.start() + i.to_string().len() - 1).min(*all.octets.end());
            all.empty_answer() + (0..endpoints).map(record).sum::<usize>()
        };
        let fitting = (1..ENDPOINTS).rfind(|endpoints| length(*endpoints) <= LIMIT).expect("some fit");
        for endpoints in [fitting, fitting + 1, ENDPOINTS] {
            let server = server_with(endpoints).await;
            let octets = query(all.name, all.record_type).to_vec().unwrap();
            let answer = exchange_octets(server.address, &octets, true).await.unwrap();
            let records = of_size(endpoints).check(&answer, LIMIT);
            assert_eq!(records.len() == endpoints, endpoints == fitting, "{fitting} of {endpoints} fit");
        }
    }
}

/// W2.
#[test]
fn the_answers_of_a_large_service_are_cut_alike_however_they_are_asked_for() {
    let server = Answering::new(table_of([&*big(ENDPOINTS)]));
    for (name, record_type) in [(BARE, RecordType::A), (PORT, RecordType::SRV)] {
        for (payload, transport) in
            [(None, Transport::Udp), (Some(512), Transport::Udp), (Some(1232), Transport::Udp), (None, Transport::Tcp)]
        {
            let asked = with_payload(query(name, record_type), payload).to_vec().unwrap();
            compare(&server, &asked, transport).unwrap_or_else(|problem| panic!("{problem}"));
        }
    }
}

/// D6, W2.
#[tokio::test]
async fn a_cut_answer_begins_elsewhere_each_time_over_udp_and_on_one_connection_and_on_several() {
    const ASKED: usize = 16;
    let server = server_with(ENDPOINTS).await;
    for set in [Set::addresses(ENDPOINTS), Set::ports(ENDPOINTS)] {
        let octets = query(set.name, set.record_type).to_vec().unwrap();
        let (mut udp, mut connections, mut connection) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..ASKED {
            for (tcp, limit, firsts) in [(false, 1232, &mut udp), (true, 65_535, &mut connections)] {
                let answer = exchange_octets(server.address, &octets, tcp).await.unwrap();
                firsts.insert(set.check(&answer, limit)[0].clone());
            }
            stream.write_all(&framed(&octets)).await.unwrap();
            let answer = timeout(PATIENCE, read_framed(&mut stream)).await.expect("in time").expect("an answer");
            connection.insert(set.check(&answer, 65_535)[0].clone());
        }
        assert_eq!([udp.len(), connections.len(), connection.len()], [ASKED; 3], "{}", set.name);
    }
}

/// D6, W2: old stub resolvers never ask again over TCP, and use what they got.
#[tokio::test]
async fn over_many_cut_answers_every_endpoint_appears_about_as_often_as_any_other() {
    const RECORD: usize = 16;
    let server = server_with(ENDPOINTS).await;
    let asked = with_payload(query(BARE, RecordType::A), None).to_vec().unwrap();
    let records = (512 - asked.len()) / RECORD;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(server.address).await.unwrap();
    let mut appeared = std::collections::HashMap::<[u8; 4], usize>::new();
    let mut answer = [0; 512];
    for _ in 0..ENDPOINTS {
        socket.send(&asked).await.unwrap();
        let length = timeout(PATIENCE, socket.recv(&mut answer)).await.expect("in time").unwrap();
        let records = answer[asked.len()..length].chunks_exact(RECORD);
        for address in records.filter_map(|record| record.last_chunk::<4>()) {
            *appeared.entry(*address).or_default() += 1;
        }
    }
    assert_eq!(appeared.values().sum::<usize>(), records * ENDPOINTS, "every answer is full");
    // As many answers as endpoints: each appears as often as an answer has records, give or take a quarter.
    let even = records * 3 / 4..=records * 5 / 4;
    let uneven: Vec<_> = appeared.iter().filter(|(_, times)| !even.contains(times)).collect();
    assert!(
        appeared.len() == ENDPOINTS && uneven.is_empty(),
        "{} of them, not {even:?} times: {uneven:?}",
        appeared.len()
    );
}
