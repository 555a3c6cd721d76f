//! The most memory that sockets and connections take. What the kernel keeps for them counts too: a container's limit includes it.

use super::accept;
use super::backlog::RECEIVE_BUFFER;
use super::stream::WRITE_AT;
use super::udp_socket::SEND_BUFFER;
use super::{overflow, quic};
use crate::dns::wire::MAX_MESSAGE;

/// The kernel doubles the size of a buffer that is asked for, for its bookkeeping (socket(7), SO_SNDBUF).
const KERNEL_FACTOR: usize = 2;
/// What a connection takes when it is idle, octets: its task, and the kernel's structures.
const IDLE_CONNECTION: usize = 8 * 1024;
/// The buffers of TLS in a connection: 64 KiB each way, which is rustls's limit, and its state.
const TLS: usize = 2 * 64 * 1024 + 32 * 1024;
/// What the requests of a connection over HTTPS or QUIC take at most: 32 at a time, each with a largest answer.
const REQUESTS: usize = 32 * MAX_MESSAGE as usize;

/// How connections are encrypted, by what it costs at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encryption {
    None,
    Tls,
    HttpsOrQuic,
}

/// The most that the UDP sockets take on so many addresses, in octets.
pub fn udp_memory(addresses: usize, workers: usize) -> usize {
    let worker = RECEIVE_BUFFER.saturating_add(SEND_BUFFER);
    let overflow = overflow::SOCKETS.max(workers).saturating_mul(SEND_BUFFER);
    workers.saturating_mul(worker).saturating_add(overflow).saturating_mul(addresses).saturating_mul(KERNEL_FACTOR)
}

/// The most that the listeners of QUIC take on so many addresses besides their connections, in octets.
pub fn quic_memory(addresses: usize) -> usize {
    let sockets = RECEIVE_BUFFER + (1 + quic::SPARES) * SEND_BUFFER;
    addresses.saturating_mul(KERNEL_FACTOR * sockets + quic::LISTENER)
}

/// The most that a connection takes whose client fills every buffer and reads nothing, in octets.
pub fn connection_memory(encryption: Encryption) -> usize {
    let largest = usize::from(MAX_MESSAGE);
    // A query that is not whole, the answers of a write, and the kernel's buffers in both directions.
    let kernel = KERNEL_FACTOR * (accept::SEND_BUFFER + accept::RECEIVE_BUFFER);
    let plain = IDLE_CONNECTION + largest + WRITE_AT + largest + kernel;
    match encryption {
        Encryption::None => plain,
        Encryption::Tls => plain + TLS,
        Encryption::HttpsOrQuic => plain + TLS + REQUESTS,
    }
}
