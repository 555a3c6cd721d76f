//! Asks over UDP and counts what comes back: queries made beforehand, from several sockets in turn, on one thread that never
//! sleeps.
//!
//! Queries of one length leave as a train (UDP_SEGMENT, udp(7)): one system call and one way through the kernel up to the
//! server's socket, where they are parted. So the sender can ask several times what a server on another core can answer, and
//! the kernel's work for what that socket has no room for is done here, not there. Those of a train bear its number as their
//! ID, so that an answer tells how long it took.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

/// Queries of a length that lie together; as many leave in one train at the most.
pub const TRAIN: usize = 64;
/// Sockets, each a client for the server.
const CLIENTS: usize = 8;
/// Octets of a message header (RFC 1035 section 4.1.1): all that is read of an answer.
const HEADER: usize = 12;
/// Octets of answers that may wait at a socket, so that none is lost here.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// Message IDs there are.
const IDS: usize = 1 << 16;
/// When a query that has no answer is given up.
const PATIENCE: Duration = Duration::from_millis(200);
/// One latency in so many is kept.
const SAMPLE: usize = 64;
/// Trains that follow one another are this far apart in the queries' order of length: a prime, so that each has its turn.
const STRIDE: usize = 10_007;

/// When the next queries are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// When there are fewer than so many in flight.
    InFlight(usize),
    /// So many a second, whatever comes back.
    PerSecond(f64),
}

/// What came of a run.
#[derive(Default)]
pub struct Seen {
    pub sent: usize,
    pub answered: usize,
    pub time: Duration,
    /// From a query to its answer, of some; sorted.
    pub latencies: Vec<Duration>,
}

pub struct Sender {
    clients: Vec<Client>,
    /// Queries that leave in one train.
    train: usize,
    /// Runs of [`TRAIN`] queries of one length, to be sent round and round.
    runs: Vec<Run>,
    /// Runs that were sent.
    count: usize,
    /// When the run with an ID was sent.
    sent_at: Vec<Instant>,
}

struct Client {
    socket: UdpSocket,
    /// The length of the queries that it sent last.
    segment: usize,
    in_flight: usize,
    heard: Instant,
}

/// Queries of one length, one behind the other.
struct Run {
    octets: Vec<u8>,
    length: usize,
}

impl Sender {
    /// `train` is how many queries leave together: [`TRAIN`], or 1 as from clients that know nothing of each other.
    pub fn new(server: SocketAddr, mut queries: Vec<Vec<u8>>, train: usize) -> io::Result<Self> {
        let client = |_| {
            let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
            Ok(Client { socket, segment: 0, in_flight: 0, heard: Instant::now() })
        };
        queries.sort_by_key(Vec::len);
        let lengths = queries.chunk_by(|a, b| a.len() == b.len());
        let runs: Vec<_> = lengths.flat_map(|same| same.chunks_exact(TRAIN)).collect();
        let run = |i| {
            let queries: &[Vec<u8>] = runs[i * STRIDE % runs.len()];
            Run { octets: queries.concat(), length: queries[0].len() }
        };
        Ok(Self {
            clients: (0..CLIENTS).map(client).collect::<io::Result<_>>()?,
            train,
            runs: (0..runs.len()).map(run).collect(),
            count: 0,
            sent_at: vec![Instant::now(); IDS],
        })
    }

    /// Asks for so long.
    pub fn run(&mut self, pace: Pace, time: Duration) -> Seen {
        let mut seen = Seen::default();
        let began = Instant::now();
        self.clients.iter_mut().for_each(|client| (client.in_flight, client.heard) = (0, began));
        for client in (0..CLIENTS).cycle() {
            let now = Instant::now();
            seen.time = now - began;
            if seen.time >= time {
                break;
            }
            let due = match pace {
                Pace::PerSecond(rate) => (rate * seen.time.as_secs_f64()) as usize - seen.sent,
                Pace::InFlight(most) => (most / CLIENTS).saturating_sub(self.clients[client].in_flight_at(now)),
            };
            if due >= TRAIN {
                seen.sent += self.send(client, now);
            }
            self.receive(client, now, &mut seen);
        }
        seen.latencies.sort_unstable();
        seen
    }

    /// Takes what still comes until nothing has come for a while; gives how long something came.
    pub fn drain(&mut self) -> Duration {
        let began = Instant::now();
        let (mut last, mut seen) = (began, Seen::default());
        while last.elapsed() < PATIENCE {
            for client in 0..CLIENTS {
                let (before, now) = (seen.answered, Instant::now());
                self.receive(client, now, &mut seen);
                if seen.answered > before {
                    last = now;
                }
            }
        }
        last - began
    }

    /// Sends the next run; gives how many queries left.
    fn send(&mut self, client: usize, now: Instant) -> usize {
        let (id, client) = (self.count % IDS, &mut self.clients[client]);
        let place = self.count % self.runs.len();
        let Run { octets, length } = &mut self.runs[place];
        self.count += 1;
        self.sent_at[id] = now;
        octets.chunks_exact_mut(*length).for_each(|query| query[..2].copy_from_slice(&(id as u16).to_be_bytes()));
        client.part_after(*length);
        let trains = octets.chunks(self.train * *length);
        let sent = trains.map(|train| client.socket.send(train).unwrap_or_default() / *length).sum();
        client.in_flight += sent;
        sent
    }

    /// Takes the answers that are there.
    fn receive(&mut self, client: usize, now: Instant, seen: &mut Seen) {
        let client = &mut self.clients[client];
        let mut header = [0; HEADER];
        while client.socket.recv(&mut header).is_ok() {
            client.in_flight = client.in_flight.saturating_sub(1);
            client.heard = now;
            seen.answered += 1;
            if seen.answered.is_multiple_of(SAMPLE) {
                let id = u16::from_be_bytes([header[0], header[1]]);
                seen.latencies.push(now - self.sent_at[usize::from(id)]);
            }
        }
    }
}

impl Client {
    /// The queries that an answer may still come to.
    fn in_flight_at(&mut self, now: Instant) -> usize {
        if now - self.heard > PATIENCE {
            (self.in_flight, self.heard) = (0, now);
        }
        self.in_flight
    }

    /// Makes datagrams of so many octets from what is sent.
    fn part_after(&mut self, length: usize) {
        if self.segment == length {
            return;
        }
        self.segment = length;
        // No length of a query is out of the option's range.
        setsockopt(&self.socket, sockopt::UdpGsoSegment, &(length as i32)).expect("UDP_SEGMENT");
    }
}
