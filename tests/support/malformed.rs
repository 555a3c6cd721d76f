//! Malformed messages, a client that sends them, and one that holds each answer to the rules of the wire.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message};
use hickory_proto::rr::RecordType;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::support::common::{PATIENCE, query, read_framed};
use crate::support::oracle::{self, Expected};

pub const MESSAGES: usize = 10_000;
/// Messages between two valid queries.
const BETWEEN_VALID: usize = 25;
/// Messages on one TCP connection.
const PER_CONNECTION: usize = 100;

/// `db/pg` with two endpoints.
pub const CLUSTER: &str = "\
kind: Service
apiVersion: v1
metadata: {namespace: db, name: pg}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
---
kind: EndpointSlice
apiVersion: discovery.k8s.io/v1
metadata: {namespace: db, name: pg-a, labels: {kubernetes.io/service-name: pg}}
addressType: IPv4
ports: [{name: sql, port: 5432, protocol: TCP}]
endpoints:
- {addresses: [10.1.0.10], hostname: pg-0, conditions: {ready: true}}
- {addresses: [10.1.0.11], hostname: pg-1, conditions: {ready: true}}
";
const NAMES: [&str; 6] = [
    "pg.db.svc.cluster.local.",
    "PG-0.pg.db.svc.Cluster.Local.",
    "_sql._tcp.pg.db.svc.cluster.local.",
    "nope.db.svc.cluster.local.",
    "10.0.1.10.in-addr.arpa.",
    "example.com.",
];
const TYPES: [RecordType; 7] = [
    RecordType::A,
    RecordType::AAAA,
    RecordType::SRV,
    RecordType::PTR,
    RecordType::ANY,
    RecordType::SOA,
    RecordType::AXFR,
];

/// Small, fast, and the same each time (xorshift64*, G. Marsaglia and S. Vigna).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 33) as usize) % end
    }

    pub fn octet(&mut self) -> u8 {
        // What a parser looks at most often comes often.
        const EDGES: [u8; 8] = [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xfe, 0xff];
        if self.below(2) == 0 { EDGES[self.below(EDGES.len())] } else { self.next() as u8 }
    }

    pub fn octets(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.octet()).collect()
    }

    fn valid(&mut self) -> Vec<u8> {
        let mut message = query(NAMES[self.below(NAMES.len())], TYPES[self.below(TYPES.len())]);
        message.edns = (self.below(3) > 0).then(|| {
            let mut edns = Edns::new();
            edns.set_max_payload([0, 512, 1232, 4096, u16::MAX][self.below(5)]);
            edns.set_dnssec_ok(self.below(2) == 0);
            edns
        });
        message.to_vec().expect("a message")
    }

    /// A message that is wrong in some way, or odd, or now and then nothing of the kind.
    fn malformed(&mut self) -> Vec<u8> {
        let mut message = self.valid();
        match self.below(9) {
            0 => return self.octets(300),
            // A header that announces a query, and then anything.
            1 => message.splice(12.., self.octets(200)).for_each(drop),
            2 => message.truncate(self.below(message.len() + 1)),
            3 => message.extend(self.octets(40)),
            4 => {
                let count = 4 + self.below(8);
                message[count] = self.octet();
            }
            5 => {
                let flags = 2 + self.below(2);
                message[flags] = self.octet();
            }
            6 => {
                // Further records, whole or not.
                let records = self.below(3);
                for _ in 0..records {
                    let (rr_type, data) = ([1, 6, 16, 41, 250][self.below(5)], self.octets(12));
                    message.push(if self.below(4) == 0 { self.octet() } else { 0 });
                    message.extend([0, rr_type, 0, 1, 0, self.below(2) as u8, 0, 0, 0, data.len() as u8]);
                    message.extend(data);
                }
                message[11] = message[11].wrapping_add(records as u8);
            }
            7 => {
                // Another class, with whatever type.
                let end = message[12..].iter().position(|octet| *octet == 0).unwrap_or_default() + 13;
                (message[end], message[end + 1]) = (self.octet(), self.octet());
                (message[end + 2], message[end + 3]) = (0, self.octet());
            }
            _ => {
                for _ in 0..=self.below(4) {
                    let at = self.below(message.len());
                    message[at] = self.octet();
                }
            }
        }
        message
    }
}

/// Something that can be asked to send octets and to wait for the next answer.
pub enum Client {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, server: SocketAddr, left: usize },
}

async fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(server).await.unwrap();
    // A query that follows one without an answer does not wait for the acknowledgement of that.
    stream.set_nodelay(true).unwrap();
    stream
}

impl Client {
    pub async fn udp(server: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(server).await.unwrap();
        Self::Udp(socket)
    }

    pub async fn tcp(server: SocketAddr) -> Self {
        Self::Tcp { stream: connect(server).await, server, left: PER_CONNECTION }
    }

    fn is_datagram(&self) -> bool {
        matches!(self, Self::Udp(_))
    }

    async fn send(&mut self, message: &[u8]) {
        match self {
            Self::Udp(socket) => {
                socket.send(message).await.unwrap();
            }
            Self::Tcp { stream, server, left } => {
                if *left == 0 {
                    (*stream, *left) = (connect(*server).await, PER_CONNECTION);
                }
                *left -= 1;
                let length = u16::try_from(message.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length, message].concat()).await.unwrap();
            }
        }
    }

    async fn receive(&mut self) -> Vec<u8> {
        let answer = async {
            match self {
                Self::Udp(socket) => {
                    let mut answer = vec![0; usize::from(u16::MAX)];
                    let length = socket.recv(&mut answer).await.unwrap();
                    answer.truncate(length);
                    answer
                }
                Self::Tcp { stream, .. } => read_framed(stream).await.expect("the connection lives"),
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer in time")
    }

    /// Sends a valid query and gives its answer.
    async fn ask(&mut self, id: u16) -> Message {
        let mut valid = query("pg-0.pg.db.svc.cluster.local.", RecordType::A);
        valid.metadata.id = id;
        self.send(&valid.to_vec().unwrap()).await;
        Message::from_vec(&self.receive().await).unwrap()
    }
}

/// How the messages came out.
#[derive(Debug, Default)]
pub struct Tally {
    pub dropped: usize,
    pub refused: usize,
    pub answered: usize,
}

/// Sends malformed messages one after the other, and valid queries between them, and holds each answer to the rules.
pub async fn pester(client: &mut Client, random: &mut Random) -> Tally {
    let mut tally = Tally::default();
    for number in 0..MESSAGES {
        let message = random.malformed();
        client.send(&message).await;
        let expected = oracle::expected(&message);
        match expected {
            Expected::Dropped => tally.dropped += 1,
            Expected::Refused { .. } => tally.refused += 1,
            Expected::Answered(_) => tally.answered += 1,
        }
        let answer = if expected == Expected::Dropped { None } else { Some(client.receive().await) };
        if let Err(problem) = oracle::check(&message, client.is_datagram(), answer.as_deref()) {
            panic!("message {number}: {problem}");
        }
        // What is dropped leaves nothing behind: the next answer is that to the next query.
        if expected == Expected::Dropped || number % BETWEEN_VALID == 0 {
            let answer = client.ask(number as u16).await;
            assert_eq!((answer.metadata.id, answer.answers.len()), (number as u16, 1), "after {message:02x?}");
        }
    }
    tally
}
