//! The little of DNS messages that a client of the benches needs (RFC 1035 section 4.1).

use std::net::Ipv4Addr;

use headless_dns::dns::name::Name;

/// Octets of a message header.
pub const HEADER: usize = 12;
/// TYPE values.
pub const A: u16 = 1;
pub const PTR: u16 = 12;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// A query as `dnsperf` sends it: RD, no EDNS, message ID 0.
pub fn query(name: &str, qtype: u16) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(Name::parse(name).expect("a name").as_wire());
    query.extend_from_slice(&qtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

/// The same with EDNS (RFC 6891): a payload of 1232 octets, and these options in wire format.
pub fn query_with_options(name: &str, qtype: u16, options: &[u8]) -> Vec<u8> {
    let mut query = query(name, qtype);
    // ARCOUNT, and the OPT record: the root's name, TYPE 41, the payload, TTL 0, and the options behind their length.
    query[11] = 1;
    query.extend_from_slice(&[0, 0, 41, 4, 208, 0, 0, 0, 0]);
    query.extend_from_slice(&(options.len() as u16).to_be_bytes());
    query.extend_from_slice(options);
    query
}

pub fn set_id(message: &mut [u8], id: u16) {
    message[..2].copy_from_slice(&id.to_be_bytes());
}

pub fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

/// The address in the last record of a response that has nothing behind its A records.
pub fn last_address(response: &[u8]) -> Option<Ipv4Addr> {
    let answers = u16::from_be_bytes([*response.get(6)?, *response.get(7)?]);
    let octets = response.last_chunk::<4>().filter(|_| answers > 0)?;
    Some(Ipv4Addr::from(*octets))
}

/// Where the TTL of the SOA record stands in a response without answers, and its MINIMUM (RFC 1035 section 3.3.13).
pub fn denial_ttls(response: &[u8]) -> Option<[usize; 2]> {
    // ANCOUNT and NSCOUNT.
    if response.get(6..8)? != [0, 0] || response.get(8..10)? == [0, 0] {
        return None;
    }
    // Behind the question's name are its type and class, behind the owner's those of the record.
    let owner = behind_name(response, HEADER)? + 4;
    let ttl = behind_name(response, owner)? + 4;
    let length = u16::from_be_bytes([*response.get(ttl + 4)?, *response.get(ttl + 5)?]);
    Some([ttl, ttl + 6 + usize::from(length) - 4])
}

/// Where a name ends that begins here.
fn behind_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match message.get(at)? {
            0 => return Some(at + 1),
            // A pointer (RFC 1035 section 4.1.4).
            0xc0.. => return Some(at + 2),
            length => at += 1 + usize::from(*length),
        }
    }
}
