//! Datagrams that claim to come from addresses of others, sent from a network namespace. They need the rights of root.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::support::network::Namespace;

/// Octets of a UDP header.
const UDP_HEAD: usize = 8;
/// The port that they claim to come from.
const SOURCE_PORT: u16 = 32_768;

/// This unused address of the network's subnet, of the server's family.
pub fn unused(server: SocketAddr, number: u8) -> IpAddr {
    match server.ip() {
        IpAddr::V4(_) => IpAddr::from([10, 77, 1, number]),
        IpAddr::V6(_) => format!("fd77::1:{number:x}").parse().expect("an address"),
    }
}

/// The sum of RFC 1071 over the pseudo header and the datagram.
fn checksum(source: IpAddr, destination: IpAddr, udp: &[u8]) -> [u8; 2] {
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = u16::try_from(udp.len()).expect("short").to_be_bytes();
    let all = [&octets(source), &octets(destination), &[0, 17][..], &length, udp, &[0; 1][..udp.len() % 2]].concat();
    let mut sum: u32 = all.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// The packet of a datagram that claims to come from an address.
pub fn packet(source: IpAddr, server: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = ((UDP_HEAD + payload.len()) as u16).to_be_bytes();
    let ports = [SOURCE_PORT.to_be_bytes(), server.port().to_be_bytes()].concat();
    let mut udp = [&ports[..], &length, &[0, 0], payload].concat();
    let sum = checksum(source, server.ip(), &udp);
    udp[6..8].copy_from_slice(&sum);
    match (source, server.ip()) {
        (IpAddr::V4(source), IpAddr::V4(server)) => {
            // The kernel fills in the length and the checksum.
            let head = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
            [&head[..], &source.octets(), &server.octets(), &udp].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(server)) => {
            let head = [0x60, 0, 0, 0, length[0], length[1], 17, 64];
            [&head[..], &source.octets(), &server.octets(), &udp].concat()
        }
        _ => panic!("two families"),
    }
}

/// Sends these packets in turn to a server, `rate` a second for so long.
pub fn flood(clients: &Namespace, server: SocketAddr, packets: &[Vec<u8>], rate: u32, time: Duration) {
    clients.enter();
    let socket = Socket::new(Domain::for_address(server), Type::RAW, Some(Protocol::from(255))).expect("a raw socket");
    let to = SocketAddr::new(server.ip(), 0).into();
    let began = Instant::now();
    for (i, packet) in (0..rate * time.as_secs() as u32).zip(packets.iter().cycle()) {
        socket.send_to(packet, &to).expect("sent");
        let due = Duration::from_secs(1) * i / rate;
        thread::park_timeout(due.saturating_sub(began.elapsed()));
    }
}
