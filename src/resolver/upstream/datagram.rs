//! One exchange over UDP, on a socket of its own.
//!
//! A socket for each attempt has a port that the kernel draws anew, is connected, so that only datagrams from the upstream's
//! address arrive and an ICMP error does too, and leaves nothing behind that a late or forged response could match.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::query::{OutgoingQuery, Verdict};
use crate::dns::wire::DEFAULT_EDNS_UDP;

/// Datagrams that match nothing before an attempt goes over to TCP: somebody is guessing.
const MAX_MISMATCHES: usize = 8;

/// What came of a query over UDP.
#[derive(Debug)]
pub(super) enum Datagram {
    /// The response, and whether it has the letter case of the query.
    Response { octets: Vec<u8>, is_exact: bool },
    /// Longer than was asked for, another letter case than this upstream gives, or too many that match nothing: to be asked over
    /// TCP, where guessing does not help.
    Unusable,
}

/// Sends a query and waits for its response. Where `keeps_case`, one whose question has other letter cases is not used.
///
/// # Errors
/// Those of the socket: the upstream's host or the network says that nobody is there.
pub(super) async fn exchange(to: SocketAddr, query: &OutgoingQuery, keeps_case: bool) -> io::Result<Datagram> {
    let local: SocketAddr =
        if to.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(to).await?;
    socket.send(&query.octets).await?;
    // One octet more than was asked for: what is longer is not ours to cut.
    let mut message = vec![0; usize::from(DEFAULT_EDNS_UDP) + 1];
    for _ in 0..MAX_MISMATCHES {
        let length = socket.recv(&mut message).await?;
        let is_exact = match query.judge(&message[..length]) {
            Verdict::Response => true,
            Verdict::OtherCase if !keeps_case => false,
            Verdict::OtherCase => break,
            Verdict::Mismatch => continue,
        };
        if length == message.len() {
            break;
        }
        return Ok(Datagram::Response { octets: query.whole(&message[..length]), is_exact });
    }
    Ok(Datagram::Unusable)
}
