//! The receive buffer of a worker's socket: large for bursts, small under sustained overload.
//!
//! A burst (all Pods of a StatefulSet that start at once) is a queue that the worker empties, and the more of it fits the
//! buffer, the fewer clients have to retransmit seconds later. If queries keep arriving faster than they are answered, the
//! queue never empties, and a long queue only does harm: each query waits for all before it, and has left the processor's
//! cache when it is read, which costs a twentieth of the throughput. So a worker that has read more datagrams than the
//! buffer holds without finding its queue empty shrinks the buffer until it does.

use std::net::{SocketAddr, UdpSocket};

use socket2::{SockRef, Socket};

use super::sys::BATCH;

/// Size of a worker's receive buffer in octets: some 15,000 queries as the kernel counts them, a fortieth of a second at
/// full speed. The kernel caps it at `net.core.rmem_max`.
pub(super) const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// The same under overload: some 1,000 queries, two milliseconds at full speed, and still several batches if the network
/// card's driver uses a page for each.
const OVERLOADED_BUFFER: usize = 512 * 1024;
/// Full batches in a row after which a worker counts as overloaded: more datagrams than [`RECEIVE_BUFFER`] holds.
const OVERLOADED: usize = 32_768 / BATCH;

/// The state of the queue at a worker's socket.
#[derive(Default)]
pub(super) struct Backlog {
    /// Full batches since the queue was last seen empty.
    full_batches: usize,
}

impl Backlog {
    /// Records how many datagrams a batch had: 0 if the socket had none within the receive time-out.
    pub fn received(&mut self, count: usize, socket: &UdpSocket) {
        if count == BATCH {
            self.full_batches += 1;
            if self.full_batches == OVERLOADED {
                resize(socket, OVERLOADED_BUFFER);
            }
        } else {
            if self.full_batches >= OVERLOADED {
                resize(socket, RECEIVE_BUFFER);
            }
            self.full_batches = 0;
        }
    }
}

/// Sizes the receive buffer of a new socket for bursts.
pub(super) fn make_room(socket: &Socket) {
    // Best effort: `check_buffers` logs a smaller one.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
}

fn resize(socket: &UdpSocket, octets: usize) {
    // If this fails, the socket goes on with the size that it has.
    let _ = SockRef::from(socket).set_recv_buffer_size(octets);
}

/// The size of a socket's receive buffer in octets. The kernel reports twice that, as it adds as much for its bookkeeping.
pub(super) fn receive_buffer(socket: &UdpSocket) -> usize {
    SockRef::from(socket).recv_buffer_size().unwrap_or_default() / 2
}

/// Warns if a receive buffer is smaller than [`RECEIVE_BUFFER`], so that part of a burst may be dropped. On loopback there are no
/// more clients than one machine has, and nothing to be done about it.
pub(super) fn check_buffers(sockets: &[UdpSocket], address: SocketAddr) {
    let least = sockets.iter().map(receive_buffer).min();
    let Some(receive_buffer) = least.filter(|least| *least < RECEIVE_BUFFER) else { return };
    if address.ip().is_loopback() {
        tracing::debug!(%address, receive_buffer, "the UDP receive buffer is small; on loopback that is enough");
    } else {
        tracing::warn!(
            %address,
            receive_buffer,
            "the UDP receive buffer is small, and bursts of queries may be dropped; set net.core.rmem_max to {RECEIVE_BUFFER} or more"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker's socket, and the size of its receive buffer.
    fn socket() -> (UdpSocket, usize) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        resize(&socket, RECEIVE_BUFFER);
        let room = receive_buffer(&socket);
        (socket, room)
    }

    #[test]
    fn the_buffer_is_large_in_a_burst_and_small_under_overload() {
        let (socket, room) = socket();
        let mut backlog = Backlog::default();
        (1..OVERLOADED).for_each(|_| backlog.received(BATCH, &socket));
        assert_eq!(receive_buffer(&socket), room, "a burst");
        backlog.received(BATCH, &socket);
        let cut = receive_buffer(&socket);
        assert_eq!(cut, room.min(OVERLOADED_BUFFER), "overload");
        backlog.received(BATCH, &socket);
        assert_eq!(receive_buffer(&socket), cut, "overload that goes on");
        for rest in [BATCH - 1, 0] {
            backlog.received(rest, &socket);
            assert_eq!(receive_buffer(&socket), room, "an empty queue");
            (1..OVERLOADED).for_each(|_| backlog.received(BATCH, &socket));
            assert_eq!(receive_buffer(&socket), room, "the next burst");
            backlog.received(BATCH, &socket);
            assert_eq!(receive_buffer(&socket), cut, "overload again");
        }
    }

    #[test]
    fn the_size_of_the_buffer_is_known() {
        let (socket, room) = socket();
        assert!((1..=RECEIVE_BUFFER).contains(&room), "{room}");
        resize(&socket, 4096);
        assert_eq!(receive_buffer(&socket), 4096);
    }
}
