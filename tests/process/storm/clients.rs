//! Clients whose answers are judged: over UDP, TCP and TLS.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::history::History;
use super::judge::Fault;
use super::question::{Answer, Asked, Outcome, read};
use crate::support::common::{framed, query};
use crate::support::malformed::Random;
use crate::support::secret::{HOST, client_trusting};

/// How long an answer may take: as long as stub resolvers wait.
const TIME_OUT: Duration = Duration::from_secs(5);
/// Between two queries of one client.
const PAUSE: Duration = Duration::from_millis(2);
/// Queries over one connection, so that there are handshakes too.
const QUERIES: usize = 50;
/// Longest answer here: no name has more than some addresses.
const LONGEST: usize = 1232;

/// What was found.
#[derive(Default)]
pub struct Judged {
    pub answers: AtomicUsize,
    /// Each kind of fault, with the first that were found in words.
    faults: Mutex<BTreeMap<Fault, (usize, Vec<String>)>>,
}

impl Judged {
    /// Words of so many of each kind are kept.
    const WORDS: usize = 5;

    fn add(&self, history: &History, outcome: &Outcome) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        if let Some((fault, rule)) = history.judge(outcome) {
            let took = outcome.ended_at - outcome.sent_at;
            let answer = format!("{:?}: {:?} after {took:?}", outcome.asked, outcome.answer);
            self.report(fault, format!("{rule}: {answer}; {}", history.told(outcome)));
        }
    }

    pub fn report(&self, fault: Fault, words: String) {
        let mut faults = self.faults.lock().expect("no panic");
        let (count, all) = faults.entry(fault).or_default();
        *count += 1;
        if all.len() < Self::WORDS {
            println!("{fault:?}: {words}");
            all.push(words);
        }
    }

    pub fn count(&self, fault: Fault) -> usize {
        self.faults.lock().expect("no panic").get(&fault).map_or(0, |(count, _)| *count)
    }
}

/// Where the program answers.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Over UDP and TCP.
    pub dns: SocketAddr,
    pub tls: SocketAddr,
}

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    Udp,
    Tcp,
    Tls,
    /// UDP, for names that are not the cluster's.
    Elsewhere,
}

/// Asks until it is told to stop.
pub fn ask(server: Addresses, over: Over, seed: u64, history: &History, judged: &Judged, stop: &AtomicBool) {
    let mut random = Random(seed);
    let mut client = Client::new(server, over);
    while !stop.load(Ordering::Relaxed) {
        let asked = match over {
            Over::Elsewhere => Asked::elsewhere(&mut random),
            _ => Asked::any(&mut random, history),
        };
        let sent_at = Instant::now();
        let answer = client.ask(asked, history);
        judged.add(history, &Outcome { asked, sent_at, ended_at: Instant::now(), answer });
        thread::park_timeout(PAUSE);
    }
}

/// Asks once over UDP.
pub fn ask_once(server: Addresses, asked: Asked, name: &str, record_type: RecordType) -> Option<Answer> {
    let mut client = Client::new(server, Over::Udp);
    client.exchange(name, record_type, &History::new()).ok().map(|message| read(asked, &message))
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

struct Client {
    server: Addresses,
    over: Over,
    udp: UdpSocket,
    stream: Option<(Box<dyn Stream>, usize)>,
    id: u16,
}

impl Client {
    fn new(server: Addresses, over: Over) -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        udp.set_read_timeout(Some(TIME_OUT)).expect("a time-out");
        Self { server, over, udp, stream: None, id: 0 }
    }

    fn ask(&mut self, asked: Asked, history: &History) -> Answer {
        let (name, record_type) = asked.question();
        match self.exchange(&name, record_type, history) {
            Ok(message) => read(asked, &message),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Answer::Untrusted(error.to_string()),
            Err(_) => Answer::None,
        }
    }

    fn exchange(&mut self, name: &str, record_type: RecordType, history: &History) -> io::Result<Message> {
        self.id = self.id.wrapping_add(1);
        let mut asked = query(name, record_type);
        asked.metadata.id = self.id;
        asked.metadata.recursion_desired = true;
        let octets = asked.to_vec().expect("a query");
        if matches!(self.over, Over::Tcp | Over::Tls) {
            // A connection that ended when the process did, or was idle for too long, gives way to another.
            let had_one = self.stream.is_some();
            return match self.ask_stream(&octets, history) {
                Err(_) if had_one => self.ask_stream(&octets, history),
                answer => answer,
            };
        }
        self.udp.send_to(&octets, self.server.dns)?;
        let mut answer = [0; LONGEST];
        loop {
            let (length, _) = self.udp.recv_from(&mut answer)?;
            let message = Message::from_vec(&answer[..length]).expect("an answer that can be read");
            // An earlier one may come late.
            if message.metadata.id == self.id {
                return Ok(message);
            }
        }
    }

    fn ask_stream(&mut self, octets: &[u8], history: &History) -> io::Result<Message> {
        let (mut stream, asked) = match self.stream.take() {
            Some(open) => open,
            None => (self.connect(history)?, 0),
        };
        stream.write_all(&framed(octets))?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        self.stream = (asked < QUERIES).then_some((stream, asked + 1));
        Ok(Message::from_vec(&answer).expect("an answer that can be read"))
    }

    fn connect(&self, history: &History) -> io::Result<Box<dyn Stream>> {
        let address = if self.over == Over::Tls { self.server.tls } else { self.server.dns };
        let stream = TcpStream::connect_timeout(&address, TIME_OUT)?;
        stream.set_read_timeout(Some(TIME_OUT))?;
        stream.set_write_timeout(Some(TIME_OUT))?;
        if self.over == Over::Tcp {
            return Ok(Box::new(stream));
        }
        let config = client_trusting(history.certificates(), Some(b"dot"));
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from(HOST).expect("a name"));
        Ok(Box::new(StreamOwned::new(tls.expect("a client"), stream)))
    }
}
