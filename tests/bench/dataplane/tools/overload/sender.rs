//! Sends queries over UDP and counts responses: packets made beforehand, several sockets in turn, one thread that never
//! sleeps.
//!
//! Queries of one length leave as a train (UDP_SEGMENT, udp(7)): one system call and one pass through the kernel up to the
//! server's socket, where they are split. That lets one core send several times what a server on another core can answer.
//! Over loopback the kernel's work for datagrams that the socket has no room for is also done here, in the sender's time.
//! All queries of a train have its number as their ID, so that a response tells how long it took.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::support::dns::{self, HEADER};
use crate::support::figures::Sorted;

/// The most queries in a train; queries of one length are prepared in runs of so many.
pub const TRAIN: usize = 64;
/// Sockets; each is a client to the server.
const CLIENTS: usize = 8;
/// Octets that may wait at a socket, so that no response is lost here.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// The number of message IDs.
const IDS: usize = 1 << 16;
/// When a query without a response counts as lost.
const PATIENCE: Duration = Duration::from_millis(200);
/// One latency in this many is kept.
const SAMPLE: usize = 64;
/// The distance of consecutive trains in the queries' order of length: a prime, so that each gets its turn.
const STRIDE: usize = 10_007;

/// When the next queries are sent.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Whenever fewer than this many are in flight.
    InFlight(usize),
    /// This many a second, whatever comes back.
    PerSecond(f64),
}

/// The outcome of a run.
pub struct Run {
    pub sent: usize,
    pub answered: usize,
    pub time: Duration,
    /// A sample of the times from query to response.
    pub latencies: Sorted,
}

/// Counts while a run goes on.
#[derive(Default)]
struct Counts {
    sent: usize,
    answered: usize,
    latencies: Vec<Duration>,
}

pub struct Sender {
    clients: Vec<Client>,
    /// Queries per train.
    train: usize,
    /// Blocks of [`TRAIN`] queries of one length, sent round and round.
    blocks: Vec<Block>,
    /// Blocks sent so far.
    count: usize,
    /// When the block with an ID was sent.
    sent_at: Vec<Instant>,
}

struct Client {
    socket: UdpSocket,
    /// The length of the queries that it sent last.
    segment: usize,
    in_flight: usize,
    last_response: Instant,
}

/// Queries of one length, one behind the other.
struct Block {
    octets: Vec<u8>,
    length: usize,
}

impl Sender {
    /// `train` is how many queries leave together: [`TRAIN`], or 1 as from independent clients.
    pub fn new(server: SocketAddr, mut queries: Vec<Vec<u8>>, train: usize) -> io::Result<Self> {
        let client = |_| {
            let socket = UdpSocket::bind(SocketAddr::new(server.ip(), 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
            Ok(Client { socket, segment: 0, in_flight: 0, last_response: Instant::now() })
        };
        queries.sort_by_key(Vec::len);
        let lengths = queries.chunk_by(|a, b| a.len() == b.len());
        let blocks: Vec<_> = lengths.flat_map(|same| same.chunks_exact(TRAIN)).collect();
        let block = |i| {
            let queries: &[Vec<u8>] = blocks[i * STRIDE % blocks.len()];
            Block { octets: queries.concat(), length: queries[0].len() }
        };
        Ok(Self {
            clients: (0..CLIENTS).map(client).collect::<io::Result<_>>()?,
            train,
            blocks: (0..blocks.len()).map(block).collect(),
            count: 0,
            sent_at: vec![Instant::now(); IDS],
        })
    }

    /// Sends for `time`.
    pub fn run(&mut self, pace: Pace, time: Duration) -> Run {
        let mut counts = Counts::default();
        let began = Instant::now();
        let mut elapsed = Duration::ZERO;
        self.clients.iter_mut().for_each(|client| (client.in_flight, client.last_response) = (0, began));
        for client in (0..CLIENTS).cycle() {
            let now = Instant::now();
            elapsed = now - began;
            if elapsed >= time {
                break;
            }
            let due = match pace {
                Pace::PerSecond(rate) => (rate * elapsed.as_secs_f64()) as usize - counts.sent,
                Pace::InFlight(most) => (most / CLIENTS).saturating_sub(self.clients[client].in_flight_at(now)),
            };
            if due >= TRAIN {
                counts.sent += self.send(client, now);
            }
            self.receive(client, now, &mut counts);
        }
        let Counts { sent, answered, latencies } = counts;
        Run { sent, answered, time: elapsed, latencies: Sorted::new(latencies) }
    }

    /// Receives until nothing has come for a while; returns how long responses still came.
    pub fn drain(&mut self) -> Duration {
        let began = Instant::now();
        let (mut last, mut counts) = (began, Counts::default());
        while last.elapsed() < PATIENCE {
            for client in 0..CLIENTS {
                let (before, now) = (counts.answered, Instant::now());
                self.receive(client, now, &mut counts);
                if counts.answered > before {
                    last = now;
                }
            }
        }
        last - began
    }

    /// Sends the next block; returns how many queries left.
    fn send(&mut self, client: usize, now: Instant) -> usize {
        let (id, client) = (self.count % IDS, &mut self.clients[client]);
        let place = self.count % self.blocks.len();
        let Block { octets, length } = &mut self.blocks[place];
        self.count += 1;
        self.sent_at[id] = now;
        octets.chunks_exact_mut(*length).for_each(|query| dns::set_id(query, id as u16));
        client.split_after(*length);
        let trains = octets.chunks(self.train * *length);
        let sent = trains.map(|train| client.socket.send(train).unwrap_or_default() / *length).sum();
        client.in_flight += sent;
        sent
    }

    /// Receives the responses that are there.
    fn receive(&mut self, client: usize, now: Instant, counts: &mut Counts) {
        let client = &mut self.clients[client];
        let mut header = [0; HEADER];
        while client.socket.recv(&mut header).is_ok() {
            client.in_flight = client.in_flight.saturating_sub(1);
            client.last_response = now;
            counts.answered += 1;
            if counts.answered.is_multiple_of(SAMPLE) {
                counts.latencies.push(now - self.sent_at[usize::from(dns::id(&header))]);
            }
        }
    }
}

impl Client {
    /// The queries that may still be answered.
    fn in_flight_at(&mut self, now: Instant) -> usize {
        if now - self.last_response > PATIENCE {
            (self.in_flight, self.last_response) = (0, now);
        }
        self.in_flight
    }

    /// Makes the kernel split what is sent into datagrams of this length.
    fn split_after(&mut self, length: usize) {
        if self.segment == length {
            return;
        }
        self.segment = length;
        // Every query's length is within the option's range.
        setsockopt(&self.socket, sockopt::UdpGsoSegment, &(length as i32)).expect("UDP_SEGMENT");
    }
}
