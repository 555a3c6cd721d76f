//! A client on a thread of its own that asks for names over UDP, again and again, until they are answered as expected.
//!
//! It waits for the responses and for [`PACE`] before it asks again. So it finds a new answer at most that much and one round trip
//! after it could have been given, and one round trip more until it arrives; [`Asker::round_trips`] tells how long those took.
//! Without the pause it and the worker that answers it would fill two cores, and what is measured on a machine that has no more
//! would be how its scheduler shares them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::support::dns;
use crate::support::figures::Sorted;

/// Queries in flight at once.
const WINDOW: usize = 64;
/// From one round of queries to the next.
const PACE: Duration = Duration::from_micros(200);
/// How long to wait for responses before asking again.
const TIMEOUT: Duration = Duration::from_millis(20);
/// Octets of the longest response without EDNS.
const LONGEST: usize = 512;

pub struct Asker {
    targets: Sender<Target>,
    answers: Receiver<Answer>,
    thread: JoinHandle<io::Result<Vec<Duration>>>,
}

/// The first answer with the expected address.
pub struct Answer {
    pub key: usize,
    pub received_at: Instant,
}

struct Target {
    key: usize,
    query: Vec<u8>,
    address: Ipv4Addr,
    is_answered: bool,
}

impl Asker {
    pub fn start(server: SocketAddr) -> Self {
        let (targets, asked) = mpsc::channel();
        let (answered, answers) = mpsc::channel();
        let thread = thread::spawn(move || ask(server, &asked, &answered));
        Self { targets, answers, thread }
    }

    /// Asks from now on for the address of `name`, until it is `address`.
    pub fn expect(&self, key: usize, name: &str, address: Ipv4Addr) {
        let target = Target { key, query: dns::query(name, dns::A), address, is_answered: false };
        self.targets.send(target).expect("the client's thread");
    }

    /// Waits for the next answer that was expected.
    pub fn answer(&self) -> Answer {
        self.answers.recv_timeout(PATIENCE).expect("an answer in time")
    }

    /// Ends the client; how long its queries took.
    pub fn round_trips(self) -> Sorted {
        drop(self.targets);
        Sorted::new(self.thread.join().expect("no panic").expect("no error of the socket"))
    }
}

fn ask(server: SocketAddr, asked: &Receiver<Target>, answered: &Sender<Answer>) -> io::Result<Vec<Duration>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    let (mut pending, mut round_trips, mut id) = (Vec::<Target>::new(), Vec::new(), 0_u16);
    loop {
        if pending.is_empty() {
            // Without an error: the other end is gone, all is done.
            let Ok(target) = asked.recv() else { return Ok(round_trips) };
            pending.push(target);
        }
        pending.extend(asked.try_iter());
        let began = Instant::now();
        for targets in pending.chunks_mut(WINDOW) {
            let first = id;
            let sent_at = Instant::now();
            for target in &mut *targets {
                dns::set_id(&mut target.query, id);
                socket.send(&target.query)?;
                id = id.wrapping_add(1);
            }
            let mut outstanding = targets.len();
            let mut response = [0; LONGEST];
            while outstanding > 0 {
                let length = match socket.recv(&mut response) {
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                };
                let received_at = Instant::now();
                // A response to an earlier round is too late to count.
                let place = dns::id(&response).wrapping_sub(first);
                let Some(target) = targets.get_mut(usize::from(place)) else { continue };
                outstanding -= 1;
                round_trips.push(received_at - sent_at);
                if dns::last_address(&response[..length]) == Some(target.address) {
                    target.is_answered = true;
                    let _ = answered.send(Answer { key: target.key, received_at });
                }
            }
        }
        pending.retain(|target| !target.is_answered);
        thread::park_timeout(PACE.saturating_sub(began.elapsed()));
    }
}
