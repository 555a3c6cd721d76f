//! How many datagrams may wait at a worker's socket: many in a burst, few where there is no end to them.
//!
//! A burst (all members of a StatefulSet that start at once) is a queue that the worker comes to the end of, and the more of
//! it can wait, the fewer clients must ask again seconds later. Where more comes in than can be answered, the queue stands,
//! and the longer it is, the worse for everyone: each query waits for all before it, and has left the processor's cache when
//! it is read, which costs a twentieth of the answers. So a worker that has read more than can wait, and is not at the end,
//! makes its queue short until it is.

use std::net::{SocketAddr, UdpSocket};

use socket2::{SockRef, Socket};

use super::sys::BATCH;

/// Octets of datagrams that may wait for a worker: some 15,000 queries as the kernel counts them, a fortieth of a second at
/// full speed. The kernel gives less where `net.core.rmem_max` says so.
pub(super) const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// The same where they come without end: some 1,000 queries, two milliseconds at full speed, and still several batches where
/// a network card's driver spends a page on each.
const OVERLOADED_BUFFER: usize = 512 * 1024;
/// Full batches in a row after which a worker is taken to be overloaded: more datagrams than [`RECEIVE_BUFFER`] holds.
const STANDING: usize = 32_768 / BATCH;

/// What a worker knows of the queue at its socket.
#[derive(Default)]
pub(super) struct Backlog {
    /// Batches since the end of the queue was seen.
    full_batches: usize,
}

impl Backlog {
    /// Takes note of how many datagrams the socket had for a batch; none after a wait.
    pub fn received(&mut self, count: usize, socket: &UdpSocket) {
        if count == BATCH {
            self.full_batches += 1;
            if self.full_batches == STANDING {
                resize(socket, OVERLOADED_BUFFER);
            }
        } else {
            if self.full_batches >= STANDING {
                resize(socket, RECEIVE_BUFFER);
            }
            self.full_batches = 0;
        }
    }
}

/// Makes room for a burst at a new socket.
pub(super) fn make_room(socket: &Socket) {
    // Best effort: what was got is in the log.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
}

fn resize(socket: &UdpSocket, octets: usize) {
    // With the size that it has, it serves on.
    let _ = SockRef::from(socket).set_recv_buffer_size(octets);
}

/// What was got of [`RECEIVE_BUFFER`]. The kernel adds as much again for its own bookkeeping, and reports the sum.
pub(super) fn receive_buffer(socket: &UdpSocket) -> usize {
    SockRef::from(socket).recv_buffer_size().unwrap_or_default() / 2
}

/// Says so where a burst of datagrams may be cut off earlier than it should.
pub(super) fn check_buffers(sockets: &[UdpSocket], address: SocketAddr) {
    let least = sockets.iter().map(receive_buffer).min();
    if let Some(receive_buffer) = least.filter(|least| *least < RECEIVE_BUFFER) {
        tracing::warn!(
            %address,
            receive_buffer,
            "fewer datagrams can wait than a burst may have; set net.core.rmem_max to {RECEIVE_BUFFER} or more"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket as a worker has it, and the room that it has for a burst.
    fn socket() -> (UdpSocket, usize) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        resize(&socket, RECEIVE_BUFFER);
        let room = receive_buffer(&socket);
        (socket, room)
    }

    #[test]
    fn a_burst_may_wait_and_what_has_no_end_may_not() {
        let (socket, room) = socket();
        let mut backlog = Backlog::default();
        (1..STANDING).for_each(|_| backlog.received(BATCH, &socket));
        assert_eq!(receive_buffer(&socket), room, "a burst");
        backlog.received(BATCH, &socket);
        let cut = receive_buffer(&socket);
        assert_eq!(cut, room.min(OVERLOADED_BUFFER), "a queue that stands");
        backlog.received(BATCH, &socket);
        assert_eq!(receive_buffer(&socket), cut, "and goes on to");
        for rest in [BATCH - 1, 0] {
            backlog.received(rest, &socket);
            assert_eq!(receive_buffer(&socket), room, "until its end");
            (1..STANDING).for_each(|_| backlog.received(BATCH, &socket));
            assert_eq!(receive_buffer(&socket), room, "the next burst");
            backlog.received(BATCH, &socket);
            assert_eq!(receive_buffer(&socket), cut, "which does not end either");
        }
    }

    #[test]
    fn what_the_kernel_gives_of_the_buffer_is_known() {
        let (socket, room) = socket();
        assert!((1..=RECEIVE_BUFFER).contains(&room), "{room}");
        resize(&socket, 4096);
        assert_eq!(receive_buffer(&socket), 4096);
    }
}
