//! Clients: those whose answers are judged, those that flood, and those that read nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, RecordType};

use super::history::{Answer, Asked, Fault, History, ORDINALS, Ordinal, Outcome, SERVICES};
use crate::support::common::{extended_errors, framed, query};
use crate::support::malformed::Random;

/// *Stale Answer* and *Not Ready*, RFC 8914.
const STALE: u16 = 3;
const NOT_READY: u16 = 14;
/// How long an answer may take.
const TIME_OUT: Duration = Duration::from_secs(2);
/// Between two queries of one client.
const PAUSE: Duration = Duration::from_millis(2);
/// Longest answer here: no name has more than some addresses.
const LONGEST: usize = 1232;

/// What the clients found.
#[derive(Default)]
pub struct Judged {
    pub answers: AtomicUsize,
    /// Each kind of fault, with the first that were found in words.
    pub faults: Mutex<BTreeMap<Fault, (usize, Vec<String>)>>,
}

impl Judged {
    /// Words of so many of each kind are kept.
    const WORDS: usize = 5;

    pub fn add(&self, history: &History, outcome: &Outcome) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if let Some(fault) = history.judge(outcome) {
            let mut faults = self.faults.lock().expect("no panic");
            let (count, words) = faults.entry(fault).or_default();
            *count += 1;
            if words.len() < Self::WORDS {
                let took = outcome.ended_at - outcome.sent_at;
                words.push(format!("{:?}: {:?} after {took:?}", outcome.asked, outcome.answer));
            }
        }
    }

    pub fn count(&self, fault: Fault) -> usize {
        self.faults.lock().expect("no panic").get(&fault).map_or(0, |(count, _)| *count)
    }
}

/// Asks until it is told to stop, over UDP or over one TCP connection after the other.
pub fn ask(server: SocketAddr, tcp: bool, seed: u64, history: &History, judged: &Judged, stop: &AtomicBool) {
    let mut random = Random(seed);
    let mut client = Client::new(server, tcp);
    while !stop.load(Ordering::Relaxed) {
        let service = random.below(SERVICES);
        let asked = match random.below(3) {
            0 => Asked::Service(service),
            _ => Asked::Ordinal(Ordinal { service, ordinal: random.below(ORDINALS) }),
        };
        let name = match asked {
            Asked::Service(service) => format!("s{service}.db.svc.cluster.local."),
            Asked::Ordinal(ordinal) => format!("{}.s{}.db.svc.cluster.local.", ordinal.pod(), ordinal.service),
        };
        let sent_at = Instant::now();
        let answer = client.ask(&name).map_or(Answer::None, |message| read(&message));
        judged.add(history, &Outcome { asked, sent_at, ended_at: Instant::now(), answer });
        thread::park_timeout(PAUSE);
    }
}

/// The addresses of a name, once it has any.
pub fn addresses_of(server: SocketAddr, name: &str) -> Option<Answer> {
    Client::new(server, false).ask(name).map(|message| read(&message))
}

fn read(message: &Message) -> Answer {
    let errors: Vec<u16> = extended_errors(message).into_iter().map(|(code, _)| code).collect();
    match message.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if !message.metadata.truncation => Answer::Addresses {
            addresses: message
                .answers
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(address.0),
                    _ => None,
                })
                .collect(),
            is_stale: errors.contains(&STALE),
        },
        ResponseCode::ServFail if errors == [NOT_READY] => Answer::NotReady,
        code => Answer::Other(format!("{code} {errors:?}")),
    }
}

struct Client {
    server: SocketAddr,
    udp: UdpSocket,
    tcp: Option<TcpStream>,
    uses_tcp: bool,
    id: u16,
}

impl Client {
    fn new(server: SocketAddr, uses_tcp: bool) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        udp.set_read_timeout(Some(TIME_OUT)).expect("a time-out");
        Self { server, udp, tcp: None, uses_tcp, id: 0 }
    }

    fn ask(&mut self, name: &str) -> Option<Message> {
        self.id = self.id.wrapping_add(1);
        let mut asked = query(name, RecordType::A);
        asked.metadata.id = self.id;
        let octets = asked.to_vec().expect("a query");
        if !self.uses_tcp {
            self.udp.send_to(&octets, self.server).ok()?;
            let mut answer = [0; LONGEST];
            loop {
                let (length, _) = self.udp.recv_from(&mut answer).ok()?;
                let message = Message::from_vec(&answer[..length]).expect("an answer that can be read");
                // An earlier one may come late.
                if message.metadata.id == self.id {
                    return Some(message);
                }
            }
        }
        // A connection that ended when the process did, or was idle for too long, gives way to another.
        (0..2).find_map(|_| self.ask_stream(&octets))
    }

    fn ask_stream(&mut self, octets: &[u8]) -> Option<Message> {
        let mut stream = match self.tcp.take() {
            Some(stream) => stream,
            None => TcpStream::connect_timeout(&self.server, TIME_OUT).ok()?,
        };
        stream.set_read_timeout(Some(TIME_OUT)).ok()?;
        stream.write_all(&framed(octets)).ok()?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).ok()?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer).ok()?;
        self.tcp = Some(stream);
        Some(Message::from_vec(&answer).expect("an answer that can be read"))
    }
}

/// Sends queries without a pause for a time, and reads no answer.
pub fn flood(server: SocketAddr, time: Duration) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let octets = query("s0.db.svc.cluster.local.", RecordType::A).to_vec().expect("a query");
    let began = Instant::now();
    while began.elapsed() < time {
        let _ = socket.send_to(&octets, server);
    }
}

/// Connections that ask without a pause and read nothing, for a time.
pub fn read_nothing(server: SocketAddr, connections: usize, time: Duration) {
    let octets = framed(&query("s0.db.svc.cluster.local.", RecordType::A).to_vec().expect("a query"));
    let connect = |_| TcpStream::connect_timeout(&server, TIME_OUT).ok();
    let mut streams: Vec<_> = (0..connections).filter_map(connect).collect();
    streams.iter().for_each(|stream| stream.set_nonblocking(true).expect("a socket"));
    let began = Instant::now();
    while began.elapsed() < time {
        for stream in &mut streams {
            // A full buffer is what is wanted.
            let _ = stream.write(&octets);
        }
        thread::park_timeout(PAUSE);
    }
}
