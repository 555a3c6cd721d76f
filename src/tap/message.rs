//! The message of dnstap about one query and its answer, in Protobuf (dnstap.proto of <https://dnstap.info>).

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Seen;
use crate::dns::wire::codes::AA;
use crate::telemetry::metrics::Transport;

/// Types of a message: the answer of an authoritative server, and of one that asks others for its clients.
const AUTH_RESPONSE: u64 = 2;
const CLIENT_RESPONSE: u64 = 6;
/// The only type of a frame.
const MESSAGE: u64 = 1;

/// Numbers of the fields of a frame.
mod frame {
    pub const IDENTITY: u64 = 1;
    pub const VERSION: u64 = 2;
    pub const MESSAGE: u64 = 14;
    pub const TYPE: u64 = 15;
}

/// Numbers of the fields of a message.
mod field {
    pub const TYPE: u64 = 1;
    pub const SOCKET_FAMILY: u64 = 2;
    pub const SOCKET_PROTOCOL: u64 = 3;
    pub const QUERY_ADDRESS: u64 = 4;
    pub const QUERY_PORT: u64 = 6;
    pub const QUERY_TIME_SEC: u64 = 8;
    pub const QUERY_TIME_NSEC: u64 = 9;
    pub const QUERY_MESSAGE: u64 = 10;
    pub const RESPONSE_TIME_SEC: u64 = 12;
    pub const RESPONSE_TIME_NSEC: u64 = 13;
    pub const RESPONSE_MESSAGE: u64 = 14;
}

/// How a field is written: the last three bits before it.
const VARINT: u64 = 0;
const OCTETS: u64 = 2;
const FIXED32: u64 = 5;

/// The beginning of every frame: who says it.
pub(super) fn head(identity: &str) -> Box<[u8]> {
    let mut head = Vec::new();
    if !identity.is_empty() {
        put_octets(&mut head, frame::IDENTITY, identity.as_bytes());
    }
    put_octets(&mut head, frame::VERSION, concat!("headless-dns ", env!("CARGO_PKG_VERSION")).as_bytes());
    head.into()
}

/// A frame about a query that was answered at `now`.
pub(super) fn encode(head: &[u8], seen: &Seen<'_>, now: SystemTime) -> Vec<u8> {
    let Seen { transport, client, query, response, took, .. } = *seen;
    let mut message = Vec::with_capacity(query.len() + response.len() + 64);
    let is_authoritative = response.get(2).is_some_and(|flags| flags & AA != 0);
    put_number(&mut message, field::TYPE, if is_authoritative { AUTH_RESPONSE } else { CLIENT_RESPONSE });
    let client = SocketAddr::new(client.ip().to_canonical(), client.port());
    put_number(&mut message, field::SOCKET_FAMILY, if client.is_ipv4() { 1 } else { 2 });
    put_number(&mut message, field::SOCKET_PROTOCOL, protocol(transport));
    match client.ip() {
        IpAddr::V4(address) => put_octets(&mut message, field::QUERY_ADDRESS, &address.octets()),
        IpAddr::V6(address) => put_octets(&mut message, field::QUERY_ADDRESS, &address.octets()),
    }
    put_number(&mut message, field::QUERY_PORT, client.port().into());
    let answered = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    put_time(&mut message, [field::QUERY_TIME_SEC, field::QUERY_TIME_NSEC], answered.saturating_sub(took));
    put_octets(&mut message, field::QUERY_MESSAGE, query);
    put_time(&mut message, [field::RESPONSE_TIME_SEC, field::RESPONSE_TIME_NSEC], answered);
    put_octets(&mut message, field::RESPONSE_MESSAGE, response);

    let mut frame = Vec::with_capacity(head.len() + message.len() + 8);
    frame.extend_from_slice(head);
    put_octets(&mut frame, frame::MESSAGE, &message);
    put_number(&mut frame, frame::TYPE, MESSAGE);
    frame
}

fn protocol(transport: Transport) -> u64 {
    match transport {
        Transport::Udp => 1,
        Transport::Tcp => 2,
        Transport::Tls => 3,
        Transport::Https => 4,
        Transport::Quic => 7,
    }
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_number(out: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(out, field << 3 | VARINT);
    put_varint(out, number);
}

fn put_octets(out: &mut Vec<u8>, field: u64, octets: &[u8]) {
    put_varint(out, field << 3 | OCTETS);
    put_varint(out, octets.len() as u64);
    out.extend_from_slice(octets);
}

/// A time since the Unix epoch, as seconds and nanoseconds.
fn put_time(out: &mut Vec<u8>, [seconds, nanoseconds]: [u64; 2], time: Duration) {
    put_number(out, seconds, time.as_secs());
    put_varint(out, nanoseconds << 3 | FIXED32);
    out.extend_from_slice(&time.subsec_nanos().to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::wire::Rcode;

    /// A field of octets, whose length fits into one.
    fn octets(field: u8, value: &[u8]) -> Vec<u8> {
        [&[field << 3 | 2, value.len() as u8], value].concat()
    }

    #[test]
    fn a_frame_says_who_asked_what_when_and_was_answered_how() {
        const VERSION: &str = concat!("headless-dns ", env!("CARGO_PKG_VERSION"));
        let (query, mut response) = ([1; 12], [2; 12]);
        let v6 = "[2001:db8::7]:5353".parse().expect("an address");
        let v4 = "[::ffff:192.0.2.7]:5353".parse().expect("an address");
        let (address_of_v6, address_of_v4) =
            ([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7], [192, 0, 2, 7]);
        let now = UNIX_EPOCH + Duration::new(1000, 500);
        for (client, family, address, transport, protocol, flags, kind) in [
            (v6, 2, &address_of_v6[..], Transport::Tcp, 2, 0x00, 6),
            (v4, 1, &address_of_v4[..], Transport::Udp, 1, 0x04, 2),
        ] {
            response[2] = flags;
            let (took, rcode) = (Duration::from_nanos(200), Rcode::NoError);
            let seen = Seen { transport, client, query: &query, response: &response, rcode, took };
            let message = [
                &[1 << 3, kind, 2 << 3, family, 3 << 3, protocol][..],
                &octets(4, address),
                &[6 << 3, 0xe9, 0x29],                       // 5353
                &[8 << 3, 0xe8, 7, 9 << 3 | 5, 44, 1, 0, 0], // 1000 s and 300 ns
                &octets(10, &query),
                &[12 << 3, 0xe8, 7, 13 << 3 | 5, 244, 1, 0, 0], // 1000 s and 500 ns
                &octets(14, &response),
            ]
            .concat();
            let expected =
                [octets(1, b"replica-7"), octets(2, VERSION.as_bytes()), octets(14, &message), vec![15 << 3, 1]]
                    .concat();
            assert_eq!(encode(&head("replica-7"), &seen, now), expected, "{client}");
        }
        assert_eq!(*head(""), octets(2, VERSION.as_bytes()), "no identity is none at all");
    }
}
