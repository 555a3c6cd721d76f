//! Further sockets to send from when a worker's own is full, so that no client waits for others.
//!
//! A datagram for a neighbour whose link-layer address is not known yet waits in the kernel, for three seconds if the neighbour
//! does not exist, and counts against the send buffer of its socket for so long. Some hundred such answers fill the largest
//! buffer that the system grants without privileges; then nothing leaves that socket, for whomever. Queries with forged sources
//! do that easily.
//!
//! While they are open, answers to neighbours that are being looked for are dropped (`neighbours.rs`), so that hardly any of the room
//! is used. Where that is not possible, it is all there is.
//!
//! The sockets are bound to the worker's address, so that clients see no difference. They receive nothing, and exist only while
//! they are of use: the more sockets share an address, the longer the kernel looks for the one that a datagram is for.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::udp_socket;

/// Sockets beside those of the workers of one address, divided among the workers, with at least one for each: room for 2,900
/// answers that wait three seconds, a thousand a second. All together hold at most 6.8 MB in the kernel.
pub(super) const SOCKETS: usize = 16;
/// How long sockets are kept when they are no longer needed: longer than the kernel looks for a neighbour.
const KEEP: Duration = Duration::from_secs(5);

/// The further sockets of one worker.
pub(super) struct Overflow {
    address: SocketAddr,
    /// Those that have been opened.
    sockets: Vec<UdpSocket>,
    most: usize,
    /// The one that had room when it was last used.
    current: usize,
    last_used: Instant,
}

impl Overflow {
    /// For one of so many `workers` on an address. None of the sockets is open yet.
    pub fn new(address: SocketAddr, workers: usize) -> Self {
        let most = SOCKETS.div_ceil(workers.max(1));
        Self { address, sockets: Vec::with_capacity(most), most, current: 0, last_used: Instant::now() }
    }

    /// The socket to try after the worker's own and so many of these were full. None if there is no other.
    pub fn next(&mut self, full: usize, now: Instant) -> Option<&UdpSocket> {
        if full >= self.most {
            return None;
        }
        if full > 0 {
            self.current = (self.current + 1) % self.most;
        }
        if self.current >= self.sockets.len() {
            self.current = self.sockets.len();
            // Where it cannot be opened, the answers are dropped.
            self.sockets.push(open(self.address).ok()?);
        }
        self.last_used = now;
        self.sockets.get(self.current)
    }

    /// Whether any socket is open: the worker's own is full, or was a while ago.
    pub fn is_open(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// Closes the sockets if they have not been used for a while.
    pub fn release(&mut self, now: Instant) {
        if !self.sockets.is_empty() && now.saturating_duration_since(self.last_used) > KEEP {
            self.sockets.clear();
        }
    }
}

/// A socket that sends from an address and receives nothing: datagrams that come before it is connected find a worker's socket
/// or, on an address that is shared between processes, are lost.
fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = udp_socket::bind(address)?;
    udp_socket::stop_receiving(&socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;
    use std::os::fd::AsRawFd;

    use super::*;

    /// W7. That a socket is tried again which is full already would cost a system call, and no answer leaves for it.
    #[test]
    fn each_further_socket_is_tried_once_and_all_are_closed_when_they_have_not_been_needed_for_a_while() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        for workers in [1, 2, SOCKETS, 2 * SOCKETS] {
            let (mut overflow, most) = (Overflow::new(address, workers), SOCKETS.div_ceil(workers));
            assert!(!overflow.is_open(), "before any is needed");
            let began = Instant::now();
            // In the second round they are open already, and the first that is tried is that which had room last.
            for now in [began, began + KEEP] {
                let tried: HashSet<_> =
                    (0..most).map(|full| overflow.next(full, now).expect("another").as_raw_fd()).collect();
                assert_eq!(tried.len(), most, "{workers} workers");
                assert!(overflow.next(most, now).is_none(), "{workers} workers: all were full");
            }
            overflow.release(began + KEEP * 2);
            assert!(overflow.is_open(), "they were needed so long ago, and no longer");
            overflow.release(began + KEEP * 2 + Duration::from_nanos(1));
            assert!(!overflow.is_open());
            assert!(overflow.next(0, began + KEEP * 3).is_some(), "they are opened again when they are needed");
        }
    }
}
